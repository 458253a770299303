package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// Messages that come and go together read as if each had come alone: by everybody's own version,
// subscription and ack mode, in order.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		type listener struct {
			*client
			version, id, ack string
		}
		var all []listener
		for _, id := range []string{"0", "0", "1", "2", "3", "4", "a:b"} {
			for version, v := range map[string]stompframe.Version{"1.0": stompframe.V10, "1.1": stompframe.V11, "1.2": stompframe.V12} {
				for _, ack := range []string{"auto", "client"} {
					if version == "1.0" && strings.Contains(id, ":") {
						continue
					}
					c := dial(t, b, 1<<20)
					c.send("CONNECT\naccept-version:" + version + "\n\n")
					c.expect("CONNECTED")
					c.dec.SetVersion(v, stompframe.Limits{})
					pattern := []string{"/topic/t.1", "/topic/t.*", "/topic/>"}[len(all)%3]
					c.send("SUBSCRIBE\nid:" + strings.ReplaceAll(id, ":", "\\c") + "\ndestination:" + pattern + "\nack:" + ack + "\nreceipt:r\n\n")
					c.expect("RECEIPT")
					all = append(all, listener{c, version, id, ack})
				}
			}
		}
		sender := connect(t, b)
		sender.send("SUBSCRIBE\nid:own\ndestination:/topic/>\nno-local:true\n\n")
		sender.sync()
		const n = 500
		var burst strings.Builder
		for i := range n {
			fmt.Fprintf(&burst, "SEND\ndestination:/topic/t.%d\nkey:a\\cb\nreceipt:%d\n\n%d\x00", min(i%10, 1), i, i)
			if i == n/2 {
				burst.WriteString("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/t.1\ntransaction:t\n\nx\x00COMMIT\ntransaction:t\n\n\x00")
			}
		}
		sender.p.in.write([]byte(burst.String()))
		for i := range n {
			sender.expect("RECEIPT", fmt.Sprint("receipt-id:", i))
		}
		for j, l := range all {
			acks := 0
			for i := range n {
				topic := min(i%10, 1)
				want := topic == 1 || j%3 != 0
				for _, body := range []string{fmt.Sprint(i), "x"} {
					if body == "x" && i != n/2 || body != "x" && !want {
						continue
					}
					f := l.expect("MESSAGE", "subscription:"+l.id)
					key := "a:b"
					if body == "x" {
						topic, key = 1, ""
					}
					if f.header["key"] != key || f.body != body || f.header["destination"] != fmt.Sprint("/topic/t.", topic) {
						t.Fatalf("%v: got %v %s, want %s", l, f.header, f.body, body)
					}
					acks++
					ack := ""
					if l.version == "1.2" && l.ack == "client" {
						ack = fmt.Sprint("1-", acks)
					}
					if f.header["ack"] != ack {
						t.Fatalf("%v: ack %q, want %q", l, f.header["ack"], ack)
					}
				}
			}
		}
		sender.sync()
	})
}

// What has come is delivered before the rest of the next frame is waited for.
func TestNothingIsHeldBack(t *testing.T) {
	b := newBroker(t, broker.Options{})
	c, sender := connect(t, b), connect(t, b)
	c.send("SUBSCRIBE\nid:0\ndestination:/topic/t\nreceipt:r\n\n")
	c.expect("RECEIPT")
	for i := range 100 {
		sender.p.in.write(fmt.Appendf(nil, "SEND\ndestination:/topic/t\n\n%d-a\x00SEND\ndestination:/topic/t\n\n%d", i, i))
		if f := c.expect("MESSAGE"); f.body != fmt.Sprint(i, "-a") {
			t.Fatal(f.body)
		}
		sender.p.in.write([]byte("-b\x00"))
		if f := c.expect("MESSAGE"); f.body != fmt.Sprint(i, "-b") {
			t.Fatal(f.body)
		}
	}
	// What a sender said before it broke is delivered, too.
	sender.p.in.write([]byte("SEND\ndestination:/topic/t\n\nlast\x00NONSENSE\n\n\x00"))
	if f := c.expect("MESSAGE"); f.body != "last" {
		t.Fatal(f.body)
	}
	sender.ended()
}
