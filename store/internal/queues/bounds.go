package queues

import (
	"maps"
	"slices"
)

// setBounds settles the limits of a queue: the table's, or its own where those are narrower. The
// caller holds q.mu, unless nobody else knows q yet.
func (q *Queue) setBounds() {
	o := &q.table.opts
	if o.Bounds != nil {
		q.bounds = o.Bounds(q.name)
	}
	if q.bounds.Messages <= 0 || q.bounds.Messages > o.MaxMessages {
		q.bounds.Messages = o.MaxMessages
	}
	if q.bounds.Bytes <= 0 || q.bounds.Bytes > o.MaxQueueBytes {
		q.bounds.Bytes = o.MaxQueueBytes
	}
}

// Rebound asks for the bounds of all queues anew.
func (t *Table) Rebound() {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.RLock()
		all := slices.Collect(maps.Values(sh.queues))
		sh.mu.RUnlock()
		for _, q := range all {
			q.mu.Lock()
			q.setBounds()
			q.mu.Unlock()
		}
	}
}

// fits tells that n more messages of size bytes together are within the queue's bounds. The caller
// holds q.mu.
func (q *Queue) fits(n int, size int64) bool {
	return (n <= 0 || q.ledger.Len()+len(q.waiting)+n <= q.bounds.Messages) &&
		(size <= 0 || size <= q.bounds.Bytes-q.ledger.Counts().Bytes)
}

// makeRoom is fits, after the oldest messages that are ready have given way where the bounds say
// so. The caller holds q.mu.
func (q *Queue) makeRoom(n int, size int64) bool {
	for !q.fits(n, size) {
		if !q.bounds.DropOldest || n > q.bounds.Messages || size > q.bounds.Bytes {
			return false
		}
		e, ok := q.ledger.Next(q.table.now())
		if !ok {
			return false // the rest is on loan, or delayed
		}
		if _, err := q.strike(e.Pos, nil); err != nil {
			q.ledger.Release(e.Pos)
			return false
		}
	}
	return true
}
