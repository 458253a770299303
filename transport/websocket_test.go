package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

func TestSubprotocols(t *testing.T) {
	var log lockedBuffer
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{Logger: logTo(&log)})
	for _, row := range []struct{ offered, chosen string }{
		{"", ""},
		{"v10.stomp", "v10.stomp"},
		{"v10.stomp, v11.stomp", "v11.stomp"},
		{"v10.stomp, v11.stomp, v12.stomp", "v12.stomp"},
		{"v12.stomp,v11.stomp", "v12.stomp"},
		{"mqtt, v11.stomp", "v11.stomp"},
		{"mqtt", ""},
		{"v13.stomp, wamp\x1b[1m" + strings.Repeat("x", 1000), ""},
	} {
		before := len(log.String())
		var headers []string
		if row.offered != "" {
			headers = []string{"Sec-WebSocket-Protocol: " + strings.ReplaceAll(row.offered, "\x1b", "")}
		}
		c := dialWS(t, addr, nil, headers...)
		if got := c.resp.Header.Get("Sec-WebSocket-Protocol"); got != row.chosen {
			t.Errorf("offered %q: %q", row.offered, got)
		}
		conn := receive(t, r.conns)
		if got := conn.Peer(); got.Subprotocol != row.chosen || got.Transport != "websocket" || got.Addr.String() != c.LocalAddr().String() || got.TLS != nil {
			t.Errorf("offered %q: peer %+v", row.offered, got)
		}
		said := log.String()[before:]
		if warned := strings.Contains(said, "level=WARN"); warned != (row.offered != "" && row.chosen == "") || len(said) > 600 {
			t.Errorf("offered %q: log %q", row.offered, said)
		}
		c.Close()
		r.wait(t)
	}
}

func TestBadHandshakes(t *testing.T) {
	addr := serveWS(t, newRecorder(), transport.Options{})
	good := handshake(addr)
	for _, row := range []struct {
		name, old, new string
		want           int
	}{
		{"no upgrade", "Upgrade: websocket\r\n", "", 426},
		{"no connection", "Connection: Upgrade\r\n", "", 426},
		{"POST", "GET", "POST", 405},
		{"version", "Version: 13", "Version: 8", 400},
		{"no key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400},
		{"short key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400},
		{"no host", "Host: " + addr + "\r\n", "", 400},
		{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", 426},
	} {
		c := dial(t, addr)
		c.send([]byte(strings.Replace(good, row.old, row.new, 1)))
		if c.answer(); c.resp.StatusCode != row.want {
			t.Errorf("%s: %s", row.name, c.resp.Status)
		}
	}
}

// answerer is a Server that runs f beside reading, and ends when the client does.
func answerer(t *testing.T, f func(c broker.Conn)) transport.Server {
	return serverFunc(func(_ context.Context, c broker.Conn) {
		var f0 stompframe.Frame
		var wg sync.WaitGroup
		for c.ReadFrame(&f0) == nil {
			if f0.Command == "SEND" {
				wg.Go(func() { f(c) })
			}
		}
		wg.Wait()
		c.Close(1000, "", patience)
	})
}

// One STOMP frame is one message, of the kind the client speaks; a batch is one write.
func TestFramesOut(t *testing.T) {
	sizes := []int{1, 124, 125, 126, 127, 65535, 65536, 70000}
	addr := serveWS(t, answerer(t, func(c broker.Conn) {
		var batch []byte
		for _, n := range sizes {
			batch = c.AppendFrame(batch, []byte("x"), bytes.Repeat([]byte{'y'}, n-1), n%2 == 0)
		}
		if err := c.Write(batch, patience); err != nil {
			t.Error(err)
		}
	}), transport.Options{})
	for _, first := range []byte{text, bin} {
		c := dialWS(t, addr, ws(first, "SEND\n\n\x00"))
		for _, n := range sizes {
			want := byte(bin)
			if first == text && n%2 == 0 {
				want = text
			}
			m := c.mustNext()
			if m.first != want || m.payload != "x"+strings.Repeat("y", n-1) {
				t.Errorf("client speaks %02x, %d bytes: got %v", first, n, m)
			}
		}
		c.send(ws(closing, closeFrame(1000, "")))
		if all, err := c.rest(); len(all) != 1 || err != nil {
			t.Errorf("end: %v, %v", all, err)
		}
	}
}

func TestTextBeforeTheClientSpoke(t *testing.T) {
	done := make(chan struct{})
	addr := serveWS(t, serverFunc(func(_ context.Context, c broker.Conn) {
		defer close(done)
		c.Write(c.AppendFrame(nil, []byte("\n"), nil, true), patience)
		c.Close(1000, "", 0)
	}), transport.Options{})
	if m := dialWS(t, addr, nil).mustNext(); m.String() != `81 "\n"` {
		t.Error(m)
	}
	receive(t, done)
}

// Data and the library's pongs share the connection without a mixed byte, whether data are written
// waiting or as the network takes them.
func TestPongsBesideData(t *testing.T) {
	t.Run("write", func(t *testing.T) { pongsBesideData(t, 2000, 1, broker.Conn.Write) })
	t.Run("try", func(t *testing.T) {
		pongsBesideData(t, 40, 20000, func(c broker.Conn, batch []byte, timeout time.Duration) error {
			n, err := c.TryWrite(batch)
			if err != nil || n == len(batch) {
				return err
			}
			return c.Write(batch[n:], timeout)
		})
	})
}

// While a frame is written in part no pong gets between. The client reads nothing until the network
// has had to leave a part, whatever room it has.
func TestNoPongWithinAFrame(t *testing.T) {
	const frames = 64
	body := strings.Repeat("m", 1<<20)
	part := make(chan struct{})
	addr := serveWS(t, answerer(t, func(c broker.Conn) {
		defer close(part)
		var batch []byte
		for range frames {
			batch = c.AppendFrame(batch, nil, []byte(body), true)
		}
		n, err := c.TryWrite(batch)
		if err != nil || n == 0 || n == len(batch) {
			t.Errorf("%d of %d bytes were written at once, %v", n, len(batch), err)
		}
		if transport.Writable(c) {
			t.Error("a pong could be written into the midst of a frame")
		}
		part <- struct{}{}
		if err := c.Write(batch[n:], patience); err != nil {
			t.Error(err)
		}
	}), transport.Options{})
	c := dialWS(t, addr, append(ws(text, "SEND\n\n\x00"), ws(ping, "?")...))
	<-part
	data, pongs := 0, 0
	for data+pongs < frames+1 {
		switch m := c.mustNext(); {
		case m.first == text && m.payload == body:
			data++
		case m.first == pong && m.payload == "?":
			pongs++
		default:
			t.Fatalf("after %d frames and %d pongs: %.100v", data, pongs, m)
		}
	}
}

func pongsBesideData(t *testing.T, n, swell int, write func(broker.Conn, []byte, time.Duration) error) {
	addr := serveWS(t, answerer(t, func(c broker.Conn) {
		for i := range n {
			batch := c.AppendFrame(nil, []byte("data "), fmt.Append(nil, i), true)
			batch = c.AppendFrame(batch, []byte("more "), bytes.Repeat([]byte{'m'}, i%300*swell), true)
			if err := write(c, batch, patience); err != nil {
				t.Error(err)
				return
			}
		}
	}), transport.Options{})
	c := dialWS(t, addr, ws(text, "SEND\n\n\x00"))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if _, err := c.Write(ws(ping, fmt.Sprint("ping ", i))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for pings, data, more := 0, 0, 0; pings+data+more < 3*n; {
		switch m := c.mustNext(); {
		case m.first == pong && m.payload == fmt.Sprint("ping ", pings):
			pings++
		case m.first == text && m.payload == fmt.Sprint("data ", data):
			data++
		case m.first == text && m.payload == "more "+strings.Repeat("m", more%300*swell):
			more++
		default:
			t.Fatalf("after %d pings, %d, %d: %v", pings, data, more, m)
		}
	}
	wg.Wait()
}

// What Close says, and that nothing follows it.
func TestCloseSays(t *testing.T) {
	for _, row := range []struct {
		code   int
		reason string
		want   string
	}{
		{1000, "", closeFrame(1000, "")},
		{1008, "not allowed", closeFrame(1008, "not allowed")},
		{4001, strings.Repeat("r", 200), closeFrame(4001, strings.Repeat("r", 123))},
		{1002, strings.Repeat("r", 122) + "€", closeFrame(1002, strings.Repeat("r", 122))},
		{1005, "", closeFrame(1000, "")},
		{1011, "\xff", closeFrame(1011, "")},
	} {
		after := make(chan error, 1)
		addr := serveWS(t, serverFunc(func(_ context.Context, c broker.Conn) {
			c.Write(c.AppendFrame(nil, []byte("last"), nil, true), patience)
			c.Close(row.code, row.reason, patience)
			after <- c.Write([]byte("x"), patience)
			c.Abort()
		}), transport.Options{})
		c := dialWS(t, addr, nil)
		c.send(ws(text, strings.Repeat("still coming ", 10_000)))
		if m := c.mustNext(); m.payload != "last" {
			t.Error(m)
		}
		if m := c.mustNext(); m.first != closing || m.payload != row.want {
			t.Errorf("close frame %v, want %q", m, row.want)
		}
		if m, err := c.next(); err == nil {
			t.Errorf("after the close frame: %v", m)
		}
		c.send(ws(closing, closeFrame(1000, "")))
		c.Close()
		if err := receive(t, after); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	}
}

// A flood of what is no data ends; the library would go on for ever.
func TestFloods(t *testing.T) {
	for name, flood := range map[string]struct{ start, unit []byte }{
		"empty fragments": {ws(textPart, ""), ws(contPart, "")},
		"empty messages":  {nil, ws(text, "")},
		"pings":           {nil, ws(ping, "")},
		"pongs":           {nil, ws(pong, strings.Repeat("p", 100))},
	} {
		r := newRecorder()
		c := dialWS(t, serveWS(t, r, transport.Options{}), flood.start)
		many := bytes.Repeat(flood.unit, 1000)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 1000 {
				if _, err := c.Write(many); err != nil {
					return
				}
			}
		})
		last := message{}
		for {
			m, err := c.next()
			if err != nil {
				break
			}
			last = m
		}
		if last.first != closing || !strings.HasPrefix(last.payload, closeFrame(1008, "")) {
			t.Errorf("%s: last frame %v", name, last)
		}
		if err := r.wait(t); kindOf(err) != "1008" {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		wg.Wait()
	}
}

func TestShutdownRefusesAndTears(t *testing.T) {
	r := newRecorder()
	h := transport.NewWebSocket(r, quietly(transport.Options{}))
	addr := serveHandler(t, h)
	dialWS(t, addr, nil)
	receive(t, r.conns)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown with a session left: %v", err)
	}
	r.wait(t)
	c := dial(t, addr)
	c.send([]byte(handshake(addr)))
	if c.answer(); c.resp.StatusCode != 503 {
		t.Errorf("handshake after Shutdown: %s", c.resp.Status)
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
