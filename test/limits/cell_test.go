package limits

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// When the frames of a cell come.
const (
	before = "before CONNECT"
	within = "with CONNECT"
	after  = "after CONNECT"
)

// row is one limit, and how to reach it.
type row struct {
	limit  string // the setting's key in conf.Limits; empty for a bound that is none
	name   string // tells rows of one limit apart
	login  string // whose limit it is; empty: everyone's
	at     int
	reason string
	code   int
	soft   bool
	phases []string // empty: all
	// headers are for CONNECT.
	headers func(c *cell) string
	// frames bring it to n; the last one has receipt:r, and is the one that is refused.
	frames func(c *cell, n int) []string
	// run does it all where frames do not.
	run func(c *cell, n int)
}

// cell is one row at one value, on one transport, in one phase.
type cell struct {
	*testing.T
	w     *world
	tr    harness.Transport
	row   *row
	phase string
	soft  bool
	from  string // an address of its own
	id    int64  // unlike all others'

	gathered int
	refusals map[string]int // that the broker must have counted, by reason
}

// group is rows for one configuration.
type group struct {
	name   string
	config func(t testing.TB) string
	open   func(t *testing.T, secure bool) *world // instead of the binary with that configuration, a broker in this process
	rows   []row
}

// run runs all cells of a group, on brokers of their own.
func (g *group) run(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "secure"}[secure], func(t *testing.T) {
			t.Parallel()
			var w *world
			if g.open != nil {
				w = g.open(t, secure)
			} else {
				w = newWorld(t, g.config(t), secure)
			}
			t.Cleanup(func() {
				if t.Failed() {
					out := w.Output()
					t.Logf("the broker said last:\n%s", out[max(0, len(out)-3000):])
				}
			})
			w.honest(t)
			w.settled(t)
			var goroutines, bytes int
			if g.open == nil {
				goroutines, bytes = w.alive(t)
			}
			for i := range g.rows {
				g.rows[i].run1(t, w)
			}
			w.settled(t)
			if g.open != nil {
				return
			}
			w.alive(t) // what is pooled goes at the second look
			g2, b2 := w.alive(t)
			if g2 > goroutines+2 || b2 > bytes+4<<20 {
				t.Errorf("%d goroutines and %d bytes are alive, %d and %d were", g2, b2, goroutines, bytes)
			}
		})
	}
}

// run1 runs the cells of a row in a world.
func (r *row) run1(t *testing.T, w *world) {
	name := r.limit
	if r.name != "" {
		name += "/" + r.name
	}
	if r.login != "" {
		name += "/of " + r.login
	}
	phases := r.phases
	if phases == nil {
		phases = []string{before, within, after}
	}
	for _, tr := range w.transports {
		for _, phase := range phases {
			for _, soft := range []bool{false, true} {
				if soft && (!r.soft || phase == before) {
					continue
				}
				for n := r.at - 1; n <= r.at+1; n++ {
					label := fmt.Sprintf("%s/%s/%s/%d", name, tr, phase, n)
					if soft {
						label += "/soft"
					}
					t.Run(label, func(t *testing.T) {
						c := &cell{T: t, w: w, tr: tr, row: r, phase: phase, soft: soft, from: place(), id: cells.Add(1), refusals: w.refused(t)}
						if r.run != nil {
							r.run(c, n)
						} else {
							c.run(n)
						}
						w.honest(t)
						w.settled(t)
						if got := w.refused(t); !t.Failed() && !maps.Equal(got, c.refusals) {
							t.Errorf("refusals counted are %v, want %v", got, c.refusals)
						}
					})
				}
			}
		}
	}
}

// dial connects from the cell's own address.
func (c *cell) dial() *harness.Client {
	c.Helper()
	return c.dialBy(c.tr)
}

func (c *cell) dialBy(tr harness.Transport) *harness.Client {
	c.Helper()
	w := c.w
	b := &harness.Broker{WS: w.WS, Path: w.Path, TCP: w.TCP, TLS: w.TLS, From: c.from}
	return b.Dial(c.T, tr)
}

// connectFrame is the CONNECT of the cell's row, with these header lines.
func (c *cell) connectFrame(lines string) string {
	f := "CONNECT\naccept-version:1.2\nhost:h\n"
	if c.row.login != "" {
		f += "login:" + c.row.login + "\npasscode:" + password + "\n"
	}
	if c.row.headers != nil {
		f += c.row.headers(c)
	}
	if c.soft {
		f += "gudok-errors:soft\n"
	}
	return f + lines + "\n\x00"
}

// connect opens a session.
func (c *cell) connect() *harness.Client {
	c.Helper()
	x := c.dial()
	x.Sendf("%s", c.connectFrame(""))
	x.Expect("CONNECTED")
	return x
}

// begin sends frames in the cell's phase. Before CONNECT they are refused for that alone, and nil is
// returned.
func (c *cell) begin(frames ...string) *harness.Client {
	c.Helper()
	all := strings.Join(frames, "")
	x := c.dial()
	switch c.phase {
	case before:
		x.Sendf("%s", all)
		c.refused(x, "not connected", 1002, "")
		return nil
	case within:
		x.Sendf("%s%s", c.connectFrame(""), all)
		x.Expect("CONNECTED")
	case after:
		x.Sendf("%s", c.connectFrame(""))
		x.Expect("CONNECTED")
		x.Sendf("%s", all)
	}
	return x
}

// run does the frames of the row.
func (c *cell) run(n int) {
	x := c.begin(c.row.frames(c, n)...)
	if x == nil {
		return
	}
	if n <= c.row.at {
		x.Receipt("r")
		x.Sync()
		c.leave(x)
		return
	}
	c.exceeded(x, "r")
}

// exceeded expects the refusal that the row tells.
func (c *cell) exceeded(x *harness.Client, receipt string) {
	c.Helper()
	if !c.soft {
		c.refused(x, c.row.reason, c.row.code, receipt)
		return
	}
	f := x.Expect("ERROR", "message:"+c.row.reason, "fatal:false")
	c.refusals[c.row.reason]++
	if got := f.Value("receipt-id"); got != receipt {
		c.Errorf("receipt-id %q in %s", got, f)
	}
	x.Sync()
	c.leave(x)
}

// refused expects an ERROR and the end of the connection.
func (c *cell) refused(x *harness.Client, reason string, code int, receipt string) {
	c.Helper()
	f := x.Expect("ERROR", "message:"+reason)
	c.refusals[reason]++
	if got := f.Value("receipt-id"); receipt != "" && got != receipt {
		c.Errorf("receipt-id %q in %s", got, f)
	}
	end := x.ExpectClose()
	if x.Transport.WebSocket() && (end.Code != code || end.Reason != reason) {
		c.Errorf("closed with %d %q, want %d %q", end.Code, end.Reason, code, reason)
	}
}

// leave ends a session in good order.
func (c *cell) leave(x *harness.Client) {
	c.Helper()
	x.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
	x.Receipt("bye")
	x.Abort()
}

// gather reads what the broker has for the session now: MESSAGEs, and RECEIPTs that are not looked at.
func (c *cell) gather(x *harness.Client) (ms []*harness.Frame) {
	c.Helper()
	c.gathered++
	id := fmt.Sprintf("gather-%d", c.gathered)
	x.Sendf("SEND\ndestination:/topic/nobody\nreceipt:%s\n\n\x00", id)
	for {
		f, err := x.ReadFrame(harness.Patience)
		switch {
		case err != nil:
			c.Fatal(err)
		case f.Command == "MESSAGE":
			ms = append(ms, f)
		case f.Command != "RECEIPT":
			c.Fatalf("got %s", f)
		case f.Value("receipt-id") == id:
			return ms
		}
	}
}
