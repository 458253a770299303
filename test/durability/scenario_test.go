package durability

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// The scenarios are short stories of one promise each, with a kill in them. They tell at once what
// the load of TestKill would tell somewhere among thousands of messages, and are what kills most
// mutants.

func story(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, seeded(t), filepath.Join(t.TempDir(), "data"))
	w.start()
	w.l.begin(0)
	return w
}

// restart kills the broker and starts it again.
func (w *world) restart() {
	w.t.Helper()
	w.broker.Kill()
	w.inspect()
	w.start()
	w.l.begin(0)
}

// end drains queues and judges.
func (w *world) end(queues ...string) {
	w.t.Helper()
	w.drain(queues...)
	w.broker.Stop()
	w.verdict()
}

// send sends n messages with receipts to a queue, several at a time or one after the other.
func (w *world) send(p *publisher, queue string, n int, oneByOne bool) {
	w.t.Helper()
	k := w.dial("")
	defer k.close()
	for range n {
		if oneByOne {
			w.ask("a receipt", func(done func()) error { return p.one(k, queue, done) })
		} else if err := p.one(k, queue, func() {}); err != nil {
			w.t.Fatalf("%v\n%s", err, w.broker.Output())
		}
	}
	w.sync(k)
}

// spread is send to a topic with durable subscriptions.
func (w *world) spread(n int, labels ...string) {
	w.t.Helper()
	k, p := w.dial(""), w.publisher("news")
	defer k.close()
	for range n {
		if err := p.news(k, topicNews, labels, func() {}); err != nil {
			w.t.Fatalf("%v\n%s", err, w.broker.Output())
		}
	}
	w.sync(k)
}

// idle waits until the broker has written down what it has delivered: from then on it writes only if
// it is asked to. It does so every 50 ms, or with what comes later.
func (w *world) idle() {
	w.t.Helper()
	until(time.Now().Add(60 * time.Millisecond).UnixMilli())
	k := w.dial("")
	defer k.close()
	if err := k.call("SEND\ndestination:/queue/idle\n", nil); err != nil {
		w.t.Fatalf("no receipt: %v\n%s", err, w.broker.Output())
	}
}

// sync waits until everything that was asked on a connection has been answered.
func (w *world) sync(k *link) {
	w.t.Helper()
	if err := k.call("SEND\ndestination:/topic/nobody\n", nil); err != nil {
		w.t.Fatalf("no receipt: %v\n%s", err, w.broker.Output())
	}
}

// hold subscribes without settling anything.
func (w *world) hold(queue string, m mode) *consumer {
	w.t.Helper()
	c := w.consume(queue, m)
	c.inbox = make(chan waiting, 10_000)
	if err := c.subscribe(); err != nil {
		w.t.Fatalf("subscribe to %s: %v\n%s", queue, err, w.broker.Output())
	}
	return c
}

// take takes n deliveries.
func (c *consumer) take(w *world, n int) []waiting {
	w.t.Helper()
	var all []waiting
	for range n {
		select {
		case d := <-c.inbox:
			all = append(all, d)
		case <-c.k.gone:
			w.t.Fatalf("the broker has gone after %d of %d deliveries", len(all), n)
		case <-time.After(harness.Patience):
			w.t.Fatalf("lost: only %d of %d deliveries came", len(all), n)
		}
	}
	return all
}

// takeAll takes what is there: everything up to one more message.
func (c *consumer) takeAll(w *world) []waiting {
	w.t.Helper()
	p, k := w.publisher("fence"), w.dial("")
	defer k.close()
	w.ask("a receipt", func(done func()) error {
		if topic := strings.HasPrefix(c.queue, "durable "); topic {
			return p.news(k, topicNews, []string{c.queue}, done)
		}
		return p.one(k, c.queue, done)
	})
	var all []waiting
	for {
		d := c.take(w, 1)[0]
		if d.e.pub == p.name && d.e.seq == p.seq {
			c.acknowledge([]*entry{d.e}, d.ack)
			w.sync(c.k)
			return all
		}
		all = append(all, d)
	}
}

// leave gives everything back and ends the subscription.
func (c *consumer) leave(w *world) {
	w.t.Helper()
	c.turn.Lock()
	r := c.current
	w.l.ending(r)
	c.mu.Lock()
	c.old = r // an acknowledgement from now on would come too late
	c.mu.Unlock()
	done := make(chan struct{})
	err := c.k.send("UNSUBSCRIBE\nid:"+c.name()+"\n", nil, func() { close(done) })
	c.turn.Unlock()
	w.await(done, "the end of a subscription", err)
	w.l.ended(r)
	c.k.close()
}

// end takes and acknowledges everything and ends a durable subscription for good.
func (c *consumer) end(w *world) {
	w.t.Helper()
	for _, d := range c.takeAll(w) {
		c.acknowledge([]*entry{d.e}, d.ack)
	}
	if err := c.k.call("UNSUBSCRIBE\nid:"+c.name()+"\ndurable:true\n", nil); err != nil {
		w.t.Fatalf("UNSUBSCRIBE: %v\n%s", err, w.broker.Output())
	}
	c.k.close()
}

// refuse sends a NACK and waits for its receipt.
func (c *consumer) refuse(w *world, d waiting, header string) {
	w.t.Helper()
	w.l.mu.Lock()
	d.e.held = nil
	w.l.mu.Unlock()
	c.current = newReading(c.queue) // it comes out of turn
	if err := c.k.call("NACK\nid:"+d.ack+"\n"+header, nil); err != nil {
		w.t.Fatalf("NACK: %v", err)
	}
}

// What is acknowledged with a receipt does not come again: one by one, by the dozen, only some of it.
func TestAckedStaysGone(t *testing.T) {
	w := story(t)
	pub, k := w.publisher("p"), w.dial("")
	w.send(pub, qIndividual, 60, false)
	w.send(pub, qCumulative, 60, false)
	w.ask("a receipt", func(done func()) error { // all of them in one commit of the store
		return pub.transaction(k, "t", slices.Repeat([]string{qBacklog}, 60), done)
	})
	one, many, some := w.hold(qIndividual, individual), w.hold(qCumulative, cumulative), w.hold(qBacklog, individual)
	for _, d := range one.take(w, 60) {
		one.acknowledge([]*entry{d.e}, d.ack)
	}
	ds := many.take(w, 60)
	for i := 9; i < 60; i += 10 {
		var es []*entry
		for _, d := range ds[i-9 : i+1] {
			es = append(es, d.e)
		}
		many.acknowledge(es, ds[i].ack)
	}
	for i, d := range some.take(w, 60) {
		if i%4 != 0 {
			some.acknowledge([]*entry{d.e}, d.ack)
		}
	}
	for _, c := range []*consumer{one, many, some} {
		w.sync(c.k)
	}
	w.restart()
	w.end(qIndividual, qCumulative, qBacklog)
}

// What was delivered and not acknowledged comes again, marked, after a kill and after UNSUBSCRIBE.
func TestUnackedComesBack(t *testing.T) {
	w := story(t)
	w.send(w.publisher("p"), qIndividual, 60, false)
	w.hold(qIndividual, individual).take(w, 60)
	w.idle() // what is delivered just before a crash may come again unmarked
	w.restart()
	c := w.hold(qIndividual, individual)
	ds := c.takeAll(w)
	for _, d := range ds { // the ledger sees to order and content
		if !d.e.marked {
			w.l.report("redelivered flag: %v came again without it", d.e.key)
		}
	}
	c.leave(w)
	again := w.hold(qIndividual, individual).takeAll(w)
	if len(ds) != 60 || len(again) != 60 {
		t.Errorf("lost: %d messages came after the kill, then %d, of 60", len(ds), len(again))
	}
	w.restart()
	w.end(qIndividual)
}

// A receipt means stored: whatever dies right after it.
func TestReceiptMeansStored(t *testing.T) {
	w := story(t)
	w.subscribe(subAlways, individual).leave(w)
	lives := 24
	for i := range lives {
		k := w.dial("")
		kill := func() { _ = w.broker.Signal(9) } // in the moment in which it is read
		switch i % 3 {
		case 0:
			p := w.publisher("p")
			if err := p.one(k, qBacklog, kill); err != nil {
				t.Fatal(err)
			}
		case 1:
			if err := w.publisher("tx").transaction(k, "t", []string{qBacklog, qIndividual}, kill); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := w.publisher("news").news(k, topicNews, []string{subAlways}, kill); err != nil {
				t.Fatal(err)
			}
		}
		<-k.gone
		w.restart()
	}
	t.Logf("%d kills in the moment of a receipt", lives)
	w.end(qBacklog, qIndividual, subAlways)
}

// The order is that of sending, over many commits and several lives.
func TestOrderSurvives(t *testing.T) {
	w := story(t)
	p, r := w.publisher("p"), w.publisher("r")
	for range 3 {
		w.send(p, qBacklog, 40, true)
		w.send(r, qBacklog, 200, false)
		w.restart()
	}
	w.end(qBacklog)
}

// What is refused comes again first, marked and counted, also after a kill.
func TestNackedKeepsItsPlace(t *testing.T) {
	w := story(t)
	w.send(w.publisher("p"), qIndividual, 10, false)
	look := func(d waiting, seq int, count string) {
		t.Helper()
		if d.e.seq != seq {
			t.Errorf("out of order: message %d, want %d", d.e.seq, seq)
		}
		if got := d.f.Value("delivery-count"); got != count || (d.f.Value("redelivered") == "true") != (count != "") {
			t.Errorf("redelivered flag: message %d has redelivered:%s delivery-count:%s, want %s", seq, d.f.Value("redelivered"), got, count)
		}
	}
	c := w.consume(qIndividual, individual)
	c.inbox = make(chan waiting, 100)
	c.headers += "prefetch-count:1\n"
	if err := c.subscribe(); err != nil {
		t.Fatal(err)
	}
	d := c.take(w, 1)[0]
	look(d, 1, "")
	c.refuse(w, d, "")
	d = c.take(w, 1)[0]
	look(d, 1, "2")
	c.refuse(w, d, "delay:0\n")
	d = c.take(w, 1)[0]
	look(d, 1, "3")
	c.refuse(w, d, "delay:0\n")
	// A refusal's receipt promises nothing of the disk; that of what follows does.
	w.send(w.publisher("r"), qBacklog, 1, true)
	w.restart()
	c = w.hold(qIndividual, individual)
	ds := c.take(w, 10)
	look(ds[0], 1, "4")
	for i, d := range ds[1:] {
		look(d, i+2, "")
	}
	c.leave(w)
	w.end(qIndividual, qBacklog)
}

// A dead letter is in one of the two queues, and goes on being what it was.
func TestDeadLetterSurvives(t *testing.T) {
	w := story(t)
	w.send(w.publisher("p"), qIndividual, 20, false)
	c := w.hold(qIndividual, individual)
	ds := c.take(w, 20)
	for _, d := range ds {
		c.refuse(w, d, "requeue:false\n")
		w.l.acking([]*entry{d.e}, nil)
		w.l.acked([]*entry{d.e})
	}
	w.restart()
	dead := w.dial("")
	got := make(chan *harness.Frame, 100)
	dead.message = func(_ string, f *harness.Frame) { got <- f }
	if err := dead.call("SUBSCRIBE\nid:d\nack:auto\ndestination:/dlq/one.individual\n", nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		select {
		case f := <-got:
			k, sum := keyOf(f, qIndividual)
			if k != d.e.key || sum != d.e.sum || f.Value("dlq-destination") != qIndividual {
				t.Errorf("dead letter: %v %s, want %v %s", k, f, d.e.key, d.e.sum)
			}
		case <-time.After(harness.Patience):
			t.Fatalf("lost: the dead letter of %v", d.e.key)
		}
	}
	w.end(qIndividual)
}
