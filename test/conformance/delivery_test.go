package conformance

import (
	"fmt"
	"slices"

	"github.com/gudokmq/gudok/test/harness"
)

// deliveryCases are how queues hand out messages: prefetch, competing consumers, what a lost
// consumer leaves behind.
func deliveryCases() []tcase {
	individual := "ack:client-individual"
	return []tcase{
		{"Queues", "prefetch-count is honoured", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 5, 2, individual, "prefetch-count:2")
			c.Sync()
			e.ack(c, ms[1])
			c.Message("3")
			c.Sync()
			c.Sendf("%s", settle("ACK", c, ms[0]))
			c.Message("4")
			c.Sync()
		}},
		{"Queues", "prefetch-count in client mode", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 6, 3, "ack:client", "prefetch-count:3")
			c.Sync()
			c.Sendf("%s", settle("ACK", c, ms[2]))
			c.Message("4")
			c.Message("5")
			c.Message("6")
		}},
		{"Queues", "activemq.prefetchSize means the same", nil, func(e *env) {
			c := e.connect()
			e.consume(c, 3, 2, individual, "activemq.prefetchSize:2")
			c.Sync()
		}},
		{"Queues", "default prefetch is 100", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			for i := range 101 {
				c.Sendf("SEND\ndestination:%s\n\n%d\x00", q, i)
			}
			e.subscribe(c, "0", q, individual)
			first := c.Message("0")
			for i := range 99 {
				c.Message(fmt.Sprint(i + 1))
			}
			c.Sync()
			c.Sendf("%s", settle("ACK", c, first))
			c.Message("100")
		}},
		{"Queues", "a message goes to one consumer", nil, func(e *env) {
			q := e.queue()
			a, b := e.connect(), e.connect()
			e.subscribe(a, "0", q)
			e.subscribe(b, "0", q)
			e.send(e.connect(), q, "1", "2")
			// In turn: whoever got the first does not get the second.
			fa, err := a.ReadFrame(harness.Patience)
			if err != nil {
				e.Fatal(err)
			}
			fb, err := b.ReadFrame(harness.Patience)
			if err != nil {
				e.Fatal(err)
			}
			got := []string{string(fa.Body), string(fb.Body)}
			slices.Sort(got)
			if !slices.Equal(got, []string{"1", "2"}) {
				e.Errorf("got %q", got)
			}
			a.Sync()
			b.Sync()
		}},
		{"Queues", "consumers are served in turn", nil, func(e *env) {
			q := e.queue()
			a, b, p := e.connect(), e.connect(), e.connect()
			e.subscribe(a, "0", q, individual)
			e.subscribe(b, "0", q, individual)
			e.send(p, q, "1", "2", "3", "4", "5", "6")
			var all []string
			for range 3 {
				ma, mb := a.Expect("MESSAGE"), b.Expect("MESSAGE")
				a.Sendf("%s", settle("ACK", a, ma))
				b.Sendf("%s", settle("ACK", b, mb))
				all = append(all, string(ma.Body), string(mb.Body))
			}
			a.Sync()
			b.Sync()
			slices.Sort(all)
			if !slices.Equal(all, []string{"1", "2", "3", "4", "5", "6"}) {
				e.Errorf("got %q", all)
			}
		}},
		{"Queues", "a consumer without free prefetch is passed over", nil, func(e *env) {
			q := e.queue()
			a, b := e.connect(), e.connect()
			e.subscribe(a, "0", q, individual, "prefetch-count:1")
			e.subscribe(b, "0", q, individual)
			p := e.connect()
			e.send(p, q, "1", "2")
			// Whoever has which: a holds one at most, all the others are b's.
			a.Expect("MESSAGE")
			b.Expect("MESSAGE")
			e.send(p, q, "3", "4", "5")
			b.Message("3")
			b.Message("4")
			b.Message("5")
			a.Sync()
		}},
		{"Queues", "two subscriptions of one session compete", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "a", q)
			e.subscribe(c, "b", q)
			for _, body := range []string{"1", "2", "3", "4"} {
				c.Sendf("SEND\ndestination:%s\n\n%s\x00", q, body)
			}
			count := map[string]int{}
			for _, body := range []string{"1", "2", "3", "4"} {
				count[c.Message(body).Value("subscription")]++
			}
			if count["a"] != 2 || count["b"] != 2 {
				e.Errorf("got %v", count)
			}
			c.Sync()
		}},
		{"Queues", "keep the order of one publisher", nil, func(e *env) {
			q := e.queue()
			p, c := e.connect(), e.connect()
			for i := range 50 {
				p.Sendf("SEND\ndestination:%s\n\n%d\x00", q, i)
			}
			e.subscribe(c, "0", q, "ack:client", "prefetch-count:7")
			for i := range 50 {
				c.Sendf("%s", settle("ACK", c, c.Message(fmt.Sprint(i))))
			}
		}},
		{"Queues", "a lost connection gives back in order", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, _ := e.consume(a, 4, 4, individual)
			e.subscribe(b, "0", q, individual)
			a.Abort()
			for i := range 4 {
				b.Message(fmt.Sprint(i+1), "redelivered:true", "delivery-count:2")
			}
			b.Sync()
		}},
		{"Queues", "DISCONNECT gives back in order", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, ms := e.consume(a, 4, 4, individual)
			e.ack(a, ms[2])
			e.command(a, "DISCONNECT")
			a.ExpectClose()
			e.subscribe(b, "0", q, individual)
			b.Message("1", "redelivered:true", "delivery-count:2")
			b.Message("2", "redelivered:true", "delivery-count:2")
			b.Message("4", "redelivered:true", "delivery-count:2")
			b.Sync()
		}},
		{"Queues", "a refused session gives back in order", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, _ := e.consume(a, 3, 3, individual)
			a.Sendf("NONSENSE\n\n\x00")
			e.refused(a, "unknown command", "")
			e.subscribe(b, "0", q, individual)
			for i := range 3 {
				b.Message(fmt.Sprint(i+1), "redelivered:true")
			}
		}},
		{"Queues", "unread messages of a lost auto consumer are not redelivered twice", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, _ := e.consume(a, 2, 2)
			a.Abort()
			e.subscribe(b, "0", q)
			e.expectMarker(b, q)
		}},
		{"Queues", "auto flows beyond any prefetch", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", q, "prefetch-count:1")
			for i := range 250 {
				c.Sendf("SEND\ndestination:%s\n\n%d\x00", q, i)
			}
			for i := range 250 {
				c.Message(fmt.Sprint(i))
			}
		}},
		{"Queues", "dead letters have a queue of their own", from11, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.settled("NACK", c, ms[0], []string{"requeue:false"})
			c.Sync()
			e.subscribe(c, "dead", "/dlq/"+q[len("/queue/"):])
			c.Message("1", "subscription:dead")
		}},
	}
}
