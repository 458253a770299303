package limits

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// Limits of all sessions together. Two of them are those of the honest clients.
var total = group{
	name:   "connections",
	config: func(testing.TB) string { return "limits: {connections: 5}\n" },
	rows: []row{{limit: "connections", at: 5, reason: "too many connections", code: 1013, phases: []string{before, after},
		run: func(c *cell, n int) { c.crowd(n-2, n > c.row.at) }}},
}

var addresses = group{
	name:   "address",
	config: func(testing.TB) string { return "limits: {connections_per_address: 3}\n" },
	rows: []row{{limit: "connections_per_address", at: 3, reason: "too many connections of one address", code: 1013, phases: []string{before, after},
		run: func(c *cell, n int) { c.crowd(n, n > c.row.at) }}},
}

var named = group{
	name: "user",
	config: func(t testing.TB) string {
		return "limits: {connections_per_user: 3}\n" + users(t, "connections: 4", "connections: 2")
	},
	rows: []row{
		{limit: "connections_per_user", login: "bob", at: 3, reason: "too many connections of one user", code: 1013, phases: []string{before, after}, run: runNamed},
		{limit: "connections", login: "ann", at: 4, reason: "too many connections of one user", code: 1013, phases: []string{before, after}, run: runNamed},
		{limit: "connections", login: "cat", at: 2, reason: "too many connections of one user", code: 1013, phases: []string{before, after}, run: runNamed},
	},
}

// crowd opens n connections, with CONNECT on each or without; the last one is refused, or none is.
// What has not been refused goes on.
func (c *cell) crowd(n int, refused bool) {
	c.Helper()
	var all []*harness.Client
	for i := range n {
		x := c.dial()
		if c.phase == after {
			x.Sendf("%s", c.connectFrame(""))
		}
		if refused && i == n-1 {
			c.refused(x, c.row.reason, c.row.code, "")
			break
		}
		all = append(all, x)
		if c.phase == after {
			x.Expect("CONNECTED")
		} else {
			x.Sendf("\n")
			c.counted(i + 1)
		}
	}
	for _, x := range all {
		if c.phase == before {
			x.Sendf("%s", c.connectFrame(""))
			x.Expect("CONNECTED")
		}
		x.Sync()
	}
	for _, x := range all {
		x.Abort()
	}
}

// counted waits until the broker has so many sessions beside the honest: one without CONNECT shows
// nothing.
func (c *cell) counted(n int) {
	c.Helper()
	c.w.sessions += n
	c.w.settled(c.T)
	c.w.sessions -= n
}

// runNamed has n sessions of one user. Before CONNECT they are nobody's.
func runNamed(c *cell, n int) {
	if c.phase == after {
		c.crowd(n, n > c.row.at)
		return
	}
	var all []*harness.Client
	for i := range n {
		x := c.dial()
		x.Sendf("\n")
		all = append(all, x)
		c.counted(i + 1)
	}
	// They have no user yet; another session of that user comes in beside them.
	x := c.connect()
	x.Sync()
	c.counted(n + 1)
	c.leave(x)
	for _, x := range all {
		x.Abort()
	}
}

// Connects in a second: a burst of so many, on connections that say nothing and on those that do.
var rate = group{
	name:   "rate",
	config: func(testing.TB) string { return "limits: {connects_per_second: 2}\n" },
	rows: []row{{limit: "connects_per_second", at: 2, reason: "too many connects", code: 1013, phases: []string{before, after},
		run: func(c *cell, n int) {
			c.w.quiet(c.T, 1100*time.Millisecond) // the bucket is full
			start := time.Now()
			refused := 0
			var all []*harness.Client
			for range n {
				x := c.dial()
				if c.phase == after || c.w.secure { // TLS needs a word for its handshake
					x.Sendf("%s", c.connectFrame(""))
				} else {
					x.Sendf("\n")
				}
				all = append(all, x)
			}
			for _, x := range all {
				if c.phase == before && !c.w.secure {
					x.Sendf("%s", c.connectFrame(""))
				}
				f, err := x.ReadFrame(harness.Patience)
				switch {
				case err != nil:
					c.Fatal(err)
				case f.Command == "CONNECTED":
					x.Sync()
				case f.Command == "ERROR" && f.Value("message") == c.row.reason:
					refused++
					c.refusals[c.row.reason]++
					if end := x.ExpectClose(); x.Transport.WebSocket() && end.Code != c.row.code {
						c.Errorf("closed with %d", end.Code)
					}
				default:
					c.Fatalf("got %s", f)
				}
				x.Abort()
			}
			// While it took longer, more may begin.
			most := max(n-c.row.at, 0)
			least := max(0, most-int(time.Since(start).Seconds()*float64(c.row.at)))
			if refused > most || refused < least {
				c.Errorf("%d of %d were refused, want %d to %d", refused, n, least, most)
			}
		}}},
}

// quiet waits, with the honest subscriber, who must hear nothing.
func (w *world) quiet(t *testing.T, d time.Duration) {
	t.Helper()
	if f, err := w.sub.ReadFrame(d); f != nil || err == nil || !strings.Contains(err.Error(), "nothing came") {
		t.Fatalf("%v, %v", f, err)
	}
}

// Failed logins, of an address and of a user.
var logins = group{
	name: "logins",
	config: func(t testing.TB) string {
		return "limits: {failed_logins: 3}\n" + users(t, "", "")
	},
	rows: []row{
		{limit: "failed_logins", name: "of an address", at: 3, reason: "too many failed logins", code: 1013, phases: []string{before},
			run: func(c *cell, n int) {
				for i := range n {
					c.failLogin(fmt.Sprintf("nobody%d-%d", c.id, i), i >= c.row.at)
				}
			}},
		{limit: "failed_logins", name: "of a user", at: 3, reason: "too many failed logins", code: 1013, phases: []string{before},
			run: func(c *cell, n int) {
				login := fmt.Sprintf("nobody%d", c.id)
				for i := range n {
					c.from = place()
					c.failLogin(fmt.Sprintf("other%d-%d", c.id, i), false) // who has done nothing wrong is not held up
					c.failLogin(login, i >= c.row.at)
				}
			}},
	},
}

// failLogin logs in with a wrong password.
func (c *cell) failLogin(login string, slowed bool) {
	c.Helper()
	x := c.dial()
	x.Sendf("CONNECT\naccept-version:1.2\nlogin:%s\npasscode:"+password+"-wrong\n\n\x00", login)
	if slowed {
		c.refused(x, c.row.reason, c.row.code, "")
	} else {
		c.refused(x, "bad credentials", 1008, "")
	}
}

// Queues: a name more than there may be, by each frame that can bring one.
var queues = group{
	name:   "queues",
	config: func(testing.TB) string { return "limits: {queues: 5}\n" },
	rows: []row{
		{limit: "queues", name: "SEND", at: 5, reason: "too many queues", code: 1013, soft: true,
			frames: func(c *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return send(fmt.Sprintf("/queue/q%d.%d", c.id, i), receipt+"persistent:false\n", "")
				})
			},
			run: func(c *cell, n int) { c.run(n); c.emptied(n) }},
		{limit: "queues", name: "durable SEND in a transaction", at: 5, reason: "too many queues", code: 1013, soft: true,
			frames: func(c *cell, n int) []string {
				all := numbered(n-1, func(i int, _ string) string {
					return send(fmt.Sprintf("/queue/q%d.%d", c.id, i), "", "")
				})
				return append(all, "BEGIN\ntransaction:t\n\n\x00",
					send(fmt.Sprintf("/queue/q%d.%d", c.id, n-1), "transaction:t\n", ""), "COMMIT\ntransaction:t\nreceipt:r\n\n\x00")
			},
			run: func(c *cell, n int) { c.run(n); c.emptied(n) }},
		{limit: "queues", name: "SUBSCRIBE", at: 5, reason: "too many queues", code: 1013, soft: true,
			frames: func(c *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/queue/q%d.%[1]d\n%[3]s\n\x00", i, c.id, receipt)
				})
			}},
		{limit: "queues", name: "temporary", at: 5, reason: "too many queues", code: 1013, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/temp-queue/q%[1]d\n%s\n\x00", i, receipt)
				})
			}},
		{limit: "queues", name: "behind topics", at: 5, reason: "too many queues", code: 1013, soft: true,
			frames: func(_ *cell, n int) []string {
				return numbered(n, func(i int, receipt string) string {
					return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/q%[1]d\nack:client\nprefetch-count:5\n%s\n\x00", i, receipt)
				})
			}},
	},
}

// emptied takes what a cell has left in its queues; each held one message, but for one too many.
func (c *cell) emptied(n int) {
	c.Helper()
	if c.phase == before {
		return
	}
	soft := c.soft
	c.soft = false
	x := c.connect()
	c.soft = soft
	for i := range min(n, c.row.at) {
		x.Sendf("SUBSCRIBE\nid:%d\ndestination:/queue/q%d.%[1]d\nack:client-individual\n\n\x00", i, c.id)
		x.Sendf("ACK\nid:%s\nreceipt:a\n\n\x00", x.Expect("MESSAGE").Value("ack"))
		x.Receipt("a")
		x.Sendf("UNSUBSCRIBE\nid:%d\nreceipt:u\n\n\x00", i)
		x.Receipt("u")
	}
	c.leave(x)
}
