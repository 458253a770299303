package conformance

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestLimits holds the documented defaults to the byte: at the limit, and one beyond.
func TestLimits(t *testing.T) { runVersion(t, "1.2", "", limitCases()) }

// limited is a limit on one frame: what is at it, and what is one beyond.
func limited(name string, frame func(over int) string, reason, receipt string) []tcase {
	return []tcase{
		{name, "at the limit", nil, func(e *env) {
			c := e.connect()
			c.Sendf("%s", frame(0))
			c.Receipt("r")
			c.Sync()
		}},
		{name, "one beyond", nil, func(e *env) {
			c := e.connect()
			c.Sendf("%s", frame(1))
			e.refused(c, reason, receipt)
		}},
	}
}

// send makes a SEND with these headers and this body.
func sendFrame(headers, body string) string {
	return "SEND\ndestination:/topic/conformance.limits\nreceipt:r\n" + headers + "\n" + body + "\x00"
}

// padded is header lines of together n bytes, EOLs included.
func padded(n int) string {
	var b strings.Builder
	for i := 0; n > 0; i++ {
		name := fmt.Sprintf("h%d:", i)
		line := min(n, 4000)
		if rest := n - line; rest > 0 && rest < 20 {
			line -= 20
		}
		b.WriteString(name + strings.Repeat("x", line-len(name)-1) + "\n")
		n -= line
	}
	return b.String()
}

func limitCases() []tcase {
	const kib = 1 << 10
	var cases []tcase
	add := func(c []tcase) { cases = append(cases, c...) }
	add(limited("header_line", func(over int) string {
		return sendFrame("x:"+strings.Repeat("y", 8*kib-2+over)+"\n", "")
	}, "line too long", "r"))
	add(limited("headers", func(over int) string {
		return sendFrame(strings.Repeat("x:y\n", 62+over), "")
	}, "too many headers", "r"))
	add(limited("header_bytes", func(over int) string {
		// Command line and header lines, their EOLs included; not the blank line.
		return sendFrame(padded(32*kib-(len(sendFrame("", ""))-2)+over), "")
	}, "headers too large", "r"))
	add(limited("body with content-length", func(over int) string {
		n := 1024*kib + over
		return sendFrame(fmt.Sprintf("content-length:%d\n", n), strings.Repeat("b", n))
	}, "body too large", "r"))
	add(limited("body without content-length", func(over int) string {
		return sendFrame("", strings.Repeat("b", 1024*kib+over))
	}, "body too large", "r"))
	return append(cases, []tcase{
		{"body", "a content-length beyond it is refused before the body comes", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\ndestination:/topic/x\nreceipt:r\ncontent-length:%d\n\n", 1024*kib+1)
			e.refused(c, "body too large", "r")
		}},
		{"header_line", "is refused before its EOL comes", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\nreceipt:r\nx:%s", strings.Repeat("y", 8*kib))
			e.refused(c, "line too long", "r")
		}},
		{"headers", "repeated ones count", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\nreceipt:r\n%s\n\x00", strings.Repeat("a:\n", 64))
			e.refused(c, "too many headers", "r")
		}},
		{"before_connect", "at the limit", nil, func(e *env) {
			c := e.dial()
			head := "CONNECT\naccept-version:1.2\nhost:h\n"
			c.Sendf("%s%s\n\x00", head, padded(16*kib-len(head)-2))
			c.Expect("CONNECTED")
		}},
		{"before_connect", "one beyond", nil, func(e *env) {
			c := e.dial()
			head := "CONNECT\naccept-version:1.2\nhost:h\n"
			c.Sendf("%s%s\n\x00", head, padded(16*kib-len(head)-2+1))
			e.refused(c, "frame too large", "")
		}},
		{"before_connect", "does not hold after CONNECTED, even in one packet", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:1.2\nhost:h\n\n\x00%s", sendFrame("", strings.Repeat("b", 64*kib)))
			c.Expect("CONNECTED")
			c.Receipt("r")
		}},
		{"before_connect", "SEND of many bytes before it", nil, func(e *env) {
			c := e.dial()
			c.Sendf("SEND\ndestination:/topic/x\ncontent-length:100000\n\n%s", strings.Repeat("b", 32*kib))
			c.Expect("ERROR", "message")
			c.ExpectClose()
		}},
		{"subscriptions", "256 and one more", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			var raw strings.Builder
			for i := range 256 {
				fmt.Fprintf(&raw, "SUBSCRIBE\nid:%d\ndestination:%s.%d\n\n\x00", i, t, i)
			}
			c.Sendf("%s", raw.String())
			c.Sync()
			e.command(c, "UNSUBSCRIBE", "id:7")
			e.subscribe(c, "again", t)
			c.Sendf("SUBSCRIBE\nid:more\ndestination:%s\nreceipt:r\n\n\x00", t)
			e.refused(c, "subscriptions", "r")
		}},
	}...)
}

// smallLimits are the limits that would take long at their defaults.
const smallLimits = `
limits: { unacked: 10, transaction_bytes: 64KiB, body: 128KiB }
`

func TestConfiguredLimits(t *testing.T) {
	runVersion(t, "1.2", smallLimits, []tcase{
		{"transaction_bytes", "well below and well beyond", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			body := strings.Repeat("b", 20<<10)
			e.command(c, "BEGIN", "transaction:t")
			for range 3 {
				c.Sendf("SEND\ndestination:%s\ntransaction:t\nreceipt:r\n\n%s\x00", t, body)
				c.Receipt("r")
			}
			e.command(c, "COMMIT", "transaction:t")
			e.command(c, "BEGIN", "transaction:t")
			for range 3 {
				c.Sendf("SEND\ndestination:%s\ntransaction:t\n\n%s\x00", t, body)
			}
			c.Sendf("SEND\ndestination:%s\ntransaction:t\nreceipt:r\n\n%s\x00", t, body)
			e.refused(c, "tx bytes", "r")
		}},
		{"body", "at the limit and one beyond", nil, func(e *env) {
			c := e.connect()
			c.Sendf("%s", sendFrame("", strings.Repeat("b", 128<<10)))
			c.Receipt("r")
			c.Sendf("%s", sendFrame("", strings.Repeat("b", 128<<10+1)))
			e.refused(c, "body too large", "r")
		}},
		{"unacked", "caps prefetch", nil, func(e *env) {
			c := e.connect()
			_, ms := e.consume(c, 12, 10, "ack:client-individual", "prefetch-count:100")
			c.Sync()
			c.Sendf("%s", settle("ACK", c, ms[4]))
			c.Message("11")
			c.Sync()
		}},
		{"unacked", "is one for all subscriptions of a session", nil, func(e *env) {
			c := e.connect()
			e.consume(c, 6, 6, "ack:client-individual")
			q := e.queue()
			for i := range 6 {
				e.send(c, q, fmt.Sprint(i))
			}
			e.subscribe(c, "two", q, "ack:client-individual")
			for i := range 4 {
				c.Message(fmt.Sprint(i))
			}
			c.Sync()
		}},
	})
}

// TestTimeLimits has a broker of its own: on a busy machine honest frames take time too.
func TestTimeLimits(t *testing.T) {
	runVersion(t, "1.2", "limits: { connect_time: 2s, frame_time: 1s }\n", []tcase{
		{"connect_time", "silence is ended", nil, func(e *env) {
			c := e.dial()
			e.refused(c, "connect time", "")
		}},
		{"connect_time", "heart-beats do not help", nil, func(e *env) {
			c := e.dial()
			c.Sendf("\n\n")
			e.refused(c, "connect time", "")
		}},
		{"frame_time", "half a frame is ended", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\nreceipt:r\ndestination:/topic/x\ncontent-length:5\n\nhalf")
			if f := c.Expect("ERROR"); f.Value("message") != reasons["frame time"].message {
				e.Errorf("got %s", f)
			}
			c.ExpectClose()
		}},
		{"connect_time", "a client that drips is ended", nil, func(e *env) {
			c := e.dial()
			f := dripped(e, c, "CONNECT\naccept-version:1.2\nhost:"+strings.Repeat("x", 1000))
			if f.Command != "ERROR" {
				e.Errorf("got %s", f)
			}
			c.ExpectClose()
		}},
		{"frame_time", "a client that drips is ended", nil, func(e *env) {
			c := e.connect()
			f := dripped(e, c, "SEND\ndestination:/topic/x\n\n"+strings.Repeat("x", 1000))
			if f.Command != "ERROR" || f.Value("message") != reasons["frame time"].message {
				e.Errorf("got %s", f)
			}
			c.ExpectClose()
		}},
		{"frame_time", "silence between frames is no frame", nil, func(e *env) {
			c := e.connect()
			listen(e, c, 2*time.Second)
			c.Sync()
		}},
		{"frame_time", "half a CONNECT is ended", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-")
			c.Expect("ERROR", "message")
			c.ExpectClose()
		}},
	})
}

// dripped sends a text byte by byte, slowly, until a frame comes.
func dripped(e *env, c *harness.Client, text string) *harness.Frame {
	e.Helper()
	for i := range text {
		c.Sendf("%s", text[i:i+1])
		f, err := c.ReadFrame(50 * time.Millisecond)
		if f != nil {
			return f
		}
		if err.Error() != "nothing came in time" {
			e.Fatal(err)
		}
	}
	e.Fatal("nobody minds")
	return nil
}

// TestHalfClose: a client that has said all may close its half of TCP and still gets its receipts.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	conn, err := net.Dial("tcp", b.TCP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, connect+sendFrame("", "x")+"DISCONNECT\nreceipt:bye\n\n\x00")
	conn.(*net.TCPConn).CloseWrite()
	conn.SetReadDeadline(time.Now().Add(harness.Patience))
	out, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(out), "\x00RECEIPT\nreceipt-id:r\n\n\x00RECEIPT\nreceipt-id:bye\n\n\x00") {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestIndependence: a thing of one protocol does not need the other's listener.
func TestIndependence(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	tcp := &env{T: t, b: b, tr: harness.TCP, v: "1.1"}
	ws := &env{T: t, b: b, tr: harness.WSText, v: "1.2"}
	topic, queue := tcp.topic(), tcp.queue()
	a, c := tcp.connect(), ws.connect()
	tcp.subscribe(a, "0", topic)
	ws.subscribe(c, "0", queue)
	ws.send(c, topic, "from WebSocket to TCP")
	a.Message("from WebSocket to TCP")
	tcp.send(a, queue, "from TCP to WebSocket")
	c.Message("from TCP to WebSocket")
}
