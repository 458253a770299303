package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

// A message whose dead letter queue is full stays in its queue; it is not lost on loan.
func TestDeadLetterQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Options{MaxMessages: 2})
		defer e.Close()
		b := newBroker(t, broker.Options{Engine: e})
		c := login(t, b, "gudok-errors:soft\n")
		c.send("SEND\ndestination:/dlq/q\n\n", "SEND\ndestination:/dlq/q\n\n", "SEND\ndestination:/queue/q\n\nx",
			"SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n\n")
		f := c.expect("MESSAGE")
		c.send("NACK\nid:" + f.header["ack"] + "\nrequeue:false\nreceipt:n\n\n")
		c.expect("ERROR", "receipt-id:n", "message:queue is full")
		c.sync()
		if st := e.Stat("/queue/q"); st.Messages() != 1 || st.Held != 0 {
			t.Errorf("%+v", st)
		}
		c.expect("MESSAGE", "redelivered:true")
	})
}

// What an ABORT gives back may be what another queue of the session waits for.
func TestAbortWakesOtherQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{Unacked: 1}})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:a\ndestination:/queue/a\nack:client\n\n", "SUBSCRIBE\nid:b\ndestination:/queue/b\nack:client\n\n",
			"SEND\ndestination:/queue/a\n\n1")
		f := c.expect("MESSAGE", "subscription:a")
		c.send("SEND\ndestination:/queue/b\n\n2", "BEGIN\ntransaction:t\n\n", "ACK\ntransaction:t\nid:"+f.header["ack"]+"\n\n",
			"UNSUBSCRIBE\nid:a\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
		c.expect("MESSAGE", "subscription:b")
		c.expect("RECEIPT", "receipt-id:r")
	})
}

// Sessions that delete one durable subscription at the same moment, while others make it again,
// take it from nobody else.
func TestDurableChurn(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close()
	b := newBroker(t, broker.Options{Engine: e})
	stay := connect(t, b)
	stay.send("SUBSCRIBE\nid:0\ndestination:/topic/x\n\n")
	stay.sync()
	const header = "login:u\ngudok-errors:soft\n"
	cs := []*client{login(t, b, header), login(t, b, header), login(t, b, header)}
	sender := connect(t, b)
	for round := range 200 {
		var wg sync.WaitGroup
		for i, c := range cs {
			wg.Go(func() {
				if i == 0 || round%3 == 0 {
					c.send("SUBSCRIBE\nid:d\ndestination:/topic/x\ndurable:true\nreceipt:s\n\n")
					c.expect("RECEIPT", "receipt-id:s")
					body := fmt.Sprint(i, "-", round)
					// Whoever has its receipt gets what is sent next, or another session of its user does.
					c.send("SEND\ndestination:/topic/y\n\n"+body, "UNSUBSCRIBE\nid:d\nreceipt:u\n\n")
					c.expect("RECEIPT", "receipt-id:u")
				}
				c.send("UNSUBSCRIBE\nid:d\ndurable:true\nreceipt:e\n\n")
				c.next() // a receipt, or the ERROR that another is using it, or that there is none
			})
		}
		wg.Wait()
		sender.send(fmt.Sprintf("SEND\ndestination:/topic/x\n\n%d", round))
		sender.sync()
		stay.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
		if f := stay.expect("MESSAGE"); f.body != fmt.Sprint(round) {
			t.Fatalf("got %q in round %d", f.body, round)
		}
		stay.expect("RECEIPT")
	}
	cs[0].send("UNSUBSCRIBE\nid:d\ndurable:true\nreceipt:e\n\n")
	cs[0].next()
	if n := len(e.Bindings()); n != 0 {
		t.Errorf("%d durable subscriptions are left", n)
	}
	if n := b.Snapshot().Topics; n != 1 {
		t.Errorf("%d audiences, want 1", n)
	}
}

// A reply that is committed after its requester has gone leaves nothing behind.
func TestReplyToNobody(t *testing.T) {
	b := newBroker(t, broker.Options{})
	asks, answers := connect(t, b), connect(t, b)
	answers.send("SUBSCRIBE\nid:0\ndestination:/queue/ask\n\n")
	answers.sync()
	asks.send("SEND\ndestination:/queue/ask\nreply-to:/temp-queue/r\n\n")
	f := answers.expect("MESSAGE")
	answers.send("BEGIN\ntransaction:t\n\n", "SEND\ntransaction:t\ndestination:"+f.header["reply-to"]+"\n\nlate")
	answers.sync()
	asks.drop()
	answers.send("COMMIT\ntransaction:t\nreceipt:c\n\n")
	answers.expect("RECEIPT", "receipt-id:c")
	// The same for a queue that vanishes with its consumer, as those of Spring's user destinations.
	s := connect(t, b)
	s.send("SUBSCRIBE\nid:0\ndestination:/queue/x-user1\nsimpOrigDestination:/user/queue/x\n\n")
	s.sync()
	answers.send("BEGIN\ntransaction:t\n\n", "SEND\ntransaction:t\ndestination:/queue/x-user1\nsimpOrigDestination:/user/queue/x\n\nlate")
	answers.sync()
	s.drop()
	answers.send("COMMIT\ntransaction:t\nreceipt:c\n\n")
	answers.expect("RECEIPT", "receipt-id:c")
	if q := b.Transient(); len(q) != 0 {
		t.Errorf("left in memory: %q", q)
	}
}

// A delayed message to the sender's own user arrives.
func TestDelayedToUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := login(t, b, "login:a:b\n")
		c.send("SUBSCRIBE\nid:0\ndestination:/user/queue/x\n\n", "SEND\ndestination:/user/queue/x\nx-delay:1000\n\nhello")
		c.sync()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		c.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
		if f := c.expect("MESSAGE", "destination:/user/a:b/queue/x"); f.body != "hello" {
			t.Errorf("got %q", f.body)
		}
	})
}

// refusing is an engine that refuses commits while it is told to.
type refusing struct {
	*memory.Engine
	mu  sync.Mutex
	err error
}

func (e *refusing) refuse(err error) {
	e.mu.Lock()
	e.err = err
	e.mu.Unlock()
}

func (e *refusing) Commit(ms []*store.Message, acks []store.Delivery, done func(error)) {
	e.mu.Lock()
	err := e.err
	e.mu.Unlock()
	if err != nil {
		done(err)
		return
	}
	e.Engine.Commit(ms, acks, done)
}

// A delayed message that the store cannot settle when its time comes is published later, once.
func TestDelayedTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &refusing{Engine: memory.New(memory.Options{})}
		defer e.Close()
		b := newBroker(t, broker.Options{Engine: e})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/x\n\n", "SEND\ndestination:/topic/x\nx-delay:1000\n\nhello")
		c.sync()
		e.refuse(store.ErrFull)
		time.Sleep(5 * time.Second)
		e.refuse(nil)
		time.Sleep(time.Minute)
		c.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
		c.expect("MESSAGE")
		c.expect("RECEIPT")
		if st := e.Stat("/delayed/topics"); st.Messages() != 0 {
			t.Errorf("%+v", st)
		}
	})
}
