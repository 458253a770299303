package bolt

import (
	"time"

	"github.com/gudokmq/gudok/store/internal/queues"
)

// cleaner chooses commits that few live messages keep in the file, to be written again with the
// next commit. It belongs to the committer.
type cleaner struct {
	sparse []candidate // less than a quarter live
	tiny   []candidate // of few records
	busy   bool        // moves are on their way
}

// candidate is a commit that may be worth moving, unless time does it.
type candidate struct {
	no    uint64
	since time.Time
}

const (
	tinyRecords = 16
	tinyMerge   = 64 // so many tiny commits are moved at once, or none
	moveCommits = 1024
)

// moves are records of old commits to be written again.
type moves struct {
	commits []uint64
	records []record
	bodies  [][]byte // ID and data
	old     []queues.Place
	owners  []*queues.Queue
}

// look considers a commit whose marks have changed.
func (l *cleaner) look(b *bucket) {
	if !b.chosen && 4*b.live < b.n {
		b.chosen = true
		l.sparse = append(l.sparse, candidate{b.no, time.Now()})
	}
}

// fresh considers a new commit.
func (l *cleaner) fresh(b *bucket) {
	if b.n <= tinyRecords {
		b.chosen = true
		l.tiny = append(l.tiny, candidate{b.no, time.Now()})
	}
}

// due takes the candidates off a list that are older than a moment, but for those that are gone.
func due(list *[]candidate, before time.Time, n int, buckets map[uint64]*bucket) []uint64 {
	var nos []uint64
	kept := (*list)[:0]
	for _, d := range *list {
		switch {
		case buckets[d.no] == nil:
		case len(nos) < n && d.since.Before(before):
			nos = append(nos, d.no)
		default:
			kept = append(kept, d)
		}
	}
	*list = kept
	return nos
}

// choose asks for the records of commits that are worth moving.
func (c *committer) choose() {
	l := &c.cleaner
	if l.busy || len(l.sparse)+len(l.tiny) == 0 || c.j.full.Load() {
		return
	}
	before := time.Now().Add(-c.opts.cleanAfter)
	var nos []uint64
	if len(l.sparse) > 0 && l.sparse[0].since.Before(before) {
		nos = due(&l.sparse, before, moveCommits, c.buckets)
	}
	if n := len(l.tiny); n >= tinyMerge && l.tiny[0].since.Before(before) && l.tiny[tinyMerge-1].since.Before(before) {
		some := due(&l.tiny, before, moveCommits, c.buckets)
		if len(some) >= tinyMerge {
			nos = append(nos, some...)
		} else {
			for _, no := range some { // most had gone by themselves
				l.tiny = append(l.tiny, candidate{no, time.Now()})
			}
		}
	}
	if len(nos) > 0 {
		l.busy = true
		c.j.reader.clean(nos)
	}
}

// move adds to the batch's records what is still live of those to be moved, and strikes out and gives
// their old places.
func (c *committer) move(b *batch, mv *moves) (struck []queues.Place) {
	c.release(mv)
	for k, at := range mv.old {
		bk := c.buckets[commitOf(at)]
		if bk == nil || !bk.isLive(indexOf(at)) {
			continue
		}
		if n, ok := bk.nacks[indexOf(at)]; ok {
			if b.nacks == nil {
				b.nacks = map[int]nack{}
			}
			b.nacks[len(b.records)] = n
		}
		c.ack(at)
		struck = append(struck, at)
		r := mv.records[k]
		b.addWhole(r, mv.bodies[k][:r.idLen], mv.bodies[k][r.idLen:], owner{q: mv.owners[k], pos: r.pos, old: at})
	}
	return struck
}

// release lets commits be chosen again whose moves are done with.
func (c *committer) release(mv *moves) {
	c.cleaner.busy = false
	for _, no := range mv.commits {
		if b := c.buckets[no]; b != nil {
			b.chosen = false // what was left of it for want of room comes next
			c.cleaner.fresh(b)
			c.cleaner.look(b)
		}
	}
}

// forward puts the new places of moved records into the ops that name the old ones. Since the
// ledgers have the new ones, no op to come will.
func (c *committer) forward(b *batch) {
	var moved map[queues.Place]queues.Place
	for i, w := range b.owners {
		if w.old != 0 {
			if moved == nil {
				moved = map[queues.Place]queues.Place{}
			}
			moved[w.old] = place(b.no, i)
		}
	}
	if moved == nil {
		return
	}
	swap := func(at *queues.Place) {
		if to, ok := moved[*at]; ok {
			*at = to
		}
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	for i := range c.j.input {
		o := &c.j.input[i]
		swap(&o.at)
		for k := range o.places {
			swap(&o.places[k])
		}
		if o.tx != nil {
			for k := range o.tx.Acks {
				swap(&o.tx.Acks[k])
			}
		}
	}
}
