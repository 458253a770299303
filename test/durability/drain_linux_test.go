package durability

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

var drainFlag = flag.Int("drains", 5, "how often TestDrainMakesRoom fills a disk; a tenth of it with -short")

// What consumers drain is room for new messages, without a restart and though the file does not
// shrink: below min_free as well as on a disk that is full to its last byte, and although a third
// of each commit, that of a queue which nobody consumes, stays.
func TestDrainMakesRoom(t *testing.T) {
	for _, c := range []struct {
		name, size, minFree string
		rounds              int
	}{
		{"below min_free", "size=40m", "8MiB", (times(*drainFlag) + 2) / 3},
		{"full to the last byte", "size=24m", "0", times(*drainFlag)},
	} {
		t.Run(c.name, func(t *testing.T) {
			rnd := seeded(t)
			for n := range c.rounds {
				dir := filepath.Join(tmpfs(t, c.size), "data")
				w := newWorld(t, rnd, dir)
				w.config = func() string { return strings.Replace(configFor(dir), "min_free: 0", "min_free: "+c.minFree, 1) }
				w.start()
				w.l.begin(0)
				queues := []string{qIndividual, qCumulative, qBacklog}
				filled := w.fill(queues...)
				w.refused(3, queues)
				drained := time.Now()
				for _, q := range queues[:2] {
					w.empty(q)
				}
				a := w.asker()
				took := a.resumes(qIndividual)
				again, pauses := w.fill(queues...)-filled, 0
				// Room is made while it is taken, of commits that are kept by a third each: who is faster is refused
				// until there is more.
				for end := time.Now().Add(harness.Patience); again < filled/3 && time.Now().Before(end); pauses++ {
					a.resumes(qIndividual)
					again = w.fill(queues...) - filled
				}
				if again < filled/3 {
					t.Errorf("round %d: %d messages stored at first, %d more once two of three queues were drained", n, filled, again)
				}
				w.refused(3, queues)
				if n%2 == 1 {
					w.restart()
				}
				for _, q := range queues {
					w.empty(q)
				}
				w.drain(queues...)
				w.broker.Stop()
				w.verdict()
				t.Logf("round %d: %d messages stored; two queues drained and messages taken again within %v, the last of it %v; then %d more, %d times after room was made",
					n, filled, time.Since(drained), took, again, pauses)
				if t.Failed() {
					t.Logf("the broker said:\n%s", w.broker.Output())
					return
				}
			}
		})
	}
}

// refused sends to the queues in turn until n messages have been refused.
func (w *world) refused(n int, queues []string) {
	w.t.Helper()
	a := w.asker()
	defer a.k.close()
	for i := 0; a.refused < n; i++ { // small ones may still find a place
		if i > 20_000 {
			w.t.Fatal("the disk does not become full")
		}
		a.ask(queues[i%len(queues)])
	}
}

// empty takes and acknowledges all messages of a queue that the broker promised to keep, each with a
// receipt.
func (w *world) empty(queue string) {
	w.t.Helper()
	w.l.mu.Lock()
	left := 0
	for _, e := range w.l.entries {
		if e.queue == queue && e.receipted && !e.ackPromise {
			left++
		}
	}
	w.l.mu.Unlock()
	c := w.hold(queue, individual)
	defer c.k.close()
	late := time.NewTimer(2 * harness.Patience)
	defer late.Stop()
	receipts := make(chan bool, 1)
	asked, got := 0, 0
	for left > 0 || got < asked {
		select {
		case d := <-c.inbox:
			w.l.mu.Lock()
			promised := d.e.receipted
			w.l.mu.Unlock()
			if promised {
				left--
			}
			asked++
			w.l.acking([]*entry{d.e}, nil)
			if err := c.k.send("ACK\nid:"+d.ack+"\n", nil, func() {
				w.l.acked([]*entry{d.e})
				receipts <- true
			}); err != nil {
				w.t.Fatal(err)
			}
		case <-receipts:
			got++
		case <-c.k.gone:
			w.t.Fatalf("the broker has gone\n%s", w.broker.Output())
		case <-late.C:
			w.t.Fatalf("stuck: %d messages of %s did not come, %d of %d acknowledgements have no receipt\n%s",
				left, queue, asked-got, asked, w.broker.Output())
		}
	}
}
