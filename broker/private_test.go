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
)

// A topic subscription that acknowledges and says its prefetch holds no more than that; NACK
// brings a message again; other subscribers and the publisher take no notice.
func TestTopicPrefetch(t *testing.T) {
	for _, destination := range []string{"/topic/a.b", "/topic/*.b", "/topic/#"} {
		t.Run(destination, func(t *testing.T) {
			b := newBroker(t, broker.Options{})
			c, other, p := connect(t, b), connect(t, b), connect(t, b)
			c.send("SUBSCRIBE\nid:s\ndestination:" + destination + "\nack:client\nprefetch-count:5\nreceipt:r\n\n")
			c.expect("RECEIPT", "receipt-id:r")
			other.send("SUBSCRIBE\nid:s\ndestination:/topic/a.b\nreceipt:r\n\n")
			other.expect("RECEIPT")
			fill(p, "/topic/a.b", 0, 10)
			for i := range 10 {
				if f := other.expect("MESSAGE"); f.body != strconv.Itoa(i) {
					t.Errorf("the other one got %q, want %d", f.body, i)
				}
			}
			var acks []string
			for i := range 5 {
				f := c.expect("MESSAGE", "subscription:s", "destination:/topic/a.b")
				if f.body != strconv.Itoa(i) || f.header["redelivered"] != "" {
					t.Errorf("got %q, want %d", f.body, i)
				}
				acks = append(acks, f.header["ack"])
			}
			c.sync() // no more than five
			c.send("ACK\nid:" + acks[2] + "\n\n")
			for i := 5; i < 8; i++ {
				if f := c.expect("MESSAGE"); f.body != strconv.Itoa(i) {
					t.Errorf("got %q, want %d", f.body, i)
				}
			}
			c.send("NACK\nid:" + acks[4] + "\n\n") // 3 and 4
			for i := 3; i < 5; i++ {
				if f := c.expect("MESSAGE", "redelivered:true", "delivery-count:2"); f.body != strconv.Itoa(i) {
					t.Errorf("got %q, want %d again", f.body, i)
				}
			}
			c.sync()
			c.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n")
			c.expect("RECEIPT", "receipt-id:u")
			fill(p, "/topic/a.b", 10, 11)
			c.send("ACK\nid:" + acks[0] + "\n\n")
			c.sync()
			if q := b.Private(); len(q) > 0 {
				t.Errorf("left behind: %q", q)
			}
		})
	}
}

// What a private queue does is what queues do: transactions, requeue:false, no-local, 1.0 and 1.1.
func TestTopicAcknowledged(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		t.Run(version, func(t *testing.T) {
			b := newBroker(t, broker.Options{})
			c, p := dial(t, b, 1<<20), connect(t, b)
			c.send("CONNECT\naccept-version:" + version + "\nhost:h\nlogin:u\n\n")
			c.expect("CONNECTED")
			c.send("SUBSCRIBE\nid:s\ndestination:/user/queue/x\nack:client-individual\nactivemq.prefetchSize:1\nno-local:true\n\n",
				"SEND\ndestination:/user/queue/x\n\nmy own")
			c.sync()
			for _, body := range []string{"one", "two"} {
				p.send("SEND\ndestination:/user/u/queue/x\n\n" + body)
			}
			p.sync()
			by := func(f frameCopy) string {
				if version == "1.2" {
					return "id:" + f.header["ack"]
				}
				return "subscription:s\nmessage-id:" + f.header["message-id"]
			}
			one := c.expect("MESSAGE")
			c.send("BEGIN\ntransaction:t\n\n", "ACK\n"+by(one)+"\ntransaction:t\n\n", "ABORT\ntransaction:t\n\n")
			c.sync()
			c.send("NACK\n" + by(one) + "\nrequeue:false\n\n")
			two := c.expect("MESSAGE")
			if one.body != "one" || two.body != "two" {
				t.Errorf("got %q, %q", one.body, two.body)
			}
			c.send("BEGIN\ntransaction:t\n\n", "ACK\n"+by(two)+"\ntransaction:t\n\n", "COMMIT\ntransaction:t\n\n")
			c.sync()
			if q := b.Private(); len(q) != 1 {
				t.Errorf("queues %q, want the private one", q)
			}
			c.drop()
			c.ended()
			p.send("SEND\ndestination:/user/u/queue/x\n\nlate")
			p.sync()
			if q := b.Private(); len(q) > 0 {
				t.Errorf("left behind: %q", q)
			}
		})
	}
}

// A subscriber that acknowledges too slowly is cut when its outbox's limit waits for it; what it
// holds does not count, nor what has expired. The publisher is never held up.
func TestTopicPrefetchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 10 << 10}})
		c, p := connect(t, b), connect(t, b)
		c.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client\nprefetch-count:20\nreceipt:r\n\n")
		c.expect("RECEIPT")
		body := strings.Repeat("x", 1000)
		send := func(n int, headers string) {
			for range n {
				p.send("SEND\ndestination:/topic/a\n" + headers + "\n" + body)
			}
			p.sync()
		}
		send(20, "")
		for range 20 {
			c.expect("MESSAGE")
		}
		for range 5 { // forty in all, eight at a time
			send(8, "ttl:1000\n")
			time.Sleep(2 * time.Second)
		}
		c.sync()
		send(8, "")
		c.sync()
		send(8, "")
		c.ended()
		p.sync()
		if q := b.Private(); len(q) > 0 {
			t.Errorf("left behind: %q", q)
		}
	})
}

// However publishing and leaving meet, no private queue outlives its subscription.
func TestPrivateQueuesEnd(t *testing.T) {
	// Nobody is too slow here, however fast the publishers are.
	b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 1 << 30}})
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for range 4 {
		p := connect(t, b)
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					p.sync()
					return
				default:
					fill(p, "/topic/a", 0, 20)
				}
			}
		})
	}
	for i := range 300 {
		c := connect(t, b)
		for j := range 3 {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/a\nack:client\nprefetch-count:2\n\n", j))
		}
		c.expect("MESSAGE")
		if i%2 == 0 {
			c.send("UNSUBSCRIBE\nid:0\n\n", "UNSUBSCRIBE\nid:1\n\n", "DISCONNECT\n\n")
			c.ended()
		} else {
			c.drop()
		}
	}
	close(stop)
	publishers.Wait()
	if q := b.Private(); len(q) > 0 {
		t.Errorf("left behind: %q", q)
	}
}
