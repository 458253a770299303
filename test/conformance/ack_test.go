package conformance

import (
	"fmt"

	"github.com/gudokmq/gudok/test/harness"
)

// consume sends n messages ("1" to n) to a new queue and reads the first of them that a
// subscription with these headers gets.
func (e *env) consume(c *harness.Client, n, first int, headers ...string) (queue string, ms []*harness.Frame) {
	e.Helper()
	queue = e.queue()
	for i := range n {
		e.send(c, queue, fmt.Sprint(i+1))
	}
	e.subscribe(c, "s", queue, headers...)
	for i := range first {
		ms = append(ms, c.Message(fmt.Sprint(i+1), "destination:"+queue))
	}
	return queue, ms
}

// remains proves which messages a queue still has: those, in that order, once c has gone.
func (e *env) remains(c *harness.Client, queue string, bodies ...string) {
	e.Helper()
	e.command(c, "DISCONNECT")
	c.ExpectClose()
	other := e.connectAs("1.2")
	e.subscribe(other, "rest", queue)
	for _, body := range bodies {
		other.Message(body)
	}
	e.expectMarker(other, queue)
}

// ackCases are STOMP 1.2, ACK, and the ack modes of SUBSCRIBE.
func ackCases() []tcase {
	individual := "ack:client-individual"
	cases := []tcase{
		{"ACK", "auto needs none", nil, func(e *env) {
			c := e.connect()
			q, _ := e.consume(c, 3, 3, "ack:auto")
			e.remains(c, q)
		}},
		{"ACK", "client-individual takes one", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, individual)
			e.ack(c, ms[1])
			e.remains(c, q, "1", "3")
		}},
		{"ACK", "client-individual in any order", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 4, 4, individual)
			e.ack(c, ms[3])
			e.ack(c, ms[0])
			e.ack(c, ms[2])
			e.remains(c, q, "2")
		}},
		{"ACK", "cumulative in client mode", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 4, 4, "ack:client")
			e.ack(c, ms[2])
			e.remains(c, q, "4")
		}},
		{"ACK", "cumulative twice in client mode", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 4, 4, "ack:client")
			e.ack(c, ms[0])
			e.ack(c, ms[2])
			e.ack(c, ms[1]) // was acknowledged with the one before
			e.remains(c, q, "4")
		}},
		{"ACK", "cumulative within its subscription only", nil, func(e *env) {
			c := e.connect()
			q1, _ := e.consume(c, 2, 2, "ack:client")
			q2 := e.queue()
			e.send(c, q2, "a", "b")
			e.subscribe(c, "t", q2, "ack:client")
			c.Message("a")
			b := c.Message("b")
			e.ack(c, b)
			e.command(c, "UNSUBSCRIBE", "id:s")
			e.command(c, "UNSUBSCRIBE", "id:t")
			e.subscribe(c, "u", q1)
			c.Message("1")
			c.Message("2")
			e.remains(c, q2)
		}},
		{"ACK", "MESSAGE has ack in the client modes only", only12, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.send(c, q, "1", "2", "3")
			e.subscribe(c, "a", q, "ack:client", "prefetch-count:1")
			c.Message("1", "ack")
			e.subscribe(c, "b", q, individual, "prefetch-count:1")
			c.Message("2", "ack")
			e.subscribe(c, "c", q)
			c.Message("3", "!ack")
		}},
		{"ACK", "message-id instead of id in 1.2", only12, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "ACK", "message-id:"+ms[0].Value("message-id"), "subscription:s")
			e.command(c, "ACK", "message-id:"+ms[1].Value("message-id"))
			e.remains(c, q)
		}},
		{"ACK", "id counts before message-id in 1.2", only12, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "ACK", "message-id:"+ms[1].Value("message-id"), "subscription:s", "id:"+ms[0].Value("ack"))
			e.remains(c, q, "2")
		}},
		{"ACK", "by message-id alone in 1.0", only10, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.send(c, q, "1", "2")
			c.Sendf("SUBSCRIBE\ndestination:%s\nack:client\nreceipt:r\n\n\x00", q)
			c.Receipt("r")
			one := c.Message("1", "!subscription")
			c.Message("2")
			e.ack(c, one)
			e.remains(c, q, "2")
		}},
		{"ACK", "a second time is ignored", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.ack(c, ms[0])
			e.ack(c, ms[0])
			e.remains(c, q, "2")
		}},
		{"ACK", "of an unknown id is ignored", only12, func(e *env) {
			c := e.connect()
			q, _ := e.consume(c, 1, 1, individual)
			e.command(c, "ACK", "id:none")
			e.command(c, "ACK", "id:undefined")
			e.remains(c, q, "1")
		}},
		{"ACK", "of an unknown message-id is ignored", nil, func(e *env) {
			c := e.connect()
			q, _ := e.consume(c, 1, 1, individual)
			e.command(c, "ACK", "message-id:none", "subscription:s")
			e.remains(c, q, "1")
		}},
		{"ACK", "of another session's message is ignored", nil, func(e *env) {
			c, other := e.connect(), e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.ack(other, ms[0])
			e.remains(c, q, "1")
		}},
		{"ACK", "after UNSUBSCRIBE is ignored", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.command(c, "UNSUBSCRIBE", "id:s")
			e.ack(c, ms[0])
			e.remains(c, q, "1")
		}},
		{"ACK", "in auto mode is ignored", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, "ack:auto")
			e.command(c, "ACK", "id:x", "message-id:"+ms[0].Value("message-id"), "subscription:s")
			e.remains(c, q)
		}},
		{"ACK", "MESSAGE of a topic has ack in the client modes", only12, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "a", t+".a", "ack:client")
			e.subscribe(c, "b", t+".b", individual)
			e.subscribe(c, "c", t+".c", "ack:auto")
			for _, s := range []string{"a", "b", "c"} {
				c.Sendf("SEND\ndestination:%s.%s\n\n%s\x00", t, s, s)
			}
			c.Message("a", "ack")
			c.Message("b", "ack")
			c.Message("c", "!ack")
		}},
		{"ACK", "on a topic", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "s", t, individual)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			e.ack(c, c.Message("hi"))
			c.Sync()
		}},
		{"ACK", "without a receipt is silent", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			c.Sendf("%s", settle("ACK", c, ms[0]))
			c.Sync()
			e.remains(c, q)
		}},
	}
	return append(cases, badCases([]bad{
		{"ACK", "missing id", only12, "ACK\nreceipt:r\n\n\x00", "missing header", "r"},
		{"ACK", "missing message-id", upTo11, "ACK\nsubscription:s\nreceipt:r\n\n\x00", "missing header", "r"},
		{"ACK", "in an unknown transaction", nil, "ACK\nid:1\nmessage-id:1\nsubscription:s\ntransaction:none\nreceipt:r\n\n\x00", "no tx", "r"},
		{"ACK", "missing subscription", only11, "ACK\nmessage-id:1\nreceipt:r\n\n\x00", "missing header", "r"},
		{"NACK", "missing subscription", only11, "NACK\nmessage-id:1\nreceipt:r\n\n\x00", "missing header", "r"},
		{"NACK", "missing id", only12, "NACK\nreceipt:r\n\n\x00", "missing header", "r"},
		{"NACK", "missing message-id", upTo11, "NACK\nsubscription:s\nreceipt:r\n\n\x00", "missing header", "r"},
		{"NACK", "in an unknown transaction", nil, "NACK\nid:1\nmessage-id:1\nsubscription:s\ntransaction:none\nreceipt:r\n\n\x00", "no tx", "r"},
	})...)
}

// nackCases are STOMP 1.2, NACK. STOMP 1.0 has none, but its clients send it, as to other brokers.
func nackCases() []tcase {
	individual := "ack:client-individual"
	return []tcase{
		{"NACK", "redelivers", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 1, 1, individual)
			if v, ok := ms[0].Get("redelivered"); ok && v != "false" {
				e.Errorf("at first: %s", ms[0])
			}
			e.settled("NACK", c, ms[0], nil)
			c.Message("1", "redelivered:true", "delivery-count:2")
		}},
		{"NACK", "counts deliveries", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 1, 1, individual)
			m := ms[0]
			for n := 2; n < 6; n++ {
				c.Sendf("%s", settle("NACK", c, m))
				m = c.Message("1", "redelivered:true", fmt.Sprintf("delivery-count:%d", n))
			}
			e.ack(c, m)
		}},
		{"NACK", "keeps the order", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 4, 1, individual, "prefetch-count:1")
			c.Sendf("%s", settle("NACK", c, ms[0]))
			m := c.Message("1", "redelivered:true")
			for _, next := range []string{"2", "3", "4"} {
				c.Sendf("%s", settle("ACK", c, m))
				m = c.Message(next)
			}
			e.ack(c, m)
			e.remains(c, q)
		}},
		{"NACK", "of one in the middle", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, individual)
			c.Sendf("%s", settle("NACK", c, ms[1]))
			c.Message("2", "redelivered:true")
			e.remains(c, q, "1", "2", "3")
		}},
		{"NACK", "is cumulative in client mode", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, "ack:client")
			c.Sendf("%s", settle("NACK", c, ms[1]))
			c.Message("1", "redelivered:true")
			two := c.Message("2", "redelivered:true")
			e.ack(c, two)
			e.remains(c, q)
		}},
		{"NACK", "goes to another consumer too", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, ms := e.consume(a, 1, 1, individual, "prefetch-count:1")
			e.subscribe(b, "t", q, individual)
			e.command(a, "UNSUBSCRIBE", "id:s")
			m := b.Message("1", "redelivered:true", "subscription:t")
			e.settled("NACK", a, ms[0], nil) // late
			e.ack(b, m)
			e.remains(a, q)
		}},
		{"NACK", "of an unknown id is ignored", nil, func(e *env) {
			c := e.connect()
			q, _ := e.consume(c, 1, 1, individual)
			e.command(c, "NACK", "id:none", "message-id:none", "subscription:s")
			e.remains(c, q, "1")
		}},
		{"NACK", "after ACK is ignored", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.ack(c, ms[0])
			e.settled("NACK", c, ms[0], nil)
			e.remains(c, q)
		}},
		{"NACK", "on a topic is ignored", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "s", t, individual)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			e.settled("NACK", c, c.Message("hi"), nil)
			c.Sync()
		}},
	}
}
