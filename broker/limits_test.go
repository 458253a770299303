package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

// A transaction that is open for too long ends its session, with heart-beats and without, and only
// then: others that come and go do not matter, nor does one that was committed.
func TestTransactionTime(t *testing.T) {
	for _, beats := range []string{"", "heart-beat:10000,10000\n", "heart-beat:0,1000\n", "heart-beat:60000,0\n"} {
		t.Run(strings.TrimSpace(beats), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, broker.Options{Limits: broker.Limits{TransactionTime: time.Minute}})
				c := login(t, b, beats)
				start := time.Now()
				at := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))) }
				c.send("BEGIN\ntransaction:a\n\n", "SEND\ndestination:/queue/q\ntransaction:a\n\nx")
				at(20 * time.Second)
				c.send("\nBEGIN\ntransaction:b\n\n")
				at(40 * time.Second)
				c.send("\nBEGIN\ntransaction:c\n\n", "COMMIT\ntransaction:c\n\n")
				at(59 * time.Second)
				c.send("COMMIT\ntransaction:a\nreceipt:a\n\n")
				c.expect("RECEIPT", "receipt-id:a")
				c.send("SEND\ndestination:/queue/q\ntransaction:b\n\ny", "SEND\ndestination:/queue/q\n\nz")
				at(79 * time.Second)
				c.send("BEGIN\ntransaction:d\nreceipt:d\n\n")
				c.expect("RECEIPT", "receipt-id:d")
				f, _ := c.next()
				if late := time.Since(start) - 80*time.Second; f.header["message"] != "transaction open for too long" || late < 0 || late > 200*time.Millisecond {
					t.Errorf("%v after its time: %+v", late, f)
				}
				if code := c.ended(); code != 1008 {
					t.Errorf("code %d", code)
				}
				d := login(t, b, "")
				d.send("SUBSCRIBE\nid:0\ndestination:/queue/q\n\n")
				for _, body := range []string{"x", "z"} { // and no y
					if f := d.expect("MESSAGE"); f.body != body {
						t.Errorf("got %q, want %q", f.body, body)
					}
				}
				d.sync()
				time.Sleep(time.Hour) // nobody looks at it any more, and it may begin again
				d.send("BEGIN\ntransaction:a\n\n")
				time.Sleep(59 * time.Second)
				d.send("SEND\ndestination:/queue/q\ntransaction:a\nreceipt:1\n\n")
				d.expect("RECEIPT", "receipt-id:1")
				d.expect("ERROR", "message:transaction open for too long")
			})
		})
	}
}

// A transaction that lasts does not keep the heart-beats from coming.
func TestTransactionKeepsBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := login(t, b, "heart-beat:0,10000\n")
		for i := range 40 {
			c.send(fmt.Sprintf("BEGIN\ntransaction:%d\n\n", i), fmt.Sprintf("ABORT\ntransaction:%d\n\n", i))
			before := time.Now()
			b, err := c.p.out.take()
			if silent := time.Since(before); err != nil || string(b) != "\n" || silent > 9*time.Second {
				t.Fatalf("%q after %v, %v", b, silent, err)
			}
		}
	})
}

// The frames of all open transactions of a session count together, and are given back.
func TestTransactionFrames(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{TransactionFrames: 4}})
	c := login(t, b, "gudok-errors:soft\n")
	c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client-individual\n\n", "SEND\ndestination:/queue/q\n\n", "SEND\ndestination:/queue/q\n\n")
	acks := []string{c.expect("MESSAGE").header["ack"], c.expect("MESSAGE").header["ack"]}
	begin := func(tx string) { c.send("BEGIN\ntransaction:" + tx + "\n\n") }
	send := func(tx string) { c.send("SEND\ndestination:/topic/x\ntransaction:" + tx + "\nreceipt:s\n\n") }
	full := func() {
		t.Helper()
		c.expect("ERROR", "message:too many frames in transactions", "receipt-id:s", "fatal:false")
	}
	begin("a")
	begin("b")
	send("a")
	c.expect("RECEIPT")
	send("b")
	c.expect("RECEIPT")
	c.send("NACK\nid:"+acks[0]+"\ntransaction:b\nreceipt:s\n\n", "ACK\nid:"+acks[1]+"\ntransaction:a\nreceipt:s\n\n")
	c.expect("RECEIPT")
	c.expect("RECEIPT")
	send("a")
	full()
	c.send("ACK\nid:" + acks[1] + "\ntransaction:b\nreceipt:s\n\n")
	full()
	c.send("ABORT\ntransaction:b\n\n")
	send("a")
	c.expect("RECEIPT")
	send("a")
	c.expect("RECEIPT")
	send("a")
	full()
	c.send("COMMIT\ntransaction:a\nreceipt:c\n\n")
	c.expect("RECEIPT", "receipt-id:c")
	begin("b")
	for range 4 {
		send("b")
		c.expect("RECEIPT")
	}
	send("b")
	full()
}

// Subscriptions to patterns have a limit of their own; durable ones count.
func TestWildcardSubscriptions(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{WildcardSubscriptions: 2}})
	c := login(t, b, "gudok-errors:soft\nlogin:ann\n")
	sub := func(id, destination, more string) {
		c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + destination + "\nreceipt:" + id + "\n" + more + "\n")
	}
	sub("1", "/topic/*", "")
	c.expect("RECEIPT")
	sub("2", "/topic/a.#", "durable-subscription-name:d\n")
	c.expect("RECEIPT")
	sub("3", "/topic/b.*", "")
	c.expect("ERROR", "message:too many wildcard subscriptions", "receipt-id:3")
	sub("3", "/topic/b.*", "durable-subscription-name:e\n")
	c.expect("ERROR", "message:too many wildcard subscriptions", "receipt-id:3")
	sub("4", "/topic/b.c", "")
	c.expect("RECEIPT")
	c.send("UNSUBSCRIBE\nid:1\n\n")
	sub("5", "/topic/>", "")
	c.expect("RECEIPT")
	sub("6", "/topic/**", "")
	c.expect("ERROR", "message:too many wildcard subscriptions")
}

// held is the MESSAGEs that a consumer gets before its next RECEIPT.
func (c *client) held() (bodies []string, acks map[string]string) {
	c.t.Helper()
	acks = map[string]string{}
	c.send("BEGIN\ntransaction:sync\n\n", "ABORT\ntransaction:sync\nreceipt:sync\n\n")
	for {
		f, ok := c.next()
		switch {
		case !ok:
			c.t.Fatal("ended")
		case f.command == "RECEIPT":
			return bodies, acks
		}
		bodies = append(bodies, f.body[:1])
		acks[f.body[:1]] = f.header["ack"]
	}
}

// A subscription that acknowledges holds so many bytes, to the byte, but always one message; others
// get what it cannot take, and nobody is passed over for good.
func TestPrefetchBytes(t *testing.T) {
	// Three messages of one letter fill it to the byte.
	one := int64((&store.Message{Queue: "/queue/q", ID: strings.Repeat("i", idLength(t)),
		Data: []byte("destination:/queue/q\nmessage-id:" + strings.Repeat("i", idLength(t)) + "\ncontent-length:1\n\nx\x00")}).Size())
	for _, mode := range []string{"client", "client-individual"} {
		for over, want := range map[int64]string{0: "abc", -1: "ab", 1: "abc"} {
			t.Run(fmt.Sprint(mode, over), func(t *testing.T) {
				b := newBroker(t, broker.Options{Limits: broker.Limits{PrefetchBytes: 3*one + over}})
				c := login(t, b, "")
				for _, body := range []string{"a", "b", "c", "d", "L" + strings.Repeat("l", int(4*one)), "e", "f"} {
					c.send("SEND\ndestination:/queue/q\nreceipt:r\n\n" + body)
					c.expect("RECEIPT")
				}
				c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:" + mode + "\n\n")
				got, acks := c.held()
				if strings.Join(got, "") != want {
					t.Fatalf("held %q, want %q", got, want)
				}
				c.send("ACK\nid:" + acks["a"] + "\n\n")
				got, more := c.held()
				if len(got) != 1 || len(more) != 1 {
					t.Errorf("for one that is acknowledged came %q", got)
				}
				// Another consumer holds nothing, and so gets the large one.
				d := login(t, b, "")
				d.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:" + mode + "\n\n")
				if got, _ := d.held(); over >= 0 && strings.Join(got, "") != "L" {
					t.Errorf("the other got %q", got)
				}
			})
		}
	}
}

func idLength(t *testing.T) int {
	t.Helper()
	b := newBroker(t, broker.Options{})
	c := login(t, b, "")
	c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\n\n", "SEND\ndestination:/queue/q\n\n")
	return len(c.expect("MESSAGE").header["message-id"])
}

// What waits for room behind a large message comes, in order, as soon as there is some; a consumer
// in mode auto takes it at once.
func TestPrefetchBytesBlocksNobody(t *testing.T) { synctest.Test(t, prefetchBytesBlocksNobody) }

func prefetchBytesBlocksNobody(t *testing.T) {
	b := newBroker(t, broker.Options{Limits: broker.Limits{PrefetchBytes: 1000}})
	p := login(t, b, "")
	send := func(bodies ...string) {
		for _, body := range bodies {
			p.send("SEND\ndestination:/queue/q\nreceipt:r\n\n" + body)
			p.expect("RECEIPT")
		}
	}
	large := "L" + strings.Repeat("l", 5000)
	c := login(t, b, "")
	c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n\n")
	c.sync()
	send("a", large, "b", "c")
	got, acks := c.held()
	if strings.Join(got, "") != "a" {
		t.Fatalf("held %q", got)
	}
	c.send("ACK\nid:" + acks["a"] + "\n\n")
	if got, acks = c.held(); strings.Join(got, "") != "L" {
		t.Fatalf("held %q", got)
	}
	// Its transaction holds it on until it is committed.
	c.send("BEGIN\ntransaction:t\n\n", "ACK\nid:"+acks["L"]+"\ntransaction:t\n\n")
	if got, _ = c.held(); len(got) != 0 {
		t.Fatalf("beside one in a transaction came %q", got)
	}
	c.send("ABORT\ntransaction:t\n\n", "BEGIN\ntransaction:t\n\n", "ACK\nid:"+acks["L"]+"\ntransaction:t\n\n", "COMMIT\ntransaction:t\nreceipt:t\n\n")
	c.expect("RECEIPT", "receipt-id:t")
	if got, _ = c.held(); strings.Join(got, "") != "bc" {
		t.Fatalf("held %q", got)
	}
	send(large, "d")
	c.sync()
	d := login(t, b, "")
	d.send("SUBSCRIBE\nid:0\ndestination:/queue/q\n\n")
	if f := d.expect("MESSAGE"); f.body != large {
		t.Errorf("got %.10q", f.body)
	}
	synctest.Wait()                                       // the queue goes on once the large one is written
	if got, _ := c.held(); strings.Join(got, "") != "d" { // it is c's turn, and there is room for a small one
		t.Errorf("held %q", got)
	}
}

// One queue more than there may be is refused, whoever would make it; what is there goes on, dead
// letters have a place, and a queue that goes makes room.
func TestQueueLimit(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close()
	b := newBroker(t, broker.Options{Engine: e, Limits: broker.Limits{Queues: 3}})
	c := login(t, b, "gudok-errors:soft\nlogin:ann\n")
	send := func(destination, more, want string) {
		t.Helper()
		c.send("SEND\ndestination:" + destination + "\nreceipt:r\n" + more + "\nx")
		answer(c, want)
	}
	subscribe := func(id, destination, more, want string) {
		t.Helper()
		c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + destination + "\nreceipt:r\n" + more + "\n")
		answer(c, want)
	}
	const full = "too many queues"
	send("/queue/a", "", "")
	subscribe("b", "/queue/b", "ack:client-individual\n", "")
	subscribe("t", "/temp-queue/c", "", "")
	send("/queue/d", "", full)
	send("/topic/d", "", "")
	send("/queue/a", "", "")
	subscribe("d", "/queue/d", "", full)
	subscribe("e", "/temp-queue/d", "", full)
	subscribe("p", "/topic/d", "ack:client\nprefetch-count:5\n", full)
	subscribe("u", "/topic/d", "", "")
	subscribe("v", "/topic/e", "durable-subscription-name:v\n", "") // has a limit of its own
	c.send("BEGIN\ntransaction:x\n\n")
	send("/queue/b2", "transaction:x\n", "")
	send("/queue/a", "transaction:x\n", "")
	c.send("COMMIT\ntransaction:x\nreceipt:x\n\n")
	answer(c, full)
	if st := e.Stat("/queue/a"); st.Messages() != 2 {
		t.Errorf("a refused COMMIT left %+v", st)
	}
	if n := len(e.Queues("/queue/", 99)); n != 2 || b.Names() != 3 {
		t.Errorf("%q, counted %d", e.Queues("", 99), b.Names())
	}
	// A dead letter makes one more than there may be.
	c.send("SEND\ndestination:/queue/b\n\nx")
	c.send("NACK\nid:" + c.expect("MESSAGE").header["ack"] + "\nrequeue:false\nreceipt:n\n\n")
	c.expect("RECEIPT", "receipt-id:n")
	if st := e.Stat("/dlq/b"); st.Messages() != 1 || b.Names() != 4 {
		t.Errorf("dead letters %+v, counted %d", st, b.Names())
	}
	c.send("UNSUBSCRIBE\nid:b\nreceipt:u\n\n")
	c.expect("RECEIPT")
	send("/queue/d", "", full) // three are there again
	c.send("UNSUBSCRIBE\nid:t\nreceipt:u\n\n")
	c.expect("RECEIPT")
	send("/queue/d", "", "")
	send("/queue/e", "", full)
	c.drop()
	if n := b.Names(); n != 3 { // a, d, and the dead letter
		t.Errorf("counted %d", n)
	}
}

// answer expects a RECEIPT, or the ERROR with a message.
func answer(c *client, want string) {
	c.t.Helper()
	if want == "" {
		c.expect("RECEIPT")
		return
	}
	c.expect("ERROR", "message:"+want)
}

// lax is an Authenticator who gives a user limits of its own.
type lax map[string]*broker.Limits

func (l lax) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	return &broker.Principal{Name: c.Login, Limits: l[c.Login]}, nil
}

// A user's limits replace those for everyone, up and down, in sessions that begin with them.
func TestUserLimits(t *testing.T) {
	l := lax{
		"more": {Subscriptions: 3, Transactions: 2, Unacked: 3, Connections: 3, WildcardSubscriptions: 2},
		"less": {Subscriptions: 1, Connections: 1},
	}
	l["more"].Frame.Body = 4
	b := newBroker(t, broker.Options{Auth: l, Limits: broker.Limits{
		Subscriptions: 2, Transactions: 1, Unacked: 2, ConnectionsPerUser: 2, WildcardSubscriptions: 1,
	}})
	for _, u := range []struct {
		name                                                    string
		subscriptions, wild, transactions, unacked, connections int
		body                                                    string
	}{{"none", 2, 1, 1, 2, 2, "12345"}, {"more", 3, 2, 2, 3, 3, "1234"}, {"less", 1, 1, 1, 2, 1, "12345"}} {
		open := func() *client { return login(t, b, "login:"+u.name+"\ngudok-errors:soft\n") }
		c := open()
		cs := []*client{c}
		for range u.connections - 1 {
			cs = append(cs, open())
		}
		x := dial(t, b, 1<<20)
		x.send("CONNECT\naccept-version:1.2\nlogin:" + u.name + "\n\n")
		x.expect("ERROR", "message:too many connections of one user")
		x.ended()
		for _, more := range cs[1:] {
			more.drop()
		}
		for i := range u.subscriptions + 1 {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/a\nreceipt:r\n\n", i))
			answer(c, map[bool]string{true: "too many subscriptions"}[i == u.subscriptions])
		}
		for i := range u.subscriptions {
			c.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\n\n", i))
		}
		for i := range min(u.wild+1, u.subscriptions) {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/*\nreceipt:r\n\n", i))
			answer(c, map[bool]string{true: "too many wildcard subscriptions"}[i == u.wild])
		}
		for i := range u.transactions + 1 {
			c.send(fmt.Sprintf("BEGIN\ntransaction:%d\nreceipt:r\n\n", i))
			answer(c, map[bool]string{true: "too many transactions"}[i == u.transactions])
		}
		d := cs[0]
		for i := range u.wild {
			d.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\n\n", i))
		}
		d.send("SUBSCRIBE\nid:q\ndestination:/queue/" + u.name + "\nack:client\nreceipt:r\n\n")
		d.expect("RECEIPT")
		for range 5 {
			d.send("SEND\ndestination:/queue/" + u.name + "\n\n")
		}
		for range u.unacked {
			d.expect("MESSAGE")
		}
		d.send("SEND\ndestination:/topic/a\nreceipt:r\n\n" + u.body)
		d.expect("RECEIPT")
		if u.name == "more" { // 4 bytes are what it may send
			d.send("SEND\ndestination:/topic/a\n\n" + u.body + "5")
			d.expect("ERROR", "message:body too large")
		}
		d.drop()
	}
}
