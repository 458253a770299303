package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// Whatever a client calls its subscription, its messages come back under that name, those that several get too, and from
// topics as from queues (STOMP 1.2, MESSAGE).
func TestSubscriptionNames(t *testing.T) {
	versions := map[string]stompframe.Version{"1.0": stompframe.V10, "1.1": stompframe.V11, "1.2": stompframe.V12}
	long, uuid := strings.Repeat("x", 300), "0190f2a4-7e51-7cc3-98d4-3e0b1f6a2b11"
	for _, c := range []struct{ version, id, name string }{
		{"1.2", "0", "0"},
		{"1.2", "sub-0", "sub-0"},
		{"1.2", uuid, uuid},
		{"1.2", long[:94], long[:94]}, // with the destination as much as has room in the subscription
		{"1.2", long[:95], long[:95]},
		{"1.2", long[:102], long[:102]},
		{"1.2", long[:103], long[:103]},
		{"1.2", long, long},
		{"1.2", "", ""},
		{"1.2", `a\cb`, "a:b"},
		{"1.2", long[:100] + `\c`, long[:100] + ":"},
		{"1.2", long[:101] + `\c`, long[:101] + ":"},
		{"1.2", uuid + `\c1`, uuid + ":1"},
		{"1.1", `a\cb`, "a:b"},
		{"1.1", uuid + `\\`, uuid + `\`},
		{"1.0", "plain", "plain"},
		{"1.0", `a:b\c`, `a:b\c`}, // nothing is escaped
	} {
		b := newBroker(t, broker.Options{})
		sender := connect(t, b)
		subscribe := func(to string) *client {
			s := dial(t, b, 1<<20)
			s.send("CONNECT\naccept-version:" + c.version + "\n\n")
			s.expect("CONNECTED")
			s.dec.SetVersion(versions[c.version], stompframe.Limits{})
			s.send("SUBSCRIBE\nid:" + c.id + "\ndestination:" + to + "\nreceipt:r\n\n")
			s.expect("RECEIPT", "receipt-id:r")
			return s
		}
		topic, twin, queue := subscribe("/topic/x"), subscribe("/topic/x"), subscribe("/queue/x")
		var sends []string
		for i := range 20 { // enough to be encoded once for both
			sends = append(sends, fmt.Sprintf("SEND\ndestination:/topic/x\n\n%d", i))
		}
		sender.send(sends...)
		sender.send("SEND\ndestination:/queue/x\n\nq")
		for i := range 20 {
			for _, s := range []*client{topic, twin} {
				if f := s.expect("MESSAGE"); f.header["subscription"] != c.name || f.body != fmt.Sprint(i) {
					t.Errorf("%s %q: %q, %s", c.version, c.id, f.header["subscription"], f.body)
				}
			}
		}
		if f := queue.expect("MESSAGE"); f.header["subscription"] != c.name {
			t.Errorf("%s %q: %q from a queue", c.version, c.id, f.header["subscription"])
		}
		topic.send("UNSUBSCRIBE\nid:" + c.id + "\nreceipt:u\n\n")
		topic.expect("RECEIPT", "receipt-id:u")
		sender.send("SEND\ndestination:/topic/x\nreceipt:s\n\nlast")
		sender.expect("RECEIPT", "receipt-id:s")
		topic.sync()
		if f := twin.expect("MESSAGE"); f.header["subscription"] != c.name || f.header["destination"] != "/topic/x" || f.body != "last" {
			t.Errorf("%s %q: %q, %s", c.version, c.id, f.header["subscription"], f.body)
		}
	}
}

// In STOMP 1.0 a subscription needs no id; then its messages name none, beside those of another that does.
func TestSubscriptionWithoutName(t *testing.T) {
	b := newBroker(t, broker.Options{})
	sender := connect(t, b)
	var cs []*client
	for _, id := range []string{"", "id:a\n", "id:\n"} {
		c := dial(t, b, 1<<20)
		c.send("CONNECT\n\n")
		c.expect("CONNECTED")
		c.dec.SetVersion(stompframe.V10, stompframe.Limits{})
		c.send("SUBSCRIBE\n" + id + "destination:/topic/x\nreceipt:r\n\n")
		c.expect("RECEIPT")
		cs = append(cs, c)
	}
	for i := range 20 {
		sender.send(fmt.Sprintf("SEND\ndestination:/topic/x\n\n%d", i))
	}
	for i := range 20 {
		for n, c := range cs {
			f := c.expect("MESSAGE")
			if id, named := f.header["subscription"]; named != (n > 0) || named && id != []string{"", "a", ""}[n] || f.body != fmt.Sprint(i) {
				t.Errorf("%d: %v, %q", n, f.header, f.body)
			}
		}
	}
}

// What is sent to many topics at once comes to those who listen to each, in order, and to nobody else: names are looked
// up together, and may be in each other's way.
func TestManyTopicsAtOnce(t *testing.T) {
	const topics = 3000
	b := newBroker(t, broker.Options{Limits: broker.Limits{Subscriptions: topics}})
	sender, listener, all := connect(t, b), connect(t, b), connect(t, b)
	name := func(i int) string { return "/topic/" + strings.Repeat("a", i%7) + fmt.Sprintf(".%d", i) }
	for i := 0; i < topics; i += 2 {
		listener.send("SUBSCRIBE\nid:" + fmt.Sprint(i) + "\ndestination:/topic/t" + name(i)[7:] + "\n\n")
	}
	listener.sync()
	all.send("SUBSCRIBE\nid:all\ndestination:/topic/#\n\n")
	all.sync()
	var sends strings.Builder
	for i := range topics {
		fmt.Fprintf(&sends, "SEND\ndestination:/topic/t%s\n\n%d\x00", name(i)[7:], i)
	}
	sender.p.in.write([]byte(sends.String()))
	for i := range topics {
		if i%2 == 0 {
			listener.expect("MESSAGE", "subscription:"+fmt.Sprint(i), "destination:/topic/t"+name(i)[7:])
		}
		if f := all.expect("MESSAGE"); f.body != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", f.body, i)
		}
	}
	sender.sync()
	listener.sync()
	all.sync()
}
