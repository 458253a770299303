package transport_test

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/transport"
)

// door is a listener divided by a Capacity; what comes out of either side goes into a channel.
type door struct {
	addr           string
	within, beyond chan net.Conn
}

func newDoor(t *testing.T, c *transport.Capacity) door {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := door{ln.Addr().String(), make(chan net.Conn, 100), make(chan net.Conn, 100)}
	in, out := c.Listener(ln.(*net.TCPListener))
	var wg sync.WaitGroup
	for ln, to := range map[net.Listener]chan net.Conn{in: d.within, out: d.beyond} {
		wg.Go(func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				to <- nc
			}
		})
	}
	t.Cleanup(func() {
		out.Close()
		in.Close()
		wg.Wait()
		close(d.within)
		close(d.beyond)
		for nc := range d.within {
			nc.Close()
		}
		for nc := range d.beyond {
			nc.Close()
		}
	})
	return d
}

// knock connects n times.
func (d door) knock(t *testing.T, n int) {
	t.Helper()
	for range n {
		nc, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
	}
}

func come(t *testing.T, from chan net.Conn, what string) net.Conn {
	t.Helper()
	select {
	case nc := <-from:
		return nc
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: nobody came", what)
		return nil
	}
}

// One capacity holds for two listeners: what is beyond it comes out there, eight at a time; who waits comes
// within as soon as somebody there has gone, or beyond when somebody there has.
func TestCapacity(t *testing.T) {
	c := transport.NewCapacity(func() int { return 3 }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	a, b := newDoor(t, c), newDoor(t, c)
	a.knock(t, 2)
	first := come(t, a.within, "first")
	come(t, a.within, "second").SetDeadline(time.Now())
	b.knock(t, 1)
	come(t, b.within, "third, at the other listener")
	b.knock(t, 10)
	var away []net.Conn
	for range 8 {
		away = append(away, come(t, b.beyond, "beyond"))
	}
	select {
	case <-b.beyond:
		t.Error("nine are beyond at a time")
	case <-b.within:
		t.Error("four are within")
	case <-time.After(100 * time.Millisecond):
	}
	first.Close()
	first.Close() // counts once
	come(t, b.within, "one who waited")
	away[0].Close()
	come(t, b.beyond, "the last, after one was told")
	a.knock(t, 1)
	come(t, a.beyond, "one at the other listener").Close()
	select {
	case <-b.within:
		t.Error("four are within")
	default:
	}
}
