package security

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// V4: a WebSocket message that the network cuts is no message, wherever it is cut: at each byte, so at
// each boundary of fragments, right after a frame's header, within a ping, and at what readers like to
// read at once. Nothing of its SEND is published, whether or not its body was there.
func TestV4TruncatedMessages(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "store: {engine: memory}")
	hears := b.Dial(t, harness.TCP)
	connect(hears)
	hears.Expect("CONNECTED")
	hears.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/v4\n\n\x00SUBSCRIBE\nid:1\ndestination:/queue/v4\n\n\x00")
	hears.Sync()

	send := func(headers, body string) []byte {
		return []byte("SEND\ndestination:/topic/v4\n" + headers + "\n" + body + "\x00")
	}
	fragments := func(op byte, p []byte, cuts ...int) (fs []harness.WSFrame) {
		for at := 0; at < len(p); op = harness.OpContinuation {
			end := len(p)
			if len(cuts) > 0 {
				end, cuts = cuts[0], cuts[1:]
			}
			fs = append(fs, harness.WSFrame{Op: op, Payload: p[at:end], More: end < len(p)})
			at = end
		}
		return fs
	}
	ping := harness.WSFrame{Op: harness.OpPing, Payload: []byte("between")}
	empty := harness.WSFrame{More: true}
	long := strings.Repeat("x", 2500)
	queue := []byte("SEND\ndestination:/queue/v4\ncontent-length:5\n\nhello\x00")
	for _, x := range []struct {
		name   string
		frames []harness.WSFrame
		body   string
	}{
		{"text", fragments(harness.OpText, send("", "text")), "text"},
		{"binary with a length", fragments(harness.OpBinary, send("content-length:6\n", "length")), "length"},
		{"a queue", fragments(harness.OpBinary, queue), "hello"},
		{"three fragments", fragments(harness.OpText, send("", "three"), 10, 29), "three"},
		{"the NUL is a fragment", fragments(harness.OpText, send("content-length:3\n", "nul"), len(send("content-length:3\n", "nul"))-1), "nul"},
		{"empty fragments and a ping", slices.Concat(fragments(harness.OpText, send("", "empty"), 10)[:1], []harness.WSFrame{empty, ping, empty},
			[]harness.WSFrame{{Payload: send("", "empty")[10:]}}), "empty"},
		{"two messages", slices.Concat(fragments(harness.OpText, send("", "two")[:20]), fragments(harness.OpBinary, send("", "two")[20:])), "two"},
		{"a length of eight bytes", []harness.WSFrame{{Op: harness.OpBinary, Payload: send("", strings.Repeat("8", 70_000))}}, strings.Repeat("8", 70_000)},
		{"long", fragments(harness.OpText, send("", long)), long},
		{"long fragments", fragments(harness.OpBinary, send("content-length:2500\n", long), 512, 1024, 1025), long},
	} {
		var stream []byte
		for _, f := range x.frames {
			stream = f.Append(stream)
		}
		cuts := 0
		for cut := range stream {
			near := cut%512 < 16 || cut%512 > 510 || cut > len(stream)-16
			if len(stream) > 1000 && (!near || cut > 3000 && cut < len(stream)-16) {
				continue
			}
			cuts++
			ended(t, b, stream[:cut], cut%2 == 0)
		}
		hears.Sync()
		ended(t, b, stream, false)
		hears.Message(x.body)
		t.Logf("%s: %d cuts", x.name, cuts)
	}
	hears.Sync()
}

// ended connects by WebSocket, sends CONNECT and a stream, ends the sending there, and waits for the
// broker to have noticed. apart sends CONNECT first.
func ended(t *testing.T, b *harness.Broker, stream []byte, apart bool) {
	t.Helper()
	ws, err := harness.Handshake(b.WS, harness.Upgrade(b.WS, b.Path, "Sec-WebSocket-Protocol: v12.stomp"))
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Conn.Close()
	if ws.Response.StatusCode != 101 {
		t.Fatal(ws.Response.Status)
	}
	out := harness.WSFrame{Op: harness.OpText, Payload: []byte("CONNECT\naccept-version:1.2\nhost:h\n\n\x00")}.Append(nil)
	if apart {
		write(t, ws.Conn, out)
		if _, err := ws.Read(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		out = nil
	}
	write(t, ws.Conn, append(out, stream...))
	if err := ws.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	ws.Conn.SetReadDeadline(time.Now().Add(harness.Patience))
	if _, err := io.Copy(io.Discard, ws.Conn); err != nil {
		t.Fatalf("after %d bytes: %v", len(stream), err)
	}
}

func write(t *testing.T, c net.Conn, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

// V6: headers are counted, repeated ones too, before CONNECT and after it; a frame in fragments of one
// byte is a frame, but what carries no data at all is bounded: empty fragments and messages, pings and
// pongs (ws CVE-2026-48779).
func TestV6HeadersAndFragments(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "store: {engine: memory}")
	for _, tr := range harness.Transports {
		for _, again := range []bool{false, true} {
			for n := 63; n <= 65; n++ {
				var all strings.Builder
				for i := range n - 1 { // and destination, or host
					name := "x"
					if !again {
						name = fmt.Sprint("x", i)
					}
					fmt.Fprintf(&all, "%s:y\n", name)
				}
				c := b.Dial(t, tr)
				c.Sendf("CONNECT\naccept-version:1.2\n%s\n\x00", all.String())
				if n > 64 {
					c.Expect("ERROR", "message:too many headers")
					c.ExpectClose()
					continue
				}
				c.Expect("CONNECTED")
				c.Sendf("SEND\ndestination:/topic/v6\n%s\n\x00", all.String())
				c.Sync()
				c.Sendf("SEND\ndestination:/topic/v6\n%sone:more\ntwo:more\n\n\x00", all.String())
				c.Expect("ERROR", "message:too many headers")
				c.ExpectClose()
			}
		}
	}
	honest := b.Dial(t, harness.WSFragmented)
	connect(honest)
	honest.Expect("CONNECTED")
	var floods sync.WaitGroup
	for name, flood := range map[string]struct {
		start []harness.WSFrame
		unit  harness.WSFrame
	}{
		"empty fragments": {[]harness.WSFrame{{Op: harness.OpText, More: true, Payload: []byte("SEND\n")}}, harness.WSFrame{More: true}},
		"empty messages":  {nil, harness.WSFrame{Op: harness.OpBinary}},
		"pings":           {nil, harness.WSFrame{Op: harness.OpPing}},
		"pongs":           {nil, harness.WSFrame{Op: harness.OpPong, Payload: make([]byte, 125)}},
	} {
		c := b.Dial(t, harness.WSText)
		connect(c)
		c.Expect("CONNECTED")
		var out []byte
		for _, f := range flood.start {
			out = f.Append(out)
		}
		for len(out) < 300<<10 {
			out = flood.unit.Append(out)
		}
		go c.WS.Conn.Write(out) // the broker may end it before all of it is written
		floods.Go(func() {
			for {
				f, err := c.WS.Read(time.Now().Add(harness.Patience))
				if err != nil {
					t.Errorf("%s: %v, and no close frame", name, err)
					return
				}
				if f.Op == harness.OpClose {
					if string(f.Payload[:2]) != "\x03\xf0" {
						t.Errorf("%s: close frame %q", name, f.Payload)
					}
					return
				}
			}
		})
		honest.Sync()
	}
	floods.Wait()
	honest.Sync()
}
