package transport_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/transport"
)

// The cases of RFC 6455 that are the same however the bytes come: in one write with the
// handshake, in one write after it, and byte by byte.
func TestFraming(t *testing.T) {
	const send = "SEND\ndestination:/topic/a\n\nhello\x00"
	const sent = `SEND destination:/topic/a "hello"`
	body := func(n int) (string, string) { // a frame of n bytes
		head := "SEND\n\n"
		b := strings.Repeat("x", n-len(head)-1)
		if len(b) > 100 {
			return head + b + "\x00", fmt.Sprintf("SEND %d bytes %x", len(b), sum([]byte(b)))
		}
		return head + b + "\x00", strings.TrimSuffix(fmt.Sprintf("SEND %q", b), ` ""`)
	}
	bye := ws(closing, closeFrame(1000, ""))
	said := func(code int) []string { return []string{fmt.Sprintf("%02x code %d", closing, code)} }
	type row struct {
		name   string
		in     []byte
		frames []string
		end    string
		out    []string // frames from the server; a close frame by its code alone
	}
	rows := []row{
		{"text", join(ws(text, send), bye), []string{sent}, "EOF", said(1000)},
		{"binary", join(ws(bin, send), bye), []string{sent}, "EOF", said(1000)},
		{"no message", bye, nil, "EOF", said(1000)},
		{"two frames in a message", join(ws(text, send+send), bye), []string{sent, sent}, "EOF", said(1000)},
		{"two messages", join(ws(text, send), ws(bin, send), bye), []string{sent, sent}, "EOF", said(1000)},
		{"a frame over two messages", join(ws(text, send[:9]), ws(text, send[9:]), bye), []string{sent}, "EOF", said(1000)},
		{"a frame over text and binary", join(ws(text, send[:9]), ws(bin, send[9:]), bye), []string{sent}, "EOF", said(1000)},
		{"one and a half, half and one", join(ws(text, send+send[:9]), ws(text, send[9:]+send), bye), []string{sent, sent, sent}, "EOF", said(1000)},
		{"EOLs", join(ws(text, "\n"), ws(text, "\r\n\n"), ws(text, "\n"+send+"\n"), bye), []string{sent}, "EOF", said(1000)},
		{"empty messages", join(ws(text, ""), ws(bin, ""), ws(text, send), ws(text, ""), bye), []string{sent}, "EOF", said(1000)},
		{"two fragments", join(ws(textPart, send[:9]), ws(cont, send[9:]), bye), []string{sent}, "EOF", said(1000)},
		{"three fragments", join(ws(binPart, send[:9]), ws(contPart, send[9:20]), ws(cont, send[20:]), bye), []string{sent}, "EOF", said(1000)},
		{"empty first fragment", join(ws(textPart, ""), ws(cont, send), bye), []string{sent}, "EOF", said(1000)},
		{"empty fragments", join(ws(textPart, ""), ws(contPart, ""), ws(contPart, send), ws(contPart, ""), ws(cont, ""), bye), []string{sent}, "EOF", said(1000)},
		{"unfinished message with whole frames", join(ws(textPart, send+send), ws(contPart, send)), []string{sent, sent, sent}, "EOF", said(1000)},
		{"ping", join(ws(ping, "abc"), bye), nil, "EOF", append([]string{`8a "abc"`}, said(1000)...)},
		{"empty ping", join(ws(ping, ""), bye), nil, "EOF", append([]string{`8a ""`}, said(1000)...)},
		{"longest ping", join(ws(ping, strings.Repeat("p", 125)), bye), nil, "EOF", append([]string{`8a "125 bytes"`}, said(1000)...)},
		{"ping between fragments", join(ws(textPart, send[:9]), ws(ping, "x"), ws(cont, send[9:]), bye), []string{sent}, "EOF", append([]string{`8a "x"`}, said(1000)...)},
		{"pings between fragments", join(ws(textPart, send[:9]), ws(ping, "1"), ws(contPart, send[9:12]), ws(ping, "2"), ws(pong, ""), ws(cont, send[12:]), bye),
			[]string{sent}, "EOF", append([]string{`8a "1"`, `8a "2"`}, said(1000)...)},
		{"pong nobody asked for", join(ws(pong, "x"), ws(text, send), bye), []string{sent}, "EOF", said(1000)},
		{"half a frame and close", join(ws(text, send+send[:9]), bye), []string{sent}, "EOF", said(1000)},
		{"close between fragments", join(ws(textPart, send[:9]), bye), nil, "EOF", said(1000)},
		{"data after close", join(bye, ws(text, send)), nil, "EOF", said(1000)},
		{"ping after close", join(bye, ws(ping, "x")), nil, "EOF", said(1000)},
		{"close without code", ws(closing, ""), nil, "EOF", []string{`88 ""`}},
		{"close with reason", ws(closing, closeFrame(1001, "tschüss")), nil, "EOF", said(1001)},
		{"close with longest reason", ws(closing, closeFrame(1001, strings.Repeat("r", 123))), nil, "EOF", said(1001)},
		{"close with a reason that is not UTF-8", ws(closing, closeFrame(1000, "\xff\xfe")), nil, "EOF", said(1007)},
		{"close of one byte", ws(closing, "\x03"), nil, "1002", said(1002)},

		{"unmasked", join([]byte{text, 3}, []byte("abc")), nil, "1002", said(1002)},
		{"unmasked ping", []byte{ping, 0}, nil, "1002", said(1002)},
		{"unmasked after a frame", join(ws(text, send), []byte{text, 1, 'x'}), []string{sent}, "1002", said(1002)},
		{"RSV1", ws(text|0x40, send), nil, "1002", said(1002)},
		{"RSV2", ws(text|0x20, send), nil, "1002", said(1002)},
		{"RSV3", ws(text|0x10, send), nil, "1002", said(1002)},
		{"RSV1 on a continuation", join(ws(textPart, send[:9]), ws(cont|0x40, send[9:])), nil, "1002", said(1002)},
		{"RSV on a ping", ws(ping|0x40, ""), nil, "1002", said(1002)},
		{"continuation of nothing", ws(cont, send), nil, "1002", said(1002)},
		{"continuation after a whole message", join(ws(text, send), ws(cont, send)), []string{sent}, "1002", said(1002)},
		{"message within a message", join(ws(textPart, send[:9]), ws(text, send[9:])), nil, "1002", said(1002)},
		{"fragmented ping", ws(0x09, ""), nil, "1002", said(1002)},
		{"fragmented close", ws(0x08, ""), nil, "1002", said(1002)},
		{"ping of 126 bytes", ws(ping, strings.Repeat("p", 126)), nil, "1002", said(1002)},
		{"close of 126 bytes", ws(closing, closeFrame(1000, strings.Repeat("r", 124))), nil, "1002", said(1002)},
		{"length with its highest bit set", []byte{bin, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1}, nil, "1002", said(1002)},

		{"not UTF-8", ws(text, "SEND\n\n\xff\x00"), nil, "1007", said(1007)},
		{"binary need not be UTF-8", join(ws(bin, "SEND\n\n\xff\x00"), bye), []string{`SEND "\xff"`}, "EOF", said(1000)},
		{"not UTF-8 in a fragment", join(ws(textPart, "SEND\n\n"), ws(contPart, "\xff\x00")), nil, "1007", said(1007)},
		{"overlong", ws(text, "SEND\n\n\xc0\xaf\x00"), nil, "1007", said(1007)},
		{"surrogate", ws(text, "SEND\n\n\xed\xa0\x80\x00"), nil, "1007", said(1007)},
		{"beyond Unicode", ws(text, "SEND\n\n\xf4\x90\x80\x80\x00"), nil, "1007", said(1007)},
		{"cut by the end of the message", ws(text, "SEND\n\n\xe2\x82"), nil, "1007", said(1007)},
		{"cut by the end, goes on in the next", join(ws(text, "SEND\n\n\xe2\x82"), ws(text, "\xac\x00")), nil, "1007", said(1007)},
		{"fails fast", ws(textPart, "SEND\n\n\xf4\x90"), nil, "1007", said(1007)},
		{"frame before the fault", join(ws(text, send), ws(text, "\xff")), []string{sent}, "1007", said(1007)},

		{"malformed frame", ws(text, "NONSENSE\n\n\x00"), nil, "unknown command", said(1000)},
		{"frame before a malformed one", ws(text, send+"NONSENSE\n\n\x00"+send), []string{sent}, "unknown command", said(1000)},

		// React Native cuts the NUL of a text message off.
		{"no NUL", join(ws(text, "SEND\ncontent-length:2\n\nab"), ws(text, send), bye), []string{`SEND content-length:2 "ab"`, sent}, "EOF", said(1000)},
		{"no NUL, no length", join(ws(text, "SEND\n\nab"), ws(text, send), bye), []string{`SEND "ab"`, sent}, "EOF", said(1000)},
		{"no NUL, no body", join(ws(text, "ACK\nid:1\n\n"), ws(text, send), bye), []string{`ACK id:1`, sent}, "EOF", said(1000)},
		{"no NUL in fragments", join(ws(textPart, "SEND\n\na"), ws(cont, "b"), ws(text, send), bye), []string{`SEND "ab"`, sent}, "EOF", said(1000)},
		{"no NUL but binary", join(ws(bin, "SEND\ncontent-length:2\n\nab"), bye), nil, "EOF", said(1000)},
		{"no NUL, message not ended", ws(textPart, "SEND\ncontent-length:2\n\nab"), nil, "EOF", said(1000)},
		{"no NUL, body not ended", join(ws(text, "SEND\ncontent-length:3\n\nab"), bye), nil, "EOF", said(1000)},
		{"no NUL, frame began in an earlier message", join(ws(bin, "SEND\n\na"), ws(text, "b"), ws(text, "c\x00"), bye), []string{`SEND "abc"`}, "EOF", said(1000)},
		{"no NUL, frame not at the start", join(ws(text, send+"SEND\n\na"), ws(text, "b\x00"), bye), []string{sent, `SEND "ab"`}, "EOF", said(1000)},
		{"NUL in a message of its own", join(ws(text, "SEND\ncontent-length:2\n\nab"), ws(text, "\x00"), ws(text, send), bye),
			[]string{`SEND content-length:2 "ab"`, sent}, "EOF", said(1000)},
	}
	// Every way to write a length (RFC 6455, 5.2).
	for _, n := range []int{7, 124, 125, 126, 127, 255, 256, 257, 4095, 4096, 65535, 65536, 65537, 200_000} {
		in, shown := body(n)
		rows = append(rows,
			row{fmt.Sprintf("text of %d bytes", n), join(ws(text, in), ws(text, send), bye), []string{shown, sent}, "EOF", said(1000)},
			row{fmt.Sprintf("fragments of %d bytes", n), join(ws(binPart, in), ws(cont, in), bye), []string{shown, shown}, "EOF", said(1000)})
	}
	small, shown := body(20)
	for name, in := range map[string][]byte{
		"16 bits for 20": mask([]byte{text, 0x80 | 126, 0, 20}, small),
		"64 bits for 20": mask([]byte{text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 20}, small),
		"masked by zero": append([]byte{text, 0x80 | 20, 0, 0, 0, 0}, small...),
	} {
		rows = append(rows, row{name, join(in, bye), []string{shown}, "EOF", said(1000)})
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		rows = append(rows, row{fmt.Sprintf("opcode %d", op), ws(0x80|op, ""), nil, "1002", said(1002)})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		rows = append(rows, row{fmt.Sprintf("close code %d", code), ws(closing, closeFrame(code, "x")), nil, "EOF", said(code)})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rows = append(rows, row{fmt.Sprintf("close code %d", code), ws(closing, closeFrame(code, "")), nil, "1002", said(1002)})
	}
	// UTF-8 cut at each place, in fragments.
	for _, r := range []string{"ü", "€", "𝄞", "\U0010FFFF", "\uFFFF", "\uD7FF", "\uE000"} {
		for i := 1; i < len(r); i++ {
			rows = append(rows, row{fmt.Sprintf("%q cut at %d", r, i), join(ws(textPart, "SEND\n\na"+r[:i]), ws(contPart, ""), ws(cont, r[i:]+"z\x00"), bye),
				[]string{fmt.Sprintf("SEND %q", []byte("a"+r+"z"))}, "EOF", said(1000)})
		}
	}

	r := newRecorder()
	addr := serveWS(t, r, transport.Options{})
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
				c := dialWS(t, addr, early)
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

// A stream cut anywhere yields the frames whose NUL had come, and never half of one.
func TestCutAnywhere(t *testing.T) {
	streams := map[string][]byte{
		"messages":    join(ws(text, "SEND\n\none\x00"), ws(bin, "SEND\n\ntwo\x00SEND\n\nthree\x00"), ws(bin, "\nSEND\n\nfo"), ws(text, "ur\x00")),
		"fragments":   join(ws(textPart, "SEND\n\none\x00SEND\n\nt"), ws(contPart, "wo"), ws(ping, "p"), ws(contPart, ""), ws(cont, "\x00SEND\n\nthree\x00"), ws(binPart, "SEND\n\nfour\x00")),
		"lengths":     join(ws(text, "SEND\ncontent-length:3\n\none"), ws(bin, "SEND\ncontent-length:3\n\ntwo\x00"), ws(textPart, "SEND\ncontent-length:5\n\nthree"), ws(cont, "")),
		"compressed":  join(ws(text|rsv1, deflated("SEND\n\none\x00")), ws(binPart|rsv1, deflated("SEND\n\ntwo\x00SEND\n\nthree\x00")[:8]), ws(cont, deflated("SEND\n\ntwo\x00SEND\n\nthree\x00")[8:]), ws(bin|rsv1, deflated("SEND\n\nfo")), ws(text|rsv1, deflated("ur\x00"))),
		"long header": join(ws(text, "SEND\n\none\x00"), ws(bin, "SEND\n\ntwo\x00"+strings.Repeat("\n", 300))),
	}
	all := []string{`SEND "one"`, `SEND "two"`, `SEND "three"`, `SEND "four"`}
	lengths := []string{`SEND content-length:3 "one"`, `SEND content-length:3 "two"`, `SEND content-length:5 "three"`}
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{Compression: true})
	for name, stream := range streams {
		want := all
		if name == "lengths" {
			want = lengths
		}
		seen := 0
		for cut := range len(stream) + 1 {
			c := dialWS(t, addr, stream[:cut], offered)
			c.closeWrite()
			end := r.wait(t)
			<-r.conns
			got := r.frames()
			if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Fatalf("%s cut at %d: frames %q", name, cut, got)
			}
			if len(got) < seen {
				t.Fatalf("%s cut at %d: only %d frames, %d with less of the stream", name, cut, len(got), seen)
			}
			seen = len(got)
			if kindOf(end) != "EOF" {
				t.Fatalf("%s cut at %d: end %v", name, cut, end)
			}
			c.Close()
		}
		if name != "long header" && seen != len(want) {
			t.Errorf("%s: %d frames of the whole stream, want %d", name, seen, len(want))
		}
	}
}
