package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// packing is a Conn that packs what is 1,000 bytes or more, if worth it, to a word that its own
// AppendPacked understands.
type packing struct {
	*pipe
	*packed
}

// packed is what all of them packed.
type packed struct {
	mu    sync.Mutex
	tails [][]byte
	sent  int // frames with a packed tail
	worth func(tail []byte) bool
}

func (*packed) Packs(n int) bool { return n >= 1000 }

func (p *packed) Pack(tail []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tails = append(p.tails, bytes.Clone(tail))
	if !p.worth(tail) {
		return nil
	}
	return fmt.Append(nil, len(p.tails)-1)
}

func (p *packed) AppendPacked(dst, head, word []byte, _ bool) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var i int
	fmt.Sscan(string(word), &i)
	p.sent++
	return append(append(dst, head...), p.tails[i]...)
}

func (c *packing) Envelope() broker.Envelope { return 16 }

// A message is packed once for all who get it: whatever they call their subscription, however many of
// them there are, alone or together with others, from a topic; and what is short, or no smaller, or written
// again for an old version, is not packed. No other frame is.
func TestPackedOnce(t *testing.T) {
	for _, receivers := range []int{1, 2, 3, 20} {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, broker.Options{})
			p := &packed{worth: func(tail []byte) bool { return !bytes.Contains(tail, []byte("noise")) }}
			var all []*client
			for i := range receivers {
				c := &client{t: t, p: newPipe(1 << 20), dec: stompframe.NewDecoder(stompframe.V12, stompframe.Limits{}), done: make(chan struct{})}
				var conn broker.Conn = &packing{c.p, p}
				if i == 2 {
					conn = c.p // one who cannot unpack
				}
				go func() {
					defer close(c.done)
					b.Serve(context.Background(), conn)
				}()
				version := []string{"1.2", "1.2", "1.2", "1.0"}[i%4]
				c.send("CONNECT\nhost:"+strings.Repeat("h", 2000)+"\naccept-version:"+version+"\n\n", fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/t\nreceipt:%s\n\n", i/2, strings.Repeat("r", 2000)))
				c.expect("CONNECTED")
				if version == "1.0" {
					c.dec.SetVersion(stompframe.V10, stompframe.Limits{})
				}
				c.expect("RECEIPT")
				all = append(all, c)
			}
			long := strings.Repeat("x", 2000)
			sender := connect(t, b)
			sends := []string{
				"SEND\ndestination:/topic/t\n\nshort", "SEND\ndestination:/topic/t\n\n" + long, "SEND\ndestination:/topic/t\n\nnoise" + long,
				"SEND\ndestination:/topic/t\nkey:a\\cb\n\n" + long, "SEND\ndestination:/topic/t\n\nlast" + long,
			}
			sender.p.in.write([]byte(strings.Join(sends, "\x00") + "\x00")) // together
			sender.send(sends...)                                           // one by one
			for i, c := range all {
				for range 2 {
					for _, s := range sends {
						_, body, _ := strings.Cut(s, "\n\n")
						if f := c.expect("MESSAGE", fmt.Sprint("subscription:", i/2)); f.body != body || strings.Contains(s, "key") && f.header["key"] != "a:b" {
							t.Fatalf("%d: %v %.50q", i, f.header, f.body)
						}
					}
				}
				c.sync()
			}
			plain, escaped := 0, 0 // frames packed for each receiver
			for i := range receivers {
				switch {
				case i == 2:
				case i%4 == 3:
					plain += 2
				default:
					plain += 2
					escaped++
				}
			}
			if want := 2 * (plain + escaped); p.sent > want || p.sent == 0 {
				t.Errorf("%d receivers: %d frames packed, want at most %d", receivers, p.sent, want)
			}
			if len(p.tails) != 2*4 {
				t.Errorf("%d receivers: packed %d times, want 8", receivers, len(p.tails))
			}
		})
	}
}

// Messages of queues are packed for the one who gets them, redelivered ones too; the head is his alone.
func TestPackedDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		p := &packed{worth: func([]byte) bool { return true }}
		c := &client{t: t, p: newPipe(1 << 20), dec: stompframe.NewDecoder(stompframe.V12, stompframe.Limits{}), done: make(chan struct{})}
		go func() {
			defer close(c.done)
			b.Serve(context.Background(), &packing{c.p, p})
		}()
		c.send("CONNECT\naccept-version:1.2\n\n", "SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n\n")
		c.expect("CONNECTED")
		long := strings.Repeat("x", 2000)
		c.send("SEND\ndestination:/queue/q\n\n"+long, "SEND\ndestination:/queue/q\n\nshort")
		if f := c.expect("MESSAGE", "ack:1-1"); f.body != long {
			t.Errorf("%.50q", f.body)
		}
		c.expect("MESSAGE", "ack:1-2")
		c.send("NACK\nid:1-1\n\n")
		if f := c.expect("MESSAGE", "redelivered:true", "delivery-count:2"); f.body != long {
			t.Errorf("%.50q", f.body)
		}
		if p.sent != 2 || len(p.tails) != 2 {
			t.Errorf("%d packed frames, packed %d times", p.sent, len(p.tails))
		}
	})
}
