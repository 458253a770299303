package broker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// sink is a Conn whose network takes whatever is written and whose client says what feed brings.
type sink struct {
	dec     stompframe.Decoder
	feed    chan []byte
	onWait  func()
	written *atomic.Int64
}

func (c *sink) ReadFrame(f *stompframe.Frame) error {
	for {
		if ok, err := c.dec.Next(f); ok || err != nil {
			return err
		}
		c.onWait()
		b, ok := <-c.feed
		if !ok {
			return io.EOF
		}
		c.dec.Feed(b)
	}
}
func (c *sink) Accepted(v stompframe.Version, l stompframe.Limits) { c.dec.SetVersion(v, l) }
func (c *sink) LastRead() int64                                    { return time.Now().UnixNano() }
func (c *sink) OnWait(_ func() bool, f func())                     { c.onWait = f }
func (c *sink) Envelope() broker.Envelope                          { return broker.EnvelopeNone }
func (c *sink) AppendFrame(dst, head, tail []byte, _ bool) []byte {
	return append(append(dst, head...), tail...)
}
func (c *sink) Write(b []byte, _ time.Duration) error {
	c.written.Add(int64(len(b)))
	return nil
}
func (c *sink) TryWrite(b []byte) (int, error)   { return len(b), c.Write(b, 0) }
func (c *sink) Interrupt()                       {}
func (c *sink) Close(int, string, time.Duration) {}
func (c *sink) Abort()                           {}
func (c *sink) Peer() broker.Peer                { return broker.Peer{Transport: "sink", Addr: &net.TCPAddr{}} }

// crowd is a broker with sessions that only listen, and one that sends.
type crowd struct {
	sender  *sink
	written atomic.Int64
}

// newCrowd makes sessions with the SUBSCRIBEs that subscribe gives for each.
func newCrowd(tb testing.TB, sessions int, subscribe func(i int) string) *crowd {
	b, err := broker.New(broker.Options{Limits: broker.Limits{Connections: sessions + 1, Subscriptions: 1 << 20}})
	if err != nil {
		tb.Fatal(err)
	}
	c := &crowd{}
	var served sync.WaitGroup
	join := func(frames string) *sink {
		s := &sink{feed: make(chan []byte), written: &c.written}
		s.dec.SetVersion(0, stompframe.Limits{})
		served.Go(func() { b.Serve(context.Background(), s) })
		tb.Cleanup(func() { close(s.feed) })
		s.feed <- []byte("CONNECT\naccept-version:1.2\n\n\x00")
		s.feed <- []byte(frames)
		s.feed <- []byte("\n") // what came before has been handled
		return s
	}
	tb.Cleanup(func() {
		served.Wait()
		b.Shutdown(context.Background())
	})
	for i := range sessions {
		join(subscribe(i))
	}
	c.sender = join("\n")
	return c
}

// send has the sender say something, and waits until it has been handled.
func (c *crowd) send(frames []byte) {
	c.sender.feed <- frames
	c.sender.feed <- []byte("\n")
}

const together = 64 // messages in one read

func messages(destination func(i int) string) []byte {
	var b []byte
	for i := range together {
		b = fmt.Appendf(b, "SEND\ndestination:%s\n\n%0128d\x00", destination(i), i)
	}
	return b
}

// What a delivery costs but for system calls, by how many there are of what. One operation is one
// delivery.
func BenchmarkFanout(b *testing.B) {
	run := func(name string, deliveries, sessions int, subscribe, destination func(i int) string) {
		b.Run(name, func(b *testing.B) {
			c := newCrowd(b, sessions, subscribe)
			frames := messages(destination)
			c.send(frames)
			b.ReportAllocs()
			for n := 0; n < b.N || n == 0; n += deliveries {
				b.StartTimer()
				c.send(frames)
				b.StopTimer()
			}
		})
	}
	one := func(int) string { return "/topic/t" }
	for _, n := range []int{10, 50, 1000, 10_000} {
		run(fmt.Sprint("subscribers=", n), together*n, n, func(int) string { return "SUBSCRIBE\nid:0\ndestination:/topic/t\n\n\x00" }, one)
	}
	run("ids=50", together*50, 50, func(i int) string { return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/t\n\n\x00", i) }, one)
	for _, n := range []int{10, 1000, 100_000} {
		for _, wild := range []bool{false, true} {
			next := 0
			name := fmt.Sprint("topics=", n)
			if wild {
				name += ",patterns"
			}
			run(name, together, 10, func(i int) string {
				var all []byte
				for j := i; j < n; j += 10 {
					if wild {
						all = fmt.Appendf(all, "SUBSCRIBE\nid:%d\ndestination:/topic/%d.*\n\n\x00", j, j)
					} else {
						all = fmt.Appendf(all, "SUBSCRIBE\nid:%d\ndestination:/topic/%d.x\n\n\x00", j, j)
					}
				}
				return string(all)
			}, func(int) string {
				next = (next + 7919) % n
				return fmt.Sprintf("/topic/%d.x", next)
			})
		}
	}
}
