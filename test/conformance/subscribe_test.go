package conformance

import "fmt"

// subscribeCases are STOMP 1.2, SUBSCRIBE.
func subscribeCases() []tcase {
	cases := []tcase{
		{"SUBSCRIBE", "without id in 1.0", only10, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\ndestination:%s\nreceipt:r\n\n\x00", t)
			c.Receipt("r")
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			c.Message("hi", "!subscription")
		}},
		{"SUBSCRIBE", "without id to two destinations in 1.0", only10, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\ndestination:%s.a\n\n\x00SUBSCRIBE\ndestination:%s.b\n\n\x00", t, t)
			c.Sendf("SEND\ndestination:%s.b\n\nb\x00SEND\ndestination:%s.a\n\na\x00", t, t)
			c.Message("b", "destination:"+t+".b", "!subscription")
			c.Message("a", "destination:"+t+".a", "!subscription")
		}},
		{"SUBSCRIBE", "id comes back as subscription", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "my sub-1", t)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			c.Message("hi", "subscription:my sub-1")
		}},
		{"SUBSCRIBE", "two ids for one topic get a message each", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "a", t)
			e.subscribe(c, "b", t)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			one, two := c.Message("hi", "subscription"), c.Message("hi", "subscription")
			if one.Value("subscription") == two.Value("subscription") {
				e.Errorf("both for %s", one.Value("subscription"))
			}
			c.Sync()
		}},
		{"SUBSCRIBE", "every session of a topic gets the message", nil, func(e *env) {
			t := e.topic()
			a, b, p := e.connect(), e.connect(), e.connect()
			e.subscribe(a, "0", t)
			e.subscribe(b, "0", t)
			e.send(p, t, "hi")
			a.Message("hi", "subscription:0")
			b.Message("hi", "subscription:0")
		}},
		{"SUBSCRIBE", "ids are per session", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			e.subscribe(a, "sub-0", e.queue())
			e.subscribe(b, "sub-0", e.queue())
		}},
		{"SUBSCRIBE", "an id may be used again after UNSUBSCRIBE", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			e.command(c, "UNSUBSCRIBE", "id:0")
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			c.Message("hi")
		}},
		{"SUBSCRIBE", "default of ack is auto", nil, func(e *env) {
			q := e.queue()
			a := e.connect()
			e.send(a, q, "1")
			e.subscribe(a, "0", q)
			a.Message("1", "!ack")
			a.Abort()
			b := e.connect()
			e.subscribe(b, "0", q)
			e.expectMarker(b, q)
		}},
		{"SUBSCRIBE", "unknown headers are ignored", nil, func(e *env) {
			c := e.connect()
			e.subscribe(c, "0", e.queue(), "activemq.retroactive:true", "x-queue-type:classic", "foo:bar")
		}},
	}
	rows := []bad{
		{"SUBSCRIBE", "missing id", from11, "SUBSCRIBE\ndestination:{t}\nreceipt:r\n\n\x00", "missing header", "r"},
		{"SUBSCRIBE", "missing destination", nil, "SUBSCRIBE\nid:0\nreceipt:r\n\n\x00", "missing header", "r"},
		{"SUBSCRIBE", "unknown prefix", nil, "SUBSCRIBE\nid:0\ndestination:/nowhere/x\nreceipt:r\n\n\x00", "prefix", "r"},
		{"SUBSCRIBE", "duplicate id", nil, "SUBSCRIBE\nid:0\ndestination:{t}\n\n\x00SUBSCRIBE\nid:0\ndestination:{t}.b\nreceipt:r\n\n\x00", "duplicate id", "r"},
		{"SUBSCRIBE", "duplicate id of the same destination", nil, "SUBSCRIBE\nid:0\ndestination:{t}\n\n\x00SUBSCRIBE\nid:0\ndestination:{t}\nreceipt:r\n\n\x00", "duplicate id", "r"},
		{"SUBSCRIBE", "the same destination twice without ids", only10, "SUBSCRIBE\ndestination:{t}\n\n\x00SUBSCRIBE\ndestination:{t}\nreceipt:r\n\n\x00", "duplicate id", "r"},
		{"SUBSCRIBE", "pattern of queues", nil, "SUBSCRIBE\nid:0\ndestination:{q}.*\nreceipt:r\n\n\x00", "destination", "r"},
		{"SUBSCRIBE", "# before the end of a pattern", nil, "SUBSCRIBE\nid:0\ndestination:{t}.#.x\nreceipt:r\n\n\x00", "destination", "r"},
	}
	for _, ack := range []string{"maybe", "AUTO", "Client", "", "client-individually", "auto "} {
		versions := []string(nil)
		if ack == "auto " {
			versions = from11 // 1.0 peers pad with spaces
		}
		rows = append(rows, bad{"SUBSCRIBE", fmt.Sprintf("ack is %q", ack), versions,
			"SUBSCRIBE\nid:0\ndestination:{t}\nreceipt:r\nack:" + ack + "\n\n\x00", "bad header", "r"})
	}
	for _, n := range []string{"x", "-1", "1.5"} {
		rows = append(rows, bad{"SUBSCRIBE", "prefetch-count is " + n, nil,
			"SUBSCRIBE\nid:0\ndestination:{q}.p\nack:client\nreceipt:r\nprefetch-count:" + n + "\n\n\x00", "bad header", "r"})
	}
	return append(cases, badCases(rows)...)
}

// unsubscribeCases are STOMP 1.2, UNSUBSCRIBE.
func unsubscribeCases() []tcase {
	cases := []tcase{
		{"UNSUBSCRIBE", "by id", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			e.subscribe(c, "1", t+".other")
			e.command(c, "UNSUBSCRIBE", "id:0")
			c.Sendf("SEND\ndestination:%s\n\nno\x00SEND\ndestination:%s.other\n\nyes\x00", t, t)
			c.Message("yes")
		}},
		{"UNSUBSCRIBE", "by destination in 1.0", only10, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\ndestination:%s\n\n\x00SUBSCRIBE\ndestination:%s.other\n\n\x00", t, t)
			e.command(c, "UNSUBSCRIBE", "destination:"+t)
			c.Sendf("SEND\ndestination:%s\n\nno\x00SEND\ndestination:%s.other\n\nyes\x00", t, t)
			c.Message("yes")
		}},
		{"UNSUBSCRIBE", "of one of two of a topic", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			e.subscribe(c, "1", t)
			e.command(c, "UNSUBSCRIBE", "id:0")
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			c.Message("hi", "subscription:1")
			c.Sync()
		}},
		{"UNSUBSCRIBE", "nothing comes after its RECEIPT", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", q)
			e.command(c, "UNSUBSCRIBE", "id:0")
			e.send(c, q, "kept")
			c.Sync()
			e.subscribe(c, "1", q)
			c.Message("kept", "subscription:1")
		}},
		{"UNSUBSCRIBE", "gives unacknowledged messages back in order", nil, func(e *env) {
			q := e.queue()
			a := e.connect()
			e.send(a, q, "1", "2", "3", "4", "5")
			e.subscribe(a, "0", q, "ack:client-individual", "prefetch-count:3")
			a.Message("1")
			two := a.Message("2")
			a.Message("3")
			a.Sendf("%s", settle("ACK", a, two))
			a.Message("4")
			e.command(a, "UNSUBSCRIBE", "id:0")
			e.subscribe(a, "1", q, "ack:client-individual")
			a.Message("1", "redelivered:true", "delivery-count:2", "subscription:1")
			a.Message("3", "redelivered:true", "delivery-count:2")
			a.Message("4", "redelivered:true", "delivery-count:2")
			if m := a.Message("5"); m.Value("redelivered") == "true" {
				e.Errorf("never delivered before: %s", m)
			}
		}},
	}
	return append(cases, badCases([]bad{
		{"UNSUBSCRIBE", "missing id", from11, "UNSUBSCRIBE\nreceipt:r\n\n\x00", "missing header", "r"},
		{"UNSUBSCRIBE", "missing id and destination", only10, "UNSUBSCRIBE\nreceipt:r\n\n\x00", "missing header", "r"},
		{"UNSUBSCRIBE", "unknown id", nil, "UNSUBSCRIBE\nid:none\nreceipt:r\n\n\x00", "no subscription", "r"},
		{"UNSUBSCRIBE", "unknown destination", only10, "UNSUBSCRIBE\ndestination:{t}\nreceipt:r\n\n\x00", "no subscription", "r"},
		{"UNSUBSCRIBE", "a second time", nil, "SUBSCRIBE\nid:0\ndestination:{t}\n\n\x00UNSUBSCRIBE\nid:0\n\n\x00UNSUBSCRIBE\nid:0\nreceipt:r\n\n\x00", "no subscription", "r"},
	})...)
}
