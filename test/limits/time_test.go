package limits

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// Times, in milliseconds: one less and one more than the limit is well within it and never ending.
// How late is the machine's affair; early would be a fault, but by less than the broker's wheel rounds.
var times = group{
	name: "times",
	config: func(t testing.TB) string {
		return "limits: {connect_time: 1s, frame_time: 500ms, transaction_time: 1s}\n" + users(t, "transaction_time: 500ms", "")
	},
	rows: []row{
		{limit: "connect_time", at: 1000, reason: "no CONNECT in time", code: 1008, phases: []string{before, after}, run: runConnectTime},
		{limit: "frame_time", at: 500, reason: "frame not finished in time", code: 1008, phases: []string{before, after}, run: runFrameTime},
		{limit: "transaction_time", at: 1000, reason: "transaction open for too long", code: 1008, phases: []string{within, after}, run: runTransactionTime},
		{limit: "transaction_time", login: "ann", at: 500, reason: "transaction open for too long", code: 1008, phases: []string{within, after}, run: runTransactionTime},
	},
}

// rounded is how early the time to CONNECT may be over: sessions that are far away are woken in groups.
const rounded = 100 * time.Millisecond

// late expects the refusal that the row tells, not before its time.
func (c *cell) late(x *harness.Client, start time.Time) {
	c.Helper()
	c.refused(x, c.row.reason, c.row.code, "")
	early := time.Duration(0)
	if c.row.limit == "connect_time" {
		early = rounded
	}
	if took := time.Since(start); took < time.Duration(c.row.at)*time.Millisecond-early {
		c.Errorf("refused after %v", took)
	}
}

// silence reads for so long, in which nothing may come.
func (c *cell) silence(x *harness.Client, d time.Duration) {
	c.Helper()
	f, err := x.ReadFrame(d)
	if f != nil || err == nil || err.Error() != "nothing came in time" {
		c.Fatalf("got %v, %v", f, err)
	}
}

// soon is well within the row's time.
func (c *cell) soon() time.Duration { return time.Duration(c.row.at) * time.Millisecond / 5 }

func runConnectTime(c *cell, n int) {
	start := time.Now()
	switch {
	case c.phase == after: // it is over with CONNECT
		x := c.connect()
		c.silence(x, time.Duration(c.row.at)*time.Millisecond*5/4)
		x.Sync()
		c.leave(x)
	case n <= c.row.at:
		x := c.dial()
		x.Sendf("\n")
		c.silence(x, c.soon())
		x.Sendf("%s", c.connectFrame(""))
		x.Expect("CONNECTED")
		c.leave(x)
	default:
		x := c.dial()
		x.Sendf("\n")
		c.silence(x, c.soon())
		x.Sendf("\n\n") // does not help
		c.late(x, start)
	}
}

func runFrameTime(c *cell, n int) {
	first, rest := "CONNECT\naccept-ver", "sion:1.2\n\n\x00"
	x := c.dial()
	if c.phase == after {
		x.Sendf("%s", c.connectFrame(""))
		x.Expect("CONNECTED")
		first, rest = "SEND\ndestination:/topic/m\nreceipt:r\ncontent-length:4\n\nha", "lf\x00"
	}
	start := time.Now()
	x.Sendf("%s", first[:5])
	c.silence(x, c.soon())
	x.Sendf("%s", first[5:])
	if n > c.row.at {
		c.late(x, start)
		return
	}
	x.Sendf("%s", rest)
	if c.phase == after {
		x.Receipt("r")
	} else {
		x.Expect("CONNECTED")
	}
	c.leave(x)
}

func runTransactionTime(c *cell, n int) {
	q := fmt.Sprintf("/queue/x%d", c.id)
	start := time.Now()
	x := c.begin("BEGIN\ntransaction:t\n\n\x00"+send(q, "transaction:t\nreceipt:s\npersistent:false\n", "x"), "")
	x.Receipt("s")
	if n <= c.row.at {
		c.silence(x, c.soon())
		x.Sendf("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
		x.Receipt("c")
		c.silence(x, time.Duration(c.row.at)*time.Millisecond) // it is over
		x.Sync()
		c.leave(x)
	} else {
		c.late(x, start)
	}
	y := c.connect()
	y.Sendf("SUBSCRIBE\nid:0\ndestination:%s\n\n\x00", q)
	if got := c.gather(y); (n <= c.row.at) != (len(got) == 1) {
		c.Errorf("%d messages of a transaction", len(got))
	}
	c.leave(y)
}

// Subscribers who do not read. Values are KiB on their way: what networks hold on the way is not known, so one more than
// the limit is far more.
var slow = group{
	name: "slow",
	config: func(t testing.TB) string {
		return "limits: {outbox: 256KiB, send_time: 10s}\n" + users(t, "outbox: 512KiB", "outbox: 64MiB, send_time: 1s")
	},
	rows: []row{
		{limit: "outbox", at: 256, reason: "slow consumer", phases: []string{within, after}, run: runSlow},
		{limit: "outbox", login: "ann", at: 512, reason: "slow consumer", phases: []string{within, after}, run: runSlow},
		{limit: "send_time", login: "cat", at: 1000, reason: "i/o timeout", phases: []string{within, after}, run: runSlow},
	},
}

var all = group{
	name:   "all outboxes",
	config: func(t testing.TB) string { return "limits: {outboxes: 1MiB, outbox: 64MiB}\n" },
	rows: []row{
		{limit: "outboxes", at: 1024, reason: "memory is short", phases: []string{within, after}, run: runSlow},
	},
}

// noise is n letters that do not get much smaller.
func noise(n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[rand.IntN(64)]
	}
	return string(p)
}

func runSlow(c *cell, n int) {
	topic := fmt.Sprintf("/topic/slow%d", c.id)
	x := c.begin("SUBSCRIBE\nid:0\ndestination:" + topic + "\nreceipt:s\n\n\x00")
	x.Receipt("s")
	p := c.dialBy(c.w.transports[0])
	p.Sendf("CONNECT\naccept-version:1.2\n\n\x00")
	p.Expect("CONNECTED")
	const kib = 1 << 10
	body := noise(32*kib - 300) // with its headers 32 KiB at most
	count := min(n, c.row.at) / 32
	if c.row.limit == "send_time" {
		count = 8
	}
	if n > c.row.at {
		count += 32 << 20 / (32 * kib)
	}
	start := time.Now()
	for i := range count {
		receipt := ""
		if i%8 == 7 || i == count-1 {
			receipt = fmt.Sprintf("receipt:%d\n", i)
		}
		p.Sendf("%s", send(topic, receipt, body))
		if receipt != "" {
			p.Receipt(fmt.Sprint(i)) // whoever reads or not, the sender goes on
		}
	}
	c.leave(p)
	if n <= c.row.at {
		for range count {
			x.Message(body)
		}
		x.Sync()
		c.leave(x)
		return
	}
	line := c.w.endOf(c.T, c.from)
	if c.row.limit != "send_time" { // to the broker that is a connection that has failed
		c.refusals[c.row.reason]++
	}
	if !strings.Contains(line, c.row.reason) {
		c.Errorf("the log says %s", line)
	}
	if took := time.Since(start); c.row.limit == "send_time" && took < time.Duration(c.row.at)*time.Millisecond {
		c.Errorf("cut after %v", took)
	}
	for got := 0; ; got++ { // what was on its way, and then the end
		f, err := x.ReadFrame(harness.Patience)
		var end *harness.Close
		switch {
		case f != nil && got < count:
			continue
		case f != nil || err == nil, errors.As(err, &end) && end.Code != 0:
			c.Fatalf("after %d of %d came %v, %v", got, count, f, err)
		}
		break
	}
}
