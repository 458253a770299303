package transport_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// bomb is head, then a gigabyte of c, compressed to a megabyte.
func bomb(head string, c byte) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, 9)
	io.WriteString(z, head)
	z.Flush()
	block := bytes.Repeat([]byte{c}, 1<<20)
	z.Write(block)
	z.Flush()
	from := b.Len()
	z.Write(block)
	z.Flush()
	return b.String() + strings.Repeat(b.String()[from:], 1022)
}

// inFragments, inMessages cut s; in messages each part is a message of its own.
func inFragments(s string, n int) []byte { return inParts(s, n, nil) }

func inMessages(head string, body string, n int) []byte {
	return append(ws(bin|rsv1, deflated(head)), bytes.Repeat(ws(bin|rsv1, deflated(body)), n)...)
}

// before is a Server that never accepts a CONNECT; it tells how reading ended and what was inflated.
type before struct{ ends chan beforeEnd }

type beforeEnd struct {
	kind          string
	plain, packed int
	frames        int
}

func (s before) Serve(_ context.Context, c broker.Conn) {
	var f stompframe.Frame
	var e beforeEnd
	var err error
	for err == nil {
		if err = c.ReadFrame(&f); err == nil {
			e.frames++
		}
	}
	e.kind = kindOf(err)
	e.plain, e.packed = transport.Inflated(c)
	s.ends <- e
	c.Abort()
	c.Close(1000, "", 0)
}

// allocated runs f and reports what the process allocated meanwhile.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

// V3: a bomb before CONNECT is stopped at the byte: neither more compressed bytes nor more inflated ones
// than limits.before_connect are taken, in however many fragments and messages they come (RabbitMQ
// CVE-2026-67232, NATS CVE-2026-27571).
func TestV3DecompressionBeforeConnect(t *testing.T) {
	const limit = 4 << 10
	const connect = "CONNECT\naccept-version:1.2\nhost:h\n\n\x00"
	s := before{make(chan beforeEnd, 1)}
	addr := serveWS(t, s, transport.Options{Compression: true, BeforeConnect: stompframe.Limits{Frame: limit}})
	header := func(n int) string { // a CONNECT of n bytes
		lines := strings.Repeat("x:"+strings.Repeat("y", 97)+"\n", (n-len(connect)-10)/100)
		rest := n - len(connect) - len(lines) - 3
		return "CONNECT\naccept-version:1.2\nhost:h\n" + lines + "z:" + strings.Repeat("z", rest) + "\n\n\x00"
	}
	if len(header(limit)) != limit {
		t.Fatal(len(header(limit)))
	}
	short := func(head string, c byte) string { return deflated(head + strings.Repeat(string(c), 1<<20)) } // to a kilobyte
	// blocks of nothing before a CONNECT
	padded := func(n int) string {
		for extra := 0; ; extra++ {
			z := deflated(connect[:len(connect)-1] + strings.Repeat("\n", extra) + "\x00")
			if rest := n - len(z); rest%5 == 0 {
				return strings.Repeat("\x00\x00\x00\xff\xff", rest/5) + z
			}
		}
	}
	const large = "frame too large"
	for _, row := range []struct {
		name string
		in   []byte
		want beforeEnd // packed and, where no frame is let in, plain: at most
	}{
		// Nothing is inflated of what is too long to begin with.
		{"bomb of heart-beats", ws(bin|rsv1, bomb("", '\n')), beforeEnd{large, 0, limit, 0}},
		{"bomb in a header", ws(text|rsv1, bomb("CONNECT\nx:", 'y')), beforeEnd{large, 0, limit, 0}},
		{"bomb in fragments", inFragments(bomb("", '\n'), 7), beforeEnd{large, 0, limit, 0}},
		{"bomb behind a message", join(ws(bin|rsv1, deflated("\n")), ws(bin|rsv1, bomb("", '\n'))), beforeEnd{large, 1, limit, 0}},
		{"short bomb of heart-beats", ws(bin|rsv1, short("", '\n')), beforeEnd{large, limit, limit, 0}},
		{"short bomb of NULs", ws(bin|rsv1, short("", 0)), beforeEnd{large, limit, limit, 0}},
		{"short bomb in a header", ws(text|rsv1, short("CONNECT\nx:", 'y')), beforeEnd{large, limit, limit, 0}},
		{"short bomb in a body", ws(text|rsv1, short("SEND\n\n", 'y')), beforeEnd{large, limit, limit, 0}},
		{"short bomb in a command", ws(text|rsv1, short("", 'y')), beforeEnd{"unknown command", limit, limit, 0}},
		{"short bomb in fragments", inFragments(short("", '\n'), 7), beforeEnd{large, limit, limit, 0}},
		{"heart-beats in messages", inMessages("\n", strings.Repeat("\n", 1000), 100), beforeEnd{large, limit, limit, 0}},
		{"header in messages", inMessages("CONNECT\nx:", strings.Repeat("y", 1000), 100), beforeEnd{large, limit, limit, 0}},
		{"header in messages, compressed and not", join(ws(bin, "CONNECT\nx:"+strings.Repeat("y", 3000)), ws(bin|rsv1, deflated(strings.Repeat("y", 3000)))),
			beforeEnd{large, 3000, limit, 0}},
		{"what inflates to nothing", ws(bin|rsv1, strings.Repeat("\x00\x00\x00\xff\xff", 1000)+"\x00"), beforeEnd{large, 0, limit, 0}},
		{"the same in messages", bytes.Repeat(ws(bin|rsv1, "\x00"), limit+1), beforeEnd{large, 0, limit, 0}},

		{"CONNECT of L-1", join(ws(text|rsv1, deflated(header(limit-1))), ws(closing, "")), beforeEnd{"EOF", limit - 1, limit, 1}},
		{"CONNECT of L", join(ws(text|rsv1, deflated(header(limit))), ws(closing, "")), beforeEnd{"EOF", limit, limit, 1}},
		{"CONNECT of L+1", join(ws(text|rsv1, deflated(header(limit+1))), ws(closing, "")), beforeEnd{large, limit, limit, 0}},
		{"EOLs and CONNECT, L", join(ws(text|rsv1, deflated("\n\n")), ws(text|rsv1, deflated(header(limit-2))), ws(closing, "")), beforeEnd{"EOF", limit, limit, 1}},
		{"EOLs and CONNECT, L+1", join(ws(text|rsv1, deflated("\n\n\n")), ws(text|rsv1, deflated(header(limit-2))), ws(closing, "")), beforeEnd{large, limit, limit, 0}},
		{"compressed, L-1", join(ws(bin|rsv1, padded(limit-1)), ws(closing, "")), beforeEnd{"EOF", 0, limit - 1, 1}},
		{"compressed, L", join(ws(bin|rsv1, padded(limit)), ws(closing, "")), beforeEnd{"EOF", 0, limit, 1}},
		{"compressed, L+1", join(ws(bin|rsv1, padded(limit+1)), ws(closing, "")), beforeEnd{large, 0, limit, 0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got beforeEnd
			used := allocated(func() {
				c := dialWS(t, addr, nil, offered)
				c.Write(row.in) // the server may close before all of it is out
				got = receive(t, s.ends)
				c.Close()
			})
			if got.kind != row.want.kind || got.frames != row.want.frames || got.packed > row.want.packed ||
				got.plain > row.want.plain && row.want.frames == 0 {
				t.Errorf("%+v, want %+v", got, row.want)
			}
			if used > 2<<20 && !raceEnabled { // under the race detector pools keep nothing
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// V3: after CONNECT what a message inflates to counts against every limit of frames, at the byte, as if it
// had come uncompressed; and what is no frame is bounded too.
func TestV3DecompressionLimits(t *testing.T) {
	limits := stompframe.Limits{HeaderLine: 1000, Headers: 10, HeaderBytes: 3000, Body: 20_000}
	send := func(header, body int) string {
		return "SEND\nx:" + strings.Repeat("y", header-2) + "\n\n" + strings.Repeat("z", body) + "\x00"
	}
	s := serverFunc(func(_ context.Context, c broker.Conn) {
		c.Accepted(stompframe.V12, limits)
		var f stompframe.Frame
		n, err := 0, error(nil)
		for ; err == nil; n++ {
			err = c.ReadFrame(&f)
		}
		code := 1000
		var ce *broker.CloseError
		if errors.As(err, &ce) {
			code = ce.Code
		}
		c.Close(code, fmt.Sprintf("%d %s", n-1, kindOf(err)), patience)
	})
	addr := serveWS(t, s, transport.Options{Compression: true})
	said := func(t *testing.T, in []byte) string {
		t.Helper()
		c := dialWS(t, addr, nil, offered)
		go func() { c.Write(in) }()
		all, err := c.rest()
		if len(all) == 0 {
			t.Fatal(err)
		}
		return all[len(all)-1].payload[min(2, len(all[len(all)-1].payload)):]
	}
	for _, row := range []struct{ in, want string }{
		{send(999, 0), "1 EOF"}, {send(1000, 0), "1 EOF"}, {send(1001, 0), "0 header line too long"},
		{send(5, 19_999), "1 EOF"}, {send(5, 20_000), "1 EOF"}, {send(5, 20_001), "0 body too large"},
		{"SEND\n" + strings.Repeat("x:y\n", 10) + "\n\x00", "1 EOF"}, {"SEND\n" + strings.Repeat("x:y\n", 11) + "\n\x00", "0 too many headers"},
		{"SEND\n" + strings.Repeat(strings.Repeat("x", 998)+":y\n", 4) + "\n\x00", "0 header section too large"},
		{"SEND\ncontent-length:20001\n\n", "0 body too large"},
		{send(5, 9) + send(5, 20_001) + send(5, 9), "1 body too large"},
	} {
		bye := ws(closing, "")
		z := deflated(row.in)
		for name, in := range map[string][]byte{
			"uncompressed": join(ws(bin, row.in), bye),
			"compressed":   join(ws(bin|rsv1, z), bye),
			"stored":       join(ws(bin|rsv1, deflatedAt(row.in, 0)), bye),
			"fragments":    join(inFragments(z, 3), bye),
			"messages":     join(ws(bin|rsv1, deflated(row.in[:7])), ws(bin, row.in[7:11]), ws(bin|rsv1, deflated(row.in[11:])), bye),
		} {
			if got := said(t, in); got != row.want && !(got == "" && row.want[2:] == "EOF") {
				t.Errorf("%.40q… of %d bytes, %s: %q, want %q", row.in, len(row.in), name, got, row.want)
			}
		}
	}
	for _, row := range []struct {
		name string
		in   []byte
		want string
	}{
		{"bomb in a body", ws(bin|rsv1, bomb("SEND\n\n", 'y')), "0 body too large"},
		{"bomb in a body with a length", ws(bin|rsv1, bomb("SEND\ncontent-length:20000\n\n", 'y')), "0 body longer than content-length"},
		{"bomb in a header", ws(bin|rsv1, bomb("SEND\nx:", 'y')), "0 header line too long"},
		{"bomb of heart-beats", ws(bin|rsv1, bomb("", '\n')), "0 1008"},
		{"bomb of NULs", ws(bin|rsv1, bomb("", 0)), "0 1008"},
		{"bomb of heart-beats behind frames", ws(bin|rsv1, bomb(send(5, 5)+send(5, 5), '\n')), "2 1008"},
		{"bomb of heart-beats in fragments", inFragments(bomb("", '\n'), 11), "0 1008"},
		{"bomb of heart-beats in messages", inMessages("\n", strings.Repeat("\n", 1000), 1000), "0 1008"},
		{"bomb of frames", ws(bin|rsv1, bomb(send(5, 20_000), 'y')), "1 unknown command"},
		{"nothing at all, for ever", inFragments(strings.Repeat("\x00\x00\x00\xff\xff", 200_000), 1<<16), "0 1008"},
		{"last blocks, for ever", ws(bin|rsv1, strings.Repeat("\x03\x00", 500_000)), "0 1008"},
		{"empty messages, for ever", bytes.Repeat(ws(bin|rsv1, "\x00"), 100_000), "0 1008"},
		{"messages of nothing, for ever", bytes.Repeat(ws(bin|rsv1, ""), 100_000), "0 1008"},
		{"heart-beats of one byte, for ever", bytes.Repeat(ws(bin|rsv1, deflated("\n")), 100_000), "0 1008"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got string
			used := allocated(func() { got = said(t, row.in) })
			if got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
			if used > 16<<20 && !raceEnabled { // under the race detector pools keep nothing
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// Time runs while a compressed message is open, however much it inflates to; half a message holds
// no more than what came of it.
func TestV3DecompressionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := deflated("SEND\n\n" + strings.Repeat("x", 100) + "\x00")
		noise := make([]byte, 100_000)
		rand.NewChaCha8([32]byte{}).Read(noise)
		for i := range noise {
			noise[i] = 'a' + noise[i]&15
		}
		long := deflatedAt("SEND\n\n"+string(noise)+"\x00", 0)
		for _, row := range []struct {
			name  string
			steps []step
			held  int64
			at    time.Duration
			end   string
		}{
			{"half a message", []step{{ws(textPart|rsv1, z[:5]), 20 * time.Second}, {ws(contPart, z[5:6]), time.Hour}}, 64, 30 * time.Second, "frame time"},
			{"no payload", []step{{ws(text|rsv1, z)[:6], time.Hour}}, 0, 30 * time.Second, "frame time"},
			{"open after its frame", []step{{ws(textPart|rsv1, z), time.Hour}}, 64, 30 * time.Second, "frame time"},
			{"a whole one", []step{{ws(text|rsv1, z), time.Hour}, {ws(closing, ""), time.Second}}, 0, time.Hour, "EOF"},
			{"half of a long one", []step{{ws(textPart|rsv1, long[:15_000]), time.Hour}}, 20_000, 30 * time.Second, "frame time"},
			{"most of a long one", []step{{ws(textPart|rsv1, long[:90_000]), time.Hour}}, 300_000, 30 * time.Second, "frame time"},
		} {
			r := newRecorder()
			r.linger = time.Second
			var held atomic.Int64
			h := transport.NewWebSocket(serverFunc(func(ctx context.Context, c broker.Conn) {
				c.OnWait(func() bool { return false }, func() { held.Store(int64(transport.Held(c))) })
				r.Serve(ctx, c)
			}), quietly(transport.Options{Compression: true}))
			server, client := net.Pipe()
			req := request("/ws", "localhost", "")
			req.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
			h.ServeHTTP(&pipeWriter{map[string][]string{}, server}, req)
			go io.Copy(io.Discard, client)
			client.Write(row.steps[0].send)
			synctest.Wait()
			if n := held.Load(); n > row.held {
				t.Errorf("%s: %d bytes held", row.name, n)
			}
			start := time.Now()
			time.Sleep(row.steps[0].wait)
			for _, s := range row.steps[1:] {
				client.Write(s.send)
				time.Sleep(s.wait)
			}
			synctest.Wait()
			if err := <-r.end; kindOf(err) != row.end || r.ended.Sub(start) != row.at {
				t.Errorf("%s: ended %v after %v, want %q at %v", row.name, err, r.ended.Sub(start), row.end, row.at)
			}
			client.Close()
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}
