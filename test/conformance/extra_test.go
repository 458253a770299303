package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gudokmq/gudok/test/harness"
)

// extraCases are what clients in the wild do that the specification does not say, and what the
// clauses say together.
func extraCases() []tcase {
	return []tcase{
		{"Clients", "1.0 pads headers with a space", only10, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\nlogin: guest\npasscode: guest\n\n\x00")
			c.Expect("CONNECTED", "version:1.0")
			t := e.topic()
			c.Sendf("SUBSCRIBE\ndestination: %s\nack: auto\nreceipt: r\n\n\x00", t)
			c.Receipt("r")
			c.Sendf("SEND\ndestination: %s\n\nhi\x00", t)
			c.Message("hi", "destination:"+t)
		}},
		{"Clients", "a second destination header is not passed on", nil, func(e *env) {
			t := e.topic()
			c := e.connect()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\ndestination:/queue/other\n\nhi\x00", t)
			if m := c.Message("hi"); !slices.Equal(m.All("destination"), []string{t}) {
				e.Errorf("got %s", m)
			}
		}},
		{"Clients", "stomp.js: CONNECT, SUBSCRIBE, SEND, DISCONNECT", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nheart-beat:10000,10000\n\n\x00", e.v)
			c.Expect("CONNECTED", "version:"+e.v)
			t := e.topic()
			c.Sendf("SUBSCRIBE\nid:sub-0\ndestination:%s\n\n\x00", t)
			c.Sendf("SEND\ndestination:%s\ncontent-length:5\n\nhello\x00", t)
			c.Message("hello", "subscription:sub-0")
			c.Sendf("\n")
			c.Sendf("UNSUBSCRIBE\nid:sub-0\n\n\x00")
			c.Sendf("DISCONNECT\nreceipt:close-0\n\n\x00")
			c.Receipt("close-0")
			c.ExpectClose()
		}},
		{"Clients", "an EOL after every NUL", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\n\n\x00\n", e.v)
			c.Expect("CONNECTED")
			t := e.topic()
			c.Sendf("SUBSCRIBE\nid:0\ndestination:%s\n\n\x00\nSEND\ndestination:%s\n\n1\x00\nSEND\ndestination:%s\n\n2\x00\n", t, t, t)
			c.Message("1")
			c.Message("2")
		}},
		{"Clients", "the body of a megabyte comes back", only12, func(e *env) {
			c := e.connect()
			q := e.queue()
			body := strings.Repeat("0123456789abcde\n", 1<<20/16)
			c.Sendf("SEND\ndestination:%s\ncontent-length:%d\n\n%s\x00", q, len(body), body)
			e.subscribe(c, "0", q)
			c.Message(body)
			c.Sync()
		}},
		{"Clients", "frames cut at 8192 characters", only12, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			body := strings.Repeat("x", 20000)
			frame := fmt.Sprintf("SEND\ndestination:%s\ncontent-length:%d\n\n%s\x00", t, len(body), body)
			for len(frame) > 0 {
				n := min(8192, len(frame))
				c.Sendf("%s", frame[:n])
				frame = frame[n:]
			}
			c.Message(body)
		}},
		{"Clients", "an id that is the name of a temporary queue", nil, func(e *env) {
			client, server := e.connect(), e.connect()
			q, t := e.queue(), e.topic()
			e.subscribe(server, "0", q)
			e.replies(client, q, "/temp-queue/r", "request")
			to := server.Message("request").Value("reply-to")
			// The subscription of that id was made by the reply-to. The client may say it is taken,
			// or take its place; a third thing, both alive, would mix up topic and replies.
			client.Sendf("SUBSCRIBE\nid:/temp-queue/r\ndestination:%s\nreceipt:r\n\n\x00", t)
			f, err := client.ReadFrame(harness.Patience)
			if err != nil {
				e.Fatal(err)
			}
			if f.Command == "ERROR" {
				return
			}
			e.send(server, to, "reply")
			e.send(server, t, "topic")
			client.Message("topic", "destination:"+t)
		}},
		{"Clients", "subscribing and leaving a thousand times", only12, func(e *env) {
			c := e.connect()
			q, t := e.queue(), e.topic()
			var raw strings.Builder
			for i := range 500 {
				fmt.Fprintf(&raw, "SUBSCRIBE\nid:q%d\ndestination:%s\nack:client\n\n\x00UNSUBSCRIBE\nid:q%d\n\n\x00", i, q, i)
				fmt.Fprintf(&raw, "SUBSCRIBE\nid:t%d\ndestination:%s.*\n\n\x00UNSUBSCRIBE\nid:t%d\n\n\x00", i, t, i)
			}
			c.Sendf("%s", raw.String())
			c.Sync()
			e.send(c, q, "kept")
			e.subscribe(c, "last", q)
			c.Message("kept", "!redelivered")
		}},
	}
}
