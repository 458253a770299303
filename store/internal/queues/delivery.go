package queues

import (
	"time"

	"github.com/gudokmq/gudok/store"
)

// delivery is one message on loan: 32 bytes, made for one loan and never used again, so that a
// late call cannot meet another message.
type delivery struct {
	queue   *Queue
	message *store.Message
	pos     uint64
	count   uint16
	settled bool // guarded by queue.mu
}

var _ store.Delivery = (*delivery)(nil)

// Message implements [store.Delivery].
func (d *delivery) Message() *store.Message { return d.message }

// Count implements [store.Delivery]. It sticks at 65,535.
func (d *delivery) Count() int { return int(d.count) }

// lock takes queue.mu if the message is still on loan. If not it tells why there is nothing to
// settle: nil, or ErrClosed.
func (d *delivery) lock() (bool, error) {
	q := d.queue
	q.mu.Lock()
	if !d.settled && !q.dead {
		return true, nil
	}
	q.mu.Unlock()
	return false, q.table.refusal()
}

// Ack implements [store.Delivery].
func (d *delivery) Ack(done func(error)) {
	held, err := d.lock()
	if !held {
		tell(done, err)
		return
	}
	later, err := d.queue.strike(d.pos, done)
	d.settled = err == nil
	d.queue.unlock()
	if !later {
		tell(done, err)
	}
}

// strike takes the message that is on loan at pos out of the queue. later tells that the journal
// will run done. The caller holds q.mu.
func (q *Queue) strike(pos uint64, done func(error)) (later bool, err error) {
	if q.table.opts.Journal != nil {
		if e, ok := q.ledger.Get(pos); ok && e.Value != 0 {
			if err := q.table.opts.Journal.Ack(e.Value, done); err != nil {
				return false, err
			}
			later = true
		}
	}
	if e, ok := q.ledger.Ack(pos); ok {
		q.gone(e)
	}
	return later, nil
}

// Nack implements [store.Delivery].
func (d *delivery) Nack(delay time.Duration, done func(error)) {
	held, err := d.lock()
	if !held {
		tell(done, err)
		return
	}
	q := d.queue
	var until int64
	if delay > 0 {
		until = milliAfter(q.table.opts.Now().Add(delay))
	}
	later := false
	if e, ok := q.ledger.Get(d.pos); ok && e.Value != 0 {
		err = q.table.opts.Journal.Nack(e.Value, e.Count, until, done)
		later = err == nil
	}
	if err == nil {
		d.settled = true
		q.ledger.Nack(d.pos, until)
	}
	pump := q.deliverable()
	q.unlock()
	if !later {
		tell(done, err)
	}
	if pump {
		q.pump()
	}
}

// Release implements [store.Delivery].
func (d *delivery) Release() {
	if held, _ := d.lock(); !held {
		return // nobody to tell
	}
	d.settled = true
	d.queue.ledger.Release(d.pos)
	pump := d.queue.deliverable()
	d.queue.unlock()
	if pump {
		d.queue.pump()
	}
}

// Move implements [store.Delivery].
func (d *delivery) Move(m *store.Message, done func(error)) {
	if held, err := d.lock(); !held {
		tell(done, err)
		return
	}
	d.queue.mu.Unlock()
	d.queue.table.move(m, d, done)
}

// milliAfter is t in Unix milliseconds, rounded up.
func milliAfter(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
