package ledger

import "sort"

// state tells where a message stands. The zero state is an empty slot.
type state uint8

const (
	gone state = iota
	ready
	delayed
	held
	expired // seen to be expired by Next, waits in Ledger.expired for TakeExpired; counts as held
)

// Marks of a slot: in which heaps its position stands.
const (
	inReturned uint8 = 1 << iota
	inExpiry
)

// slot is what there is of every message: 8 bytes and the value.
type slot[V any] struct {
	value V
	size  uint32
	count uint16
	state state
	marks uint8
}

// times are those of a message that has any.
type times struct{ expires, notBefore int64 }

// chunkLen is a compromise: what one old message keeps in memory, and what an idle queue costs,
// against the chunk's own overhead.
const chunkLen = 64

// chunk holds the messages of chunkLen consecutive positions. What most of a long queue does not
// have is apart; and so are the slots, so that the garbage collector need not look into them where
// the value is no pointer. A slot that is gone is all zero, and so are its times and its body.
type chunk[V, B any] struct {
	slots  *[chunkLen]slot[V]
	times  *[chunkLen]times // nil: none has any
	bodies *[chunkLen]*B    // nil: none is in memory
	live   int32            // slots that are not gone
	bodied int32            // slots that have a body
}

// spot is a message's slot and where that is. Its slot is nil if there is no such message.
type spot[V, B any] struct {
	*slot[V]
	ch *chunk[V, B]
	i  uint64
}

func (s spot[V, B]) times() times {
	if s.ch.times == nil {
		return times{}
	}
	return s.ch.times[s.i]
}

func (s spot[V, B]) setTimes(t times) {
	if s.ch.times == nil {
		if t == (times{}) {
			return
		}
		s.ch.times = new([chunkLen]times)
	}
	s.ch.times[s.i] = t
}

func (s spot[V, B]) body() *B {
	if s.ch.bodies == nil {
		return nil
	}
	return s.ch.bodies[s.i]
}

func (s spot[V, B]) setBody(b *B) {
	ch := s.ch
	if ch.bodies == nil {
		if b == nil {
			return
		}
		ch.bodies = new([chunkLen]*B)
	}
	if ch.bodies[s.i] != nil {
		ch.bodied--
	}
	if b != nil {
		ch.bodied++
	}
	ch.bodies[s.i] = b
}

// span names a chunk in the directory; its chunk is nil once its messages have gone.
type span[V, B any] struct {
	index uint64 // position / chunkLen
	chunk *chunk[V, B]
}

// chunks is a sparse array of slots by position. Positions are added at the end only.
type chunks[V, B any] struct {
	dir   []span[V, B] // ascending by index; without gaps until some are compacted away
	empty int          // spans without a chunk
	spare *chunk[V, B] // one chunk for reuse, so that a queue in a steady state allocates nothing
}

// locate gives the first span whose index is at least that of pos; len(dir) if there is none.
func (c *chunks[V, B]) locate(pos uint64) int {
	index := pos / chunkLen
	if len(c.dir) == 0 || index <= c.dir[0].index {
		return 0
	}
	if i := index - c.dir[0].index; i < uint64(len(c.dir)) && c.dir[i].index == index {
		return int(i)
	}
	return sort.Search(len(c.dir), func(i int) bool { return c.dir[i].index >= index })
}

// find gives the spot of pos. Its slot is nil if it is gone, and good until the next add or trim.
func (c *chunks[V, B]) find(pos uint64) spot[V, B] {
	i := c.locate(pos)
	if i == len(c.dir) || c.dir[i].index != pos/chunkLen || c.dir[i].chunk == nil {
		return spot[V, B]{}
	}
	s := c.dir[i].chunk.spot(pos % chunkLen)
	if s.state == gone {
		return spot[V, B]{}
	}
	return s
}

func (ch *chunk[V, B]) spot(i uint64) spot[V, B] { return spot[V, B]{&ch.slots[i], ch, i} }

// add gives the empty slot of pos, which must be higher than any before, to be filled at once.
func (c *chunks[V, B]) add(pos uint64) spot[V, B] {
	index := pos / chunkLen
	if n := len(c.dir); n == 0 || c.dir[n-1].index != index {
		c.dir = append(c.dir, span[V, B]{index: index})
		c.empty++
	}
	last := &c.dir[len(c.dir)-1]
	if last.chunk == nil { // new, or all gone before this reserved position was filled
		last.chunk, c.spare = c.spare, nil
		if last.chunk == nil {
			last.chunk = &chunk[V, B]{slots: new([chunkLen]slot[V])}
		}
		c.empty--
	}
	last.chunk.live++
	return last.chunk.spot(pos % chunkLen)
}

// clear empties the slot of pos, which must not be gone; tail is the highest position added. It
// leaves the directory's length alone, so it may be called while going over it; trim follows.
func (c *chunks[V, B]) clear(pos, tail uint64) {
	sp := &c.dir[c.locate(pos)]
	ch := sp.chunk
	s := ch.spot(pos % chunkLen)
	s.setBody(nil)
	s.setTimes(times{})
	*s.slot = slot[V]{}
	ch.live--
	// The last chunk stays while it has places to give out.
	if ch.live == 0 && (sp.index != tail/chunkLen || tail%chunkLen == chunkLen-1) {
		c.spare = ch
		sp.chunk = nil
		c.empty++
	}
}

// trim compacts the directory once more than half of it is empty.
func (c *chunks[V, B]) trim() {
	if 2*c.empty <= len(c.dir) {
		return
	}
	n := 0
	for _, sp := range c.dir {
		if sp.chunk != nil {
			c.dir[n] = sp
			n++
		}
	}
	if cap(c.dir) > 64 && n < cap(c.dir)/4 {
		c.dir = append(make([]span[V, B], 0, 2*n), c.dir[:n]...)
	} else {
		clear(c.dir[n:])
		c.dir = c.dir[:n]
	}
	c.empty = 0
}
