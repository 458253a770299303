package broker_test

import (
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// New limits hold for sessions that begin from then on; those that are there keep theirs.
func TestSetLimits(t *testing.T) {
	b := newBroker(t, broker.Options{})
	before := soft(t, b, "alice")
	if err := b.SetLimits(broker.Limits{Subscriptions: 1, Transactions: 1}, broker.HeartBeat{}); err != nil {
		t.Fatal(err)
	}
	after := soft(t, b, "alice")
	for i, c := range []*client{before, after} {
		c.send("BEGIN\ntransaction:1\n\n", "BEGIN\ntransaction:2\nreceipt:r\n\n")
		want := []string{"RECEIPT", "ERROR"}[i]
		if f, _ := c.next(); f.command != want {
			t.Errorf("session %d got %s %v, want %s", i, f.command, f.header, want)
		}
	}
	if err := b.SetLimits(broker.Limits{}, broker.HeartBeat{Min: time.Hour}); err == nil {
		t.Error("bounds that cross are accepted")
	}
	soft(t, b, "alice")
	if err := b.SetLimits(broker.Limits{Connections: 2}, broker.HeartBeat{}); err != nil {
		t.Fatal(err)
	}
	dial(t, b, 1<<20).expect("ERROR", "message:too many connections")
}

// New policies hold for what comes from then on, and for queues that are there.
func TestReplacePolicies(t *testing.T) {
	ps, err := broker.NewPolicies([]broker.Policy{{Match: "/queue/a", MaxMessages: 1}})
	if err != nil {
		t.Fatal(err)
	}
	engine := memory.New(memory.Options{Bounds: ps.Bounds})
	defer engine.Close()
	b := newBroker(t, broker.Options{Policies: ps, Engine: engine})
	c := soft(t, b, "alice")
	send := func() string {
		c.send("SEND\ndestination:/queue/a\nreceipt:r\n\nx")
		f, _ := c.next()
		return f.command
	}
	if send() != "RECEIPT" || send() != "ERROR" {
		t.Error("the bound does not hold")
	}
	if err := ps.Replace([]broker.Policy{{Match: "/user/a"}}); err == nil {
		t.Error("a policy for no queue is accepted")
	}
	if send() != "ERROR" {
		t.Error("the bound does not hold any more")
	}
	if err := ps.Replace([]broker.Policy{{Match: "/queue/a", MaxMessages: 3, Redelivery: broker.Redelivery{Limit: 1}}}); err != nil {
		t.Fatal(err)
	}
	engine.Rebound()
	for i, want := range []string{"RECEIPT", "RECEIPT", "ERROR"} {
		if got := send(); got != want {
			t.Errorf("message %d got %s, want %s", i+2, got, want)
		}
	}
	// One delivery, then it is dead.
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nprefetch-count:1\n\n")
	c.send("NACK\nid:" + c.expect("MESSAGE").header["ack"] + "\nreceipt:n\n\n")
	c.expect("RECEIPT", "receipt-id:n")
	c.expect("MESSAGE")
	if n := engine.Stat("/dlq/a").Messages(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}
