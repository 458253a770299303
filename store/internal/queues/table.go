package queues

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

// Options are the limits and hooks of a [Table]; 0 stands for no limit.
type Options struct {
	// MaxBytes bounds the sum of Message.Size over the table.
	MaxBytes int64
	// MaxMessages and MaxQueueBytes bound each queue, whatever the state of its messages.
	MaxMessages   int
	MaxQueueBytes int64
	// Bounds are further limits of a queue, by name; nil for none.
	Bounds func(queue string) store.Bounds
	// MaxTransient bounds the sum of Message.Size of what a table with a journal keeps in memory
	// only.
	MaxTransient int64
	// HotBytes bounds the sum of Message.Size of the durable messages whose body stays in memory.
	HotBytes int64
	// Expired is called once for each message that expired in its queue, and gives the message
	// to publish in its place or nil for none.
	Expired func(m *store.Message) *store.Message
	// Now is the wall clock.
	Now func() time.Time
	// Journal keeps the persistent messages; nil keeps none.
	Journal Journal
}

// Table is a [store.Engine] but for what its journal adds. New makes one, Start starts it, Close
// ends it.
type Table struct {
	// Static after New.
	opts Options
	seed maphash.Seed
	keep *keeper

	// names counts the queues; replaced under all shards' locks, and never nil.
	names *store.Names

	closed    atomic.Bool
	halted    atomic.Bool
	bytes     atomic.Int64  // sum of Message.Size over all queues
	transient atomic.Int64  // of those in memory only, with a journal
	hot       atomic.Int64  // of the durable ones whose body is in memory
	numbers   atomic.Uint64 // the last queue's number
	pumps     sync.WaitGroup
	closing   sync.Once
	shards    [64]shard
}

var _ store.Engine = (*Table)(nil)

// shard is a part of the table of queues, by hash of the name.
type shard struct {
	mu     sync.RWMutex
	queues map[string]*Queue
	closed bool
}

// New makes a table. It does nothing by itself before Start.
func New(o Options) *Table {
	if o.MaxBytes <= 0 {
		o.MaxBytes = math.MaxInt64
	}
	if o.MaxMessages <= 0 {
		o.MaxMessages = math.MaxInt
	}
	if o.MaxQueueBytes <= 0 {
		o.MaxQueueBytes = math.MaxInt64
	}
	if o.MaxTransient <= 0 {
		o.MaxTransient = math.MaxInt64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Table{opts: o, seed: maphash.MakeSeed(), keep: newKeeper(), names: new(store.Names)}
	for i := range t.shards {
		t.shards[i].queues = map[string]*Queue{}
	}
	return t
}

func (t *Table) now() int64 { return t.opts.Now().UnixMilli() }

// durable tells whether the journal is to keep m.
func (t *Table) durable(m *store.Message) bool { return t.opts.Journal != nil && m.Persistent }

// refusal tells why nothing can be changed any more, nil while it can.
func (t *Table) refusal() error {
	if t.closed.Load() {
		return store.ErrClosed
	}
	if t.opts.Journal != nil {
		return t.opts.Journal.Err()
	}
	return nil
}

func (t *Table) shard(name string) *shard {
	return &t.shards[maphash.String(t.seed, name)%uint64(len(t.shards))]
}

// find gives the queue of that name, locked, or nil.
func (t *Table) find(name string) *Queue {
	sh := t.shard(name)
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

// open gives the queue of that name, locked; it makes one where there is none. forced makes it even
// if that is one too many.
func (t *Table) open(name string, forced bool) (*Queue, error) {
	for {
		q, err := t.lookup(name, forced)
		if err != nil {
			return nil, err
		}
		if q.mu.Lock(); !q.dead {
			return q, nil
		}
		q.mu.Unlock()
		t.forget(q) // whoever ended it may not have come to that yet
	}
}

// lookup is open without the lock: the queue may be dead.
func (t *Table) lookup(name string, forced bool) (*Queue, error) {
	sh := t.shard(name)
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
		if !t.names.Take(name, forced) {
			return nil, store.ErrQueues
		}
		q = &Queue{table: t, name: name, number: t.numbers.Add(1), place: -1}
		q.setBounds()
		sh.queues[name] = q
	}
	return q, nil
}

// forget takes a dead queue out of the tables.
func (t *Table) forget(q *Queue) {
	sh := t.shard(q.name)
	sh.mu.Lock()
	if sh.queues[q.name] == q {
		delete(sh.queues, q.name)
		t.names.Give(q.name)
	}
	sh.mu.Unlock()
}

// CountNames implements [store.Namer].
func (t *Table) CountNames(n *store.Names) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		defer sh.mu.Unlock()
		for name := range sh.queues {
			n.Take(name, true)
		}
	}
	t.names = n
}

// take takes n bytes of the table's budget, or none.
func (t *Table) take(n int64) error {
	for {
		used := t.bytes.Load()
		if n > 0 && n > t.opts.MaxBytes-used {
			return store.ErrFull
		}
		if t.bytes.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

// reserve changes what is used of the table's budget without asking.
func (t *Table) reserve(n int64) { t.bytes.Add(n) }

// Publish implements [store.Engine]. dup is always false.
func (t *Table) Publish(m *store.Message, done func(dup bool, err error)) {
	durable := t.durable(m)
	if durable {
		if err := t.opts.Journal.Admit(m.Size()); err != nil {
			tellPublished(done, err)
			return
		}
	}
	q, err := t.open(m.Queue, false)
	if err != nil {
		tellPublished(done, err)
		return
	}
	if err = q.admit(m, durable); err == nil {
		err = q.publish(m, durable, done)
	}
	pump := q.deliverable()
	q.unlock()
	if err != nil || !durable {
		tellPublished(done, err)
	}
	if pump {
		q.pump()
	}
}

// Consume implements [store.Engine].
func (t *Table) Consume(name string, deliver func(store.Delivery)) (store.Consumer, error) {
	if err := t.refusal(); err != nil {
		return nil, err
	}
	q, err := t.open(name, false)
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
// ready or held; those of a Commit count once it has succeeded.
func (t *Table) Stat(name string) store.Stat {
	q := t.find(name)
	if q == nil {
		return store.Stat{}
	}
	defer q.mu.Unlock()
	return q.stat()
}

// stat tells of the queue. The caller holds q.mu.
func (q *Queue) stat() store.Stat {
	if q.ledger.Timed() {
		q.ledger.Advance(q.table.now())
	}
	c := q.ledger.Counts()
	return store.Stat{Ready: c.Ready, Held: c.Held, Delayed: c.Delayed, Bytes: c.Bytes, Consumed: q.consumer != nil}
}

// Queues implements [store.Engine]. It costs a look at every name.
func (t *Table) Queues(after string, limit int) []string {
	var names []string
	for i := range t.shards {
		sh := &t.shards[i]
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

// Close implements [store.Engine], but for the journal: afterwards its owner closes that. It waits
// for deliver calls under way; called again it waits likewise. It returns nil.
func (t *Table) Close() error {
	t.closing.Do(func() {
		t.closed.Store(true)
		var all []*Queue
		for i := range t.shards {
			sh := &t.shards[i]
			sh.mu.Lock()
			sh.closed = true
			for name, q := range sh.queues {
				all = append(all, q)
				t.names.Give(name)
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
		t.pumps.Wait()
		t.keep.end()
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
