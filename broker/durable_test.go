package broker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

func login(t *testing.T, b *broker.Broker, headers string) *client {
	c := dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:1.2\n" + headers + "\n")
	c.expect("CONNECTED")
	return c
}

// A durable subscription gets what was sent while nobody was there, in every dialect, over
// sessions and over a restart of the broker; another user's of the same name gets its own.
func TestDurableSubscription(t *testing.T) {
	for _, dialect := range []string{
		"durable:true", "persistent:true\nauto-delete:false", "activemq.subscriptionName:n",
		"durable-subscription-name:n", "durable-subscriber-name:n", "x-queue-name:n",
	} {
		t.Run(dialect, func(t *testing.T) {
			engine := memory.New(memory.Options{})
			defer engine.Close()
			first, err := broker.New(broker.Options{Engine: engine})
			if err != nil {
				t.Fatal(err)
			}
			subscribe := "SUBSCRIBE\nid:sub-0\ndestination:/topic/a.*\nack:client\nreceipt:s\n" + dialect + "\n\n"
			alice, bob := login(t, first, "login:alice\n"), login(t, first, "client-id:bob\n")
			for _, c := range []*client{alice, bob} {
				c.send(subscribe)
				c.expect("RECEIPT", "receipt-id:s")
			}
			p := connect(t, first)
			p.send("SEND\ndestination:/topic/a.b\nreceipt:1\n\none")
			p.expect("RECEIPT")
			for _, c := range []*client{alice, bob} {
				f := c.expect("MESSAGE", "subscription:sub-0", "destination:/topic/a.b")
				c.send("ACK\nid:"+f.header["ack"]+"\nreceipt:a\n\n", "UNSUBSCRIBE\nid:sub-0\nreceipt:u\n\n")
				c.expect("RECEIPT", "receipt-id:a")
				c.expect("RECEIPT", "receipt-id:u") // detached, not deleted
			}
			p.send("SEND\ndestination:/topic/a.c\n\ntwo", "BEGIN\ntransaction:t\n\n", "SEND\ndestination:/topic/a.d\ntransaction:t\n\nthree",
				"SEND\ndestination:/topic/z.d\ntransaction:t\n\nelsewhere", "COMMIT\ntransaction:t\nreceipt:c\n\n")
			p.expect("RECEIPT", "receipt-id:c")
			if err := first.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}

			second := newBroker(t, broker.Options{Engine: engine})
			p = connect(t, second)
			p.send("SEND\ndestination:/topic/a.e\n\nfour")
			p.sync()
			alice, bob = login(t, second, "login:alice\n"), login(t, second, "client-id:bob\n")
			for _, c := range []*client{alice, bob} {
				c.send(subscribe)
				c.expect("RECEIPT", "receipt-id:s")
				for _, body := range []string{"two", "three", "four"} {
					if f := c.expect("MESSAGE", "subscription:sub-0"); f.body != body {
						t.Fatalf("got %q, want %q", f.body, body)
					}
				}
			}
			// Deleted with what is in it.
			alice.send("UNSUBSCRIBE\nid:sub-0\nreceipt:u\n"+dialect+"\n\n", subscribe)
			alice.expect("RECEIPT", "receipt-id:u")
			alice.expect("RECEIPT", "receipt-id:s")
			alice.sync()
			bob.send("UNSUBSCRIBE\nid:sub-0\nreceipt:u\n\n")
			bob.expect("RECEIPT", "receipt-id:u")
			p.send("SEND\ndestination:/topic/a.f\nreceipt:2\n\nfive")
			p.expect("RECEIPT")
			if f := alice.expect("MESSAGE"); f.body != "five" {
				t.Errorf("got %q", f.body)
			}
			if n := engine.Stat("/durable/%2Fbob/" + map[bool]string{true: "sub-0", false: "n"}[dialect[0] == 'd' && dialect[8] == 't' || dialect[0] == 'p'] + "/a.%2A").Messages(); n != 4 {
				t.Errorf("bob's queue holds %d messages, want 4", n)
			}
		})
	}
}

func TestDurableNeedsAnOwner(t *testing.T) {
	b := newBroker(t, broker.Options{})
	c := connect(t, b)
	c.send("SUBSCRIBE\nid:1\ndestination:/topic/a\ndurable:true\nreceipt:r\n\n")
	c.expect("ERROR", "message:missing header", "receipt-id:r")
}

// Somebody else's durable subscription cannot be deleted, whatever name is said.
func TestDurableIsItsOwners(t *testing.T) {
	b := newBroker(t, broker.Options{})
	alice, eve := login(t, b, "login:alice\n"), login(t, b, "login:eve\ngudok-errors:soft\n")
	alice.send("SUBSCRIBE\nid:x\ndestination:/topic/a\ndurable:true\nreceipt:r\n\n")
	alice.expect("RECEIPT")
	eve.send("UNSUBSCRIBE\nid:x\ndurable:true\n\n", "UNSUBSCRIBE\nid:1\nx-queue-name:x\n\n",
		"UNSUBSCRIBE\nid:1\nx-queue-name:../alice/x\n\n", "SEND\ndestination:/durable/alice/x/a\n\n", "SUBSCRIBE\nid:2\ndestination:/durable/alice/x/a\n\n")
	for range 3 {
		eve.expect("ERROR", "message:no such subscription")
	}
	eve.expect("ERROR", "message:unknown destination prefix")
	eve.expect("ERROR", "message:unknown destination prefix")
	eve.send("SEND\ndestination:/topic/a\n\nstill here")
	if f := alice.expect("MESSAGE"); f.body != "still here" {
		t.Errorf("got %q", f.body)
	}
	// A second session of alice competes; it cannot delete what the first one uses.
	other := login(t, b, "login:alice\n")
	other.send("UNSUBSCRIBE\nid:x\ndurable:true\n\n")
	other.expect("ERROR", "message:not permitted")
}

func TestDelayedTopicMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := login(t, b, "login:alice\n")
		c.send("SUBSCRIBE\nid:1\ndestination:/topic/a\\cb\n\n", "SUBSCRIBE\nid:2\ndestination:/topic/*\ndurable:true\n\n",
			"SEND\ndestination:/topic/a\\cb\nx-delay:60000\nreceipt:r\n\nlater")
		start := time.Now()
		c.expect("RECEIPT", "receipt-id:r")
		for range 2 {
			if f := c.expect("MESSAGE", "destination:/topic/a:b", "x-delay:60000"); f.body != "later" {
				t.Errorf("got %q", f.body)
			}
		}
		if d := time.Since(start); d < time.Minute || d > 61*time.Second {
			t.Errorf("came after %v", d)
		}
		c.sync()
	})
}
