package conformance

import (
	"fmt"
	"slices"

	"github.com/gudokmq/gudok/test/harness"
)

// messageCases are STOMP 1.2, MESSAGE: which headers it has and whose they are.
func messageCases() []tcase {
	dropped := func(header string) tcase {
		return tcase{"MESSAGE", "a publisher's " + header + " is dropped", nil, func(e *env) {
			for _, d := range []string{e.topic(), e.queue()} {
				c := e.connect()
				e.subscribe(c, "mine", d)
				c.Sendf("SEND\ndestination:%s\n%s:forged\na:b\n\nhi\x00", d, header)
				m := c.Message("hi", "a:b", "subscription:mine")
				if slices.Contains(m.All(header), "forged") {
					e.Errorf("%s: %s", d, m)
				}
			}
		}}
	}
	cases := []tcase{
		dropped("message-id"), dropped("subscription"), dropped("ack"), dropped("redelivered"), dropped("delivery-count"),
		{"MESSAGE", "a receipt is the publisher's own", nil, func(e *env) {
			f := e.forward(e.v, e.v, "receipt:r\n")
			if _, ok := f.Get("receipt"); ok {
				e.Errorf("got %s", f)
			}
		}},
		{"MESSAGE", "has its headers from the server", nil, func(e *env) {
			for _, d := range []string{e.topic(), e.queue()} {
				c := e.connect()
				e.subscribe(c, "s", d)
				c.Sendf("SEND\ndestination:%s\n\nhello\x00", d)
				c.Message("hello", "destination:"+d, "subscription:s", "message-id", "content-length:5")
			}
		}},
		{"MESSAGE", "message-ids differ", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "a", t)
			e.subscribe(c, "b", t)
			seen := map[string]bool{}
			for range 3 {
				c.Sendf("SEND\ndestination:%s\n\nx\x00", t)
				for range 2 {
					m := c.Message("x")
					seen[m.Value("message-id")+" "+m.Value("subscription")] = true
				}
			}
			if len(seen) != 6 {
				e.Errorf("6 messages have ids %v", seen)
			}
		}},
		{"MESSAGE", "user headers are unchanged and in order", nil, func(e *env) {
			want := []string{"content-type:text/plain;charset=utf-8", "zeta:1", "alpha:2", "correlation-id:abc-1", "priority:4",
				"persistent:true", "Message-ID:mine", "x-empty:", "zeta:3", "type:t", "app-id:me", "timestamp:12345"}
			for _, d := range []string{e.topic(), e.queue()} {
				c := e.connect()
				e.subscribe(c, "s", d)
				c.Sendf("SEND\ndestination:%s\n%s\nx\x00", d, lines(want))
				m := c.Message("x")
				var got []string
				for _, h := range m.Headers {
					switch h.Name {
					case "destination", "message-id", "subscription", "content-length":
					default:
						got = append(got, h.Name+":"+h.Value)
					}
				}
				if !slices.Equal(got, want) {
					e.Errorf("%s: got %q", d, got)
				}
			}
		}},
		{"MESSAGE", "content-type is passed on and never made", nil, func(e *env) {
			if f := e.forward(e.v, e.v, "content-type:application/json\n"); f.Value("content-type") != "application/json" {
				e.Errorf("got %s", f)
			}
			if f := e.forward(e.v, e.v, ""); f.Value("content-type") != "" {
				e.Errorf("got %s", f)
			}
		}},
		{"MESSAGE", "an acknowledged one keeps its message-id when redelivered", from11, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 1, 1, "ack:client-individual")
			c.Sendf("%s", settle("NACK", c, ms[0]))
			c.Message("1", "message-id:"+ms[0].Value("message-id"))
		}},
		{"MESSAGE", "between all versions", nil, func(e *env) {
			for _, to := range []string{"1.0", "1.1", "1.2"} {
				for _, d := range []string{e.topic(), e.queue()} {
					sub, pub := e.connectAs(to), e.connect()
					e.subscribe(sub, "s", d)
					e.send(pub, d, "hello")
					sub.Message("hello", "destination:"+d, "subscription:s", "content-length:5")
				}
			}
		}},
		{"MESSAGE", "one frame is one WebSocket message, text for text", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "s", t)
			for i := range 20 {
				c.Sendf("SEND\ndestination:%s\n\n%d 구독\x00", t, i)
			}
			for i := range 20 {
				m := c.Message(fmt.Sprintf("%d 구독", i))
				if m.Binary && e.tr == harness.WSText || !m.Binary && e.tr == harness.WSBinary {
					e.Errorf("binary is %t for a client that speaks %s", m.Binary, e.tr)
				}
			}
		}},
		{"MESSAGE", "binary when the body is not UTF-8", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			c.Sendf("SEND\ndestination:%s\ncontent-length:4\n\n\xff\xfe\x00\x01\x00", q)
			e.subscribe(c, "s", q)
			if m := c.Message("\xff\xfe\x00\x01", "content-length:4"); e.tr.WebSocket() && !m.Binary {
				e.Error("in a text message")
			}
		}},
	}
	return append(cases, tcase{"MESSAGE", "a publisher's content-length is not forwarded twice", nil, func(e *env) {
		f := e.forward(e.v, e.v, "content-length:4\n")
		if got := f.All("content-length"); !slices.Equal(got, []string{"4"}) {
			e.Errorf("got %q", got)
		}
	}})
}
