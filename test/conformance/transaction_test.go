package conformance

import "fmt"

// transactionCases are STOMP 1.2, BEGIN, COMMIT and ABORT.
func transactionCases() []tcase {
	individual := "ack:client-individual"
	cases := []tcase{
		{"COMMIT", "delivers what was sent, in order", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", q)
			c.Sendf("BEGIN\ntransaction:t\n\n\x00")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\n1\x00", q)
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\n2\x00", q)
			c.Sync()
			c.Sendf("SEND\ndestination:%s\n\noutside\x00", q)
			c.Message("outside")
			c.Sendf("COMMIT\ntransaction:t\n\n\x00")
			c.Message("1", "!transaction")
			c.Message("2")
		}},
		{"COMMIT", "delivers to topics and queues", nil, func(e *env) {
			c := e.connect()
			q, t := e.queue(), e.topic()
			e.subscribe(c, "q", q)
			e.subscribe(c, "t", t)
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\ntopic\x00", t)
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nqueue\x00", q)
			c.Sync()
			c.Sendf("COMMIT\ntransaction:t\n\n\x00")
			got := map[string]bool{}
			for range 2 {
				got[string(c.Expect("MESSAGE").Body)] = true
			}
			if !got["topic"] || !got["queue"] {
				e.Errorf("got %v", got)
			}
		}},
		{"COMMIT", "receipts come in order", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("BEGIN\ntransaction:t\nreceipt:1\n\n\x00SEND\ndestination:%s\ntransaction:t\nreceipt:2\n\nx\x00COMMIT\ntransaction:t\nreceipt:3\n\n\x00", q)
			c.Receipt("1")
			c.Receipt("2")
			c.Receipt("3")
			e.remains(c, q, "x")
		}},
		{"COMMIT", "of an empty transaction", nil, func(e *env) {
			c := e.connect()
			e.command(c, "BEGIN", "transaction:t")
			e.command(c, "COMMIT", "transaction:t")
		}},
		{"COMMIT", "acknowledges", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[0], "transaction:t")
			e.ack(c, ms[2], "transaction:t")
			e.command(c, "COMMIT", "transaction:t")
			e.remains(c, q, "2")
		}},
		{"COMMIT", "acknowledges up to it in client mode", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, "ack:client")
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[1], "transaction:t")
			e.command(c, "COMMIT", "transaction:t")
			e.remains(c, q, "3")
		}},
		{"COMMIT", "gives back what was NACKed", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 1, 1, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.settled("NACK", c, ms[0], []string{"transaction:t"})
			c.Sync()
			c.Sendf("COMMIT\ntransaction:t\n\n\x00")
			c.Message("1", "redelivered:true", "delivery-count:2")
		}},
		{"COMMIT", "the id may be used again", nil, func(e *env) {
			c := e.connect()
			for range 3 {
				e.command(c, "BEGIN", "transaction:t")
				e.command(c, "COMMIT", "transaction:t")
			}
		}},
		{"COMMIT", "an ACK before it holds the message but does not free prefetch twice", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 1, individual, "prefetch-count:1")
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("%s", settle("ACK", c, ms[0], "transaction:t"))
			c.Sendf("COMMIT\ntransaction:t\n\n\x00")
			e.ack(c, c.Message("2"))
			e.remains(c, q)
		}},
		{"ABORT", "undoes SEND", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", q)
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nundone\x00", q)
			e.command(c, "ABORT", "transaction:t")
			e.expectMarker(c, q)
		}},
		{"ABORT", "makes messages ackable again on the same id", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[0], "transaction:t")
			e.command(c, "ABORT", "transaction:t")
			c.Sync()
			e.ack(c, ms[0])
			e.remains(c, q, "2")
		}},
		{"ABORT", "makes messages ackable again in client mode", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, "ack:client")
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[1], "transaction:t")
			e.command(c, "ABORT", "transaction:t")
			e.ack(c, ms[0])
			e.remains(c, q, "2", "3")
		}},
		{"ABORT", "undoes ACK", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[0], "transaction:t")
			e.command(c, "ABORT", "transaction:t")
			e.remains(c, q, "1", "2")
		}},
		{"ABORT", "undoes NACK", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.settled("NACK", c, ms[0], []string{"transaction:t"})
			e.command(c, "ABORT", "transaction:t")
			c.Sync()
			e.ack(c, ms[0])
			e.remains(c, q)
		}},
		{"ABORT", "the id may be used again", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nundone\x00", q)
			e.command(c, "ABORT", "transaction:t")
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\ndone\x00", q)
			e.command(c, "COMMIT", "transaction:t")
			e.remains(c, q, "done")
		}},
		{"ABORT", "happens when the connection is lost", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			q2 := e.queue()
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nundone\x00", q2)
			e.ack(c, ms[0], "transaction:t")
			c.Abort()
			other := e.connect()
			e.subscribe(other, "0", q)
			other.Message("1", "redelivered:true")
			e.subscribe(other, "1", q2)
			e.expectMarker(other, q2)
		}},
		{"ABORT", "happens at DISCONNECT", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nundone\x00", q)
			e.remains(c, q)
		}},
		{"ABORT", "happens after an ERROR", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nundone\x00NONSENSE\n\n\x00COMMIT\ntransaction:t\n\n\x00", q)
			e.refused(c, "unknown command", "")
			other := e.connect()
			e.subscribe(other, "0", q)
			e.expectMarker(other, q)
		}},
		{"BEGIN", "several at once", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", q)
			for _, tx := range []string{"a", "b", "c"} {
				e.command(c, "BEGIN", "transaction:"+tx)
				c.Sendf("SEND\ndestination:%s\ntransaction:%s\n\n%s\x00", q, tx, tx)
			}
			c.Sync()
			e.command(c, "ABORT", "transaction:b")
			c.Sendf("COMMIT\ntransaction:c\n\n\x00")
			c.Message("c")
			c.Sendf("COMMIT\ntransaction:a\n\n\x00")
			c.Message("a")
		}},
		{"BEGIN", "ids are per session", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			e.command(a, "BEGIN", "transaction:t")
			e.command(b, "BEGIN", "transaction:t")
			e.command(a, "COMMIT", "transaction:t")
			e.command(b, "ABORT", "transaction:t")
		}},
		{"BEGIN", "16 at once and a 17th is refused", nil, func(e *env) {
			c := e.connect()
			for i := range 16 {
				e.command(c, "BEGIN", fmt.Sprintf("transaction:t%d", i))
			}
			e.command(c, "COMMIT", "transaction:t3")
			e.command(c, "BEGIN", "transaction:again")
			c.Sendf("BEGIN\ntransaction:one-more\nreceipt:r\n\n\x00")
			e.refused(c, "tx limit", "r")
		}},
	}
	return append(cases, badCases([]bad{
		{"BEGIN", "missing transaction", nil, "BEGIN\nreceipt:r\n\n\x00", "missing header", "r"},
		{"BEGIN", "twice", nil, "BEGIN\ntransaction:t\n\n\x00BEGIN\ntransaction:t\nreceipt:r\n\n\x00", "duplicate tx", "r"},
		{"COMMIT", "missing transaction", nil, "COMMIT\nreceipt:r\n\n\x00", "missing header", "r"},
		{"COMMIT", "unknown", nil, "COMMIT\ntransaction:none\nreceipt:r\n\n\x00", "no tx", "r"},
		{"COMMIT", "twice", nil, "BEGIN\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00COMMIT\ntransaction:t\nreceipt:r\n\n\x00", "no tx", "r"},
		{"ABORT", "missing transaction", nil, "ABORT\nreceipt:r\n\n\x00", "missing header", "r"},
		{"ABORT", "unknown", nil, "ABORT\ntransaction:none\nreceipt:r\n\n\x00", "no tx", "r"},
		{"ABORT", "after COMMIT", nil, "BEGIN\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00ABORT\ntransaction:t\nreceipt:r\n\n\x00", "no tx", "r"},
		{"SEND", "in a committed transaction", nil, "BEGIN\ntransaction:t\n\n\x00COMMIT\ntransaction:t\n\n\x00SEND\ndestination:{q}\ntransaction:t\nreceipt:r\n\nx\x00", "no tx", "r"},
		{"SEND", "missing destination in a transaction", nil, "BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\nreceipt:r\n\nx\x00", "missing header", "r"},
	})...)
}

// mixedTransactionCases are transactions that meet the end of a subscription, other ACKs, and
// destinations that are not stored.
func mixedTransactionCases() []tcase {
	individual := "ack:client-individual"
	return []tcase{
		{"COMMIT", "an ACK in it survives UNSUBSCRIBE", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[0], "transaction:t")
			e.command(c, "UNSUBSCRIBE", "id:s")
			e.command(c, "COMMIT", "transaction:t")
			e.remains(c, q, "2")
		}},
		{"ABORT", "after UNSUBSCRIBE gives the message back", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 2, 2, individual)
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[0], "transaction:t")
			e.command(c, "UNSUBSCRIBE", "id:s")
			e.command(c, "ABORT", "transaction:t")
			e.remains(c, q, "1", "2")
		}},
		{"COMMIT", "an ACK outside does not touch what a transaction holds", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 4, 4, "ack:client")
			e.command(c, "BEGIN", "transaction:t")
			e.ack(c, ms[1], "transaction:t")
			e.ack(c, ms[2])
			e.command(c, "ABORT", "transaction:t")
			e.remains(c, q, "1", "2", "4")
		}},
		{"COMMIT", "the same message in two transactions counts in the first", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 1, 1, individual)
			e.command(c, "BEGIN", "transaction:a")
			e.command(c, "BEGIN", "transaction:b")
			e.ack(c, ms[0], "transaction:a")
			e.ack(c, ms[0], "transaction:b")
			e.command(c, "ABORT", "transaction:a")
			e.command(c, "COMMIT", "transaction:b")
			e.remains(c, q, "1")
		}},
		{"COMMIT", "to temporary and user destinations of its own session", nil, func(e *env) {
			c := e.connect()
			e.subscribe(c, "0", "/temp-queue/x")
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("SEND\ndestination:/temp-queue/x\ntransaction:t\n\nhi\x00")
			c.Sync()
			c.Sendf("COMMIT\ntransaction:t\n\n\x00")
			c.Message("hi", "subscription:0")
		}},
		{"COMMIT", "ACKs and SENDs together", nil, func(e *env) {
			c := e.connect()
			q, ms := e.consume(c, 3, 3, individual)
			to := e.queue()
			e.command(c, "BEGIN", "transaction:t")
			for i, m := range ms {
				c.Sendf("SEND\ndestination:%s\ntransaction:t\n\nanswer %d\x00", to, i+1)
				c.Sendf("%s", settle("ACK", c, m, "transaction:t"))
			}
			e.command(c, "COMMIT", "transaction:t")
			e.subscribe(c, "to", to)
			c.Message("answer 1")
			c.Message("answer 2")
			c.Message("answer 3")
			e.remains(c, q)
		}},
		{"COMMIT", "what is sent next does not overtake it", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			for i := range 10 {
				c.Sendf("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:%s\ntransaction:t\n\nin %d\x00COMMIT\ntransaction:t\n\n\x00SEND\ndestination:%s\n\nafter %d\x00", q, i, q, i)
			}
			e.subscribe(c, "0", q)
			for i := range 10 {
				c.Message(fmt.Sprintf("in %d", i))
				c.Message(fmt.Sprintf("after %d", i))
			}
		}},
		{"COMMIT", "refused frames do not harm another session's transaction", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			q := e.queue()
			e.command(a, "BEGIN", "transaction:t")
			a.Sendf("SEND\ndestination:%s\ntransaction:t\n\nkept\x00", q)
			a.Sync()
			b.Sendf("COMMIT\ntransaction:t\nreceipt:r\n\n\x00")
			e.refused(b, "no tx", "r")
			e.command(a, "COMMIT", "transaction:t")
			e.remains(a, q, "kept")
		}},
		{"BEGIN", "an ACK of a missing id within", only12, func(e *env) {
			c := e.connect()
			e.command(c, "BEGIN", "transaction:t")
			c.Sendf("ACK\ntransaction:t\nreceipt:r\n\n\x00")
			e.refused(c, "missing header", "r")
		}},
		{"BEGIN", "an ACK of an unknown id within", nil, func(e *env) {
			c := e.connect()
			e.command(c, "BEGIN", "transaction:t")
			e.command(c, "ACK", "transaction:t", "id:none", "message-id:none", "subscription:s")
			e.command(c, "COMMIT", "transaction:t")
		}},
	}
}
