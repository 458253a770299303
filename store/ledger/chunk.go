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

// slot is one message: 24 bytes and the value.
type slot[V any] struct {
	value     V
	expires   int64
	notBefore int64
	size      uint32
	count     uint16
	state     state
	marks     uint8
}

// chunkLen is a compromise: what one old message keeps in memory, and what an idle queue costs,
// against the chunk's own overhead.
const chunkLen = 64

// chunk holds the slots of chunkLen consecutive positions. A slot that is gone is all zero.
type chunk[V any] struct {
	slots [chunkLen]slot[V]
	live  int // slots that are not gone
}

// span names a chunk in the directory; its chunk is nil once its messages have gone.
type span[V any] struct {
	index uint64 // position / chunkLen
	chunk *chunk[V]
}

// chunks is a sparse array of slots by position. Positions are added at the end only.
type chunks[V any] struct {
	dir   []span[V] // ascending by index; without gaps until some are compacted away
	empty int       // spans without a chunk
	spare *chunk[V] // one chunk for reuse, so that a queue in a steady state allocates nothing
}

// locate gives the first span whose index is at least that of pos; len(dir) if there is none.
func (c *chunks[V]) locate(pos uint64) int {
	index := pos / chunkLen
	if len(c.dir) == 0 || index <= c.dir[0].index {
		return 0
	}
	if i := index - c.dir[0].index; i < uint64(len(c.dir)) && c.dir[i].index == index {
		return int(i)
	}
	return sort.Search(len(c.dir), func(i int) bool { return c.dir[i].index >= index })
}

// find gives the slot of pos, nil if it is gone. The pointer is good until the next add or trim.
func (c *chunks[V]) find(pos uint64) *slot[V] {
	i := c.locate(pos)
	if i == len(c.dir) || c.dir[i].index != pos/chunkLen || c.dir[i].chunk == nil {
		return nil
	}
	if s := &c.dir[i].chunk.slots[pos%chunkLen]; s.state != gone {
		return s
	}
	return nil
}

// add gives the empty slot of pos, which must be higher than any before, to be filled at once.
func (c *chunks[V]) add(pos uint64) *slot[V] {
	index := pos / chunkLen
	if n := len(c.dir); n == 0 || c.dir[n-1].index != index {
		c.dir = append(c.dir, span[V]{index: index})
		c.empty++
	}
	last := &c.dir[len(c.dir)-1]
	if last.chunk == nil { // new, or all gone before this reserved position was filled
		last.chunk, c.spare = c.spare, nil
		if last.chunk == nil {
			last.chunk = new(chunk[V])
		}
		c.empty--
	}
	last.chunk.live++
	return &last.chunk.slots[pos%chunkLen]
}

// clear empties the slot of pos, which must not be gone; tail is the highest position added. It
// leaves the directory's length alone, so it may be called while going over it; trim follows.
func (c *chunks[V]) clear(pos, tail uint64) {
	sp := &c.dir[c.locate(pos)]
	ch := sp.chunk
	ch.slots[pos%chunkLen] = slot[V]{}
	ch.live--
	// The last chunk stays while it has places to give out.
	if ch.live == 0 && (sp.index != tail/chunkLen || tail%chunkLen == chunkLen-1) {
		c.spare = ch
		sp.chunk = nil
		c.empty++
	}
}

// trim compacts the directory once more than half of it is empty.
func (c *chunks[V]) trim() {
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
		c.dir = append(make([]span[V], 0, 2*n), c.dir[:n]...)
	} else {
		clear(c.dir[n:])
		c.dir = c.dir[:n]
	}
	c.empty = 0
}
