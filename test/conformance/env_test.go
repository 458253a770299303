package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/gudokmq/gudok/test/harness"
)

// env is what one case runs in.
type env struct {
	*testing.T
	b  *harness.Broker
	tr harness.Transport
	v  string

	clients []*harness.Client
}

var names atomic.Int64

// unique makes a name that no other case uses.
func unique(prefix string) string { return fmt.Sprintf("%sc%d", prefix, names.Add(1)) }

func (e *env) queue() string { return unique("/queue/conformance.") }
func (e *env) topic() string { return unique("/topic/conformance.") }

// dial connects without a word of STOMP.
func (e *env) dial(lines ...string) *harness.Client {
	e.Helper()
	return e.adopt(e.b.Dial(e.T, e.tr, lines...))
}

// dialAlone is dial from an address that nobody else has: failed logins are slowed by address.
func (e *env) dialAlone() *harness.Client {
	e.Helper()
	return e.adopt(e.b.Elsewhere().Dial(e.T, e.tr))
}

func (e *env) adopt(c *harness.Client) *harness.Client {
	e.clients = append(e.clients, c)
	// What another client of this case collected goes out first, so that order stays.
	c.BeforeSend = func() {
		for _, other := range e.clients {
			if other != c {
				other.Flush()
			}
		}
	}
	c.BeforeRead = c.BeforeSend
	return c
}

// connect makes a session of the version under test.
func (e *env) connect(headers ...string) *harness.Client {
	e.Helper()
	return e.connectAs(e.v, headers...)
}

func (e *env) connectAs(version string, headers ...string) *harness.Client {
	e.Helper()
	c := e.dial()
	c.Sendf("CONNECT\naccept-version:%s\nhost:localhost\n%s\n\x00", version, lines(headers))
	c.Expect("CONNECTED", "version:"+version)
	return c
}

func lines(headers []string) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h + "\n")
	}
	return b.String()
}

// subscribe subscribes and waits until it took effect.
func (e *env) subscribe(c *harness.Client, id, destination string, headers ...string) {
	e.Helper()
	r := unique("subscribed-")
	c.Sendf("SUBSCRIBE\nid:%s\ndestination:%s\nreceipt:%s\n%s\n\x00", id, destination, r, lines(headers))
	c.Receipt(r)
}

// send sends one message for each body and waits until they are stored.
func (e *env) send(c *harness.Client, destination string, bodies ...string) {
	e.Helper()
	for _, body := range bodies {
		r := unique("sent-")
		c.Sendf("SEND\ndestination:%s\nreceipt:%s\n\n%s\x00", destination, r, body)
		c.Receipt(r)
	}
}

// settle is an ACK or NACK frame for m in the session's version.
func settle(command string, c *harness.Client, m *harness.Frame, headers ...string) string {
	id := "id:" + m.Value("ack") + "\n"
	switch c.Version {
	case "1.1":
		id = "message-id:" + m.Value("message-id") + "\nsubscription:" + m.Value("subscription") + "\n"
	case "1.0":
		id = "message-id:" + m.Value("message-id") + "\n"
	}
	return command + "\n" + id + lines(headers) + "\n\x00"
}

// ack acknowledges and waits until it took effect.
func (e *env) ack(c *harness.Client, m *harness.Frame, headers ...string) {
	e.Helper()
	e.settled("ACK", c, m, headers)
}

func (e *env) settled(command string, c *harness.Client, m *harness.Frame, headers []string) {
	e.Helper()
	r := unique("settled-")
	c.Sendf("%s", settle(command, c, m, append(headers, "receipt:"+r)...))
	c.Receipt(r)
}

// command sends a frame with these headers and a receipt, and waits for it.
func (e *env) command(c *harness.Client, command string, headers ...string) {
	e.Helper()
	r := unique("done-")
	c.Sendf("%s\n%sreceipt:%s\n\n\x00", command, lines(headers), r)
	c.Receipt(r)
}

// refused expects the one ERROR that answers a fault, as the table of reasons has it, and then
// the end of the connection with the code of the table. receipt is what receipt-id must be;
// empty if there must be none.
func (e *env) refused(c *harness.Client, key, receipt string) *harness.Frame {
	e.Helper()
	want, ok := reasons[key]
	if !ok {
		e.Fatalf("no reason %q in the table", key)
	}
	f := c.Expect("ERROR")
	if f.Value("message") != want.message {
		e.Errorf("message is %q, not %q: %s", f.Value("message"), want.message, f)
	}
	if got, ok := f.Get("receipt-id"); got != receipt || ok != (receipt != "") {
		e.Errorf("receipt-id is %q, not %q: %s", got, receipt, f)
	}
	if len(f.Body) == 0 || !utf8.Valid(f.Body) {
		e.Errorf("an ERROR without an explanation: %s", f)
	}
	if ct := f.Value("content-type"); !strings.HasPrefix(ct, "text/plain") {
		e.Errorf("content-type of an ERROR is %q", ct)
	}
	end := c.ExpectClose()
	if e.tr.WebSocket() && end.Code != want.code {
		e.Errorf("close code after %q is %d, not %d", want.message, end.Code, want.code)
	}
	return f
}

// bad is a table row: one malformed or refused frame after CONNECT. {q}, {t} stand for a queue
// and a topic of the case's own.
type bad struct {
	clause, name string
	versions     []string
	raw          string
	reason       string
	receipt      string // receipt-id expected
}

// badCases makes cases of rows. A SEND follows each bad frame in the same packet; it must have
// no effect, nor make a second ERROR.
func badCases(rows []bad) []tcase {
	var cases []tcase
	for _, r := range rows {
		cases = append(cases, tcase{r.clause, r.name, r.versions, func(e *env) {
			if e.tr == harness.WSSplitText && (r.clause == "Body" || r.clause == "content-length") {
				// A text message that ends where the frame lacks its NUL alone is React Native's.
				e.tr = harness.WSSplit
			}
			q := e.queue()
			c := e.connect()
			raw := strings.NewReplacer("{q}", q, "{t}", e.topic()).Replace(r.raw)
			c.Sendf("%sSEND\ndestination:%s\nreceipt:after\n\nafter the fault\x00", raw, q)
			e.refused(c, r.reason, r.receipt)
			other := e.connectAs("1.2")
			e.subscribe(other, "0", q)
			e.expectMarker(other, q)
		}})
	}
	return cases
}

// expectMarker proves that a queue is empty: what c, subscribed in auto mode, gets next is what
// is sent now.
func (e *env) expectMarker(c *harness.Client, queue string) {
	e.Helper()
	c.Sendf("SEND\ndestination:%s\n\nmarker\x00", queue)
	c.Message("marker", "!redelivered")
}

// replies sends a request that asks for replies to a temporary queue.
func (e *env) replies(c *harness.Client, destination, replyTo, body string) {
	e.Helper()
	r := unique("asked-")
	c.Sendf("SEND\ndestination:%s\nreply-to:%s\nreceipt:%s\n\n%s\x00", destination, replyTo, r, body)
	c.Receipt(r)
}
