package conformance

import (
	"fmt"
	"strings"

	"github.com/gudokmq/gudok/test/harness"
)

// receiptCases are STOMP 1.2, Header receipt, and RECEIPT.
func receiptCases() []tcase {
	return []tcase{
		{"RECEIPT", "on every frame, in order", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.send(c, q, "1", "2")
			c.Sendf("SUBSCRIBE\nid:s\ndestination:%s\nack:client-individual\nreceipt:subscribe\n\n\x00", q)
			c.Receipt("subscribe")
			one, two := c.Message("1"), c.Message("2")
			var raw strings.Builder
			fmt.Fprintf(&raw, "SEND\ndestination:%s.other\nreceipt:send\n\nx\x00", q)
			raw.WriteString(settle("ACK", c, one, "receipt:ack"))
			raw.WriteString("BEGIN\ntransaction:t\nreceipt:begin\n\n\x00")
			raw.WriteString(settle("ACK", c, two, "transaction:t", "receipt:ack in transaction"))
			fmt.Fprintf(&raw, "SEND\ndestination:%s.other\ntransaction:t\nreceipt:send in transaction\n\ny\x00", q)
			raw.WriteString("COMMIT\ntransaction:t\nreceipt:commit\n\n\x00")
			raw.WriteString("BEGIN\ntransaction:u\nreceipt:begin again\n\n\x00ABORT\ntransaction:u\nreceipt:abort\n\n\x00")
			raw.WriteString("UNSUBSCRIBE\nid:s\nreceipt:unsubscribe\n\n\x00DISCONNECT\nreceipt:disconnect\n\n\x00")
			c.Sendf("%s", raw.String())
			for _, r := range []string{"send", "ack", "begin", "ack in transaction", "send in transaction", "commit",
				"begin again", "abort", "unsubscribe", "disconnect"} {
				c.Receipt(r)
			}
			c.ExpectClose()
		}},
		{"RECEIPT", "on NACK", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 1, 1, "ack:client-individual", "prefetch-count:1")
			c.Sendf("%s", settle("NACK", c, ms[0], "receipt:nack"))
			got := map[string]bool{}
			for range 2 {
				f, err := c.ReadFrame(harness.Patience)
				if err != nil {
					e.Fatal(err)
				}
				got[f.Command] = true
			}
			if !got["RECEIPT"] || !got["MESSAGE"] {
				e.Errorf("got %v", got)
			}
		}},
		{"RECEIPT", "keep the order of 200 frames of two kinds", nil, func(e *env) {
			c := e.connect()
			q, t := e.queue(), e.topic()
			var raw strings.Builder
			for i := range 100 {
				fmt.Fprintf(&raw, "SEND\ndestination:%s\nreceipt:q%d\n\nx\x00SEND\ndestination:%s\nreceipt:t%d\n\nx\x00", q, i, t, i)
			}
			c.Sendf("%s", raw.String())
			for i := range 100 {
				c.Receipt(fmt.Sprintf("q%d", i))
				c.Receipt(fmt.Sprintf("t%d", i))
			}
		}},
		{"RECEIPT", "of SUBSCRIBE comes before its first MESSAGE", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.send(c, q, "1", "2", "3")
			c.Sendf("SUBSCRIBE\nid:0\ndestination:%s\nreceipt:r\n\n\x00", q)
			c.Receipt("r")
			c.Message("1")
			c.Message("2")
			c.Message("3")
		}},
		{"RECEIPT", "of SUBSCRIBE comes before messages under way", nil, func(e *env) {
			p, c := e.connect(), e.connect()
			t := e.topic()
			for i := range 50 {
				p.Sendf("SEND\ndestination:%s\n\n%d\x00", t, i)
			}
			p.Flush()
			c.Sendf("SUBSCRIBE\nid:0\ndestination:%s\nreceipt:r\n\n\x00", t)
			c.Receipt("r")
		}},
		{"RECEIPT", "any text is an id", nil, func(e *env) {
			c := e.connect()
			for _, id := range []string{"0", "with space", "구독", "a-very-" + strings.Repeat("long", 100), "77"} {
				c.Sendf("SEND\ndestination:%s\nreceipt:%s\n\nx\x00", e.topic(), id)
				c.Receipt(id)
			}
		}},
		{"RECEIPT", "the same id twice is answered twice", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SEND\ndestination:%s\nreceipt:r\n\nx\x00SEND\ndestination:%s\nreceipt:r\n\nx\x00", t, t)
			c.Receipt("r")
			c.Receipt("r")
		}},
		{"RECEIPT", "earlier ones come before an ERROR", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("SEND\ndestination:%s\nreceipt:1\n\nx\x00SEND\ndestination:%s\nreceipt:2\n\nx\x00NONSENSE\n\n\x00", q, q)
			c.Receipt("1")
			c.Receipt("2")
			e.refused(c, "unknown command", "")
		}},
		{"RECEIPT", "id is escaped as its version asks", from11, func(e *env) {
			c := e.connect()
			c.Sendf("BEGIN\ntransaction:t\nreceipt:a\\cb\\\\c\\nd\n\n\x00")
			if f := c.Receipt("a:b\\c\nd"); f.Headers[0].Raw != `receipt-id:a\cb\\c\nd` {
				e.Errorf("got %s", f)
			}
		}},
	}
}

// disconnectCases are STOMP 1.2, DISCONNECT.
func disconnectCases() []tcase {
	return []tcase{
		{"DISCONNECT", "with a receipt: RECEIPT, then the server closes", nil, func(e *env) {
			c := e.connect()
			c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
			c.Receipt("bye")
			if end := c.ExpectClose(); e.tr.WebSocket() && end.Code != 1000 {
				e.Errorf("close code %d", end.Code)
			}
		}},
		{"DISCONNECT", "without a receipt: the server closes", nil, func(e *env) {
			c := e.connect()
			c.Sendf("DISCONNECT\n\n\x00")
			if end := c.ExpectClose(); e.tr.WebSocket() && end.Code != 1000 {
				e.Errorf("close code %d", end.Code)
			}
		}},
		{"DISCONNECT", "what was sent before it is processed", nil, func(e *env) {
			q := e.queue()
			c := e.connect()
			c.Sendf("SEND\ndestination:%s\n\n1\x00SEND\ndestination:%s\n\n2\x00DISCONNECT\nreceipt:bye\n\n\x00", q, q)
			c.Receipt("bye")
			c.ExpectClose()
			other := e.connect()
			e.subscribe(other, "0", q)
			other.Message("1")
			other.Message("2")
		}},
		{"DISCONNECT", "nothing after it is processed", nil, func(e *env) {
			q := e.queue()
			c := e.connect()
			c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00SEND\ndestination:%s\nreceipt:r\n\nafter\x00", q)
			c.Receipt("bye")
			c.ExpectClose()
			other := e.connect()
			e.subscribe(other, "0", q)
			e.expectMarker(other, q)
		}},
		{"DISCONNECT", "unknown headers are ignored", nil, func(e *env) {
			c := e.connect()
			c.Sendf("DISCONNECT\nfoo:bar\nreceipt:bye\n\n\x00")
			c.Receipt("bye")
			c.ExpectClose()
		}},
		{"DISCONNECT", "earlier receipts come first", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			for i := range 20 {
				c.Sendf("SEND\ndestination:%s\nreceipt:%d\n\nx\x00", q, i)
			}
			c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
			for i := range 20 {
				c.Receipt(fmt.Sprint(i))
			}
			c.Receipt("bye")
			c.ExpectClose()
		}},
	}
}
