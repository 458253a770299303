package queues

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/ledger"
)

// entry is a message as a queue's ledger knows it.
type entry = ledger.Entry[Place, store.Message]

func itemOf(e entry) Item { return Item{M: e.Body, At: e.Value} }

// Queue is one queue from its first message or consumer until it has neither. Then it is dead
// for ever: a later queue of the same name is another one.
type Queue struct {
	// Static after construction.
	table  *Table
	name   string
	number uint64 // the order in which several queues are locked
	bounds store.Bounds

	mu       sync.Mutex
	ledger   ledger.Ledger[Place, store.Message]
	consumer *consumer
	dead     bool
	fetching bool   // the journal is reading the next body
	growth   int    // within one Commit: the messages it adds, less those it acknowledges
	swelling int64  // within one Commit: the bytes it adds, less those it acknowledges
	wake     int64  // when the keeper will look at it, Unix milliseconds; 0 if it will not
	reach    uint64 // the highest position of a durable message that was lent
	told     bool   // the journal is to ask for reach
	hot      int64  // bytes of durable messages in memory
	lent     int64  // bytes of messages that a Commit under way acknowledges; not in table.bytes

	// Messages of Commits under way, and what was published after them; by ascending position.
	waiting []arrival
	late    map[uint64]entry // between Table.Restore and Start

	place int // in the keeper's heap, -1 if in none; guarded by keeper.mu
}

// arrival is a message that is not in the ledger yet.
type arrival struct {
	pos   uint64
	item  Item
	ready bool // it waits for others only
}

// admit checks m against the limits and takes its bytes. The caller holds q.mu.
func (q *Queue) admit(m *store.Message, durable bool) error {
	o := &q.table.opts
	size := int64(m.Size())
	if size > math.MaxUint32 || !q.makeRoom(1, size) {
		return store.ErrFull
	}
	if !durable && o.Journal != nil && size > o.MaxTransient-q.table.transient.Load() {
		return store.ErrFull
	}
	return q.table.take(size)
}

// publish puts m at the end. Its bytes are taken; after an error they are given back. The caller
// holds q.mu.
func (q *Queue) publish(m *store.Message, durable bool, done func(bool, error)) error {
	a := arrival{pos: q.ledger.Reserve(), item: Item{M: m}, ready: true}
	if durable {
		at, err := q.table.opts.Journal.Publish(q, a.pos, m, done)
		if err != nil {
			q.table.reserve(-int64(m.Size()))
			return err
		}
		a.item.At = at
	}
	if len(q.waiting) > 0 {
		q.waiting = append(q.waiting, a)
	} else {
		q.insert(a.pos, a.item)
	}
	return nil
}

// insert puts a message into the ledger. The caller holds q.mu.
func (q *Queue) insert(pos uint64, item Item) {
	m := item.M
	var now int64
	if m.NotBefore != 0 {
		now = q.table.now()
	}
	q.ledger.Insert(entry{
		Pos: pos, Value: item.At, Body: item.M, Size: uint32(m.Size()), Expires: m.Expires, NotBefore: m.NotBefore,
	}, now)
	if q.table.opts.Journal == nil {
		return
	}
	switch {
	case item.At == 0:
		q.table.transient.Add(int64(m.Size()))
	case item.At&Pending != 0 || q.table.roomy(q.consumer != nil):
		q.heat(int64(m.Size()))
	default:
		q.ledger.Set(pos, item.At, nil)
	}
}

// advance puts into the ledger what waits for nothing any more. The caller holds q.mu.
func (q *Queue) advance() {
	n := 0
	for ; n < len(q.waiting) && q.waiting[n].ready; n++ {
		q.insert(q.waiting[n].pos, q.waiting[n].item)
	}
	if q.waiting = slices.Delete(q.waiting, 0, n); len(q.waiting) == 0 {
		q.waiting = nil
	}
}

// gone gives back what a message takes that has left the ledger. The caller holds q.mu.
func (q *Queue) gone(e entry) {
	q.table.reserve(-int64(e.Size))
	q.cool(e)
}

// cool is gone but for the table's budget. The caller holds q.mu.
func (q *Queue) cool(e entry) {
	if q.table.opts.Journal == nil {
		return
	}
	if e.Value == 0 {
		q.table.transient.Add(-int64(e.Size))
	} else if e.Body != nil {
		q.heat(-int64(e.Size))
	}
}

// heat counts bytes of durable messages in memory. The caller holds q.mu.
func (q *Queue) heat(n int64) {
	q.hot += n
	q.table.hot.Add(n)
}

// unlock ends each section under q.mu: it tells the keeper when to look again, and a queue with
// neither message nor consumer vanishes.
func (q *Queue) unlock() {
	if q.dead {
		q.mu.Unlock()
		return
	}
	if q.consumer == nil && q.ledger.Len() == 0 && len(q.waiting) == 0 {
		q.end()
		q.mu.Unlock()
		q.table.forget(q)
		return
	}
	if at, ok := q.ledger.NextWake(); ok && (q.wake == 0 || at < q.wake) {
		q.wake = max(at, 1)
		q.table.keep.set(q, q.wake)
	}
	q.mu.Unlock()
}

// end makes the queue dead and gives its memory back. The caller holds q.mu and forgets it.
func (q *Queue) end() {
	q.empty()
	q.dead = true
	if q.reach != 0 && !q.table.closed.Load() {
		q.tellReach()
	}
	q.waiting = nil
	q.consumer = nil
	if q.wake != 0 {
		q.wake = 0
		q.table.keep.remove(q)
	}
}

// empty removes all that is in the ledger. The caller holds q.mu.
func (q *Queue) empty() {
	q.table.reserve(q.lent - q.ledger.Counts().Bytes)
	q.lent = 0
	if q.table.opts.Journal != nil {
		var transient int64
		q.ledger.Range(0, func(e entry) bool {
			if e.Value == 0 {
				transient += int64(e.Size)
			}
			return true
		})
		q.table.transient.Add(-transient)
		q.heat(-q.hot)
	}
	q.ledger.Clear()
}

// insertLate sorts what Restore could not put at the end into the ledger. The caller holds q.mu.
func (q *Queue) insertLate(clash func(*Queue, Place)) {
	if q.late == nil {
		return
	}
	late := slices.SortedFunc(maps.Values(q.late), func(a, b entry) int { return cmp.Compare(a.Pos, b.Pos) })
	q.late = nil
	now := q.table.now()
	var sorted ledger.Ledger[Place, store.Message]
	q.ledger.Range(0, func(e entry) bool {
		for len(late) > 0 && late[0].Pos < e.Pos {
			sorted.Insert(late[0], now)
			late = late[1:]
		}
		if len(late) > 0 && late[0].Pos == e.Pos {
			q.table.reserve(-int64(late[0].Size))
			clash(q, late[0].Value)
			late = late[1:]
		}
		sorted.Insert(e, now)
		return true
	})
	for _, e := range late {
		sorted.Insert(e, now)
	}
	q.ledger = sorted
}

// Browse implements [store.Engine]. It holds the queue's lock for as long as it copies what is in
// memory; the rest it reads afterwards.
func (t *Table) Browse(name string, after uint64, limit int) ([]*store.Message, uint64) {
	q := t.find(name)
	if q == nil || limit <= 0 {
		if q != nil {
			q.mu.Unlock()
		}
		return nil, after
	}
	var cold []Body
	found := make([]Body, 0, min(limit, q.ledger.Len()))
	q.ledger.Range(after, func(e entry) bool {
		found, after = append(found, Body{Pos: e.Pos, Item: itemOf(e)}), e.Pos
		if e.Body == nil {
			cold = append(cold, found[len(found)-1])
		}
		return len(found) < limit
	})
	q.mu.Unlock()
	if len(cold) > 0 {
		t.opts.Journal.Read(q, cold)
	}
	ms := make([]*store.Message, 0, len(found))
	for _, b := range found {
		if b.M == nil {
			if b, cold = cold[0], cold[1:]; b.M == nil {
				b.M = q.load(b.Pos, b.At) // it has moved, perhaps
			}
		}
		if b.M != nil { // else it has gone meanwhile
			ms = append(ms, b.M)
		}
	}
	return ms, after
}

// Purge implements [store.Engine].
func (t *Table) Purge(name string, done func(n int, err error)) {
	n, later, err := t.purge(name, done)
	if !later && done != nil {
		done(n, err)
	}
}

// purge is Purge but for done, unless the journal will run it.
func (t *Table) purge(name string, done func(n int, err error)) (n int, later bool, err error) {
	if err := t.refusal(); err != nil {
		return 0, false, err
	}
	q := t.find(name)
	if q == nil {
		return 0, false, nil
	}
	defer q.unlock()
	before := q.ledger.Counts().Bytes
	if t.opts.Journal == nil {
		n = q.ledger.Purge(nil)
		t.reserve(q.ledger.Counts().Bytes - before)
		return n, false, nil
	}
	places, n := q.purgeDurable()
	t.reserve(q.ledger.Counts().Bytes - before)
	if len(places) == 0 {
		return n, false, nil
	}
	err = t.opts.Journal.Remove(places, func(err error) {
		if done != nil {
			done(n, err)
		}
	})
	return n, err == nil, err
}

// purgeDurable empties the ledger of what is not on loan, and gives the places of what the journal
// has. The caller holds q.mu.
func (q *Queue) purgeDurable() (places []Place, n int) {
	n = q.ledger.Purge(func(e entry) {
		q.cool(e)
		if e.Value != 0 {
			places = append(places, e.Value)
		}
	})
	return places, n
}

// Drop implements [store.Engine].
func (t *Table) Drop(name string, done func(error)) {
	t.DropBy(name, func(places []Place) (bool, error) {
		if len(places) == 0 {
			return false, nil
		}
		return true, t.opts.Journal.Remove(places, done)
	}, done)
}

// DropBy is Drop with strike for what the journal is told, the places of the queue's messages: it is
// called once unless the drop is refused, under the queue's lock if there is one. later tells that
// it sees to done.
func (t *Table) DropBy(name string, strike func([]Place) (later bool, err error), done func(error)) {
	if err := t.refusal(); err != nil {
		tell(done, err)
		return
	}
	var places []Place
	q := t.find(name)
	if q != nil && q.consumer != nil {
		q.mu.Unlock()
		tell(done, store.ErrConsumed)
		return
	}
	if q != nil {
		if t.opts.Journal != nil {
			q.ledger.Range(0, func(e entry) bool {
				if e.Value != 0 {
					places = append(places, e.Value)
				}
				return true
			})
		}
		q.empty() // what a Commit under way brings comes after this
	}
	later, err := strike(places)
	if q != nil {
		q.unlock()
	}
	if !later || err != nil {
		tell(done, err)
	}
}
