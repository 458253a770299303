package limits

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// The limits of frames and of one session. Those of ann are higher or lower.
const (
	smallLimits = `
limits: {header_line: 300B, headers: 10, header_bytes: 1KiB, body: 2000B, before_connect: 900B, subscriptions: 6,
  wildcard_subscriptions: 3, unacked: 5, prefetch_bytes: 2000B, transactions: 3, transaction_frames: 5, transaction_bytes: 1500B}
policies: [{match: "/queue/full.**", max_messages: 4}]
`
	annsLimits = `header_line: 400B, headers: 12, header_bytes: 1100B, body: 1500B, subscriptions: 8, wildcard_subscriptions: 5, unacked: 7,
  prefetch_bytes: 1300B, transactions: 5, transaction_frames: 7, transaction_bytes: 1450B`
)

var sessions = []*group{
	{name: "sessions", config: sessionConfig, rows: sessionRows("", 300, 10, 1024, 2000, 6, 3, 5, 2000, 3, 5, 1500)},
	{name: "sessions of ann", config: sessionConfig, rows: sessionRows("ann", 400, 12, 1100, 1500, 8, 5, 7, 1300, 5, 7, 1450)},
	{name: "fixed", config: sessionConfig, rows: fixedRows},
}

func sessionConfig(t testing.TB) string { return smallLimits + users(t, annsLimits, "") }

func send(destination, headers, body string) string {
	return "SEND\ndestination:" + destination + "\n" + headers + "\n" + body + "\x00"
}

// padding is header lines of together n bytes, EOLs included, none of more than 250.
func padding(n int) string {
	var b strings.Builder
	for n > 0 {
		line := min(n, 250)
		if rest := n - line; rest > 0 && rest < 10 {
			line -= 20
		}
		b.WriteString("p:" + strings.Repeat("x", line-3) + "\n")
		n -= line
	}
	return b.String()
}

// handshake is a row's run where the frame that is judged is CONNECT, before CONNECT, and otherwise
// that of frames.
func handshake(lines func(n int) string) func(c *cell, n int) {
	return func(c *cell, n int) {
		if c.phase != before {
			c.run(n)
			return
		}
		x := c.dial()
		x.Sendf("CONNECT\naccept-version:1.2\n%s\n\x00", lines(n))
		if n > c.row.at {
			c.refused(x, c.row.reason, c.row.code, "")
			return
		}
		x.Expect("CONNECTED")
		c.leave(x)
	}
}

// sessionRows are the rows of limits that a user can have, too.
func sessionRows(login string, line, headers, headerBytes, body, subscriptions, wild, unacked, prefetch, transactions, txFrames, txBytes int) []row {
	const head = "SEND\ndestination:/topic/m\nreceipt:r\n"
	rows := []row{
		{limit: "header_line", at: line, reason: "header line too long", code: 1009,
			frames: func(_ *cell, n int) []string {
				return []string{send("/topic/m", "receipt:r\nx:"+strings.Repeat("y", n-2)+"\n", "")}
			},
			run: handshake(func(n int) string { return "x:" + strings.Repeat("y", n-2) + "\n" })},
		{limit: "headers", at: headers, reason: "too many headers", code: 1009,
			frames: func(_ *cell, n int) []string {
				return []string{send("/topic/m", "receipt:r\n"+strings.Repeat("a:b\n", n-2), "")}
			},
			run: handshake(func(n int) string { return strings.Repeat("a:b\n", n-1) })},
		{limit: "header_bytes", at: headerBytes, reason: "header section too large", code: 1009,
			frames: func(_ *cell, n int) []string { return []string{head + padding(n-len(head)) + "\n\x00"} },
			phases: []string{within, after}}, // before it the frame's own limit is smaller
		{limit: "body", name: "with content-length", at: body, reason: "body too large", code: 1009,
			frames: func(_ *cell, n int) []string {
				return []string{send("/topic/m", fmt.Sprintf("receipt:r\ncontent-length:%d\n", n), strings.Repeat("b", n))}
			},
			phases: []string{within, after}},
		{limit: "body", name: "without content-length", at: body, reason: "body too large", code: 1009,
			frames: func(_ *cell, n int) []string {
				return []string{send("/topic/m", "receipt:r\n", strings.Repeat("b", n))}
			},
			phases: []string{within, after}},
		{limit: "subscriptions", at: subscriptions, reason: "too many subscriptions", code: 1008, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/m.%[1]d\n%s\n\x00", i, receipt)
				})
			}},
		{limit: "subscriptions", name: "durable, of one owner", at: subscriptions, reason: "too many subscriptions", code: 1008, soft: true,
			headers: func(c *cell) string { return fmt.Sprintf("client-id:c%d\n", c.id) },
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					f := fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/m.%[1]d\ndurable-subscription-name:d%[1]d\n%s\n\x00", i, receipt)
					if receipt == "" {
						f += fmt.Sprintf("UNSUBSCRIBE\nid:%d\n\n\x00", i)
					}
					return f
				})
			}},
		{limit: "subscriptions", name: "temporary queues", at: subscriptions, reason: "too many subscriptions", code: 1008, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return send(fmt.Sprintf("/temp-queue/%d", i), receipt, "")
				})
			}},
		{limit: "wildcard_subscriptions", at: wild, reason: "too many wildcard subscriptions", code: 1008, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/m.%[1]d.%s\n%s\n\x00", i, []string{"*", "**"}[i%2], receipt)
				})
			}},
		{limit: "unacked", at: unacked, run: runUnacked},
		{limit: "prefetch_bytes", at: prefetch, run: runPrefetchBytes},
		{limit: "transactions", at: transactions, reason: "too many transactions", code: 1008, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("BEGIN\ntransaction:%d\n%s\n\x00", i, receipt)
				})
			}},
		{limit: "transaction_frames", name: "SEND", at: txFrames, reason: "too many frames in transactions", code: 1008, soft: true,
			frames: inTransactions(func(tx, receipt string) string { return send("/topic/m", tx+receipt, "") })},
		{limit: "transaction_frames", name: "ACK", at: txFrames, reason: "too many frames in transactions", code: 1008, soft: true,
			frames: inTransactions(func(tx, receipt string) string { return "ACK\nid:9-9\n" + tx + receipt + "\n\x00" })},
		{limit: "transaction_frames", name: "NACK", at: txFrames, reason: "too many frames in transactions", code: 1008, soft: true,
			frames: inTransactions(func(tx, receipt string) string { return "NACK\nid:9-9\n" + tx + receipt + "\n\x00" })},
		{limit: "transaction_bytes", at: txBytes, reason: "transaction too large", code: 1009, soft: true, run: runTransactionBytes},
	}
	for i := range rows {
		rows[i].login = login
		if login != "" && (rows[i].limit == "header_line" || rows[i].limit == "headers") {
			rows[i].phases = []string{within, after} // before it all are alike
		}
	}
	return rows
}

// numbered is n frames, the last of which asks for a receipt.
func numbered(n int, frame func(i int, receipt string) string) []string {
	all := make([]string, n)
	for i := range all {
		receipt := ""
		if i == n-1 {
			receipt = "receipt:r\n"
		}
		all[i] = frame(i, receipt)
	}
	return all
}

// inTransactions is n frames in two transactions by turns.
func inTransactions(frame func(tx, receipt string) string) func(*cell, int) []string {
	return func(_ *cell, n int) []string {
		return append([]string{"BEGIN\ntransaction:0\n\n\x00", "BEGIN\ntransaction:1\n\n\x00"},
			numbered(n, func(i int, receipt string) string { return frame(fmt.Sprintf("transaction:%d\n", i%2), receipt) })...)
	}
}

// fixedRows are bounds that are no setting, or one of a policy.
var fixedRows = []row{
	{limit: "before_connect", at: 900, reason: "frame too large", code: 1009,
		frames: func(_ *cell, n int) []string { // holds no more
			const head = "SEND\ndestination:/topic/m\nreceipt:r\n"
			return []string{head + "\n" + strings.Repeat("b", n+100) + "\x00"}
		},
		run: func(c *cell, n int) {
			if c.phase == before {
				handshake(func(n int) string { return padding(n - len("CONNECT\naccept-version:1.2\n\n\x00")) })(c, n)
				return
			}
			x := c.begin(c.row.frames(c, n)...)
			x.Receipt("r")
			c.leave(x)
		}},
	{name: "destination of a SEND", at: 255, reason: "bad destination", code: 1008, soft: true,
		frames: func(_ *cell, n int) []string {
			return []string{send("/topic/"+strings.Repeat("d", n-len("/topic/")), "receipt:r\n", "")}
		}},
	{name: "destination of a SUBSCRIBE", at: 255, reason: "bad destination", code: 1008, soft: true,
		frames: func(_ *cell, n int) []string {
			return []string{"SUBSCRIBE\nid:0\nreceipt:r\ndestination:/topic/" + strings.Repeat("d", n-len("/topic/")) + "\n\n\x00"}
		}},
	{name: "segments of a destination", at: 32, reason: "bad destination", code: 1008, soft: true,
		frames: func(_ *cell, n int) []string {
			return []string{send("/topic/"+strings.TrimSuffix(strings.Repeat("s.", n), "."), "receipt:r\n", "")}
		}},
	{name: "name of a durable subscription", at: 255, reason: "bad header value", code: 1002, soft: true,
		headers: func(c *cell) string { return fmt.Sprintf("client-id:c%d\n", c.id) },
		frames: func(_ *cell, n int) []string {
			return []string{"SUBSCRIBE\nid:0\nreceipt:r\ndestination:/topic/m\ndurable-subscription-name:" + strings.Repeat("n", n) + "\n\n\x00"}
		}},
	{name: "delay of a NACK", at: 86_400_000, reason: "bad header value", code: 1002, soft: true,
		frames: func(_ *cell, n int) []string {
			return []string{fmt.Sprintf("NACK\nid:9-9\nreceipt:r\ndelay:%d\n\n\x00", n)}
		}},
	{name: "time in a header", at: 253_402_300_799_000, reason: "bad header value", code: 1002, soft: true,
		frames: func(c *cell, n int) []string {
			return []string{send("/topic/m", fmt.Sprintf("receipt:r\nexpires:%d\n", n), "")}
		}},
	{name: "client-id", at: 200, reason: "bad login name", code: 1008, phases: []string{before},
		run: handshake(func(n int) string { return "client-id:" + strings.Repeat("c", n) + "\n" })},
	{name: "max_messages of a policy", at: 4, reason: "queue is full", code: 1013, soft: true,
		frames: func(c *cell, n int) []string {
			return numbered(n, func(_ int, receipt string) string {
				return send(fmt.Sprintf("/queue/full.%d", c.id), "persistent:false\nexpiration:60000\n"+receipt, "")
			})
		}},
}

// runUnacked has a session hold so many messages of two subscriptions, and no more; one more comes for
// each that it acknowledges.
func runUnacked(c *cell, n int) {
	q := fmt.Sprintf("/queue/u%d", c.id)
	frames := numbered(n, func(i int, receipt string) string {
		return send(q+[]string{"a", "b"}[i%2], "persistent:false\n"+receipt, fmt.Sprint(i))
	})
	for _, sub := range []string{"a", "b"} {
		frames = append(frames, fmt.Sprintf("SUBSCRIBE\nid:%s\ndestination:%s%[1]s\nack:client-individual\nprefetch-count:1000\n\n\x00", sub, q))
	}
	x := c.begin(frames...)
	if x == nil {
		return
	}
	held := c.gather(x)
	if want := min(n, c.row.at); len(held) != want {
		c.Fatalf("%d messages are held, want %d", len(held), want)
	}
	for acked := 0; acked < n; acked++ {
		x.Sendf("ACK\nid:%s\nreceipt:a\n\n\x00", held[acked].Value("ack"))
		held = append(held, c.gather(x)...)
		if want := min(n, acked+1+c.row.at); len(held) != want {
			c.Fatalf("%d messages came after %d were acknowledged, want %d", len(held), acked+1, want)
		}
	}
	c.leave(x)
}

// size is what a MESSAGE counts: store.Message.Size.
func size(f *harness.Frame) int {
	own := len("MESSAGE\n")
	for _, h := range f.Headers {
		switch h.Name {
		case "subscription", "ack":
			own += len(h.Raw) + 1
		}
	}
	return len(f.Raw) - own + len(f.Value("message-id")) + len(f.Value("destination")) + 64
}

// sized is a body with which a message to where probe went counts n.
func sized(c *cell, probe *harness.Frame, n int) string {
	c.Helper()
	id := probe.Value("message-id")
	counter := id[strings.LastIndexByte(id, '-')+1:]
	if strings.Trim(counter, "z") == "" {
		n -= 2 // the next one is longer: as id, and in the message
	}
	for b := 1; b < n; b++ {
		if size(probe)-len(probe.Body)-len(fmt.Sprint(len(probe.Body)))+b+len(fmt.Sprint(b)) == n {
			return strings.Repeat("b", b)
		}
	}
	c.Fatalf("no body makes %d bytes of %s", n, probe)
	return ""
}

// runPrefetchBytes has a subscription hold two messages of n bytes together, or the first alone.
func runPrefetchBytes(c *cell, n int) {
	q := fmt.Sprintf("/queue/p%d", c.id)
	to := func(body string) string { return send(q, "persistent:false\n", body) }
	x := c.begin(fmt.Sprintf("SUBSCRIBE\nid:0\ndestination:%s\nack:client-individual\n\n\x00", q), to("first"))
	if x == nil {
		return
	}
	first := x.Message("first")
	second := sized(c, first, n-size(first))
	x.Sendf("%s", to(second))
	got := c.gather(x)
	if n > c.row.at {
		if len(got) != 0 {
			c.Fatalf("%d bytes are held", size(first)+size(got[0]))
		}
		x.Sendf("ACK\nid:%s\n\n\x00", first.Value("ack"))
		got = c.gather(x)
	}
	if len(got) != 1 || size(first)+size(got[0]) != n || string(got[0].Body) != second {
		c.Fatalf("of %d and %d bytes came %d messages", size(first), n-size(first), len(got))
	}
	// One message is always let through.
	x.Sendf("ACK\nid:%s\n\n\x00ACK\nid:%s\n\n\x00%s", first.Value("ack"), got[0].Value("ack"), to(strings.Repeat("l", 1500)))
	if got = c.gather(x); len(got) != 1 {
		c.Fatalf("a message larger than all that may be held did not come")
	}
	x.Sendf("ACK\nid:%s\nreceipt:a\n\n\x00", got[0].Value("ack"))
	x.Receipt("a")
	c.leave(x)
}

// runTransactionBytes has a transaction of n bytes.
func runTransactionBytes(c *cell, n int) {
	q := fmt.Sprintf("/queue/t%d", c.id)
	x := c.begin(fmt.Sprintf("SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", q), send(q, "persistent:false\n", "first"))
	if x == nil {
		return
	}
	body := sized(c, x.Message("first"), n)
	x.Sendf("BEGIN\ntransaction:t\n\n\x00%s", send(q, "persistent:false\ntransaction:t\nreceipt:r\n", body))
	if n > c.row.at {
		c.exceeded(x, "r")
		return
	}
	x.Receipt("r")
	x.Sendf("COMMIT\ntransaction:t\n\n\x00")
	if m := x.Message(body); size(m) != n {
		c.Fatalf("the message has %d bytes, not %d", size(m), n)
	}
	x.Sendf("BEGIN\ntransaction:t\n\n\x00%sCOMMIT\ntransaction:t\nreceipt:c\n\n\x00", send(q, "persistent:false\ntransaction:t\n", body))
	if got := c.gather(x); len(got) != 1 { // COMMIT has given the bytes back
		c.Fatalf("%d messages of a second transaction", len(got))
	}
	c.leave(x)
}
