package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

func policies(t *testing.T, list ...broker.Policy) *broker.Policies {
	t.Helper()
	ps, err := broker.NewPolicies(list)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestPolicyMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"/queue/a", "/queue/a", true},
		{"/queue/a", "/queue/a.b", false},
		{"/queue/a", "/topic/a", false},
		{"/queue/a.b", "/queue/a/b", true},
		{"/queue/*", "/queue/a", true},
		{"/queue/*", "/queue/a.b", false},
		{"/queue/*.b", "/queue/a.b", true},
		{"/queue/**", "/queue/a/b.c", true},
		{"/queue/a.#", "/queue/a", true},
		{"/queue/a.>", "/queue/ab", false},
		{"/queue/a.*", "/queue/a", false},
		{"/dlq/**", "/dlq/a", true},
	} {
		ps := policies(t, broker.Policy{Match: c.pattern, MaxMessages: 7})
		if got := ps.Bounds(c.name).Messages == 7; got != c.want {
			t.Errorf("%s and %s: %v", c.pattern, c.name, got)
		}
	}
	first := policies(t, broker.Policy{Match: "/queue/a", MaxMessages: 1}, broker.Policy{Match: "/queue/**", MaxMessages: 2})
	if first.Bounds("/queue/a").Messages != 1 || first.Bounds("/queue/b").Messages != 2 || first.Bounds("/topic/b").Messages != 0 {
		t.Error("not the first that matches")
	}
	for _, bad := range []broker.Policy{
		{}, {Match: "/nowhere/a"}, {Match: "/queue/**.a"}, {Match: "/user/a/queue/b"}, {Match: "/queue/a", DeadLetter: "/topic/x"},
	} {
		if _, err := broker.NewPolicies([]broker.Policy{bad}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestRedeliveryPauses(t *testing.T) {
	for _, c := range []struct {
		r    broker.Redelivery
		want []time.Duration
	}{
		{broker.Redelivery{}, []time.Duration{0, 50e6, 100e6, 200e6, 400e6, 800e6, 1e9, 1e9}},
		{broker.Redelivery{Delay: time.Second}, []time.Duration{1e9, 1e9, 1e9}},
		{broker.Redelivery{Delay: time.Second, Backoff: 3, MaxDelay: 10 * time.Second}, []time.Duration{1e9, 3e9, 9e9, 10e9, 10e9}},
		{broker.Redelivery{Delay: time.Minute, Backoff: 100}, []time.Duration{60e9, 3600e9, 3600e9}},
	} {
		for i, want := range c.want {
			if got := c.r.After(i + 1); got != want {
				t.Errorf("%+v: after delivery %d %v, want %v", c.r, i+1, got, want)
			}
		}
	}
}

// Redelivery limit, back-off, dead letter queue, ttl and expiry by policy.
func TestPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := policies(t,
			broker.Policy{Match: "/queue/few", Redelivery: broker.Redelivery{Limit: 2, Delay: time.Second}, DeadLetter: "/queue/grave"},
			broker.Policy{Match: "/queue/gone", Redelivery: broker.Redelivery{Limit: 1}, DeadLetter: "none"},
			broker.Policy{Match: "/queue/short", TTL: time.Minute, BuryExpired: true},
			broker.Policy{Match: "/queue/drop", TTL: time.Minute})
		m := memory.New(memory.Options{Expired: ps.Expired})
		defer m.Close()
		b := newBroker(t, broker.Options{Engine: m, Policies: ps})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:few\ndestination:/queue/few\nack:client\n\n", "SUBSCRIBE\nid:gone\ndestination:/queue/gone\nack:client\n\n",
			"SUBSCRIBE\nid:grave\ndestination:/queue/grave\n\n", "SEND\ndestination:/queue/few\n\n1")
		start := time.Now()
		for i := range 2 {
			f := c.expect("MESSAGE", "subscription:few")
			if d := time.Since(start); d < time.Duration(i)*time.Second || d > time.Duration(i+1)*time.Second {
				t.Errorf("delivery %d after %v", i+1, d)
			}
			c.send("NACK\nid:" + f.header["ack"] + "\n\n")
		}
		c.expect("MESSAGE", "subscription:grave", "dlq-reason:delivery-limit", "dlq-destination:/queue/few")
		c.send("SEND\ndestination:/queue/gone\n\n1")
		f := c.expect("MESSAGE", "subscription:gone")
		c.send("NACK\nid:" + f.header["ack"] + "\n\n")
		c.sync()
		if st := m.Stat("/queue/gone"); st.Messages() != 0 {
			t.Errorf("%+v", st)
		}
		c.send("SEND\ndestination:/queue/short\n\n1", "SEND\ndestination:/queue/drop\n\n1", "SEND\ndestination:/queue/short\nttl:600000\n\n2",
			"SEND\ndestination:/queue/none\n\n1")
		c.sync()
		time.Sleep(61 * time.Second)
		c.send("SUBSCRIBE\nid:short\ndestination:/queue/short\n\n", "SUBSCRIBE\nid:drop\ndestination:/queue/drop\n\n",
			"SUBSCRIBE\nid:dead\ndestination:/dlq/short\n\n")
		for _, body := range []string{"1", "2"} {
			if f := c.expect("MESSAGE", "subscription:dead", "dlq-reason:expired"); f.body != body {
				t.Errorf("got %q", f.body)
			}
		}
		c.sync()
	})
}

// A queue's length, and a durable subscription's, by policy.
func TestLengthPolicies(t *testing.T) {
	ps := policies(t,
		broker.Policy{Match: "/queue/ring", MaxMessages: 2, DropOldest: true},
		broker.Policy{Match: "/queue/full", MaxMessages: 1},
		broker.Policy{Match: "/topic/news.**", MaxMessages: 2, DropOldest: true})
	m := memory.New(memory.Options{Bounds: ps.Bounds})
	defer m.Close()
	b := newBroker(t, broker.Options{Engine: m, Policies: ps})
	c := login(t, b, "login:alice\n")
	c.send("SUBSCRIBE\nid:d\ndestination:/topic/news.*\ndurable:true\nreceipt:1\n\n", "UNSUBSCRIBE\nid:d\nreceipt:2\n\n")
	c.expect("RECEIPT")
	c.expect("RECEIPT")
	for _, body := range []string{"1", "2", "3"} {
		c.send("SEND\ndestination:/queue/ring\n\n"+body, "SEND\ndestination:/topic/news.a\n\n"+body)
	}
	c.send("SUBSCRIBE\nid:r\ndestination:/queue/ring\n\n")
	for _, body := range []string{"2", "3"} {
		if f := c.expect("MESSAGE", "subscription:r"); f.body != body {
			t.Errorf("ring: got %s, want %s", f.body, body)
		}
	}
	c.send("SUBSCRIBE\nid:d\ndestination:/topic/news.*\ndurable:true\n\n")
	for _, body := range []string{"2", "3"} {
		if f := c.expect("MESSAGE", "subscription:d"); f.body != body {
			t.Errorf("durable: got %s, want %s", f.body, body)
		}
	}
	c.send("SEND\ndestination:/queue/full\n\n1", "SEND\ndestination:/queue/full\nreceipt:2\n\n2")
	c.expect("ERROR", "message:queue is full", "receipt-id:2")
}
