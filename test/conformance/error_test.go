package conformance

import "strings"

// errorCases are STOMP 1.2, ERROR, and what a fault does to others.
func errorCases() []tcase {
	return []tcase{
		{"ERROR", "other sessions do not notice", nil, func(e *env) {
			other := e.connect()
			t := e.topic()
			e.subscribe(other, "0", t)
			for _, raw := range []string{"NONSENSE\n\n\x00", "SEND\nnocolon\n\n\x00", "SUBSCRIBE\ndestination:nowhere\nid:0\n\n\x00"} {
				c := e.connect()
				e.subscribe(c, "x", t)
				c.Sendf("%s", raw)
				c.Expect("ERROR", "message")
				c.ExpectClose()
				other.Sync()
			}
			other.Sendf("SEND\ndestination:%s\n\nstill here\x00", t)
			other.Message("still here", "subscription:0")
		}},
		{"ERROR", "is one, however much is wrong", nil, func(e *env) {
			c := e.connect()
			c.Sendf("%s", strings.Repeat("NONSENSE\nreceipt:r\n\n\x00", 50))
			e.refused(c, "unknown command", "")
		}},
		{"ERROR", "no receipt-id without a receipt", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\n\nhi\x00")
			e.refused(c, "missing header", "")
		}},
		{"ERROR", "no RECEIPT for the frame that failed", nil, func(e *env) {
			c := e.connect()
			c.Sendf("COMMIT\ntransaction:none\nreceipt:r\n\n\x00")
			e.refused(c, "no tx", "r")
		}},
		{"ERROR", "what arrived before it is kept", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("SEND\ndestination:%s\n\nbefore\x00NONSENSE\n\n\x00SEND\ndestination:%s\n\nafter\x00", q, q)
			e.refused(c, "unknown command", "")
			other := e.connect()
			e.subscribe(other, "0", q)
			other.Message("before")
			e.expectMarker(other, q)
		}},
		{"ERROR", "a refused session is subscribed no more", nil, func(e *env) {
			c, p := e.connect(), e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("NONSENSE\n\n\x00")
			e.refused(c, "unknown command", "")
			e.send(p, t, "into the void")
		}},
		{"ERROR", "soft errors leave the connection alive where asked", nil, func(e *env) {
			c := e.connect("gudok-errors:soft")
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:nowhere\nreceipt:1\n\nhi\x00")
			c.Expect("ERROR", "message:"+reasons["prefix"].message, "receipt-id:1", "fatal:false")
			c.Sendf("SUBSCRIBE\nid:x\ndestination:nowhere\nreceipt:2\n\n\x00")
			c.Expect("ERROR", "message:"+reasons["prefix"].message, "receipt-id:2", "fatal:false")
			c.Sendf("SEND\ndestination:%s\n\nstill here\x00", t)
			c.Message("still here")
			c.Sendf("NONSENSE\n\n\x00")
			e.refused(c, "unknown command", "")
		}},
	}
}
