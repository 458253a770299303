package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestCrowd: publishers and consumers of one queue all at once, consumers leaving in every way.
// Each message is settled once, by an ACK with a receipt or as a dead letter, and none is lost.
func TestCrowd(t *testing.T) {
	t.Parallel()
	x := &crowd{b: harness.Start(t, ""), queue: unique("/queue/conformance."), total: 600,
		settled: map[string]string{}, end: time.Now().Add(3 * harness.Patience)}
	t.Run("all", func(t *testing.T) {
		for p := range 2 {
			t.Run(fmt.Sprintf("publisher %d", p), func(t *testing.T) {
				t.Parallel()
				x.publish(t, p)
			})
		}
		for i := range 5 {
			t.Run(fmt.Sprintf("consumer %d", i), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				for x.goesOn(t) {
					x.consume(t, rnd)
				}
			})
		}
		t.Run("dead letters", func(t *testing.T) {
			t.Parallel()
			x.bury(t)
		})
	})
	if len(x.settled) != x.total {
		t.Errorf("%d of %d messages are settled", len(x.settled), x.total)
	}
}

type crowd struct {
	b     *harness.Broker
	queue string
	total int
	end   time.Time

	mu      sync.Mutex        // guards settled
	settled map[string]string // body → by whom
}

// settle notes the end of a message.
func (x *crowd) settle(t *testing.T, body, by string) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if old, ok := x.settled[body]; ok {
		t.Errorf("message %s was settled by %s and then by %s", body, old, by)
	}
	x.settled[body] = by
}

func (x *crowd) goesOn(t *testing.T) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Now().After(x.end) {
		t.Errorf("only %d of %d messages are settled", len(x.settled), x.total)
		return false
	}
	return len(x.settled) < x.total && !t.Failed()
}

func (x *crowd) publish(t *testing.T, p int) {
	e := &env{T: t, b: x.b, tr: harness.TCP, v: "1.2"}
	c := e.connect()
	for i := range x.total / 2 {
		c.Sendf("SEND\ndestination:%s\nreceipt:%d\n\n%d-%d\x00", x.queue, i, p, i)
		c.Receipt(fmt.Sprint(i))
	}
}

func (x *crowd) bury(t *testing.T) {
	e := &env{T: t, b: x.b, tr: harness.TCP, v: "1.2"}
	c := e.connect()
	e.subscribe(c, "dead", "/dlq/"+strings.TrimPrefix(x.queue, "/queue/"))
	for x.goesOn(t) {
		f, err := c.ReadFrame(100 * time.Millisecond)
		if f == nil {
			if err.Error() != "nothing came in time" {
				t.Fatal(err)
			}
			continue
		}
		x.settle(t, string(f.Body), "dead letter")
	}
}

// consume is one consumer's life.
func (x *crowd) consume(t *testing.T, rnd *rand.Rand) {
	e := &env{T: t, b: x.b, tr: harness.Transports[rnd.IntN(len(harness.Transports))], v: "1.2"}
	c := e.connect()
	individual := rnd.IntN(2) == 0
	mode := map[bool]string{true: "client-individual", false: "client"}[individual]
	c.Sendf("SUBSCRIBE\nid:s\ndestination:%s\nack:%s\nprefetch-count:%d\nreceipt:r\n\n\x00", x.queue, mode, 1+rnd.IntN(10))
	var ms []*harness.Frame
	// collect reads up to a RECEIPT.
	collect := func(receipt string) {
		t.Helper()
		for {
			f, err := c.ReadFrame(harness.Patience)
			switch {
			case err != nil:
				t.Fatal(err)
			case f.Command == "MESSAGE":
				ms = append(ms, f)
			case f.Command == "RECEIPT" && f.Value("receipt-id") == receipt:
				return
			default:
				t.Fatalf("got %s", f)
			}
		}
	}
	collect("r")
	for round := range 1 + rnd.IntN(4) {
		c.Sendf("SEND\ndestination:/topic/conformance.nobody\nreceipt:there\n\n\x00")
		collect("there")
		if len(ms) == 0 {
			break
		}
		i := rnd.IntN(len(ms))
		done, left := ms[:i+1:i+1], ms[i+1:]
		if individual {
			done, left = ms[i:i+1:i+1], append(ms[:i:i], ms[i+1:]...)
		}
		r := fmt.Sprint("settled", round)
		switch rnd.IntN(8) {
		case 0:
			c.Sendf("%s", settle("NACK", c, ms[i], "receipt:"+r))
			ms = left
			collect(r)
			continue
		case 1:
			c.Sendf("BEGIN\ntransaction:t\n\n\x00%sABORT\ntransaction:t\nreceipt:%s\n\n\x00", settle("ACK", c, ms[i], "transaction:t"), r)
			collect(r)
			continue
		case 2:
			c.Sendf("BEGIN\ntransaction:t\n\n\x00%sCOMMIT\ntransaction:t\nreceipt:%s\n\n\x00", settle("ACK", c, ms[i], "transaction:t"), r)
		default:
			c.Sendf("%s", settle("ACK", c, ms[i], "receipt:"+r))
		}
		ms = left
		collect(r)
		for _, m := range done {
			x.settle(t, string(m.Body), t.Name())
		}
	}
	switch rnd.IntN(4) {
	case 0:
		c.Abort()
	case 1:
		c.Sendf("NONSENSE\n\n\x00")
	case 2:
		c.Sendf("UNSUBSCRIBE\nid:s\nreceipt:left\n\n\x00")
		collect("left")
		c.Abort()
	default:
		c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
		collect("bye")
		c.ExpectClose()
	}
	c.Abort()
}
