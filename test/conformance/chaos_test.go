package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// TestNothingIsLost: consumers that acknowledge, refuse, abort and vanish at random, until all
// that publishers have receipts for was acknowledged or is a dead letter. What was acknowledged with a receipt does
// not come again; what came for the first time came in its publisher's order.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			(&chaos{env: &env{T: t, b: b, v: "1.2"}, rnd: rand.New(rand.NewPCG(seed, 0))}).run()
		})
	}
}

// chaos is one run of TestNothingIsLost; the random order of events is the seed's.
type chaos struct {
	*env
	rnd   *rand.Rand
	queue string
	acked map[string]bool
	seen  map[string]bool
}

func (x *chaos) run() {
	const all = 300
	x.queue = x.env.queue()
	x.acked, x.seen = map[string]bool{}, map[string]bool{}
	x.tr = harness.TCP
	pub := x.connect()
	for i := range all {
		pub.Sendf("SEND\ndestination:%s\nreceipt:%d\n\n%d\x00", x.queue, i, i)
	}
	for i := range all {
		pub.Receipt(fmt.Sprint(i))
	}
	for round := 0; x.consumeSome(); round++ {
		if round > 1000 {
			x.Fatalf("after %d rounds %d of %d are acknowledged", round, len(x.acked), all)
		}
		x.tr = harness.Transports[x.rnd.IntN(len(harness.Transports))]
	}
	// What was delivered too often is a dead letter by now.
	x.tr = harness.TCP
	last := x.connect()
	x.subscribe(last, "dead", "/dlq/"+strings.TrimPrefix(x.queue, "/queue/"))
	dead := 0
	for ; len(x.acked) < all; dead++ { // the latest may still be on its way there
		m, err := last.ReadFrame(harness.Patience)
		if err != nil {
			x.Fatalf("%d of %d messages are lost: %v", all-len(x.acked), all, err)
		}
		if m.Command != "MESSAGE" || m.Value("subscription") != "dead" || x.acked[string(m.Body)] {
			x.Fatalf("got %s, acknowledged before: %v", m, x.acked[string(m.Body)])
		}
		x.acked[string(m.Body)] = true
	}
	x.Logf("%d dead letters", dead)
	x.subscribe(last, "0", x.queue)
	x.expectMarker(last, x.queue)
}

// gather reads what is there for a subscription.
func (x *chaos) gather(c *harness.Client, subscription string) []*harness.Frame {
	x.Helper()
	c.Sendf("SEND\ndestination:/topic/conformance.nobody\nreceipt:gathered\n\n\x00")
	var ms []*harness.Frame
	for {
		f, err := c.ReadFrame(harness.Patience)
		switch {
		case err != nil:
			x.Fatal(err)
		case f.Command == "MESSAGE" && f.Value("subscription") == subscription:
			ms = append(ms, f)
		case f.Command == "RECEIPT" && f.Value("receipt-id") == "gathered":
			return ms
		default:
			x.Fatalf("got %s", f)
		}
	}
}

// consumeSome is one consumer's life; it reports whether there was something to consume.
func (x *chaos) consumeSome() bool {
	c := x.connect()
	mode := []string{"client", "client-individual"}[x.rnd.IntN(2)]
	x.subscribe(c, "s", x.queue, "ack:"+mode, fmt.Sprintf("prefetch-count:%d", 1+x.rnd.IntN(12)))
	ms := x.gather(c, "s")
	if len(ms) == 0 {
		x.command(c, "UNSUBSCRIBE", "id:s")
		return false
	}
	newest := -1
	for _, m := range ms {
		body := string(m.Body)
		if x.acked[body] {
			x.Fatalf("%s was acknowledged and came again", body)
		}
		if again := m.Value("redelivered") == "true"; again != x.seen[body] {
			x.Errorf("%s: redelivered is %t, seen before %t", body, again, x.seen[body])
		}
		x.seen[body] = true
		var i int
		fmt.Sscan(body, &i)
		if i < newest {
			x.Errorf("%d after %d", i, newest)
		}
		newest = i
	}
	upto := x.rnd.IntN(len(ms))
	done := ms[upto : upto+1]
	if mode == "client" {
		done = ms[:upto+1]
	}
	switch how := x.rnd.IntN(6); how {
	case 0: // vanish without a word; settle who has them before the next consumer asks
		x.command(c, "UNSUBSCRIBE", "id:s")
		c.Abort()
		return true
	case 1:
		x.command(c, "BEGIN", "transaction:t")
		x.ack(c, ms[upto], "transaction:t")
		x.command(c, "ABORT", "transaction:t")
	case 2:
		x.command(c, "BEGIN", "transaction:t")
		c.Sendf("%s", settle("ACK", c, ms[upto], "transaction:t"))
		c.Sendf("COMMIT\ntransaction:t\nreceipt:committed\n\n\x00")
		x.until(c, "committed")
		x.note(done)
	default:
		c.Sendf("%s", settle("ACK", c, ms[upto], "receipt:acked"))
		x.until(c, "acked")
		x.note(done)
	}
	c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
	x.until(c, "bye")
	c.ExpectClose()
	return true
}

// until reads up to a RECEIPT; messages that come before are left for others.
func (x *chaos) until(c *harness.Client, receipt string) {
	x.Helper()
	for {
		f, err := c.ReadFrame(harness.Patience)
		switch {
		case err != nil:
			x.Fatal(err)
		case f.Command == "MESSAGE":
			x.seen[string(f.Body)] = true
		case f.Command == "RECEIPT" && f.Value("receipt-id") == receipt:
			return
		default:
			x.Fatalf("got %s", f)
		}
	}
}

func (x *chaos) note(done []*harness.Frame) {
	for _, m := range done {
		x.acked[string(m.Body)] = true
	}
}
