package queues

import (
	"container/heap"
	"sync"
	"time"
)

// keeper knows when which queue has something to do for the time alone: a delay that is over, a
// message that expires. Its goroutine is Table.housekeep.
type keeper struct {
	mu    sync.Mutex
	queue wakes

	kick chan struct{} // holds one: the earliest wake has changed
	stop chan struct{} // closed by end
	done chan struct{} // closed by housekeep
}

// wake is an entry of the keeper's heap.
type wake struct {
	at    int64 // Unix milliseconds
	queue *Queue
}

func newKeeper() *keeper {
	return &keeper{kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// set has q looked at no later than at. The caller holds q.mu.
func (k *keeper) set(q *Queue, at int64) {
	k.mu.Lock()
	if q.place < 0 {
		heap.Push(&k.queue, wake{at, q})
	} else {
		k.queue[q.place].at = at
		heap.Fix(&k.queue, q.place)
	}
	first := q.place == 0
	k.mu.Unlock()
	if first {
		select {
		case k.kick <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// remove forgets q. The caller holds q.mu.
func (k *keeper) remove(q *Queue) {
	k.mu.Lock()
	if q.place >= 0 {
		heap.Remove(&k.queue, q.place)
	}
	k.mu.Unlock()
}

// due takes the first queue whose time has come; else it tells when that will be, 0 for never.
func (k *keeper) due(now int64) (*Queue, int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(k.queue) == 0:
		return nil, 0
	case k.queue[0].at > now:
		return nil, k.queue[0].at
	}
	return heap.Pop(&k.queue).(wake).queue, 0
}

func (k *keeper) end() {
	close(k.stop)
	<-k.done
}

// longestNap bounds how long the housekeeper trusts a clock that may be set.
const longestNap = time.Minute

// housekeep runs until the keeper's end.
func (t *Table) housekeep() {
	k := t.keep
	defer close(k.done)
	timer := time.NewTimer(longestNap)
	defer timer.Stop()
	for {
		select {
		case <-k.stop:
			return
		default:
		}
		now := t.opts.Now()
		q, at := k.due(now.UnixMilli())
		if q != nil {
			t.tend(q, now.UnixMilli())
			continue
		}
		var nap <-chan time.Time
		if at != 0 {
			timer.Reset(min(time.UnixMilli(at).Sub(now), longestNap))
			nap = timer.C
		}
		select {
		case <-k.stop:
			return
		case <-k.kick:
		case <-nap:
		}
	}
}

// expiredBatch is how many expired messages are taken under one hold of a queue's lock.
const expiredBatch = 256

// tend does what the time has made necessary in q.
func (t *Table) tend(q *Queue, now int64) {
	q.mu.Lock()
	if q.dead {
		q.mu.Unlock()
		return
	}
	q.wake = 0
	t.keep.remove(q) // it may have been set again since; unlock sees to it
	q.ledger.Advance(now)
	var letters []*delivery
	for range expiredBatch {
		entry, ok := q.ledger.TakeExpired(now)
		if !ok {
			break
		}
		if t.opts.Expired == nil {
			_, _ = q.strike(entry.Pos, nil) // a journal that fails says so itself
			continue
		}
		letters = append(letters, &delivery{queue: q, message: entry.Body, pos: entry.Pos, count: uint16(entry.Count)})
	}
	pump := q.deliverable()
	q.unlock()
	if pump {
		q.pump()
	}
	for _, d := range letters {
		if d.message == nil {
			q.mu.Lock()
			entry, _ := q.ledger.Get(d.pos)
			q.mu.Unlock()
			if d.message = q.load(d.pos, entry.Value); d.message == nil {
				d.Ack(nil) // it has gone, or it is damaged and the journal has said so
				continue
			}
		}
		t.bury(d)
	}
}

// bury puts the dead letter of an expired message, if there is one, in its place.
func (t *Table) bury(d *delivery) {
	letter := t.opts.Expired(d.message)
	if letter == nil {
		d.Ack(nil)
		return
	}
	t.move(letter, d, func(err error) {
		if err != nil {
			d.Ack(nil) // see Options.Expired
		}
	})
}

// wakes is the heap of container/heap, earliest first; each queue knows its place.
type wakes []wake

var _ heap.Interface = (*wakes)(nil)

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].at < w[j].at }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].queue.place, w[j].queue.place = i, j
}

// Push implements heap.Interface.
func (w *wakes) Push(x any) {
	x.(wake).queue.place = len(*w)
	*w = append(*w, x.(wake))
}

// Pop implements heap.Interface.
func (w *wakes) Pop() any {
	old := *w
	last := old[len(old)-1]
	old[len(old)-1] = wake{}
	*w = old[:len(old)-1]
	last.queue.place = -1
	return last
}
