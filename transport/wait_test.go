package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

const hi = "SEND\ndestination:/topic/x\n\nhi\x00"

// leaver is a Beginner that reads as a session does, and leaves to wait. What happens it tells, in order.
type leaver struct {
	events chan string
	conns  chan broker.Conn
}

func newLeaver() *leaver {
	return &leaver{events: make(chan string, 100), conns: make(chan broker.Conn, 1)}
}

func (l *leaver) Serve(context.Context, broker.Conn) { panic("asked to serve, not to begin") }

func (l *leaver) Begin(_ context.Context, c broker.Conn, over func()) {
	c.Accepted(stompframe.V12, stompframe.Limits{})
	c.OnWait(func() bool { return false }, func() {})
	c.(broker.Waiter).Leaves()
	l.conns <- c
	l.read(c, over)
}

func (l *leaver) read(c broker.Conn, over func()) {
	var f stompframe.Frame
	for {
		err := c.ReadFrame(&f)
		switch {
		case err == nil:
			l.events <- show(&f)
		case errors.Is(err, broker.ErrWait):
			l.events <- "left"
			go func() {
				c.(broker.Waiter).Wait()
				l.events <- "back"
				l.read(c, over)
			}()
			return
		default:
			l.events <- kindOf(err)
			c.Close(1000, "", 0)
			over()
			return
		}
	}
}

// Who reads leaves between frames, comes back for what is more than a heart-beat, and learns of the end as if it had waited.
func TestLeavingToWait(t *testing.T) {
	for _, webSocket := range []bool{false, true} {
		wire := func(s string) []byte {
			if webSocket {
				return ws(0x81, s)
			}
			return []byte(s)
		}
		for _, c := range []struct {
			how  string
			does func(c *client, conn broker.Conn)
			want []string
		}{
			{"a frame", func(c *client, _ broker.Conn) { c.send(wire(hi)) },
				[]string{"left", "back", `SEND destination:/topic/x "hi"`, "left"}},
			{"two frames", func(c *client, _ broker.Conn) { c.send(append(wire(hi), wire(hi)...)) },
				[]string{"left", "back", `SEND destination:/topic/x "hi"`, `SEND destination:/topic/x "hi"`, "left"}},
			{"half a frame", func(c *client, _ broker.Conn) { p := wire(hi); c.send(p[:len(p)/2]) },
				[]string{"left", "back", "frame time"}},
			{"interrupted", func(_ *client, conn broker.Conn) { conn.Interrupt() }, []string{"left", "back", "interrupted"}},
			{"gone", func(c *client, _ broker.Conn) { c.Close() }, []string{"left", "back", "EOF"}},
			{"nonsense", func(c *client, _ broker.Conn) { c.send(wire("NONSENSE\n\n\x00")) },
				[]string{"left", "back", stompframe.UnknownCommand.String()}},
		} {
			t.Run(fmt.Sprintf("%s, WebSocket %v", c.how, webSocket), func(t *testing.T) {
				l := newLeaver()
				client := l.dial(t, webSocket, 300*time.Millisecond)
				conn := receive(t, l.conns)
				l.expect(t, c.want[:1]...)
				c.does(client, conn)
				l.expect(t, c.want[1:]...)
			})
		}
		t.Run(fmt.Sprintf("heart-beats, WebSocket %v", webSocket), func(t *testing.T) {
			l := newLeaver()
			client := l.dial(t, webSocket, 0)
			conn := receive(t, l.conns)
			l.expect(t, "left")
			for range 3 {
				was := conn.LastRead()
				client.send(wire("\n"))
				for end := time.Now().Add(patience); conn.LastRead() == was; {
					if time.Now().After(end) {
						t.Fatal("a heart-beat was not read")
					}
				}
			}
			client.send(wire(hi)) // and they did not bring it back
			l.expect(t, "back", `SEND destination:/topic/x "hi"`, "left")
			// Frames that come thick and fast are waited for in place,
			left := 0
			for range 200 {
				client.send(wire(hi))
				for e := ""; e[:min(4, len(e))] != "SEND"; {
					if e = receive(t, l.events); e == "left" {
						left++
					}
				}
			}
			if left > 100 {
				t.Errorf("it left %d times in 200 frames", left)
			}
			// until a heart-beat comes: or two, for it may just have left.
			client.send(wire("\n"))
			l.expect(t, "left")
			conn.Interrupt()
			l.expect(t, "back", "interrupted")
		})
	}
}

// dial connects to a server of l.
func (l *leaver) dial(t *testing.T, webSocket bool, frameTime time.Duration) *client {
	t.Helper()
	if !webSocket {
		return dial(t, serveTCP(t, l, transport.TCPOptions{FrameTime: frameTime}))
	}
	return dialWS(t, serveWS(t, l, transport.Options{FrameTime: frameTime}), nil)
}

func (l *leaver) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := receive(t, l.events); got != w {
			t.Fatalf("got %q, want %q of %q", got, w, want)
		}
	}
}

// A connection that can be read only by waiting, through TLS, does not leave: who reads it waits.
func TestNobodyLeavesTLS(t *testing.T) {
	l := newLeaver()
	nc, err := tls.Dial("tcp", serveTCP(t, l, transport.TCPOptions{TLS: certificates(t)}), trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	receive(t, l.conns)
	for range 2 {
		io.WriteString(nc, hi)
		l.expect(t, `SEND destination:/topic/x "hi"`)
	}
	nc.Close()
	l.expect(t, "EOF")
}
