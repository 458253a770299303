package memory

import (
	"cmp"
	"math"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// Commit implements [store.Engine]. done runs before Commit returns.
func (e *Engine) Commit(ms []*store.Message, acks []store.Delivery, done func(error)) {
	ds := make([]*delivery, len(acks))
	for i, a := range acks {
		d, ok := a.(*delivery)
		if !ok || d.queue.engine != e {
			tell(done, errForeign)
			return
		}
		ds[i] = d
	}
	e.commit(ms, ds, done)
}

// move is a Commit of one message and one delivery.
func (e *Engine) move(m *store.Message, d *delivery, done func(error)) {
	e.commit([]*store.Message{m}, []*delivery{d}, done)
}

func (e *Engine) commit(ms []*store.Message, ds []*delivery, done func(error)) {
	targets, locked, err := e.lockFor(ms, ds)
	if err != nil {
		tell(done, err)
		return
	}
	err = e.apply(ms, targets, ds, locked)
	pumps := locked[:0]
	for _, q := range locked {
		pump := q.deliverable()
		q.unlock()
		if pump {
			pumps = append(pumps, q)
		}
	}
	tell(done, err)
	for _, q := range pumps {
		q.pump()
	}
}

// lockFor locks all queues that ms go to and ds came from, by ascending number. targets are the
// queues of ms, alive; those of ds may be dead.
func (e *Engine) lockFor(ms []*store.Message, ds []*delivery) (targets, locked []*queue, err error) {
	targets = make([]*queue, len(ms))
	for {
		locked = make([]*queue, 0, len(ms)+len(ds))
		for i, m := range ms {
			if targets[i], err = e.lookup(m.Queue); err != nil {
				return nil, nil, err // a queue made for nothing is swept by Close, the only cause
			}
		}
		locked = append(locked, targets...)
		for _, d := range ds {
			locked = append(locked, d.queue)
		}
		slices.SortFunc(locked, func(a, b *queue) int { return cmp.Compare(a.number, b.number) })
		locked = slices.Compact(locked)
		for _, q := range locked {
			q.mu.Lock()
		}
		isDead := func(q *queue) bool { return q.dead }
		if !slices.ContainsFunc(targets, isDead) {
			return targets, locked, nil
		}
		dead := slices.DeleteFunc(slices.Clone(locked), func(q *queue) bool { return !q.dead })
		for _, q := range locked {
			q.unlock() // one that was made for this call may vanish here
		}
		for _, q := range dead {
			e.forget(q)
		}
	}
}

// apply does all or nothing; every queue concerned is locked.
func (e *Engine) apply(ms []*store.Message, targets []*queue, ds []*delivery, locked []*queue) error {
	if e.closed.Load() {
		return store.ErrClosed
	}
	var bytes int64
	held := make([]*delivery, 0, len(ds))
	for _, d := range ds {
		if d.settled || d.queue.dead {
			continue
		}
		d.settled = true // at once, so that one named twice counts once
		held = append(held, d)
		d.queue.growth--
		bytes -= int64(d.message.Size())
	}
	full := false
	for i, m := range ms {
		targets[i].growth++
		bytes += int64(m.Size())
		full = full || m.Size() > math.MaxUint32
	}
	for _, q := range locked {
		full = full || q.growth > 0 && q.ledger.Len()+q.growth > e.opts.MaxMessages
		q.growth = 0
	}
	if full || e.reserve(bytes) != nil {
		for _, d := range held {
			d.settled = false
		}
		return store.ErrFull
	}
	for _, d := range held {
		d.queue.ledger.Ack(d.pos)
	}
	for i, m := range ms {
		targets[i].append(m)
	}
	return nil
}
