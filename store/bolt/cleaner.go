package bolt

import (
	"cmp"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store/internal/queues"
)

// cleaner chooses commits that few live messages keep in the file, to be written again with the
// next commit. It belongs to the committer.
type cleaner struct {
	sparse []candidate // less than a quarter live
	tiny   []candidate // of few records
	busy   bool        // moves are on their way

	squeezed []uint64  // commits to be moved for room, the last of them first
	struck   bool      // something was acknowledged since these were chosen
	rest     time.Time // until then nothing is moved for room: it found none
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

	squeezeBytes = 2 << 20
	restAfter    = time.Second
)

// moves are records of old commits to be written again.
type moves struct {
	commits []uint64
	budget  int      // not 0: move commits for room, as a whole each, of so many bytes in all
	left    []uint64 // what the budget did not allow
	records []record
	bodies  [][]byte // ID and data
	old     []queues.Place
	owners  []*queues.Queue
}

// look considers a commit whose marks have changed.
func (l *cleaner) look(b *bucket) {
	l.struck = true
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
	if c.squeeze(); l.busy || len(l.sparse)+len(l.tiny) == 0 || c.j.full.Load() {
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
		c.j.reader.clean(&moves{commits: nos})
	}
}

// squeeze is choose for want of room: it is worth moving a commit of which no more than three quarters
// are live, at once.
func (c *committer) squeeze() {
	l := &c.cleaner
	if l.busy || !c.pressed() || time.Now().Before(l.rest) || c.j.Err() != nil {
		return
	}
	if len(l.squeezed) == 0 && l.struck {
		l.struck = false
		for no, b := range c.buckets {
			if 4*b.live <= 3*b.n {
				l.squeezed = append(l.squeezed, no)
			}
		}
		part := func(no uint64) float64 { b := c.buckets[no]; return float64(b.live) / float64(b.n) }
		slices.SortFunc(l.squeezed, func(a, b uint64) int { return cmp.Compare(part(b), part(a)) })
	}
	// What is moved is there twice until the next transaction: there must be pages for it.
	r := &c.room
	budget := min(r.free+r.ahead()-c.reserve()/4-64<<10, squeezeBytes)
	if len(l.squeezed) == 0 || budget <= 0 {
		return
	}
	n := max(len(l.squeezed)-moveCommits, 0)
	mv := &moves{budget: int(budget), commits: slices.Clone(l.squeezed[n:])}
	slices.Reverse(mv.commits)
	l.squeezed = l.squeezed[:n]
	l.busy = true
	c.j.reader.clean(mv)
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
	l := &c.cleaner
	l.busy = false
	if mv.budget > 0 {
		slices.Reverse(mv.left)
		l.squeezed, mv.left = append(l.squeezed, mv.left...), nil
		return
	}
	for _, no := range mv.commits {
		if b := c.buckets[no]; b != nil {
			b.chosen = false // what was left of it for want of room comes next
			l.fresh(b)
			l.look(b)
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
	for i := range c.j.acks {
		swap(&c.j.acks[i])
	}
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
