package queues

import (
	"cmp"
	"math"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// Commit is one Commit on its way through the journal.
type Commit struct {
	// Messages are to be written where Durable says so; Queues and Pos say where they will stand.
	Messages []*store.Message
	Queues   []*Queue
	Pos      []uint64
	Durable  []bool
	// Acks are to be struck out. A journal may put other places for the same messages.
	Acks []Place

	table *Table
	acks  []*delivery
	done  func(error)
}

// Commit implements [store.Engine].
func (t *Table) Commit(ms []*store.Message, acks []store.Delivery, done func(error)) {
	ds := make([]*delivery, len(acks))
	for i, a := range acks {
		d, ok := a.(*delivery)
		if !ok || d.queue.table != t {
			tell(done, errForeign)
			return
		}
		ds[i] = d
	}
	t.commit(ms, ds, false, done)
}

// move is a Commit of one message and one delivery, to whatever queue.
func (t *Table) move(m *store.Message, d *delivery, done func(error)) {
	t.commit([]*store.Message{m}, []*delivery{d}, true, done)
}

func (t *Table) commit(ms []*store.Message, ds []*delivery, forced bool, done func(error)) {
	size := 0
	for _, m := range ms {
		if t.durable(m) {
			size += m.Size()
		}
	}
	if size > 0 {
		if err := t.opts.Journal.Admit(size); err != nil {
			tell(done, err)
			return
		}
	}
	targets, locked, err := t.lockFor(ms, ds, forced)
	if err != nil {
		tell(done, err)
		return
	}
	later, err := t.apply(ms, targets, ds, locked, done)
	pumps := locked[:0]
	for _, q := range locked {
		pump := q.deliverable()
		q.unlock()
		if pump {
			pumps = append(pumps, q)
		}
	}
	if !later {
		tell(done, err)
	}
	for _, q := range pumps {
		q.pump()
	}
}

// lockFor locks all queues that ms go to and ds came from, by ascending number. targets are the
// queues of ms, alive; those of ds may be dead. forced makes queues that are too many.
func (t *Table) lockFor(ms []*store.Message, ds []*delivery, forced bool) (targets, locked []*Queue, err error) {
	targets = make([]*Queue, len(ms))
	for {
		locked = make([]*Queue, 0, len(ms)+len(ds))
		for i, m := range ms {
			if targets[i], err = t.lookup(m.Queue, forced); err == nil {
				continue
			}
			for _, q := range targets[:i] {
				q.mu.Lock()
				q.unlock() // one that was made for nothing vanishes
			}
			return nil, nil, err
		}
		locked = append(locked, targets...)
		for _, d := range ds {
			locked = append(locked, d.queue)
		}
		slices.SortFunc(locked, func(a, b *Queue) int { return cmp.Compare(a.number, b.number) })
		locked = slices.Compact(locked)
		for _, q := range locked {
			q.mu.Lock()
		}
		isDead := func(q *Queue) bool { return q.dead }
		if !slices.ContainsFunc(targets, isDead) {
			return targets, locked, nil
		}
		dead := slices.DeleteFunc(slices.Clone(locked), func(q *Queue) bool { return !q.dead })
		for _, q := range locked {
			q.unlock() // one that was made for this call may vanish here
		}
		for _, q := range dead {
			t.forget(q)
		}
	}
}

// apply does all or nothing; every queue concerned is locked. later tells that the journal has it,
// which will call Finish.
func (t *Table) apply(ms []*store.Message, targets []*Queue, ds []*delivery, locked []*Queue, done func(error)) (later bool, err error) {
	if err := t.refusal(); err != nil {
		return false, err
	}
	var bytes, transient int64
	held := make([]*delivery, 0, len(ds))
	journal := false
	for _, d := range ds {
		if d.settled || d.queue.dead {
			continue
		}
		e, ok := d.queue.ledger.Get(d.pos)
		if !ok {
			continue // its queue was dropped
		}
		d.settled = true // at once, so that one named twice counts once
		held = append(held, d)
		d.queue.growth--
		d.queue.swelling -= int64(e.Size)
		bytes -= int64(e.Size)
		journal = journal || e.Value != 0
	}
	full := false
	for i, m := range ms {
		targets[i].growth++
		targets[i].swelling += int64(m.Size())
		bytes += int64(m.Size())
		full = full || int64(m.Size()) > math.MaxUint32
		if t.durable(m) {
			journal = true
		} else if t.opts.Journal != nil {
			transient += int64(m.Size())
		}
	}
	for _, q := range locked {
		full = full || (q.growth > 0 || q.swelling > 0) && !q.makeRoom(q.growth, q.swelling)
		q.growth, q.swelling = 0, 0
	}
	full = full || transient > 0 && transient > t.opts.MaxTransient-t.transient.Load()
	if full || t.take(bytes) != nil {
		for _, d := range held {
			d.settled = false
		}
		return false, store.ErrFull
	}
	if journal {
		return true, t.write(ms, targets, held, bytes, done)
	}
	for _, d := range held {
		if e, ok := d.queue.ledger.Ack(d.pos); ok {
			d.queue.cool(e)
		}
	}
	for i, m := range ms {
		// An error is the journal's, which has no part in this.
		_ = targets[i].publish(m, false, nil)
	}
	return false, nil
}

// write hands a Commit to the journal. Its messages wait, and its acks are on loan, until Finish.
func (t *Table) write(ms []*store.Message, targets []*Queue, held []*delivery, bytes int64, done func(error)) error {
	c := &Commit{Messages: ms, Queues: targets, table: t, acks: held, done: done}
	for _, d := range held {
		e, _ := d.queue.ledger.Get(d.pos)
		d.queue.lent += int64(e.Size)
		if e.Value != 0 {
			c.Acks = append(c.Acks, e.Value)
		}
	}
	for i, m := range ms {
		q := targets[i]
		c.Pos = append(c.Pos, q.ledger.Reserve())
		c.Durable = append(c.Durable, t.durable(m))
		q.waiting = append(q.waiting, arrival{pos: c.Pos[i], item: Item{M: m}})
	}
	if err := t.opts.Journal.Commit(c); err != nil {
		t.pumps.Go(func() { c.Finish(nil, err) }) // not under these locks
	}
	return nil
}

// Finish tells that the commit is durable, its durable messages at the places given, or has failed.
// It runs the done, and deliveries: it is called with no lock, and by no goroutine that publishers
// wait for.
func (c *Commit) Finish(places []Place, err error) {
	var pumps []*Queue
	leave := func(q *Queue) {
		if q.deliverable() {
			pumps = append(pumps, q)
		}
		q.unlock()
	}
	for _, d := range c.acks {
		q := d.queue
		q.mu.Lock()
		e, ok := q.ledger.Get(d.pos)
		if ok && !q.dead {
			q.lent -= int64(e.Size)
			if err == nil {
				q.ledger.Ack(d.pos)
				q.cool(e)
			} else {
				d.settled = false
				c.table.reserve(int64(e.Size))
			}
		}
		leave(q)
	}
	for i, m := range c.Messages {
		q := c.Queues[i]
		q.mu.Lock()
		j, waits := q.arrival(c.Pos[i])
		switch {
		case err != nil:
			c.table.reserve(-int64(m.Size()))
			if waits {
				q.waiting = slices.Delete(q.waiting, j, j+1)
			}
		case waits:
			q.waiting[j].ready = true
			if c.Durable[i] {
				q.waiting[j].item.At = places[i]
			}
		}
		if !q.dead {
			q.advance()
		}
		leave(q)
	}
	tell(c.done, err)
	for _, q := range pumps {
		q.pump()
	}
}
