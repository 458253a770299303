package conformance

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gudokmq/gudok/test/harness"
)

// frameCases are STOMP 1.2, STOMP Frames: commands, EOLs, bodies.
func frameCases() []tcase {
	cases := []tcase{
		{"Frames", "EOLs between frames are skipped", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("\n\n\nSEND\ndestination:%s\n\none\x00\n\r\n\n\r\nSEND\ndestination:%s\n\ntwo\x00SEND\ndestination:%s\n\nthree\x00\n", t, t, t)
			c.Message("one")
			c.Message("two")
			c.Message("three")
		}},
		{"Frames", "NULs between frames are skipped", nil, func(e *env) {
			c := e.connect()
			c.Sendf("\x00\n\x00SEND\ndestination:%s\nreceipt:r\n\nx\x00\x00\n\x00", e.topic())
			c.Receipt("r")
			c.Sync()
		}},
		{"Frames", "heart-beats alone are no frames", nil, func(e *env) {
			c := e.connect()
			for range 5 {
				c.Sendf("\n")
			}
			c.Sendf("\r\n")
			c.Sync()
		}},
		{"Frames", "CRLF ends lines", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\r\nid:0\r\ndestination:%s\r\n\r\n\x00", t)
			c.Sendf("SEND\r\ndestination:%s\r\nx:y\r\ncontent-length:4\r\n\r\n\r\n\r\n\x00\r\n", t)
			c.Message("\r\n\r\n", "x:y", "destination:"+t)
		}},
		{"Frames", "LF and CRLF may be mixed", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\r\nx:y\n\r\nbody\x00", t)
			c.Message("body", "x:y")
			c.Sendf("SEND\r\ndestination:%s\nx:y\r\n\nbody\x00", t)
			c.Message("body", "x:y")
		}},
		{"Frames", "empty body", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\n\n\x00", t)
			c.Message("")
		}},
		{"Frames", "body without content-length ends at NUL", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\n\nline 1\nline 2\n\n\x00", t)
			c.Message("line 1\nline 2\n\n", "content-length:15")
		}},
		{"Frames", "unicode body", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\n\n구독 ✓ 𝄞 é\x00", t)
			c.Message("구독 ✓ 𝄞 é", fmt.Sprintf("content-length:%d", len("구독 ✓ 𝄞 é")))
		}},
		{"Frames", "half a frame and then the end is dropped", nil, func(e *env) {
			q := e.queue()
			c := e.connect()
			c.Sendf("SEND\ndestination:%s\n\nhalf", q)
			c.Abort()
			other := e.connect()
			e.subscribe(other, "0", q)
			e.expectMarker(other, q)
		}},
		{"Frames", "content-length complete but no NUL and then the end is dropped", nil, func(e *env) {
			q := e.queue()
			c := e.connect()
			// A text message that ends there is React Native's; it has a case of its own.
			length := 6
			if e.tr == harness.TCP || e.tr == harness.TCPBytewise || e.tr == harness.WSBinary {
				length = 5
			}
			c.Sendf("SEND\ndestination:%s\ncontent-length:%d\n\nhello", q, length)
			c.Abort()
			other := e.connect()
			e.subscribe(other, "0", q)
			e.expectMarker(other, q)
		}},
		{"Frames", "many in one packet are processed in order", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			var raw bytes.Buffer
			for i := range 100 {
				fmt.Fprintf(&raw, "SEND\ndestination:%s\n\n%d\x00\n", t, i)
			}
			c.Send(raw.Bytes())
			for i := range 100 {
				c.Message(fmt.Sprint(i))
			}
		}},
		{"Frames", "every byte value in a body", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			body := make([]byte, 256)
			for i := range body {
				body[i] = byte(i)
			}
			c.Sendf("SEND\ndestination:%s\ncontent-length:256\n\n%s\x00", t, body)
			m := c.Message(string(body), "content-length:256")
			if e.tr.WebSocket() && !m.Binary {
				e.Error("a body that is not UTF-8 came in a text message")
			}
		}},
		{"Frames", "a body of 200 KiB", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			body := strings.Repeat("0123456789abcdef", 200<<10/16)
			c.Sendf("SEND\ndestination:%s\ncontent-length:%d\n\n%s\x00", t, len(body), body)
			c.Message(body)
		}},
	}
	rows := []bad{
		{"Frames", "unknown command", nil, "HELLO\nreceipt:r\n\n\x00", "unknown command", ""},
		{"Frames", "lower-case command", nil, "send\ndestination:{q}\nreceipt:r\n\nx\x00", "unknown command", ""},
		{"Frames", "space after the command", nil, "SEND \ndestination:{q}\n\nx\x00", "unknown command", ""},
		{"Frames", "space before the command", nil, " SEND\ndestination:{q}\n\nx\x00", "unknown command", ""},
		{"Frames", "CR without LF after the command", nil, "SEND\rdestination:{q}\n\nx\x00", "unknown command", ""},
		{"Frames", "MESSAGE from a client", nil, "MESSAGE\ndestination:{q}\nmessage-id:1\n\nx\x00", "unknown command", ""},
		{"Frames", "RECEIPT from a client", nil, "RECEIPT\nreceipt-id:1\n\n\x00", "unknown command", ""},
		{"Frames", "ERROR from a client", nil, "ERROR\nmessage:1\n\n\x00", "unknown command", ""},
		{"Frames", "CONNECTED from a client", nil, "CONNECTED\nversion:1.2\n\n\x00", "unknown command", ""},
		{"Frames", "NUL after the command", nil, "SEND\x00", "NUL in headers", ""},
		{"Frames", "NUL in a header", nil, "SEND\nreceipt:r\ndestination:{q}\x00x\n\nx\x00", "NUL in headers", "r"},
		{"Frames", "NUL in place of the blank line", nil, "SEND\ndestination:{q}\n\x00", "NUL in headers", ""},
	}
	for _, f := range []string{
		"SUBSCRIBE\nid:0\ndestination:{t}\nreceipt:r\n", "UNSUBSCRIBE\nid:0\nreceipt:r\n", "ACK\nid:1\nreceipt:r\n",
		"BEGIN\ntransaction:t\nreceipt:r\n", "COMMIT\ntransaction:t\nreceipt:r\n",
		"ABORT\ntransaction:t\nreceipt:r\n", "DISCONNECT\nreceipt:r\n",
	} {
		name, _, _ := strings.Cut(f, "\n")
		rows = append(rows,
			bad{"Body", "on " + name, nil, f + "\nbody\x00", "body not allowed", "r"},
			bad{"Body", "with content-length on " + name, nil, f + "content-length:4\n\nbody\x00", "body not allowed", "r"})
	}
	rows = append(rows, bad{"Body", "on NACK", from11, "NACK\nid:1\nreceipt:r\n\nbody\x00", "body not allowed", "r"})
	return append(cases, badCases(rows)...)
}

// contentLengthCases are STOMP 1.2, Header content-length.
func contentLengthCases() []tcase {
	body := func(name, length, body string) tcase {
		return tcase{"content-length", name, nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\ncontent-length:%s\n\n%s\x00", t, length, body)
			c.Message(body, fmt.Sprintf("content-length:%d", len(body)))
		}}
	}
	cases := []tcase{
		body("NULs in the body", "9", "a\x00b\x00\x00c\x00d\x00"),
		body("a body of one NUL", "1", "\x00"),
		body("a body that looks like a frame", "34", "\x00\nSEND\ndestination:/topic/x\n\nhi\x00\n\n"),
		body("bytes are counted, not characters", "6", "구독"),
		body("EOLs at the end of a body", "3", "a\n\n"),
		{"content-length", "0", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\ncontent-length:0\n\n\x00", t)
			c.Message("")
		}},
		{"content-length", "0 on a frame without a body", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SUBSCRIBE\nid:0\ndestination:%s\ncontent-length:0\nreceipt:r\n\n\x00", e.topic())
			c.Receipt("r")
		}},
		{"content-length", "first of two counts", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			c.Sendf("SEND\ndestination:%s\ncontent-length:3\ncontent-length:5\n\nabc\x00", t)
			c.Message("abc", "content-length:3")
		}},
	}
	rows := []bad{
		{"content-length", "too short", nil, "SEND\ndestination:{q}\nreceipt:r\ncontent-length:2\n\nabc\x00", "body too long", "r"},
		{"content-length", "0 with a body", nil, "SEND\ndestination:{q}\nreceipt:r\ncontent-length:0\n\nabc\x00", "body too long", "r"},
		// The announced length reaches into the frame that follows.
		{"content-length", "too long", nil, "SEND\ndestination:{q}\nreceipt:r\ncontent-length:10\n\nabc\x00", "body too long", "r"},
	}
	for _, v := range []string{"abc", "-1", "+3", "3.0", "0x3", "3 3", "", "99999999999999999999", "18446744073709551619"} {
		rows = append(rows, bad{"content-length", "is no number: " + strings.ReplaceAll(v, " ", "_"), from11,
			"SEND\ndestination:{q}\nreceipt:r\ncontent-length:" + v + "\n\nabc\x00", "content-length", "r"})
	}
	return append(cases, badCases(rows)...)
}
