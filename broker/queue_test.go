package broker_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

func fill(c *client, queue string, from, to int) {
	for i := from; i < to; i++ {
		c.send(fmt.Sprintf("SEND\ndestination:%s\n\n%d", queue, i))
	}
	c.sync()
}

// Whatever way messages come back, they keep the queue's order, and only those that reached the
// wire are marked.
func TestReturnKeepsOrder(t *testing.T) {
	for _, way := range []string{"unsubscribe", "drop", "disconnect", "abort"} {
		t.Run(way, func(t *testing.T) {
			b := newBroker(t, broker.Options{})
			p := connect(t, b)
			fill(p, "/queue/q", 0, 10)
			c := connect(t, b)
			c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\nprefetch-count:5\n\n")
			var acks []string
			for range 5 {
				f := c.expect("MESSAGE")
				if _, ok := f.header["redelivered"]; ok {
					t.Errorf("first delivery is marked: %v", f.header)
				}
				acks = append(acks, f.header["ack"])
			}
			if way == "abort" {
				c.send("BEGIN\ntransaction:t\n\n")
				for _, a := range acks[:3] {
					c.send("ACK\nid:" + a + "\ntransaction:t\n\n")
				}
			}
			c.send("ACK\nid:" + acks[3] + "\nreceipt:r\n\n")
			c.expect("RECEIPT", "receipt-id:r")
			c.expect("MESSAGE") // the freed place is taken by the next
			switch way {
			case "unsubscribe":
				c.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n")
				c.expect("RECEIPT", "receipt-id:u")
			case "drop", "abort":
				c.drop()
			case "disconnect":
				c.send("DISCONNECT\n\n")
				c.ended()
			}
			p.send("SUBSCRIBE\nid:s\ndestination:/queue/q\n\n")
			for _, want := range []int{0, 1, 2, 4, 5, 6, 7, 8, 9} {
				f := p.expect("MESSAGE")
				if f.body != strconv.Itoa(want) {
					t.Fatalf("got %s, want %d", f.body, want)
				}
				wantCount := ""
				if want <= 5 {
					wantCount = "2"
				}
				if f.header["delivery-count"] != wantCount || (f.header["redelivered"] == "true") != (wantCount != "") {
					t.Errorf("%d: delivery-count %q redelivered %q, want %q", want, f.header["delivery-count"], f.header["redelivered"], wantCount)
				}
			}
			p.sync()
		})
	}
}

func TestCompetingConsumersTakeTurns(t *testing.T) {
	b := newBroker(t, broker.Options{})
	p := connect(t, b)
	var cs []*client
	for range 3 {
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\nprefetch-count:2\nreceipt:r\n\n")
		c.expect("RECEIPT")
		cs = append(cs, c)
	}
	fill(p, "/queue/q", 0, 7)
	for i := range 6 {
		if f := cs[i%3].expect("MESSAGE"); f.body != strconv.Itoa(i) {
			t.Errorf("consumer %d got %s, want %d", i%3, f.body, i)
		}
	}
	for _, c := range cs {
		c.sync() // the seventh waits for room
	}
	cs[1].send("ACK\nid:1-2\n\n")
	if f := cs[1].expect("MESSAGE"); f.body != "6" {
		t.Errorf("got %s, want 6", f.body)
	}
}

// A message that nobody can digest ends in the dead letter queue, after as many deliveries as the
// limit allows and a back-off that grows.
func TestDeliveryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\n\n", "SUBSCRIBE\nid:d\ndestination:/dlq/q\n\n",
			"SEND\ndestination:/queue/q\nkind:poison\nmessage-id:mine\n\nbody")
		start := time.Now()
		for i := 1; i <= 10; i++ {
			f := c.expect("MESSAGE", "subscription:s")
			if n := f.header["delivery-count"]; i > 1 && n != strconv.Itoa(i) {
				t.Errorf("delivery %d has count %q", i, n)
			}
			c.send("NACK\nid:" + f.header["ack"] + "\n\n")
		}
		f := c.expect("MESSAGE", "subscription:d", "destination:/dlq/q", "dlq-reason:delivery-limit",
			"dlq-destination:/queue/q", "delivery-count:11", "kind:poison")
		if f.body != "body" || f.header["message-id"] == "mine" {
			t.Errorf("dead letter %v %q", f.header, f.body)
		}
		if d := time.Since(start); d < 3*time.Second || d > 10*time.Second {
			t.Errorf("took %v", d)
		}
		c.sync()
	})
}

func TestRejected(t *testing.T) {
	b := newBroker(t, broker.Options{})
	c := connect(t, b)
	c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\n\n", "SEND\ndestination:/queue/q\n\nx")
	f := c.expect("MESSAGE")
	c.send("NACK\nid:"+f.header["ack"]+"\nrequeue:false\nreceipt:r\n\n", "SUBSCRIBE\nid:d\ndestination:/dlq/q\n\n")
	c.expect("RECEIPT", "receipt-id:r")
	c.expect("MESSAGE", "subscription:d", "dlq-reason:rejected", "delivery-count:1")
	c.sync()
}

// A consumer that does not read is not fed without bound, and nothing is lost: the messages wait
// in the queue, not in its outbox.
func TestQueueWaitsForSlowConsumer(t *testing.T) {
	for _, mode := range []string{"auto", "client-individual"} {
		t.Run(mode, func(t *testing.T) {
			engine := memory.New(memory.Options{})
			defer engine.Close()
			b := newBroker(t, broker.Options{Engine: engine, Limits: broker.Limits{Outbox: 64 << 10}})
			slow := dial(t, b, 1<<10)
			slow.send("CONNECT\naccept-version:1.2\n\n")
			slow.expect("CONNECTED")
			slow.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nprefetch-count:0\nack:" + mode + "\n\n")
			p := connect(t, b)
			body := strings.Repeat("x", 4<<10)
			for range 200 {
				p.send("SEND\ndestination:/queue/q\n\n" + body)
			}
			p.sync()
			if st := engine.Stat("/queue/q"); st.Held > 40 {
				t.Errorf("%d messages are on loan to a consumer that reads nothing", st.Held)
			}
			for range 200 {
				f := slow.expect("MESSAGE")
				if mode != "auto" {
					slow.send("ACK\nid:" + f.header["ack"] + "\n\n")
				}
			}
			slow.sync()
			p.sync()
		})
	}
}

// A topic's slow subscriber is cut; its neighbour and the publisher do not notice.
func TestSlowSubscriberIsCut(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 32 << 10}})
	slow, fast, p := dial(t, b, 1<<10), connect(t, b), connect(t, b)
	slow.send("CONNECT\naccept-version:1.2\n\n")
	slow.expect("CONNECTED")
	slow.send("SUBSCRIBE\nid:s\ndestination:/topic/t\nreceipt:r\n\n")
	slow.expect("RECEIPT")
	fast.send("SUBSCRIBE\nid:s\ndestination:/topic/t\nreceipt:r\n\n")
	fast.expect("RECEIPT")
	body := strings.Repeat("x", 1<<10)
	for i := range 200 {
		p.send(fmt.Sprintf("SEND\ndestination:/topic/t\nn:%d\n\n%s", i, body))
		fast.expect("MESSAGE", fmt.Sprintf("n:%d", i))
	}
	<-slow.done
	p.sync()
	fast.sync()
}

// Large messages get through an outbox smaller than a few of them.
func TestFewLargeMessagesAreNotSlow(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 1 << 10}})
	c := dial(t, b, 64)
	c.send("CONNECT\naccept-version:1.2\n\n", "SUBSCRIBE\nid:s\ndestination:/topic/t\n\n")
	c.expect("CONNECTED")
	body := strings.Repeat("x", 100<<10)
	c.send("SEND\ndestination:/topic/t\n\n"+body, "SEND\ndestination:/topic/t\n\n"+body, "SEND\ndestination:/topic/t\n\n"+body)
	for range 3 {
		if f := c.expect("MESSAGE"); len(f.body) != len(body) {
			t.Fatalf("%d bytes", len(f.body))
		}
	}
}

// lateEngine answers Publish and Commit only when told to.
type lateEngine struct {
	store.Engine
	mu    sync.Mutex
	dones []func()
}

func (e *lateEngine) Publish(m *store.Message, done func(bool, error)) {
	e.Engine.Publish(m, func(dup bool, err error) { e.later(func() { done(dup, err) }) })
}

func (e *lateEngine) Commit(ms []*store.Message, acks []store.Delivery, done func(error)) {
	e.Engine.Commit(ms, acks, func(err error) { e.later(func() { done(err) }) })
}

func (e *lateEngine) later(f func()) {
	e.mu.Lock()
	e.dones = append(e.dones, f)
	e.mu.Unlock()
}

// answer runs the callbacks, last first.
func (e *lateEngine) answer() int {
	e.mu.Lock()
	fs := e.dones
	e.dones = nil
	e.mu.Unlock()
	for i := len(fs) - 1; i >= 0; i-- {
		fs[i]()
	}
	return len(fs)
}

// Receipts come in the order of the frames that asked, however the store answers, and before
// DISCONNECT's all earlier ones.
func TestReceiptsKeepOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory.New(memory.Options{})
		defer m.Close()
		e := &lateEngine{Engine: m}
		b := newBroker(t, broker.Options{Engine: e})
		c := connect(t, b)
		c.send("SEND\ndestination:/queue/q\nreceipt:1\n\n", "SEND\ndestination:/queue/q\nreceipt:2\n\n",
			"SEND\ndestination:/topic/q\nreceipt:3\n\n", "BEGIN\ntransaction:t\nreceipt:4\n\n",
			"SEND\ndestination:/queue/q\ntransaction:t\nreceipt:5\n\n", "COMMIT\ntransaction:t\nreceipt:6\n\n",
			"SUBSCRIBE\nid:s\ndestination:/queue/q\nreceipt:7\n\n", "DISCONNECT\nreceipt:8\n\n")
		synctest.Wait()
		if len(c.p.out.b) != 0 {
			t.Fatalf("answered before the store did: %q", c.p.out.b)
		}
		if n := e.answer(); n != 3 {
			t.Fatalf("%d answers of the store were waited for, want 3", n)
		}
		for i := 1; i <= 8; i++ {
			f, ok := c.next()
			for ok && f.command == "MESSAGE" {
				f, ok = c.next()
			}
			if f.command != "RECEIPT" || f.header["receipt-id"] != strconv.Itoa(i) {
				t.Fatalf("got %v, want receipt %d", f, i)
			}
		}
		if code := c.ended(); code != 1000 {
			t.Errorf("close code %d", code)
		}
	})
}

func TestFullQueueRefuses(t *testing.T) {
	m := memory.New(memory.Options{MaxMessages: 2})
	defer m.Close()
	b := newBroker(t, broker.Options{Engine: m})
	c := connect(t, b)
	c.send("SEND\ndestination:/queue/q\nreceipt:1\n\n", "SEND\ndestination:/queue/q\nreceipt:2\n\n", "SEND\ndestination:/queue/q\nreceipt:3\n\n")
	c.expect("RECEIPT", "receipt-id:1")
	c.expect("RECEIPT", "receipt-id:2")
	c.expect("ERROR", "message:queue is full", "receipt-id:3")
	if code := c.ended(); code != 1013 {
		t.Errorf("close code %d", code)
	}
	soft := dial(t, b, 1<<20)
	soft.send("CONNECT\naccept-version:1.2\ngudok-errors:soft\n\n", "SEND\ndestination:/queue/q\nreceipt:1\n\n",
		"SEND\ndestination:/nowhere\nreceipt:2\n\n")
	soft.expect("CONNECTED")
	soft.expect("ERROR", "message:queue is full", "receipt-id:1", "fatal:false")
	soft.expect("ERROR", "message:unknown destination prefix", "receipt-id:2", "fatal:false")
	soft.sync()
	soft.send("SEND\n\x00")
	soft.expect("ERROR", "fatal:true")
}

// What a session holds when the broker ends goes back to the queue, not to the next session, which is about to end
// too: after a restart it has been delivered once, to whatever crowd of consumers, and none of it
// is a dead letter.
func TestShutdownHandsNothingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Options{})
		t.Cleanup(func() { engine.Close() })
		b, err := broker.New(broker.Options{Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		const crowd = 200 // more than are closed all at once
		fill(connect(t, b), "/queue/q", 0, crowd)
		consumers := make([]*client, crowd)
		for i := range consumers {
			c := connect(t, b)
			consumers[i] = c
			c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\nprefetch-count:2\n\n")
			if i < crowd/2 { // the others have room
				c.expect("MESSAGE")
				c.expect("MESSAGE")
			} else {
				c.sync()
			}
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, c := range consumers {
			for f, ok := c.next(); ok; f, ok = c.next() {
				if f.command == "MESSAGE" {
					t.Errorf("consumer %d got %s while the broker ended", i, f.body)
				}
			}
		}
		b = newBroker(t, broker.Options{Engine: engine})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\n\n")
		for i := range crowd {
			if f := c.expect("MESSAGE", "redelivered:true", "delivery-count:2"); f.body != strconv.Itoa(i) {
				t.Fatalf("got %s, want %d", f.body, i)
			}
		}
		c.sync()
	})
}

// A topic subscription that acknowledges goes on getting messages until its own turn to end comes: what waits for it is in
// nobody else's way, and a gap would be called its own fault.
func TestShutdownServesPrivateQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Options{})
		defer engine.Close()
		b, err := broker.New(broker.Options{Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 100 {
			c := connect(t, b)
			c.send("SUBSCRIBE\nid:s\ndestination:/topic/x\nack:client-individual\nprefetch-count:10\n\n")
			c.sync()
			wg.Go(func() {
				for f, ok := c.next(); ok; f, ok = c.next() {
					if f.command == "MESSAGE" {
						c.send("ACK\nid:" + f.header["ack"] + "\n\n")
					}
				}
			})
		}
		for range 10 { // some of whom end late
			p := connect(t, b)
			wg.Go(func() {
				for {
					select {
					case <-p.done:
						return
					case <-time.After(5 * time.Millisecond):
						p.send("SEND\ndestination:/topic/x\n\n" + strings.Repeat("x", 10_000))
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, r := range b.Snapshot().Refused {
			if r.Reason == "slow consumer" && r.Count > 0 {
				t.Errorf("%d were called slow", r.Count)
			}
		}
	})
}
