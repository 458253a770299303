package durability

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

const qDead = "/dlq/one.individual"

// TestEveryStep kills the broker at each of its writes and syncs in turn, within commits: whatever
// moves from one queue to another, or into several, does so as a whole.
func TestEveryStep(t *testing.T) {
	rnd := seeded(t)
	w := newWorld(t, rnd, filepath.Join(t.TempDir(), "data"))
	w.start()
	w.l.begin(0)
	steps := times(40) + 4
	died := 0
	for n := range steps {
		w.send(w.publisher("p"), qForward, 8, false)
		w.send(w.publisher("q"), qIndividual, 8, false)
		w.broker.Kill()
		call := []string{"pwrite64", "fdatasync"}[n%2]
		// The first few are those of the start.
		w.start(strace(t, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, 1+n/2%12))...)
		w.l.begin(0)
		if w.moves() {
			died++
		}
		w.broker.Kill()
		w.start()
		w.l.begin(0)
	}
	w.drain(qForward, qForwarded, qIndividual, qBacklog, qCumulative, qDead)
	w.broker.Stop()
	w.print("steps", steps, w.verdict())
	t.Logf("the broker died at %d of %d steps", died, steps)
	if died < steps/4 {
		t.Errorf("the broker died at %d of %d steps only", died, steps)
	}
}

// moves has messages moved in all the ways there are, until all is done or the broker has died: then
// it tells so.
func (w *world) moves() bool {
	dead := make(chan struct{})
	var all sync.WaitGroup
	var links []*link
	start := func(f func(k *link, left func()), n int) {
		k := dial(w.t, w.l, w.broker.TCP, "")
		if k == nil {
			return
		}
		k.closing.Store(true)
		links = append(links, k)
		var once sync.Once
		all.Add(1)
		done := func() { once.Do(all.Done) }
		var mu sync.Mutex
		f(k, func() {
			mu.Lock()
			defer mu.Unlock()
			if n--; n == 0 {
				done()
			}
		})
		go func() { <-k.gone; done() }()
	}
	tx := w.publisher("tx")
	start(func(k *link, left func()) {
		c := &consumer{l: w.l, k: k, queue: qForward, headers: "destination:" + qForward + "\n", mode: forwarding,
			onward: w.publisher("forward"), to: qForwarded, then: left}
		_ = c.subscribe()
	}, 8)
	start(func(k *link, left func()) {
		c := &consumer{l: w.l, k: k, queue: qIndividual, headers: "destination:" + qIndividual + "\n", mode: burying, then: left}
		_ = c.subscribe()
	}, 8)
	start(func(k *link, left func()) {
		for i := range 6 {
			_ = tx.transaction(k, fmt.Sprint("t", i), []string{qBacklog, qCumulative}, left)
		}
	}, 6)
	go func() {
		for _, k := range links {
			<-k.gone
		}
		close(dead)
	}()
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(2 * harness.Patience):
		w.l.report("stuck: not all was moved")
	}
	// Those that died are gone now or never.
	died := len(links) == 0
	for _, k := range links {
		k.mu.Lock()
		open := len(k.receipts)
		k.mu.Unlock()
		died = died || open > 0
		k.conn.Close()
	}
	<-dead
	return died
}
