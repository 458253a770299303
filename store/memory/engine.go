package memory

import (
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
)

// Options are the limits and hooks of an [Engine]. The zero Options are fine.
type Options struct {
	// MaxBytes bounds the sum of Message.Size over the whole engine; 0 means 1 GiB. The memory
	// in use is higher by 50 to 120 bytes a message, and by what Go's heap has in reserve.
	MaxBytes int64
	// MaxMessages bounds each queue's messages, whatever their state; 0 means 1,000,000.
	MaxMessages int
	// Expired is called once for each message that expired in its queue, and gives the message
	// to publish in its place (a dead letter) or nil for none. A dead letter that a limit refuses
	// is dropped. It runs on the engine's housekeeping goroutine with no lock held, must not
	// block and must not call Engine.Close. nil drops expired messages.
	Expired func(m *store.Message) *store.Message
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxMessages <= 0 {
		o.MaxMessages = 1_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Engine is a [store.Engine] in memory. New makes one; Close ends it.
type Engine struct {
	// Static after New.
	opts Options
	seed maphash.Seed
	keep *keeper

	closed  atomic.Bool
	bytes   atomic.Int64  // sum of Message.Size over all queues
	numbers atomic.Uint64 // the last queue's number
	pumps   sync.WaitGroup
	closing sync.Once
	shards  [64]shard
}

var _ store.Engine = (*Engine)(nil)

// shard is a part of the table of queues, by hash of the name.
type shard struct {
	mu     sync.RWMutex
	queues map[string]*queue
	closed bool
}

// New starts an engine. It owns one goroutine, which Close ends.
func New(o Options) *Engine {
	e := &Engine{opts: o.withDefaults(), seed: maphash.MakeSeed(), keep: newKeeper()}
	for i := range e.shards {
		e.shards[i].queues = map[string]*queue{}
	}
	go e.housekeep()
	return e
}

func (e *Engine) now() int64 { return e.opts.Now().UnixMilli() }

func (e *Engine) shard(name string) *shard {
	return &e.shards[maphash.String(e.seed, name)%uint64(len(e.shards))]
}

// find gives the queue of that name, locked, or nil.
func (e *Engine) find(name string) *queue {
	sh := e.shard(name)
	sh.mu.RLock()
	q := sh.queues[name]
	sh.mu.RUnlock()
	if q == nil {
		return nil
	}
	if q.mu.Lock(); q.dead {
		q.mu.Unlock()
		return nil
	}
	return q
}

// open gives the queue of that name, locked; it makes one where there is none.
func (e *Engine) open(name string) (*queue, error) {
	for {
		q, err := e.lookup(name)
		if err != nil {
			return nil, err
		}
		if q.mu.Lock(); !q.dead {
			return q, nil
		}
		q.mu.Unlock()
		e.forget(q) // whoever ended it may not have come to that yet
	}
}

// lookup is open without the lock: the queue may be dead.
func (e *Engine) lookup(name string) (*queue, error) {
	sh := e.shard(name)
	sh.mu.RLock()
	q := sh.queues[name]
	sh.mu.RUnlock()
	if q != nil {
		return q, nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return nil, store.ErrClosed
	}
	if q = sh.queues[name]; q == nil {
		q = &queue{engine: e, name: name, number: e.numbers.Add(1), place: -1}
		sh.queues[name] = q
	}
	return q, nil
}

// forget takes a dead queue out of the tables.
func (e *Engine) forget(q *queue) {
	sh := e.shard(q.name)
	sh.mu.Lock()
	if sh.queues[q.name] == q {
		delete(sh.queues, q.name)
	}
	sh.mu.Unlock()
}

// reserve takes n bytes of the engine's budget, or none. A negative n gives back.
func (e *Engine) reserve(n int64) error {
	if n <= 0 {
		e.bytes.Add(n)
		return nil
	}
	for {
		used := e.bytes.Load()
		if n > e.opts.MaxBytes-used {
			return store.ErrFull
		}
		if e.bytes.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

// Publish implements [store.Engine]. done runs before Publish returns; dup is always false.
func (e *Engine) Publish(m *store.Message, done func(dup bool, err error)) {
	q, err := e.open(m.Queue)
	if err != nil {
		tellPublished(done, err)
		return
	}
	if err = q.admit(m); err == nil {
		q.append(m)
	}
	pump := q.deliverable()
	q.unlock()
	tellPublished(done, err)
	if pump {
		q.pump()
	}
}

// admit checks m against the limits and takes its bytes. The caller holds q.mu.
func (q *queue) admit(m *store.Message) error {
	if q.ledger.Len() >= q.engine.opts.MaxMessages || m.Size() > math.MaxUint32 {
		return store.ErrFull
	}
	return q.engine.reserve(int64(m.Size()))
}

// Consume implements [store.Engine].
func (e *Engine) Consume(name string, deliver func(store.Delivery)) (store.Consumer, error) {
	q, err := e.open(name)
	if err != nil {
		return nil, err
	}
	defer q.unlock()
	if q.consumer != nil {
		return nil, store.ErrConsumed
	}
	q.consumer = &consumer{queue: q, deliver: deliver}
	return q.consumer, nil
}

// Stat implements [store.Engine]. A message that has expired and was not yet removed counts as
// ready or held.
func (e *Engine) Stat(name string) store.Stat {
	q := e.find(name)
	if q == nil {
		return store.Stat{}
	}
	defer q.mu.Unlock()
	if q.ledger.Timed() {
		q.ledger.Advance(e.now())
	}
	c := q.ledger.Counts()
	return store.Stat{Ready: c.Ready, Held: c.Held, Delayed: c.Delayed, Bytes: c.Bytes, Consumed: q.consumer != nil}
}

// Queues implements [store.Engine]. It costs a look at every name.
func (e *Engine) Queues(after string, limit int) []string {
	var names []string
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.RLock()
		for name := range sh.queues {
			if name > after {
				names = append(names, name)
			}
		}
		sh.mu.RUnlock()
	}
	slices.Sort(names)
	return names[:min(len(names), max(limit, 0))]
}

// Close implements [store.Engine]. It waits for deliver calls under way; called again it waits
// likewise. It returns nil.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		e.closed.Store(true)
		var all []*queue
		for i := range e.shards {
			sh := &e.shards[i]
			sh.mu.Lock()
			sh.closed = true
			for _, q := range sh.queues {
				all = append(all, q)
			}
			clear(sh.queues)
			sh.mu.Unlock()
		}
		for _, q := range all {
			q.mu.Lock()
			c := q.consumer
			q.end()
			if c == nil {
				q.mu.Unlock()
			} else {
				c.end()
			}
		}
		e.pumps.Wait()
		e.keep.end()
	})
	return nil
}

// errForeign answers a Commit whose acks another engine made.
var errForeign = errors.New("delivery of another engine")

func tell(done func(error), err error) {
	if done != nil {
		done(err)
	}
}

func tellPublished(done func(bool, error), err error) {
	if done != nil {
		done(false, err)
	}
}
