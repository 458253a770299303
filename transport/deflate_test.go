package transport_test

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// offered is the header of a client that can inflate.
const offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

const rsv1 = 0x40

// deflated is s as a client sends it compressed (RFC 7692, 7.2.1).
func deflated(s string) string { return deflatedAt(s, 6) }

func deflatedAt(s string, level int) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, level)
	io.WriteString(z, s)
	z.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// ended is s compressed with a last block, and what goes behind it (RFC 7692, 7.2.3.4).
func ended(s string) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, 6)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

// inflated is a server's message.
func inflated(m message) (string, error) {
	if m.first&rsv1 == 0 {
		return m.payload, nil
	}
	z := flate.NewReader(strings.NewReader(m.payload + "\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	p, err := io.ReadAll(z)
	return string(p), err
}

func TestCompressedFraming(t *testing.T) {
	const send, sent = "SEND\nid:1\n\nabc\x00", `SEND id:1 "abc"`
	said := func(code int) string { return fmt.Sprintf("88 code %d", code) }
	bye := ws(closing, closeFrame(1000, ""))
	z := deflated(send)
	huge := "SEND\n\n" + strings.Repeat("x", 100_000) + "\x00"
	noise := make([]byte, 100_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.IntN(256))
	}
	hugeNoise := fmt.Sprintf("SEND\ncontent-length:%d\n\n%s\x00", len(noise), noise)
	long := "SEND\ncontent-length:50000\n\n" + strings.Repeat("x", 50_000) + "\x00"
	shown := func(body []byte) string { return fmt.Sprintf("%d bytes %x", len(body), sum(body)) }
	rows := []struct {
		name   string
		in     []byte
		frames []string
		end    string
		out    []string
	}{
		{"text", join(ws(text|rsv1, z), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"binary", join(ws(bin|rsv1, z), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"compressed and not", join(ws(text|rsv1, z), ws(text, send), ws(bin|rsv1, z), ws(bin, send), bye), []string{sent, sent, sent, sent}, "EOF", []string{said(1000)}},
		{"two frames", join(ws(text|rsv1, deflated(send+"\n"+send)), bye), []string{sent, sent}, "EOF", []string{said(1000)}},
		{"a frame over messages", join(ws(text|rsv1, deflated(send[:7])), ws(text, send[7:9]), ws(text|rsv1, deflated(send[9:])), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"fragments", join(ws(textPart|rsv1, z[:3]), ws(contPart, z[3:4]), ws(cont, z[4:]), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"empty fragments", join(ws(textPart|rsv1, ""), ws(contPart, z), ws(contPart, ""), ws(cont, ""), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"pings between", join(ws(textPart|rsv1, z[:3]), ws(ping, "1"), ws(contPart, z[3:5]), ws(ping, "2"), ws(pong, ""), ws(cont, z[5:]), bye),
			[]string{sent}, "EOF", []string{`8a "1"`, `8a "2"`, said(1000)}},
		{"close between", join(ws(textPart|rsv1, z[:3]), bye), nil, "EOF", []string{said(1000)}},
		{"empty", join(ws(text|rsv1, "\x00"), ws(text|rsv1, z), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"nothing at all", join(ws(text|rsv1, ""), ws(text|rsv1, z), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"heart-beat", join(ws(text|rsv1, deflated("\n")), ws(text|rsv1, z), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"stored", join(ws(text|rsv1, deflatedAt(send, 0)), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"a last block", join(ws(text|rsv1, ended(send)), ws(text|rsv1, z), bye), []string{sent, sent}, "EOF", []string{said(1000)}},
		{"a last block and zero", join(ws(text|rsv1, ended(send)+"\x00"), ws(text|rsv1, z), bye), []string{sent, sent}, "EOF", []string{said(1000)}},
		{"a last block within", join(ws(text|rsv1, ended(send[:5])+deflated(send[5:])), bye), []string{sent}, "EOF", []string{said(1000)}},
		{"the RFC's Hello", join(ws(bin, "SEND\n\n"), ws(bin|rsv1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), ws(bin|rsv1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
			ws(bin|rsv1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), ws(bin, "\x00"), bye), []string{`SEND "HelloHelloHello"`}, "EOF", []string{said(1000)}},
		{"100,000 bytes", join(ws(text|rsv1, deflated(huge)), ws(text|rsv1, z), bye), []string{"SEND " + shown([]byte(huge[6:len(huge)-1])), sent}, "EOF", []string{said(1000)}},
		{"100,000 of noise", join(ws(bin|rsv1, deflated(hugeNoise)), ws(bin|rsv1, z), bye), []string{"SEND content-length:100000 " + shown(noise), sent}, "EOF", []string{said(1000)}},
		{"half a megabyte of noise", join(bytes.Repeat(ws(bin|rsv1, deflated(hugeNoise)), 5), bye),
			slices.Repeat([]string{"SEND content-length:100000 " + shown(noise)}, 5), "EOF", []string{said(1000)}},
		{"no NUL", join(ws(text|rsv1, deflated("SEND\ncontent-length:2\n\nab")), ws(text|rsv1, z), bye), []string{`SEND content-length:2 "ab"`, sent}, "EOF", []string{said(1000)}},
		{"no NUL, no length", join(ws(text|rsv1, deflated("SEND\n\nab")), ws(text|rsv1, z), bye), []string{`SEND "ab"`, sent}, "EOF", []string{said(1000)}},
		{"UTF-8 over fragments", join(ws(textPart|rsv1, deflated("SEND\n\n€\x00")[:9]), ws(cont, deflated("SEND\n\n€\x00")[9:]), bye), []string{`SEND "€"`}, "EOF", []string{said(1000)}},

		{"RSV1 on a continuation", join(ws(textPart|rsv1, z[:3]), ws(cont|rsv1, z[3:])), nil, "1002", []string{said(1002)}},
		{"RSV1 on the continuation only", join(ws(textPart, send[:3]), ws(cont|rsv1, send[3:])), nil, "1002", []string{said(1002)}},
		{"RSV1 on a ping", ws(ping|rsv1, ""), nil, "1002", []string{said(1002)}},
		{"RSV1 on a close", ws(closing|rsv1, closeFrame(1000, "")), nil, "1002", []string{said(1002)}},
		{"RSV1 and RSV2", ws(text|rsv1|0x20, z), nil, "1002", []string{said(1002)}},
		{"RSV3", ws(text|0x10, send), nil, "1002", []string{said(1002)}},
		{"message within a message", join(ws(textPart|rsv1, z[:3]), ws(text|rsv1, z)), nil, "1002", []string{said(1002)}},
		{"unmasked", join([]byte{text | rsv1, byte(len(z))}, []byte(z)), nil, "1002", []string{said(1002)}},
		{"length with its highest bit set", []byte{bin | rsv1, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1}, nil, "1002", []string{said(1002)}},

		{"not deflate", ws(text|rsv1, "\xff\xff\xff"), nil, "1007", []string{said(1007)}},
		{"not compressed", join(ws(text|rsv1, z), ws(text|rsv1, send)), []string{sent}, "1007", []string{said(1007)}},
		{"reserved block", ws(text|rsv1, "\x06"), nil, "1007", []string{said(1007)}},
		{"a last block of what is added", ws(bin|rsv1, "\x01\x04\x00\xfb\xff"), nil, "1007", []string{said(1007)}},
		{"cut short", ws(bin|rsv1, z[:len(z)-4]), nil, "1007", []string{said(1007)}},
		{"refers to the message before", join(ws(text|rsv1, z), ws(text|rsv1, takeover(send, send))), []string{sent}, "1007", []string{said(1007)}},
		{"not UTF-8", ws(text|rsv1, deflated("SEND\n\n\xff\x00")), nil, "1007", []string{said(1007)}},
		{"not UTF-8 but binary", join(ws(bin|rsv1, deflated("SEND\n\n\xff\x00")), bye), []string{`SEND "\xff"`}, "EOF", []string{said(1000)}},
		{"UTF-8 cut by the end", ws(text|rsv1, deflated("SEND\n\n\xe2\x82")), nil, "1007", []string{said(1007)}},
		{"malformed frame", ws(text|rsv1, deflated(send+"NONSENSE\n\n\x00"+send)), []string{sent}, "unknown command", []string{said(1000)}},
		{"cut before its NUL", ws(textPart|rsv1, strings.TrimSuffix(deflatedAt(long, 0), "\x00\x00")), nil, "EOF", []string{said(1000)}},
		{"unfinished long one", ws(binPart|rsv1, deflated(hugeNoise)[:90_000]), nil, "EOF", []string{said(1000)}},
		{"unfinished payload of a long one", ws(bin|rsv1, deflated(hugeNoise))[:90_000], nil, "EOF", []string{said(1000)}},
		{"long one within pings", join(inParts(deflated(hugeNoise), 30_000, ws(ping, "p")), bye), []string{"SEND content-length:100000 " + shown(noise)}, "EOF",
			[]string{`8a "p"`, `8a "p"`, `8a "p"`, said(1000)}},
		{"unfinished message", ws(textPart|rsv1, z), nil, "EOF", []string{said(1000)}},
	}
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{Compression: true})
	for _, row := range rows {
		for _, how := range []string{"early", "late", "bytes"} {
			if how == "bytes" && len(row.in) > 2000 {
				continue
			}
			t.Run(row.name+"/"+how, func(t *testing.T) {
				var early []byte
				if how == "early" {
					early = row.in
				}
				c := dialWS(t, addr, early, offered)
				switch how {
				case "late":
					c.send(row.in)
				case "bytes":
					for i := range row.in {
						if _, err := c.Write(row.in[i : i+1]); err != nil {
							break // the server has closed at a fault already
						}
					}
				}
				c.closeWrite()
				end := r.wait(t)
				<-r.conns
				if got := r.frames(); !slices.Equal(got, row.frames) {
					t.Errorf("frames %q, want %q", got, row.frames)
				}
				if got := kindOf(end); got != row.end {
					t.Errorf("end %s (%v), want %s", got, end, row.end)
				}
				all, err := c.rest()
				var out []string
				for _, m := range all {
					if m.first == closing && len(m.payload) >= 2 {
						out = append(out, fmt.Sprintf("88 code %d", int(m.payload[0])<<8|int(m.payload[1])))
					} else {
						out = append(out, m.String())
					}
				}
				if err != nil || !slices.Equal(out, row.out) {
					t.Errorf("server said %q (%v), want %q", out, err, row.out)
				}
			})
		}
	}
}

// inParts is a compressed message in fragments of n bytes with something in between.
func inParts(s string, n int, between []byte) (out []byte) {
	first := byte(bin | rsv1)
	for ; len(s) > n; s = s[n:] {
		out = append(append(out, ws(first&^0x80, s[:n])...), between...)
		first = cont
	}
	return append(out, ws(first, s)...)
}

// takeover is s compressed by one who has sent before already, and refers to it.
func takeover(before, s string) string {
	var b bytes.Buffer
	z, _ := flate.NewWriterDict(&b, 6, []byte(before))
	io.WriteString(z, s)
	z.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// Without an agreement the mark is a fault, whatever the setting.
func TestCompressedWithoutAgreement(t *testing.T) {
	r := newRecorder()
	for _, o := range []transport.Options{{}, {Compression: true}} {
		var headers []string
		if !o.Compression {
			headers = []string{offered}
		}
		c := dialWS(t, serveWS(t, r, o), join(ws(text|rsv1, deflated("SEND\n\n\x00")), ws(closing, "")), headers...)
		if end := r.wait(t); kindOf(end) != "1002" || len(r.frames()) > 0 {
			t.Errorf("compression %v: %v", o.Compression, end)
		}
		<-r.conns
		c.Close()
	}
}

// Any frames, compressed or not, cut and packed anyhow, are the same frames.
func TestCompressedAnyhow(t *testing.T) {
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{Compression: true})
	rapid.Check(t, func(rt *rapid.T) {
		var stream []byte
		var want []string
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab{}:,\"é€𝄞 ")), 0, -1, 3000)
		for range rapid.IntRange(1, 6).Draw(rt, "frames") {
			f := stompframe.Frame{Command: "SEND", Body: []byte(strings.Repeat(letters.Draw(rt, "body"), rapid.SampledFrom([]int{1, 1, 1, 40}).Draw(rt, "times")))}
			if len(f.Body) == 0 {
				f.Body = nil
			}
			stream = stompframe.AppendFrame(stream, stompframe.V12, &f)
			f.Header = nil
			want = append(want, show(&f))
			stream = append(stream, strings.Repeat("\n", rapid.IntRange(0, 2).Draw(rt, "EOLs"))...)
		}
		var wire []byte
		for rest := string(stream); rest != ""; {
			n := min(rapid.SampledFrom([]int{1, 2, 7, 100, 1000, 20_000, 1 << 20}).Draw(rt, "message"), len(rest))
			part := rest[:n]
			rest = rest[n:]
			first := byte(bin)
			if rapid.Bool().Draw(rt, "compressed") {
				first |= rsv1
				part = deflatedAt(part, rapid.IntRange(-2, 9).Draw(rt, "level"))
			}
			for rapid.IntRange(0, 2).Draw(rt, "fragment") == 0 {
				n := rapid.IntRange(0, len(part)).Draw(rt, "of")
				wire = append(wire, ws(first&^0x80, part[:n])...)
				part, first = part[n:], cont
				if rapid.Bool().Draw(rt, "ping") {
					wire = append(wire, ws(ping, "p")...)
				}
			}
			wire = append(wire, ws(first, part)...)
		}
		early := rapid.IntRange(0, len(wire)).Draw(rt, "early")
		c := dialWS(t, addr, wire[:early], offered)
		defer c.Close()
		go io.Copy(io.Discard, c.r)
		for rest := wire[early:]; len(rest) > 0; {
			n := min(rapid.SampledFrom([]int{1, 13, 500, 1 << 20}).Draw(rt, "write"), len(rest))
			c.send(rest[:n])
			rest = rest[n:]
		}
		c.closeWrite()
		end := r.wait(t)
		<-r.conns
		got := r.frames()
		for i := range got {
			got[i] = withoutLength(got[i])
		}
		if kindOf(end) != "EOF" || !slices.Equal(got, want) {
			rt.Errorf("end %v, frames %q, want %q", end, got, want)
		}
	})
}

func withoutLength(shown string) string {
	words := strings.SplitN(shown, " ", 3)
	if len(words) > 1 && strings.HasPrefix(words[1], "content-length:") {
		return strings.Join(slices.Delete(words, 1, 2), " ")
	}
	return shown
}

// What goes out compressed inflates to the same frame, with any head, for each window that a client
// can have; nothing that is short, longer than the window, or no smaller is compressed.
func TestFramesOutCompressed(t *testing.T) {
	noise := make([]byte, 5000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.IntN(256))
	}
	like := func(n int) []byte { return []byte(strings.Repeat(`{"price":12.5,"name":"x"},`, n/26+1)[:n]) }
	heads := []string{"", "MESSAGE\nsubscription:0\n", strings.Repeat("h", 65535), strings.Repeat("h", 65536), strings.Repeat("h", 200_000)}
	for bits := 8; bits <= 15; bits++ {
		addr := serveWS(t, answerer(t, func(c broker.Conn) {
			p := c.(broker.Packer)
			var batch []byte
			for _, n := range []int{1, 1023, 1024, 2048, 2049, 4096, 4097, 100_000} {
				for _, head := range heads {
					tail := like(n)
					want := n >= 1024 && (n <= 1<<bits || bits == 15)
					if p.Packs(n) != want {
						t.Errorf("window of %d bits: packs %d bytes: %v", bits, n, !want)
					}
					if !p.Packs(n) {
						batch = c.AppendFrame(batch, []byte(head), tail, true)
						continue
					}
					packed := p.Pack(tail)
					if len(packed) == 0 || len(packed) > n/4 {
						t.Errorf("%d bytes become %d", n, len(packed))
					}
					batch = p.AppendPacked(batch, []byte(head), packed, n%2 == 0)
				}
			}
			if got := p.Pack(noise); got != nil {
				t.Errorf("noise of %d bytes is packed to %d", len(noise), len(got))
			}
			if err := c.Write(batch, patience); err != nil {
				t.Error(err)
			}
		}), transport.Options{Compression: true})
		c := dialWS(t, addr, ws(text, "SEND\n\n\x00"), fmt.Sprintf("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=%d", bits))
		for _, n := range []int{1, 1023, 1024, 2048, 2049, 4096, 4097, 100_000} {
			for _, head := range heads {
				want := byte(text)
				if n >= 1024 && (n <= 1<<bits || bits == 15) {
					want |= rsv1
					if n%2 != 0 {
						want = bin | rsv1
					}
				}
				m := c.mustNext()
				if got, err := inflated(m); m.first != want || err != nil || got != head+string(like(n)) {
					t.Fatalf("window of %d bits, head of %d, tail of %d: %.100v, %v", bits, len(head), n, m, err)
				}
			}
		}
		c.Close()
	}
}

// Who did not ask for compression, and who asks while it is off, gets none.
func TestFramesOutNotCompressed(t *testing.T) {
	for _, o := range []transport.Options{{}, {Compression: true}} {
		done := make(chan struct{})
		addr := serveWS(t, serverFunc(func(_ context.Context, c broker.Conn) {
			defer close(done)
			if p, ok := c.(broker.Packer); ok && p.Packs(1<<20) {
				t.Error("packs")
			}
			if c.Envelope() != broker.EnvelopeMessages {
				t.Error(c.Envelope())
			}
			c.Close(1000, "", 0)
		}), o)
		var headers []string
		if !o.Compression {
			headers = []string{offered}
		}
		dialWS(t, addr, nil, headers...)
		receive(t, done)
	}
}

// coder/websocket as a client, with a window and without one, understands and is understood.
func TestCompressedCoder(t *testing.T) {
	body := strings.Repeat(`{"price":12.5,"name":"x"},`, 1000)
	addr := serveWS(t, serverFunc(func(_ context.Context, c broker.Conn) {
		c.Accepted(stompframe.V12, stompframe.Limits{})
		p := c.(broker.Packer)
		var f stompframe.Frame
		for c.ReadFrame(&f) == nil {
			tail := append([]byte("\n"), append(f.Body, 0)...)
			batch := c.AppendFrame(nil, []byte("MESSAGE\n"), tail, true)
			if p.Packs(len(tail)) {
				batch = p.AppendPacked(batch, []byte("MESSAGE\n"), p.Pack(tail), true)
			}
			if err := c.Write(batch, patience); err != nil {
				t.Error(err)
			}
		}
		c.Close(1000, "", patience)
	}), transport.Options{Compression: true})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
		ws, resp, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Fatal(err)
		}
		ws.SetReadLimit(1 << 20)
		copies := 1
		if mode != websocket.CompressionDisabled {
			copies = 2
		}
		if agreed := resp.Header.Get("Sec-WebSocket-Extensions") != ""; agreed != (copies == 2) {
			t.Errorf("mode %v: agreed %v", mode, agreed)
		}
		for range 3 {
			if err := ws.Write(ctx, websocket.MessageText, []byte("SEND\n\n"+body+"\x00")); err != nil {
				t.Fatal(err)
			}
			for range copies {
				if _, p, err := ws.Read(ctx); err != nil || string(p) != "MESSAGE\n\n"+body+"\x00" {
					t.Fatalf("mode %v: %d bytes, %v", mode, len(p), err)
				}
			}
		}
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
}
