package conformance

import (
	"strings"
)

// sendCases are STOMP 1.2, SEND, and which names are destinations.
func sendCases() []tcase {
	cases := []tcase{
		{"SEND", "to a topic without subscribers is accepted", nil, func(e *env) {
			e.send(e.connect(), e.topic(), "nobody hears it")
		}},
		{"SEND", "without a receipt is silent", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", e.topic())
			c.Sync()
		}},
		{"SEND", "to a topic does not store", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.send(c, t, "before")
			e.subscribe(c, "0", t)
			e.send(e.connect(), t, "after")
			c.Message("after")
		}},
		{"SEND", "to a queue stores", nil, func(e *env) {
			q := e.queue()
			c := e.connect()
			e.send(c, q, "1", "2", "3")
			c.Abort()
			other := e.connect()
			other.Sendf("SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", q)
			other.Message("1")
			other.Message("2")
			other.Message("3")
		}},
		{"SEND", "destinations with slashes", nil, func(e *env) {
			c := e.connect()
			q := e.queue() + "/a/b.c"
			e.subscribe(c, "0", q)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", q)
			c.Message("hi", "destination:"+q)
		}},
		{"SEND", "destinations in unicode", nil, func(e *env) {
			c := e.connect()
			q := e.queue() + "-구독-é"
			e.subscribe(c, "0", q)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", q)
			c.Message("hi", "destination:"+q)
		}},
		{"SEND", "destinations with a space within", from11, func(e *env) {
			c := e.connect()
			q := e.queue() + " with space"
			e.subscribe(c, "0", q)
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", q)
			c.Message("hi", "destination:"+q)
		}},
		{"SEND", "unknown prefix is told which there are", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\ndestination:nowhere\nreceipt:r\n\nhi\x00")
			f := e.refused(c, "prefix", "r")
			for _, p := range []string{"/topic/", "/queue/", "/temp-queue/", "/user/"} {
				if !strings.Contains(string(f.Body), p) {
					e.Errorf("%s is not listed: %s", p, f)
				}
			}
		}},
		{"SEND", "dot and slash are different names", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t+".a")
			e.send(e.connect(), t+"/b", "other")
			e.send(e.connect(), t+".a", "mine")
			c.Message("mine")
		}},
	}
	rows := []bad{
		{"SEND", "missing destination", nil, "SEND\nreceipt:r\n\nhi\x00", "missing header", "r"},
	}
	for _, d := range []string{"/exchange/x", "/tópic/x", "topic/x", "/topics/x", "queue", "/Queue/x", "/queue", "/topic"} {
		rows = append(rows, bad{"SEND", "unknown prefix " + d, nil, "SEND\nreceipt:r\ndestination:" + d + "\n\nhi\x00", "prefix", "r"})
	}
	for _, d := range []string{"/queue/", "/topic/"} {
		rows = append(rows, bad{"SEND", "no name after " + d, nil, "SEND\nreceipt:r\ndestination:" + d + "\n\nhi\x00", "destination", "r"})
	}
	rows = append(rows,
		bad{"SEND", "to a pattern *", nil, "SEND\nreceipt:r\ndestination:{t}.*\n\nhi\x00", "destination", "r"},
		bad{"SEND", "to a pattern #", nil, "SEND\nreceipt:r\ndestination:{t}.#\n\nhi\x00", "destination", "r"},
		bad{"SEND", "to a pattern **", nil, "SEND\nreceipt:r\ndestination:{t}/**\n\nhi\x00", "destination", "r"},
		bad{"SEND", "in an unknown transaction", nil, "SEND\nreceipt:r\ndestination:{q}\ntransaction:none\n\nhi\x00", "no tx", "r"},
	)
	return append(cases, badCases(rows)...)
}
