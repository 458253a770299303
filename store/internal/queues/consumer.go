package queues

import "github.com/gudokmq/gudok/store"

// consumer is the right to a queue's messages.
type consumer struct {
	queue   *Queue
	deliver func(store.Delivery)

	// Guarded by queue.mu.
	credit  int
	pumping bool // a goroutine is calling deliver, or is about to
	closed  bool
	idle    chan struct{} // closed when the last deliver has returned, where end waits for that
}

var _ store.Consumer = (*consumer)(nil)

// inlinePump is how many messages a pump delivers on its caller's goroutine before it goes on in
// one of its own.
const inlinePump = 128

// Credit implements [store.Consumer].
func (c *consumer) Credit(n int) {
	q := c.queue
	q.mu.Lock()
	c.credit += max(n, 0)
	pump := !c.closed && q.deliverable()
	q.mu.Unlock()
	if pump {
		q.pump()
	}
}

// Close implements [store.Consumer].
func (c *consumer) Close() {
	q := c.queue
	q.mu.Lock()
	if q.consumer == c {
		q.consumer = nil
	}
	c.end()
}

// end closes the consumer and waits until deliver is not running any more. It is called with
// queue.mu held and releases it.
func (c *consumer) end() {
	c.closed = true
	var idle chan struct{}
	if c.pumping {
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle = c.idle
	}
	c.queue.unlock()
	if idle != nil {
		<-idle
	}
}

// deliverable tells that a pump may find something to do. The caller holds q.mu.
func (q *Queue) deliverable() bool {
	c := q.consumer
	return c != nil && c.credit > 0 && !c.pumping && !q.fetching && (q.ledger.Counts().Ready > 0 || q.ledger.Timed())
}

// pump delivers what is deliverable, unless another pump does. The caller holds no lock.
func (q *Queue) pump() {
	q.mu.Lock()
	c := q.consumer
	if c == nil || c.pumping {
		q.mu.Unlock()
		return
	}
	c.pumping = true
	c.run(inlinePump)
}

// run is the pump. It is called with queue.mu held and pumping set, and releases both, unless
// limit deliveries were not enough: then a goroutine goes on.
func (c *consumer) run(limit int) {
	q := c.queue
	for n := 0; ; n++ {
		d := c.take()
		if d == nil {
			break
		}
		if n == limit {
			// Engine.Close cannot be waiting yet: it closes every consumer under its queue's
			// lock first, and this one is open.
			q.table.pumps.Go(func() {
				c.deliver(d)
				q.mu.Lock()
				c.run(-1)
			})
			q.unlock()
			return
		}
		q.mu.Unlock()
		c.deliver(d)
		q.mu.Lock()
	}
	c.pumping = false
	if c.idle != nil {
		close(c.idle)
	}
	q.unlock()
}

// take lends out the next message within the credit, nil if there is none or the journal must read
// it first; order forbids to take another. The caller holds queue.mu.
func (c *consumer) take() *delivery {
	q := c.queue
	if c.closed || c.credit == 0 || q.fetching || q.table.halted.Load() {
		return nil
	}
	var now int64
	if q.ledger.Timed() {
		now = q.table.now()
	}
	entry, ok := q.ledger.Next(now)
	if !ok {
		return nil
	}
	if entry.Body == nil {
		q.ledger.Release(entry.Pos)
		q.fetching = true
		q.table.opts.Journal.Fetch(q, entry.Pos, entry.Value)
		return nil
	}
	c.credit--
	if entry.Value != 0 {
		q.reached(entry.Pos)
	}
	return &delivery{queue: q, message: entry.Body, pos: entry.Pos, count: uint16(entry.Count)}
}
