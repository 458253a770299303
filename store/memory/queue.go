package memory

import (
	"sync"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/ledger"
)

// queue is one queue from its first message or consumer until it has neither. Then it is dead
// for ever: a later queue of the same name is another one.
type queue struct {
	// Static after construction.
	engine *Engine
	name   string
	number uint64 // the order in which several queues are locked

	mu       sync.Mutex
	ledger   ledger.Ledger[*store.Message]
	consumer *consumer
	dead     bool
	growth   int   // within one Commit: the messages it adds, less those it acknowledges
	wake     int64 // when the keeper will look at it, Unix milliseconds; 0 if it will not

	place int // in the keeper's heap, -1 if in none; guarded by keeper.mu
}

// append stores m, whose bytes are reserved. The caller holds q.mu.
func (q *queue) append(m *store.Message) {
	var now int64
	if m.NotBefore != 0 {
		now = q.engine.now()
	}
	q.ledger.Append(ledger.Entry[*store.Message]{
		Value: m, Size: uint32(m.Size()), Expires: m.Expires, NotBefore: m.NotBefore,
	}, now)
}

// remove takes the message that is on loan at pos out of the queue. The caller holds q.mu.
func (q *queue) remove(pos uint64) {
	if entry, ok := q.ledger.Ack(pos); ok {
		_ = q.engine.reserve(-int64(entry.Size)) // giving back cannot fail
	}
}

// unlock ends each section under q.mu: it tells the keeper when to look again, and a queue with
// neither message nor consumer vanishes.
func (q *queue) unlock() {
	if q.dead {
		q.mu.Unlock()
		return
	}
	if q.consumer == nil && q.ledger.Len() == 0 {
		q.end()
		q.mu.Unlock()
		q.engine.forget(q)
		return
	}
	if at, ok := q.ledger.NextWake(); ok && (q.wake == 0 || at < q.wake) {
		q.wake = max(at, 1)
		q.engine.keep.set(q, q.wake)
	}
	q.mu.Unlock()
}

// end makes the queue dead and gives its memory back. The caller holds q.mu and forgets it.
func (q *queue) end() {
	_ = q.engine.reserve(-q.ledger.Counts().Bytes) // giving back cannot fail
	q.dead = true
	q.ledger = ledger.Ledger[*store.Message]{}
	q.consumer = nil
	if q.wake != 0 {
		q.wake = 0
		q.engine.keep.remove(q)
	}
}

// Browse implements [store.Engine]. It holds the queue's lock for as long as it copies.
func (e *Engine) Browse(name string, after uint64, limit int) ([]*store.Message, uint64) {
	q := e.find(name)
	if q == nil || limit <= 0 {
		if q != nil {
			q.mu.Unlock()
		}
		return nil, after
	}
	defer q.mu.Unlock()
	ms := make([]*store.Message, 0, min(limit, q.ledger.Len()))
	q.ledger.Range(after, func(entry ledger.Entry[*store.Message]) bool {
		ms, after = append(ms, entry.Value), entry.Pos
		return len(ms) < limit
	})
	return ms, after
}

// Purge implements [store.Engine].
func (e *Engine) Purge(name string, done func(n int, err error)) {
	n, err := e.purge(name)
	if done != nil {
		done(n, err)
	}
}

func (e *Engine) purge(name string) (int, error) {
	if e.closed.Load() {
		return 0, store.ErrClosed
	}
	q := e.find(name)
	if q == nil {
		return 0, nil
	}
	defer q.unlock()
	before := q.ledger.Counts().Bytes
	n := q.ledger.Purge(nil)
	return n, e.reserve(q.ledger.Counts().Bytes - before)
}

// Drop implements [store.Engine].
func (e *Engine) Drop(name string, done func(error)) { tell(done, e.drop(name)) }

func (e *Engine) drop(name string) error {
	if e.closed.Load() {
		return store.ErrClosed
	}
	q := e.find(name)
	if q == nil {
		return nil
	}
	if q.consumer != nil {
		q.mu.Unlock()
		return store.ErrConsumed
	}
	q.end()
	q.mu.Unlock()
	e.forget(q)
	return nil
}
