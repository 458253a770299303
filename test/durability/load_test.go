package durability

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// minimum is how many receipts for messages a cycle must bring, or it is void.
const minimum = 200

// cycle is one life under load, ended by stop at a moment that chance decides. It returns once
// every client has read all that came.
func (w *world) cycle(receipts int, stop func()) {
	w.t.Helper()
	if w.l.life > 0 && w.rnd.IntN(4) == 0 {
		w.stumble()
	}
	w.start()
	reached := w.l.begin(receipts)
	w.l.mu.Lock()
	before := w.l.counts
	w.l.mu.Unlock()

	w.subscribe(subAlways, individual)
	w.subscribe(qIndividual, individual)
	w.subscribe(qCumulative, cumulative)
	w.subscribe(qAuto, auto)
	w.subscribe(qForward, forwarding)
	if w.l.life == 1 || w.rnd.IntN(4) == 0 {
		w.subscribe(subSeldom, individual)
	}
	if w.rnd.IntN(4) == 0 {
		w.subscribe(qBacklog, individual)
	}
	if w.rnd.IntN(4) == 0 {
		w.subscribe(qForwarded, cumulative)
	}
	var load sync.WaitGroup
	quit := make(chan struct{})
	run := func(f func(k *link)) {
		k := w.dial("")
		load.Go(func() { f(k) })
	}
	a, b, tx, news := w.publisher("a"), w.publisher("b"), w.publisher("tx"), w.publisher("news")
	run(func(k *link) { a.run(k, 64, []string{qIndividual, qCumulative, qAuto, qBacklog}, quit) })
	run(func(k *link) { b.run(k, 64, []string{qForward, qIndividual, qBacklog}, quit) })
	run(func(k *link) { tx.transactions(k, 16, []string{qIndividual, qBacklog, qCumulative}, quit) })
	run(func(k *link) { news.topic(k, 32, topicNews, []string{subAlways, subSeldom, subFickle}, quit) })
	for _, extra := range extras {
		if w.rnd.IntN(3) == 0 {
			extra(w, run, quit)
		}
	}

	if !w.l.while(reached) {
		w.l.report("stuck: fewer than %d receipts", receipts)
	}
	// The moment within a commit is chance, too.
	time.Sleep(time.Duration(w.rnd.IntN(4000)) * time.Microsecond)
	w.closing()
	stop()
	close(quit)
	load.Wait()
	w.wait()
	w.inspect()
	w.l.mu.Lock()
	after := w.l.counts
	w.l.mu.Unlock()
	flying := (after.intents - before.intents) - (after.receipts - before.receipts)
	w.stats.inFlight += flying
	if flying == 0 || after.receipts-before.receipts < minimum {
		w.stats.void++
	}
}

// stumble starts the broker a few times and kills it at once, wherever it has come to.
func (w *world) stumble() {
	w.t.Helper()
	for range 1 + w.rnd.IntN(3) {
		w.stats.stumbles++
		cmd := subcommand(w.t, "-config", filepath.Join(w.dir, "gudok.yaml"))
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Duration(w.rnd.IntN(30_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
}

// extras are loads of which each life has some. They subscribe what they consume, and run publishers
// until quit or the end of the broker.
var extras = []func(w *world, run func(func(k *link)), quit <-chan struct{}){
	// Durable messages and others in one queue.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		firm, fleeting := w.publisher("firm"), w.publisher("fleeting")
		fleeting.dress = func(e *entry) string { e.fleeting = true; return "persistent:false\n" }
		if w.rnd.IntN(2) == 0 {
			w.subscribe(qMixed, individual)
		}
		run(func(k *link) { firm.run(k, 8, []string{qMixed}, quit) })
		run(func(k *link) { fleeting.run(k, 8, []string{qMixed}, quit) })
	},
	// Delayed messages.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		later := w.publisher("later")
		later.dress = func(e *entry) string {
			delay := later.rnd.Int64N(300)
			e.loose, e.notBefore = true, time.Now().UnixMilli()+delay
			return fmt.Sprintf("x-delay:%d\n", delay)
		}
		w.subscribe(qLater, individual)
		run(func(k *link) { later.run(k, 8, []string{qLater}, quit) })
	},
	// Messages that are refused until they are dead letters.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		p := w.publisher("storm")
		p.dress = func(e *entry) string { e.loose = true; return "" }
		w.subscribe(qStorm, refusing)
		if w.rnd.IntN(2) == 0 {
			w.subscribe(graveOf(qStorm), individual)
		}
		run(func(k *link) { p.run(k, 16, []string{qStorm}, quit) })
	},
	// Two consumers of one queue, of which one goes without a word.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		p := w.publisher("shared")
		p.dress = func(e *entry) string { e.loose = true; return "" }
		w.subscribe(qShared, individual)
		rude := w.consume(qShared, individual)
		rude.leaves = 10 + w.rnd.IntN(60)
		if err := rude.subscribe(); err != nil {
			w.t.Fatalf("subscribe to %s: %v\n%s", qShared, err, w.broker.Output())
		}
		run(func(k *link) { p.run(k, 16, []string{qShared}, quit) })
	},
	// A queue that keeps the latest few, and that nobody consumes: what is on loan is not dropped.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		p := w.publisher("short")
		run(func(k *link) { p.run(k, 8, []string{qShort}, quit) })
	},
	// A durable subscription that is deleted and made again.
	func(w *world, _ func(func(k *link)), _ <-chan struct{}) {
		c := w.consume(subFickle, individual)
		c.deletes = 5 + w.rnd.IntN(50)
		if err := c.subscribe(); err != nil {
			w.t.Fatalf("subscribe to %s: %v\n%s", subFickle, err, w.broker.Output())
		}
	},
	// Transactions over many queues.
	func(w *world, run func(func(k *link)), quit <-chan struct{}) {
		wide := w.publisher("wide")
		wide.size = 100
		run(func(k *link) { wide.transactions(k, 2, qWide, quit) })
	},
	// Bodies as big as they may be.
	func(w *world, run func(func(k *link)), _ <-chan struct{}) {
		huge := w.publisher("huge")
		huge.size = 1 << 20
		run(func(k *link) {
			for range 6 {
				if huge.one(k, qBacklog, func() {}) != nil {
					return
				}
			}
		})
	},
}
