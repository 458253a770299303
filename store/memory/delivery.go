package memory

import (
	"time"

	"github.com/gudokmq/gudok/store"
)

// delivery is one message on loan: 32 bytes, made for one loan and never used again, so that a
// late call cannot meet another message.
type delivery struct {
	queue   *queue
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
	if q.engine.closed.Load() {
		return false, store.ErrClosed
	}
	return false, nil
}

// Ack implements [store.Delivery].
func (d *delivery) Ack(done func(error)) {
	held, err := d.lock()
	if held {
		d.settled = true
		d.queue.remove(d.pos)
		d.queue.unlock()
	}
	tell(done, err)
}

// Nack implements [store.Delivery].
func (d *delivery) Nack(delay time.Duration, done func(error)) {
	held, err := d.lock()
	pump := false
	if held {
		var until int64
		if delay > 0 {
			until = milliAfter(d.queue.engine.opts.Now().Add(delay))
		}
		d.settled = true
		d.queue.ledger.Nack(d.pos, until)
		pump = d.queue.deliverable()
		d.queue.unlock()
	}
	tell(done, err)
	if pump {
		d.queue.pump()
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
	d.queue.engine.move(m, d, done)
}

// milliAfter is t in Unix milliseconds, rounded up.
func milliAfter(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
