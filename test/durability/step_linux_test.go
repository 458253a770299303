package durability

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

// deed is one thing that a client asks for, which happens as a whole or not at all, and before its
// receipt.
type deed struct {
	name   string
	queues []string // what it leaves messages in
	// prepare makes ready what it needs, in the same life, and gives what asks for it; done is for its
	// receipt.
	prepare func(w *world) (ask func(done func()))
}

var deeds = []deed{
	{"send", []string{qBacklog}, func(w *world) func(func()) {
		k, p := w.dial(""), w.publisher("p")
		return func(done func()) { _ = p.one(k, qBacklog, done) }
	}},
	{"send much", []string{qBacklog}, func(w *world) func(func()) {
		k, p := w.dial(""), w.publisher("p")
		p.size = 900 << 10
		return func(done func()) { _ = p.one(k, qBacklog, done) }
	}},
	{"commit", []string{qIndividual, qBacklog, qCumulative}, func(w *world) func(func()) {
		k, p := w.dial(""), w.publisher("tx")
		p.size = 400 << 10 // together they are more than a commit of the store takes else
		return func(done func()) { _ = p.transaction(k, "t", []string{qIndividual, qBacklog, qCumulative}, done) }
	}},
	{"forward", []string{qForward, qForwarded}, func(w *world) func(func()) {
		w.send(w.publisher("p"), qForward, 1, true)
		c := w.hold(qForward, individual)
		c.onward, c.to = w.publisher("forward"), qForwarded
		d := c.take(w, 1)[0]
		return func(done func()) { c.then = done; c.forward(d.e, d.ack) }
	}},
	{"acknowledge", []string{qCumulative}, func(w *world) func(func()) {
		w.send(w.publisher("p"), qCumulative, 10, false)
		c := w.hold(qCumulative, cumulative)
		ds := c.take(w, 10)
		u := w.l.unit()
		return func(done func()) {
			for _, d := range ds {
				w.l.acking([]*entry{d.e}, u)
			}
			w.l.asked(u)
			_ = c.k.send("ACK\nid:"+ds[9].ack+"\n", nil, func() { w.l.committed(u); done() })
		}
	}},
	{"bury", []string{qIndividual, graveOf(qIndividual)}, func(w *world) func(func()) {
		w.send(w.publisher("p"), qIndividual, 1, true)
		c := w.hold(qIndividual, individual)
		d := c.take(w, 1)[0]
		return func(done func()) { c.then = done; c.bury(d.e, d.ack) }
	}},
	{"refuse", []string{qTired, graveOf(qTired)}, prepareRefusal},
	{"publish", []string{subAlways, subSeldom}, func(w *world) func(func()) {
		for _, s := range []string{subAlways, subSeldom} {
			w.subscribe(s, individual).leave(w)
		}
		k, p := w.dial(""), w.publisher("news")
		return func(done func()) { _ = p.news(k, topicNews, []string{subAlways, subSeldom}, done) }
	}},
	{"subscribe", []string{subAlways}, func(w *world) func(func()) {
		w.hold(subAlways, individual).end(w)
		c, k, p := w.consume(subAlways, individual), w.dial(""), w.publisher("news")
		c.inbox = make(chan waiting, 10_000)
		c.k.message = c.message
		return func(done func()) {
			_ = c.k.send(c.head(), nil, func() { _ = p.news(k, topicNews, []string{subAlways}, done) })
		}
	}},
	{"unsubscribe", []string{subAlways}, func(w *world) func(func()) {
		c := w.hold(subAlways, individual)
		w.spread(5, subAlways)
		ds, u := c.takeAll(w), w.l.unit()
		u.whole = true
		return func(done func()) {
			for _, d := range ds {
				w.l.acking([]*entry{d.e}, u)
			}
			w.l.asked(u)
			_ = c.k.send("UNSUBSCRIBE\nid:"+c.name()+"\ndurable:true\n", nil, func() { w.l.committed(u); done() })
		}
	}},
	{"drop the oldest", []string{qShort}, func(w *world) func(func()) {
		w.send(w.publisher("p"), qShort, 1, true)
		k, p := w.dial(""), w.publisher("p")
		return func(done func()) { _ = p.one(k, qShort, done); w.l.keep(qShort, short-1) }
	}},
}

// prepareRefusal has a message refused for the last time, which moves it.
func prepareRefusal(w *world) func(func()) {
	w.send(w.publisher("p"), qTired, 1, true)
	var d waiting
	var done func()
	last := w.l.unit()
	grave := w.consume(graveOf(qTired), individual)
	grave.inbox = make(chan waiting, 10_000)
	grave.seen = func(e *entry) { // it is durable then
		if d.e != nil && e.seq == d.e.seq && e.pub == d.e.pub {
			w.l.committed(last)
			done()
		}
	}
	c := w.consume(qTired, individual)
	c.inbox = make(chan waiting, 100)
	c.headers += "prefetch-count:1\n"
	if err := c.subscribe(); err != nil {
		w.t.Fatal(err)
	}
	d = c.take(w, 1)[0]
	w.l.move(d.e, graveOf(qTired), last) // maybe only at the start of the next life
	if d.f.Value("delivery-count") != "2" {
		c.refuse(w, d, "delay:0\n")
		d = c.take(w, 1)[0]
	}
	if err := grave.subscribe(); err != nil {
		w.t.Fatal(err)
	}
	return func(then func()) {
		done = then
		_ = c.k.send("NACK\nid:"+d.ack+"\ndelay:0\n", nil, nil)
	}
}

// TestEveryStep stops the broker, or cuts the power, before each call in turn by which a deed reaches the
// disk, and after the last: it has happened as a whole, or not at all, and it has if it was receipted.
func TestEveryStep(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rnd := seeded(t)
			var d *disk
			root := t.TempDir()
			if kind != "kill" {
				d = newDisk(t, kind)
				root = d.mount
			}
			steps := 0
			for i, deed := range deeds {
				t.Run(deed.name, func(t *testing.T) {
					w := newWorld(t, rnd, filepath.Join(root, fmt.Sprint("data", i)))
					w.mayStop = d != nil
					w.start()
					n := 1
					for ; w.step(deed, d, n); n++ {
					}
					if n < 5 {
						t.Errorf("there were %d steps only", n)
					}
					steps += n
					w.start()
					w.drain(deed.queues...)
					w.broker.Kill()
					w.verdict()
				})
			}
			t.Logf("%d steps of %d deeds", steps, len(deeds))
		})
	}
}

// TestReceiptWaitsForTheDisk holds up the first write of what is sent: nothing is receipted before it.
func TestReceiptWaitsForTheDisk(t *testing.T) {
	w := newWorld(t, seeded(t), filepath.Join(t.TempDir(), "data"))
	g := w.startGated()
	w.l.begin(0)
	var asks []func(func())
	var queues []string
	for _, name := range []string{"send", "commit", "publish"} {
		d := deeds[slices.IndexFunc(deeds, func(d deed) bool { return d.name == name })]
		asks = append(asks, d.prepare(w))
		queues = append(queues, d.queues...)
	}
	w.closing()
	held, enough := make(chan struct{}), make(chan struct{})
	g.watch(func(c *call) error {
		if !bytes.Contains(c.data(), []byte("\nx-pub:")) {
			return nil
		}
		close(held)
		<-enough
		return errLast
	})
	receipts := make(chan struct{}, len(asks))
	for _, ask := range asks {
		ask(func() { receipts <- struct{}{} })
	}
	w.await(held, "the first write", nil)
	select {
	case <-receipts: // the ledger will tell
	case <-time.After(grace(mutant.ReceiptFirst, mutant.TopicFirst)):
	}
	close(enough)
	w.wait()
	w.restart()
	slices.Sort(queues)
	w.end(slices.Compact(queues)...)
}

// TestUnsubscribedTakesWhatIsOnItsWay holds up the write of a message while the durable subscription is deleted that is to
// get it: it is deleted, too.
func TestUnsubscribedTakesWhatIsOnItsWay(t *testing.T) {
	w := newWorld(t, seeded(t), filepath.Join(t.TempDir(), "data"))
	g := w.startGated()
	w.l.begin(0)
	c := w.hold(subAlways, individual)
	held, enough := make(chan struct{}), make(chan struct{})
	g.watch(func(c *call) error {
		if bytes.Contains(c.data(), []byte("\nx-pub:news")) {
			close(held)
			<-enough
		}
		return nil
	})
	k, p := w.dial(""), w.publisher("news")
	if err := p.news(k, topicNews, []string{subAlways}, func() {}); err != nil {
		t.Fatal(err)
	}
	e := w.l.entries[key{"news", 1, subAlways}]
	w.await(held, "the first write", nil)
	deleted := make(chan struct{})
	err := c.k.send("UNSUBSCRIBE\nid:"+c.name()+"\ndurable:true\n", nil, func() { close(deleted) })
	w.sync(w.dial("")) // the broker has read it, most likely
	close(enough)
	g.watch(nil)
	w.await(deleted, "the receipt", err)
	w.sync(k)
	w.l.acking([]*entry{e}, nil)
	w.l.acked([]*entry{e})
	w.hold(subAlways, individual).takeAll(w)
	w.restart()
	w.end(subAlways)
}

// step kills the broker, or cuts the power, before the nth call of a deed, and tells whether there was
// such a call.
func (w *world) step(deed deed, d *disk, n int) bool {
	w.t.Helper()
	w.broker.Kill()
	g := w.startGated()
	w.l.begin(0)
	ask := deed.prepare(w)
	w.idle()
	w.closing()
	var count atomic.Int32
	g.watch(func(*call) error {
		if count.Add(1) == int32(n) {
			if d != nil {
				d.cut()
			}
			return errLast
		}
		return nil
	})
	done := make(chan struct{})
	ask(func() { close(done) })
	gone := make(chan struct{})
	go func() { w.wait(); close(gone) }()
	select {
	case <-done:
	case <-gone:
	case <-time.After(harness.Patience):
		w.l.report("stuck: %s at step %d", deed.name, n)
	}
	g.watch(nil)
	w.broker.Kill()
	<-gone
	w.inspect()
	if d != nil && d.broken {
		d.restore()
	}
	return int(count.Load()) >= n
}
