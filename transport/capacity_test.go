package transport_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/transport"
)

// door is a listener divided by a Capacity; what comes out of either side goes into a channel. What comes
// beyond is listened to, and tells spoke when it has said something.
type door struct {
	addr                  string
	within, beyond, spoke chan net.Conn
}

func newDoor(t *testing.T, c *transport.Capacity) door {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := door{ln.Addr().String(), make(chan net.Conn, 100), make(chan net.Conn, 100), make(chan net.Conn, 100)}
	in, out := c.Listener(ln.(*net.TCPListener))
	var wg sync.WaitGroup
	for ln, to := range map[net.Listener]chan net.Conn{in: d.within, out: d.beyond} {
		wg.Go(func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				if to == d.beyond {
					wg.Go(func() {
						if n, _ := nc.Read(make([]byte, 10)); n > 0 {
							d.spoke <- nc
						}
					})
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

// knock connects n times, and says something or nothing.
func (d door) knock(t *testing.T, n int, says string) (all []net.Conn) {
	t.Helper()
	for range n {
		nc, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		io.WriteString(nc, says)
		all = append(all, nc)
	}
	return all
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

func capacity(n int) *transport.Capacity {
	return transport.NewCapacity(func() int { return n }, slog.New(slog.DiscardHandler))
}

// One capacity holds for two listeners: what is beyond it comes out there, eight at a time; who waits comes
// within as soon as somebody there has gone, or beyond when somebody there has.
func TestCapacity(t *testing.T) {
	c := capacity(3)
	transport.SetPlaces(c, time.Hour, time.Hour)
	a, b := newDoor(t, c), newDoor(t, c)
	a.knock(t, 2, "")
	first := come(t, a.within, "first")
	come(t, a.within, "second").SetDeadline(time.Now())
	b.knock(t, 1, "")
	come(t, b.within, "third, at the other listener")
	b.knock(t, 10, "")
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
	a.knock(t, 1, "")
	come(t, a.beyond, "one at the other listener").Close()
	select {
	case <-b.within:
		t.Error("four are within")
	default:
	}
}

// Who has something to say does not wait behind all who say nothing: those give way, as many as it takes and no
// more.
func TestSilentGiveWay(t *testing.T) {
	c := capacity(1)
	d := newDoor(t, c)
	d.knock(t, 1, "")
	come(t, d.within, "the only one")
	silent := d.knock(t, 20, "")
	probe := d.knock(t, 1, "x")[0]
	if got := come(t, d.spoke, "who speaks"); got.RemoteAddr().String() != probe.LocalAddr().String() {
		t.Fatalf("%v spoke, not %v", got.RemoteAddr(), probe.LocalAddr())
	}
	var gone atomic.Int32
	var wg sync.WaitGroup
	for _, nc := range silent {
		wg.Go(func() {
			nc.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				gone.Add(1)
			}
		})
	}
	wg.Wait()
	if n := gone.Load(); n != 21-8 {
		t.Errorf("%d of %d had to give way, want %d", n, len(silent), 21-8)
	}
}

// Who has said something keeps its place, for longer.
func TestSpokenKeepTheirPlaces(t *testing.T) {
	c := capacity(0)
	const place = 300 * time.Millisecond
	transport.SetPlaces(c, time.Millisecond, place)
	d := newDoor(t, c)
	begin := time.Now()
	speakers := d.knock(t, 8, "x")
	for range speakers {
		come(t, d.spoke, "who speaks")
		come(t, d.beyond, "who speaks")
	}
	d.knock(t, 1, "")
	come(t, d.beyond, "who waits")
	if took := time.Since(begin); took < place {
		t.Errorf("somebody had to give way after %v", took)
	}
}
