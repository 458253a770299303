package queues

import (
	"cmp"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// Place tells where a journal keeps a message; 0 is nowhere, a message in memory only.
type Place uint64

// Pending is set in the place of a message that the journal has not written yet.
const Pending Place = 1 << 63

// Item is what a ledger carries for a message: its body and its value.
type Item struct {
	// M is the message; nil while its body is in the journal only.
	M *store.Message
	// At is its place in the journal; 0 for a message that lives in memory only.
	At Place
}

// Journal makes durable what happens to a table's persistent messages. The methods that say so are
// called under the locks of the queues concerned: they must not block, nor call back. An error means
// that nothing was taken over and done will not run.
type Journal interface {
	// Admit waits until a message of that size has room in the window. Called with no lock.
	Admit(size int) error
	// Err tells why the journal refuses everything, nil while it works.
	Err() error
	// Publish writes m down, which stands at pos of q. Called under q's lock. Sooner or later the
	// journal calls q.Settled, or q.Failed, and then done.
	Publish(q *Queue, pos uint64, m *store.Message, done func(dup bool, err error)) (Place, error)
	// Ack strikes a message out. Called under its queue's lock.
	Ack(at Place, done func(error)) error
	// Nack remembers how often a message was delivered, and until when (Unix milliseconds) it is
	// delayed. Called under its queue's lock.
	Nack(at Place, count int, until int64, done func(error)) error
	// Remove strikes out many. Called under their queue's lock.
	Remove(at []Place, done func(error)) error
	// Commit writes c down as one, then calls c.Finish. Called under the locks of all its queues.
	Commit(c *Commit) error
	// Fetch has the body at the place read back and q.Install called. Called under q's lock.
	Fetch(q *Queue, pos uint64, at Place)
	// Reached tells that messages of q were lent further on than ever, or that q has ended after
	// that; q.Reach says which. Called under q's lock, once until q.Reach is called.
	Reached(q *Queue)
	// Read puts in the messages that are at the places given, in their order; it leaves out what is
	// not there, or damaged. Called with no lock; it reads the disk.
	Read(q *Queue, bodies []Body)
}

// Body is a message read back from the journal.
type Body struct {
	Pos uint64
	Item
}

// Settled tells that messages are durable at the given places. Bodies for which there is no room
// leave memory. It calls nothing back, so a journal may call it from any goroutine.
func (q *Queue) Settled(ps []Body) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead {
		return
	}
	for i := range ps {
		e, ok := q.ledger.Get(ps[i].Pos)
		if !ok {
			if j, ok := q.arrival(ps[i].Pos); ok {
				q.waiting[j].item.At = ps[i].At
			}
			continue
		}
		item := Item{M: e.Body, At: ps[i].At}
		if item.M != nil && !q.table.roomy(q.consumer != nil) {
			item.M = nil
			q.heat(-int64(e.Size))
		}
		q.ledger.Set(e.Pos, item.At, item.M)
	}
}

// roomy tells that bodies may stay in memory. Queues that nobody reads get half of the room.
func (t *Table) roomy(consumed bool) bool {
	limit := t.opts.HotBytes
	if !consumed {
		limit /= 2
	}
	return t.hot.Load() <= limit
}

// arrival finds the place in waiting of the message that is to stand at pos. The caller holds q.mu.
func (q *Queue) arrival(pos uint64) (int, bool) {
	return slices.BinarySearchFunc(q.waiting, pos, func(a arrival, pos uint64) int { return cmp.Compare(a.pos, pos) })
}

// Failed tells that the message at pos could not be written: it goes, unless it is on loan; then
// it is from now on a message in memory only.
func (q *Queue) Failed(pos uint64) {
	q.mu.Lock()
	defer q.unlock()
	if q.dead {
		return
	}
	if j, ok := q.arrival(pos); ok {
		q.table.reserve(-int64(q.waiting[j].item.M.Size()))
		q.waiting = slices.Delete(q.waiting, j, j+1)
		return
	}
	e, ok := q.ledger.Get(pos)
	if !ok {
		return
	}
	if e, ok := q.ledger.Remove(pos); ok {
		q.gone(e)
		return
	}
	q.heat(-int64(e.Size))
	q.table.transient.Add(int64(e.Size))
	q.ledger.Set(pos, 0, e.Body)
}

// Install puts bodies back that Fetch asked for, where the ledger still says that they are at that
// place, and resumes the deliveries. One without a message is damaged: it goes, and the journal has
// said so.
func (q *Queue) Install(bodies []Body, fetched bool) {
	q.mu.Lock()
	for _, b := range bodies {
		e, ok := q.ledger.Get(b.Pos)
		switch {
		case !ok || q.dead || e.Body != nil || e.Value != b.At:
		case b.M == nil:
			if e, ok := q.ledger.Remove(b.Pos); ok {
				q.gone(e)
			}
		default:
			q.ledger.Set(b.Pos, b.At, b.M)
			q.heat(int64(e.Size))
		}
	}
	if fetched {
		q.fetching = false
	}
	pump := !q.dead && q.deliverable()
	q.unlock()
	if pump {
		q.pump()
	}
}

// Replace has the messages at pos looked for at new places, if they are where old says.
func (q *Queue) Replace(pos uint64, old, at Place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.ledger.Get(pos); ok && !q.dead && e.Value == old {
		q.ledger.Set(pos, at, e.Body)
	}
}

// Cold lists up to n messages from pos on whose bodies are in the journal only.
func (q *Queue) Cold(pos uint64, n int) []Body {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead {
		return nil
	}
	var cold []Body
	looked := 0
	q.ledger.Range(pos-1, func(e entry) bool {
		if looked++; e.Body == nil {
			cold = append(cold, Body{Pos: e.Pos, Item: itemOf(e)})
		}
		return len(cold) < n && looked < 4*n
	})
	return cold
}

// Consumed tells that the queue has a consumer.
func (q *Queue) Consumed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.consumer != nil
}

// Reach is the highest position that was ever lent; alive tells that the queue has not ended.
func (q *Queue) Reach() (pos uint64, alive bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = false
	return q.reach, !q.dead
}

// reached notes that the durable message at pos is lent. The caller holds q.mu.
func (q *Queue) reached(pos uint64) {
	if pos > q.reach {
		q.reach = pos
		q.tellReach()
	}
}

func (q *Queue) tellReach() {
	if !q.told {
		q.told = true
		q.table.opts.Journal.Reached(q)
	}
}

// Resume tells how far a queue's messages were lent before a restart; before Start only. false: there
// is no such queue.
func (t *Table) Resume(name string, reach uint64) bool {
	q := t.find(name)
	if q == nil {
		return false
	}
	q.reach = reach
	q.mu.Unlock()
	return true
}

// Name is the queue's name.
func (q *Queue) Name() string { return q.name }

// Hot is how many bytes of durable messages are in memory.
func (t *Table) Hot() int64 { return t.hot.Load() }

// Find gives the queue of that name, nil if there is none.
func (t *Table) Find(name string) *Queue {
	q := t.find(name)
	if q != nil {
		q.mu.Unlock()
	}
	return q
}

// Halt ends all deliveries, because the journal has failed: what cannot be acknowledged must not
// be handed out.
func (t *Table) Halt() { t.halted.Store(true) }

// load reads the body of the message at pos, which may move meanwhile.
func (q *Queue) load(pos uint64, at Place) *store.Message {
	for range 3 {
		one := []Body{{Pos: pos, Item: Item{At: at}}}
		if q.table.opts.Journal.Read(q, one); one[0].M != nil {
			return one[0].M
		}
		q.mu.Lock()
		e, ok := q.ledger.Get(pos)
		q.mu.Unlock()
		if !ok || e.Body == nil && e.Value == at {
			return nil
		}
		if e.Body != nil {
			return e.Body
		}
		at = e.Value
	}
	return nil
}

// Restore puts a message that a journal remembers back; before Start only. The entries of a queue
// may come in any order of positions, cheaply where they ascend. false: its position is taken.
func (t *Table) Restore(name string, e entry) {
	q, err := t.open(name, true)
	if err != nil {
		return // closed before it was started
	}
	defer q.mu.Unlock()
	t.bytes.Add(int64(e.Size))
	if e.Pos > q.ledger.Tail() {
		var now int64 // the clock is asked only where it matters: there may be ten million
		if e.NotBefore != 0 {
			now = t.now()
		}
		q.ledger.Insert(e, now)
		return
	}
	if q.late == nil {
		q.late = map[uint64]entry{}
	}
	q.late[e.Pos] = e
}

// Start begins to look after the times of what was restored. clash is told of messages whose
// position is taken; they are left out.
func (t *Table) Start(clash func(q *Queue, at Place)) {
	for i := range t.shards {
		for _, q := range t.shards[i].queues {
			q.mu.Lock()
			q.insertLate(clash)
			q.unlock()
		}
	}
	go t.housekeep()
}
