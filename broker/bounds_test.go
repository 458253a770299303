package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

// What a session may hold is bounded where its limits say, and by the session, not by each of its
// subscriptions or transactions.
func TestSessionBounds(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{Subscriptions: 3, Unacked: 5, Transactions: 2, TransactionBytes: 4 << 10}})
	c := soft(t, b, "alice")
	refused := func(message, frame string) {
		t.Helper()
		c.send(frame)
		f, ok := c.next()
		if !ok || f.command != "ERROR" || f.header["message"] != message {
			t.Errorf("%.60q: %s %v, want %s", frame, f.command, f.header, message)
		}
	}
	for i := range 3 {
		c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/queue/%d\nack:client-individual\nreceipt:s\n\n", i, i%2))
		c.expect("RECEIPT")
	}
	refused("too many subscriptions", "SUBSCRIBE\nid:3\ndestination:/topic/a\nreceipt:s\n\n")
	c.send("UNSUBSCRIBE\nid:2\n\n", "SUBSCRIBE\nid:4\ndestination:/topic/a\nreceipt:s\n\n")
	c.expect("RECEIPT")

	body := strings.Repeat("x", 1<<10)
	for i := range 2 {
		c.send(fmt.Sprintf("BEGIN\ntransaction:%d\nreceipt:b\n\n", i), fmt.Sprintf("SEND\ndestination:/topic/b\ntransaction:%d\nreceipt:t\n\n%s", i, body))
		c.expect("RECEIPT")
		c.expect("RECEIPT")
	}
	refused("too many transactions", "BEGIN\ntransaction:2\nreceipt:b\n\n")
	refused("transaction too large", "SEND\ndestination:/topic/b\ntransaction:1\nreceipt:t\n\n"+strings.Repeat("x", 2<<10))
	c.send("ABORT\ntransaction:0\n\n", "SEND\ndestination:/topic/b\ntransaction:1\nreceipt:t\n\n"+body, "ABORT\ntransaction:1\n\n")
	c.expect("RECEIPT")

	p := connect(t, b)
	for i := range 10 {
		p.send(fmt.Sprintf("SEND\ndestination:/queue/%d\nreceipt:%d\n\nx", i%2, i))
		p.expect("RECEIPT")
	}
	var last frameCopy
	for range 5 {
		last = c.expect("MESSAGE")
	}
	c.sync() // and no sixth, of whichever queue
	c.send("ACK\nid:" + last.header["ack"] + "\n\n")
	c.expect("MESSAGE")
	c.sync()
}

// What waits for a subscriber that does not read is bounded by its outbox, whatever is sent.
func TestOutboxIsBounded(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 32 << 10}})
	slow, p := dial(t, b, 1<<10), connect(t, b)
	slow.send("CONNECT\naccept-version:1.2\n\n")
	slow.expect("CONNECTED")
	slow.send("SUBSCRIBE\nid:s\ndestination:/topic/t\nreceipt:r\n\n")
	slow.expect("RECEIPT")
	for range 200 {
		p.send("SEND\ndestination:/topic/t\n\n" + strings.Repeat("x", 1<<10))
	}
	p.sync()
	// It was ended, in the midst of what was sent; nobody reads, so nothing but that can be.
	got := 0
	for {
		if _, ok := slow.next(); !ok {
			break
		}
		if got++; got == 100 {
			t.Fatalf("it is kept, with all of %d bytes", 200<<10)
		}
	}
	<-slow.done
}

// V32: no receipt before the store has said that it keeps what the frame promises: for a SEND, a
// COMMIT, and the messages that a topic's durable subscriptions get. (That the store says so after
// its file is synced is proved in test/durability: TestReceiptWaitsForTheDisk.)
func TestV32ReceiptWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory.New(memory.Options{})
		defer m.Close()
		e := &lateEngine{Engine: m}
		b := newBroker(t, broker.Options{Engine: lateBinder{e, m}})
		c := login(t, b, "login:alice\n")
		c.send("SUBSCRIBE\nid:d\ndestination:/topic/a\ndurable:true\nack:client-individual\nreceipt:s\n\n")
		c.expect("RECEIPT", "receipt-id:s")
		for _, frames := range [][]string{
			{"SEND\ndestination:/queue/a\nreceipt:r\n\nx"},
			{"SEND\ndestination:/topic/a\nreceipt:r\n\nx"},
			{"BEGIN\ntransaction:t\n\n", "SEND\ndestination:/queue/a\ntransaction:t\n\nx", "SEND\ndestination:/topic/a\ntransaction:t\n\nx", "COMMIT\ntransaction:t\nreceipt:r\n\n"},
		} {
			p := connect(t, b)
			p.send(frames...)
			synctest.Wait()
			connect(t, b).sync() // another session's frames are answered meanwhile, this one's are not
			p.send("BEGIN\ntransaction:later\nreceipt:later\n\n")
			synctest.Wait()
			if n := len(p.p.out.peek()); n > 0 {
				t.Errorf("%q: answered before the store did", frames)
			}
			if e.answer() == 0 {
				t.Errorf("%q: the store was not asked", frames)
			}
			p.expect("RECEIPT", "receipt-id:r")
			p.expect("RECEIPT", "receipt-id:later")
		}
	})
}

// V32: nothing of a message is read as an object, a template or a plugin (ActiveMQ CVE-2023-46604):
// whatever its headers say of it, it comes as it was sent.
func TestV32NothingIsInterpreted(t *testing.T) {
	b := newBroker(t, broker.Options{})
	c := connect(t, b)
	c.send("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/a\n\n")
	c.sync()
	body := "\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16`\xd1"
	headers := "transformation:jms-object-xml\ntransformation-custom:x\nclass:org.springframework.context.support.ClassPathXmlApplicationContext\n" +
		"__TypeId__:java.lang.ProcessBuilder\ncontent-type:application/x-java-serialized-object\ntype:${jndi\\cldap\\c//127.0.0.1/x}\nx-plugin:../../../lib.so\n"
	for _, destination := range []string{"/queue/a", "/topic/a"} {
		c.send(fmt.Sprintf("SEND\ndestination:%s\n%scontent-length:%d\n\n%s", destination, headers, len(body), body))
		f := c.expect("MESSAGE", "content-type:application/x-java-serialized-object", "type:${jndi:ldap://127.0.0.1/x}", "transformation:jms-object-xml",
			"class:org.springframework.context.support.ClassPathXmlApplicationContext", "__TypeId__:java.lang.ProcessBuilder", "x-plugin:../../../lib.so")
		if f.body != body {
			t.Errorf("%s: %q", destination, f.body)
		}
	}
	c.sync()
}

// lateBinder is a lateEngine that remembers durable subscriptions.
type lateBinder struct {
	*lateEngine
	store.Binder
}

// peek is what was written and not read.
func (b *buffer) peek() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b
}
