package conformance

import "strings"

// tempCases are temporary queues, reply-to in both dialects, and the ephemeral queues of Spring's relay.
func tempCases() []tcase {
	return []tcase{
		{"Temporary_Queues", "one's own", nil, func(e *env) {
			c := e.connect()
			e.subscribe(c, "0", "/temp-queue/x")
			c.Sendf("SEND\ndestination:/temp-queue/x\n\nhi\x00")
			c.Message("hi", "subscription:0", "destination:/temp-queue/x")
		}},
		{"Temporary_Queues", "are private to the connection", nil, func(e *env) {
			a, b := e.connect(), e.connect()
			e.subscribe(a, "0", "/temp-queue/x")
			e.subscribe(b, "0", "/temp-queue/x")
			e.send(b, "/temp-queue/x", "b's")
			b.Message("b's")
			a.Sync()
			a.Sendf("SEND\ndestination:/temp-queue/x\n\na's\x00")
			a.Message("a's")
			b.Sync()
		}},
		{"Temporary_Queues", "vanish with the connection", nil, func(e *env) {
			c := e.connect()
			e.send(c, "/temp-queue/x", "old")
			c.Abort()
			c = e.connect()
			e.subscribe(c, "0", "/temp-queue/x")
			c.Sendf("SEND\ndestination:/temp-queue/x\n\nnew\x00")
			c.Message("new")
		}},
		{"Temporary_Queues", "reply-to without SUBSCRIBE (RabbitMQ)", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/r", "1")
			to := server.Message("1", "reply-to").Value("reply-to")
			if to == "/temp-queue/r" || !strings.HasPrefix(to, "/") {
				e.Fatalf("reply-to was not rewritten: %q", to)
			}
			e.send(server, to, "answer 1")
			client.Message("answer 1", "subscription:/temp-queue/r")
			// A second request goes to the same queue, without a second subscription.
			e.replies(client, q, "/temp-queue/r", "2")
			to2 := server.Message("2", "reply-to").Value("reply-to")
			e.send(server, to2, "answer 2")
			client.Message("answer 2", "subscription:/temp-queue/r")
			client.Sync()
		}},
		{"Temporary_Queues", "reply-to with SUBSCRIBE (ActiveMQ)", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.subscribe(client, "mine", "/temp-queue/r")
			e.replies(client, q, "/temp-queue/r", "request")
			to := server.Message("request", "reply-to").Value("reply-to")
			e.send(server, to, "answer")
			client.Message("answer", "subscription:mine")
			client.Sync()
		}},
		{"Temporary_Queues", "reply-to with SUBSCRIBE afterwards", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/r", "request")
			e.subscribe(client, "mine", "/temp-queue/r")
			to := server.Message("request", "reply-to").Value("reply-to")
			e.send(server, to, "answer")
			client.Message("answer", "subscription:mine")
			client.Sync()
		}},
		{"Temporary_Queues", "reply-to on a topic reaches all repliers", nil, func(e *env) {
			client, s1, s2 := e.connect(), e.connect(), e.connect()
			t := e.topic()
			e.subscribe(s1, "0", t)
			e.subscribe(s2, "0", t)
			e.replies(client, t, "/temp-queue/r", "who is there?")
			e.send(s1, s1.Message("who is there?", "reply-to").Value("reply-to"), "one")
			client.Message("one", "subscription:/temp-queue/r")
			e.send(s2, s2.Message("who is there?", "reply-to").Value("reply-to"), "two")
			client.Message("two", "subscription:/temp-queue/r")
		}},
		{"Temporary_Queues", "two reply queues keep apart", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/a", "1")
			e.replies(client, q, "/temp-queue/b", "2")
			one, two := server.Message("1").Value("reply-to"), server.Message("2").Value("reply-to")
			e.send(server, two, "for b")
			client.Message("for b", "subscription:/temp-queue/b")
			e.send(server, one, "for a")
			client.Message("for a", "subscription:/temp-queue/a")
		}},
		{"Temporary_Queues", "a reply-to that is no temporary queue is left alone", nil, func(e *env) {
			f := e.forward(e.v, e.v, "reply-to:/queue/answers\n")
			if f.Value("reply-to") != "/queue/answers" {
				e.Errorf("got %s", f)
			}
		}},
		{"Temporary_Queues", "another session may not SUBSCRIBE to a reply address", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/r", "request")
			to := server.Message("request").Value("reply-to")
			server.Sendf("SUBSCRIBE\nid:steal\ndestination:%s\nreceipt:r\n\n\x00", to)
			e.refused(server, "forbidden", "r")
			client.Sync()
		}},
		{"Temporary_Queues", "a reply address dies with its session", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q := e.queue()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/r", "request")
			to := server.Message("request").Value("reply-to")
			e.command(client, "DISCONNECT")
			client.ExpectClose()
			e.send(server, to, "too late") // nobody's fault: a RECEIPT, and nobody gets it
			again := e.connect()
			e.subscribe(again, "0", "/temp-queue/r")
			again.Sync()
		}},
		{"Temporary_Queues", "UNSUBSCRIBE of one keeps others", nil, func(e *env) {
			c := e.connect()
			e.subscribe(c, "0", "/temp-queue/x")
			e.subscribe(c, "1", "/temp-queue/y")
			e.command(c, "UNSUBSCRIBE", "id:0")
			c.Sendf("SEND\ndestination:/temp-queue/y\n\nhi\x00")
			c.Message("hi", "subscription:1")
		}},
		{"Relay", "simpOrigDestination survives to the MESSAGE", nil, func(e *env) {
			c := e.connect()
			q := e.queue() + "-user123"
			e.subscribe(c, "0", q, "simpOrigDestination:/user/queue/x")
			c.Sendf("SEND\ndestination:%s\nsimpOrigDestination:/user/queue/x\n\nhi\x00", q)
			c.Message("hi", "destination:"+q, "simpOrigDestination:/user/queue/x")
		}},
		{"Relay", "its queues vanish with their consumer", nil, func(e *env) {
			c, app := e.connect(), e.connect()
			q := e.queue() + "-user123"
			e.subscribe(c, "0", q, "ack:client-individual", "simpOrigDestination:/user/queue/x")
			e.send(app, q, "left behind")
			c.Message("left behind")
			c.Sendf("UNSUBSCRIBE\nid:0\nsimpOrigDestination:/user/queue/x\nreceipt:gone\n\n\x00")
			c.Receipt("gone")
			e.subscribe(c, "1", q, "simpOrigDestination:/user/queue/x")
			c.Sendf("SEND\ndestination:%s\nsimpOrigDestination:/user/queue/x\n\nnew\x00", q)
			c.Message("new", "!redelivered")
		}},
		{"Relay", "its queues vanish with a lost session", nil, func(e *env) {
			c, app := e.connect(), e.connect()
			q := e.queue() + "-user123"
			e.subscribe(c, "0", q, "ack:client-individual", "simpOrigDestination:/user/queue/x")
			e.send(app, q, "left behind")
			c.Message("left behind")
			e.command(c, "DISCONNECT")
			c.ExpectClose()
			again := e.connect()
			e.subscribe(again, "0", q)
			e.expectMarker(again, q)
		}},
	}
}
