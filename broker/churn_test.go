package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
)

// seed is that of a randomized test; it is printed with the failure.
func seed(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	t.Logf("seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// Sessions that come and go at a topic at the same moment do not take it from those who stay.
func TestTopicChurnKeepsOthers(t *testing.T) {
	b := newBroker(t, broker.Options{})
	const churners, rounds = 8, 300
	stay := connect(t, b)
	stay.send("SUBSCRIBE\nid:0\ndestination:/topic/x\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/*\n\n")
	stay.sync()
	sender := connect(t, b)
	var cs []*client
	for range churners {
		cs = append(cs, connect(t, b))
	}
	for round := range rounds {
		var wg sync.WaitGroup
		for _, c := range cs {
			wg.Go(func() {
				c.send("SUBSCRIBE\nid:0\ndestination:/topic/x\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/*\n\n")
				c.sync()
			})
		}
		wg.Wait()
		for _, c := range cs {
			wg.Go(func() {
				c.send("UNSUBSCRIBE\nid:0\n\n", "UNSUBSCRIBE\nid:1\n\n")
				c.sync()
			})
		}
		wg.Wait()
		sender.send(fmt.Sprintf("SEND\ndestination:/topic/x\n\n%d", round))
		sender.sync()
		stay.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
		for range 2 {
			if f := stay.expect("MESSAGE"); f.body != fmt.Sprint(round) {
				t.Fatalf("got %q in round %d", f.body, round)
			}
		}
		stay.expect("RECEIPT")
	}
	if n := b.Snapshot().Topics; n != 2 {
		t.Errorf("%d topics have an audience, want 2", n)
	}
}

// A subscription gets each message exactly once that is published while it is held, whatever
// others do; none that is published after its UNSUBSCRIBE has its receipt.
func TestTopicChurnExactlyOnce(t *testing.T) {
	b := newBroker(t, broker.Options{})
	rng := seed(t)
	names := []string{"/topic/a.b", "/topic/a.c", "/topic/d"}
	patterns := []string{"/topic/a.b", "/topic/a.*", "/topic/#", "/topic/*.c", "/topic/d", "/topic/a.>", "/topic/d.**"}
	hears := func(pattern, name string) bool {
		switch pattern {
		case "/topic/a.*", "/topic/a.>":
			return strings.HasPrefix(name, "/topic/a.")
		case "/topic/#":
			return true
		case "/topic/*.c":
			return name == "/topic/a.c"
		case "/topic/d.**":
			return name == "/topic/d"
		}
		return pattern == name
	}

	// One publisher counts; a SEND's receipt proves that all before it have been routed.
	var mu sync.Mutex // guards log
	var log []string
	begun := func() int { mu.Lock(); defer mu.Unlock(); return len(log) }
	stop := make(chan struct{})
	var pub, wg sync.WaitGroup
	p := connect(t, b)
	pub.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			mu.Lock()
			name := names[n%len(names)]
			log = append(log, name)
			mu.Unlock()
			p.send(fmt.Sprintf("SEND\ndestination:%s\nreceipt:%d\n\n%d", name, n, n))
			p.expect("RECEIPT", fmt.Sprintf("receipt-id:%d", n))
		}
	})
	for range 6 {
		c, r := connect(t, b), rand.New(rand.NewPCG(rng.Uint64(), 1))
		wg.Go(func() {
			for round := range 60 {
				pattern := patterns[r.IntN(len(patterns))]
				id := fmt.Sprint(round)
				c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + pattern + "\nreceipt:on\n\n")
				c.expect("RECEIPT", "receipt-id:on")
				from := begun() // those begun later are certainly heard
				for range r.IntN(5) {
					time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
				}
				c.send("UNSUBSCRIBE\nid:" + id + "\nreceipt:off\n\n")
				var got []int
				for {
					f, ok := c.next()
					if !ok {
						t.Error("session ended")
						return
					}
					if f.command == "RECEIPT" {
						break
					}
					if f.header["subscription"] != id {
						t.Errorf("message for subscription %s while %s is held", f.header["subscription"], id)
					}
					var n int
					fmt.Sscan(f.body, &n)
					got = append(got, n)
				}
				last, seen := -1, make(map[int]bool)
				for _, n := range got {
					if n <= last {
						t.Errorf("%s: got %d after %d", pattern, n, last)
					}
					last, seen[n] = n, true
					if name := names[n%len(names)]; !hears(pattern, name) {
						t.Errorf("%s got a message of %s", pattern, name)
					}
				}
				// UNSUBSCRIBE takes what waits to be written: what must have come is a prefix.
				end := from
				if len(got) > 0 {
					end = last
				}
				for n := from; n < end; n++ {
					if hears(pattern, names[n%len(names)]) && !seen[n] {
						t.Errorf("%s missed %d of %d–%d", pattern, n, from, end)
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	pub.Wait()
	if n := b.Snapshot().Topics; n != 0 {
		t.Errorf("%d audiences are left", n)
	}
	if n := b.PatternNodes(); n != 1 {
		t.Errorf("%d nodes of patterns are left", n)
	}
}

// A session gets what it has subscribed to and nothing else, however fast others end whose number (sessionNumbers) it then
// has, in the middle of deliveries to them.
func TestSessionsOfOneNumber(t *testing.T) {
	b := newBroker(t, broker.Options{})
	const topics, rounds = 8, 400
	stop := make(chan struct{})
	var publishers, churners sync.WaitGroup
	for range 3 {
		p := connect(t, b)
		var burst strings.Builder
		for n := range topics * 4 {
			fmt.Fprintf(&burst, "SEND\ndestination:/topic/%d\n\n%d\x00", n%topics, n%topics)
		}
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.p.in.write([]byte(burst.String()))
					p.sync()
				}
			}
		})
	}
	for n := range topics {
		churners.Go(func() {
			own := fmt.Sprint(n)
			for round := range rounds {
				c := connect(t, b)
				c.send("SUBSCRIBE\nid:" + own + "\ndestination:/topic/" + own + "\n\n")
				for range 1 + round%3 {
					f, ok := c.next()
					if !ok || f.header["subscription"] != own || f.header["destination"] != "/topic/"+own || f.body != own {
						t.Errorf("who subscribed to %s got %v %q", own, f.header, f.body)
						return
					}
				}
				c.drop()
			}
		})
	}
	churners.Wait()
	close(stop)
	publishers.Wait()
	if n := b.Numbered(); n > topics*3 {
		t.Errorf("%d numbers for sessions, of which no more than %d were there at once", n, topics*3)
	}
}
