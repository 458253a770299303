package broker

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// subscriptions are those of one session, by what the client calls them. It is a hash table of its own, and not a map, for most
// sessions have one and some have thousands: a map needs three times the memory, and the collector follows all of it.
type subscriptions struct {
	slots  []uint32 // a power of two of them, at most three quarters taken: places, each at its hash or behind, without a gap; 0 is free
	blocks []block  // of ordinary ones
	fulls  *slab[subscription]
	n      int32
	now    int32 // the block that the next ordinary one comes into, if that has room
	empty  int32 // one more than the first of the blocks that all have left; 0: there is none
}

// block is ordinary subscriptions that are one object to the collector. Who has left it may still be on the way to an
// outbox: so its memory is not used again, and goes when all have left.
type block struct {
	subs []subscription
	used uint8
	live uint8
	next int32 // of an empty one: as subscriptions.empty
}

// perBlock is how many there are in a block, but for the first ones of a session: few, for one that stays keeps those
// beside it in memory.
const perBlock = 4

// A place is a block and who of it, twice and one, or twice the number in fulls.
func inBlock(block, i int) uint32 { return uint32(block*perBlock+i)<<1 | 1 } // #nosec G115 -- a session has not so many

var seedOfIDs = maphash.MakeSeed()

// make makes an ordinary subscription, which put has to follow.
func (t *subscriptions) make() *subscription {
	if len(t.blocks) == 0 || int(t.blocks[t.now].used) == len(t.blocks[t.now].subs) {
		most := 1 << max(0, bits.Len32(uint32(t.n))-1) // #nosec G115 -- it is not negative
		subs := make([]subscription, min(most, perBlock))
		if t.empty > 0 {
			t.now = t.empty - 1
			t.empty = t.blocks[t.now].next
		} else {
			t.now = int32(len(t.blocks)) // #nosec G115 -- a session has not so many
			t.blocks = append(t.blocks, block{})
		}
		t.blocks[t.now] = block{subs: subs}
	}
	b := &t.blocks[t.now]
	return &b.subs[b.used]
}

// put enters a subscription whose id is not there.
func (t *subscriptions) put(sub *subscription) {
	var place uint32
	if sub.full {
		if t.fulls == nil {
			t.fulls = new(slab[subscription])
		}
		place = t.fulls.put(sub) << 1
	} else {
		b := &t.blocks[t.now]
		place = inBlock(int(t.now), int(b.used))
		b.used++
		b.live++
	}
	if int(t.n+1)*4 > len(t.slots)*3 {
		t.resize(max(2, len(t.slots)*2))
	}
	t.n++
	t.enter(place)
}

// at is who is at a place.
func (t *subscriptions) at(place uint32) *subscription {
	if place&1 == 0 {
		return t.fulls.at(place >> 1)
	}
	i := place >> 1
	return &t.blocks[i/perBlock].subs[i%perBlock]
}

// get finds the subscription that the client calls id, or implicit, that a reply-to made; nil if there is none.
func (t *subscriptions) get(id string, implicit bool) *subscription {
	if len(t.slots) == 0 {
		return nil
	}
	for i := t.home(id); t.slots[i] != 0; i = t.next(i) {
		if sub := t.at(t.slots[i]); sub.id() == id && sub.special().implicit == implicit {
			return sub
		}
	}
	return nil
}

// remove takes a subscription out, if it is there.
func (t *subscriptions) remove(sub *subscription) {
	if len(t.slots) == 0 {
		return
	}
	gap := t.home(sub.id())
	for ; ; gap = t.next(gap) {
		if t.slots[gap] == 0 {
			return
		}
		if t.at(t.slots[gap]) == sub {
			break
		}
	}
	place := t.slots[gap]
	// What is behind it and could be there moves up.
	for i := t.next(gap); t.slots[i] != 0; i = t.next(i) {
		if home := t.home(t.at(t.slots[i]).id()); t.distance(home, i) >= t.distance(gap, i) {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = 0
	if t.n--; t.n == 0 {
		*t = subscriptions{}
		return
	}
	if place&1 == 0 {
		t.fulls.drop(place >> 1)
	} else {
		t.left(int32(place >> 1 / perBlock)) // #nosec G115 -- a session has not so many
	}
	if int(t.n)*8 < len(t.slots) && len(t.slots) > 2 {
		t.resize(len(t.slots) / 2)
	}
}

// left tells that one has left a block.
func (t *subscriptions) left(i int32) {
	b := &t.blocks[i]
	if b.live--; b.live == 0 && int(b.used) == len(b.subs) {
		*b = block{next: t.empty}
		t.empty = i + 1
	}
}

// all goes through them, in no order; none may come or go meanwhile.
func (t *subscriptions) all() iter.Seq[*subscription] {
	return func(yield func(*subscription) bool) {
		for _, place := range t.slots {
			if place != 0 && !yield(t.at(place)) {
				return
			}
		}
	}
}

func (t *subscriptions) resize(n int) {
	old := t.slots
	t.slots = make([]uint32, n)
	for _, place := range old {
		if place != 0 {
			t.enter(place)
		}
	}
}

func (t *subscriptions) enter(place uint32) {
	i := t.home(t.at(place).id())
	for t.slots[i] != 0 {
		i = t.next(i)
	}
	t.slots[i] = place
}

func (t *subscriptions) home(id string) int {
	return int(maphash.String(seedOfIDs, id) & uint64(len(t.slots)-1)) // #nosec G115 -- it is less than len(t.slots)
}

func (t *subscriptions) next(i int) int { return (i + 1) & (len(t.slots) - 1) }

func (t *subscriptions) distance(from, to int) int { return (to - from) & (len(t.slots) - 1) }
