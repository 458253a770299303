package conformance

import (
	"fmt"
	"strings"
)

// redeliveryCases are what becomes of messages that come again: late ids, the limit, the dead
// letter queue.
func redeliveryCases() []tcase {
	individual := "ack:client-individual"
	return []tcase{
		{"Redelivery", "an ack id of before is late", only12, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			c.Sendf("%s", settle("NACK", c, ms[0]))
			again := c.Message("1", "redelivered:true")
			if again.Value("ack") == ms[0].Value("ack") {
				e.Errorf("ack id %s twice", again.Value("ack"))
			}
			e.ack(c, ms[0])
			e.remains(c, q, "1")
		}},
		{"Redelivery", "more than ten deliveries make a dead letter", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			dead := "/dlq/" + strings.TrimPrefix(q, "/queue/")
			e.subscribe(c, "dead", dead)
			m := ms[0]
			for n := 2; n <= 10; n++ {
				c.Sendf("%s", settle("NACK", c, m))
				m = c.Message("1", fmt.Sprintf("delivery-count:%d", n), "subscription:s")
			}
			c.Sendf("%s", settle("NACK", c, m))
			c.Message("1", "subscription:dead", "dlq-reason", "dlq-destination:"+q, "delivery-count", "destination:"+dead)
			e.remains(c, q)
		}},
		{"Redelivery", "requeue:false makes a dead letter with its headers", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("SEND\ndestination:%s\nx:y\ncontent-type:text/plain\n\nletter\x00", q)
			e.subscribe(c, "s", q, individual)
			m := c.Message("letter")
			e.settled("NACK", c, m, []string{"requeue:false"})
			e.subscribe(c, "dead", "/dlq/"+strings.TrimPrefix(q, "/queue/"))
			c.Message("letter", "dlq-reason", "dlq-destination:"+q, "x:y", "content-type:text/plain")
		}},
		{"Redelivery", "a dead letter that comes again has one delivery-count, its own", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.settled("NACK", c, ms[0], []string{"requeue:false"})
			e.subscribe(c, "dead", "/dlq/"+strings.TrimPrefix(q, "/queue/"), individual)
			m := c.Message("1", "subscription:dead")
			c.Sendf("%s", settle("NACK", c, m))
			c.Message("1", "subscription:dead", "redelivered:true", "delivery-count:2", "dlq-destination:"+q)
		}},
		{"Redelivery", "a lost connection counts as a delivery", nil, func(e *env) {
			q := e.queue()
			p := e.connect()
			e.send(p, q, "1")
			for n := 1; n <= 3; n++ {
				c := e.connect()
				e.subscribe(c, "0", q, individual)
				m := c.Message("1")
				if got := m.Value("delivery-count"); n > 1 && got != fmt.Sprint(n) {
					e.Errorf("delivery-count %q, not %d", got, n)
				}
				e.command(c, "DISCONNECT")
				c.ExpectClose()
			}
		}},
		{"Redelivery", "a publisher cannot forge it", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("SEND\ndestination:%s\nredelivered:true\ndelivery-count:7\ndlq-reason:forged\n\nx\x00", q)
			e.subscribe(c, "0", q)
			c.Message("x", "!redelivered", "!delivery-count")
		}},
		{"Redelivery", "message returned while another consumer waits", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q, _ := e.consume(a, 2, 1, individual, "prefetch-count:1")
			e.subscribe(b, "0", q, individual, "prefetch-count:1")
			b.Message("2")
			e.command(a, "UNSUBSCRIBE", "id:s")
			b.Sync()
			e.subscribe(a, "again", q, individual, "prefetch-count:1")
			a.Message("1", "redelivered:true", "subscription:again")
		}},
	}
}
