package broker

import (
	"hash/maphash"
	"strings"
)

// index finds who listens to a topic's name. It is a hash table of its own, and not a map, because a map finds one
// name after the other: of a hundred thousand topics nothing is in a cache, and each step of a search, to the place, to
// those who listen, to their outboxes, waits for memory. Here several searches take each step together. And there is
// little in it for the collector to follow: numbers stand for pointers, which in the order of hashes lead it
// from one end of memory to the other.
//
// It is cut into parts, so that growing, for which everybody waits, never takes long.
type index struct {
	seed   maphash.Seed
	n      int
	parts  [256]indexPart
	lone   slab[subscription]
	crowds slab[audience]
}

// indexPart is an open table: a name is in the slot of its hash or in one of those behind it, without a gap.
type indexPart struct {
	slots []slot // a power of two of them, at most three quarters taken
	n     int
}

// slot is who listens to a name: an audience, or where it is one ordinary subscription, as it is of most names where
// there are many, that alone.
type slot struct {
	hash uint32 // the lower half
	who  uint32 // twice the number in index.crowds, or that in index.lone and one; 0: the slot is free
}

// found is who a slot says: one of the two, or nobody.
type found struct {
	lone  *subscription
	crowd *audience
}

// some tells that it is somebody.
func (f found) some() bool { return f.lone != nil || f.crowd != nil }

// name is what they listen to. It is somebody.
func (f found) name() string {
	if f.lone != nil {
		return f.lone.destination()
	}
	return f.crowd.name
}

const leastSlots = 8

func newIndex() index { return index{seed: maphash.MakeSeed()} }

func (x *index) hash(name string) uint64 { return maphash.String(x.seed, name) }

// lower is what a slot has of a hash.
func lower(hash uint64) uint32 { return uint32(hash) } // #nosec G115 -- the lower half is meant

// part is where names of that hash are. The upper bits choose it, the lower ones the slot in it.
func (x *index) part(hash uint64) *indexPart { return &x.parts[hash>>56] }

// first is the first slot where a name of that hash can be, if that is the slot of one.
func (x *index) first(hash uint64) slot {
	p := x.part(hash)
	if len(p.slots) == 0 {
		return slot{}
	}
	if at := p.slots[hash&p.mask()]; at.hash == lower(hash) {
		return at
	}
	return slot{}
}

// at is who a slot says.
func (x *index) at(s slot) (f found) {
	switch {
	case s.who == 0:
	case s.who&1 != 0:
		f.lone = x.lone.at(s.who >> 1)
	default:
		f.crowd = x.crowds.at(s.who >> 1)
	}
	return f
}

// find is who listens to a name, whose hash is given.
func (x *index) find(hash uint64, name string) found {
	_, f := x.search(hash, name)
	return f
}

// get is find for one name.
func (x *index) get(name string) found { return x.find(x.hash(name), name) }

// search is find that tells the slot too; nil if nobody listens.
func (x *index) search(hash uint64, name string) (*slot, found) {
	p := x.part(hash)
	if len(p.slots) == 0 {
		return nil, found{}
	}
	mask := p.mask()
	for i := hash & mask; p.slots[i].who != 0; i = (i + 1) & mask {
		if p.slots[i].hash != lower(hash) {
			continue
		}
		if f := x.at(p.slots[i]); f.name() == name {
			return &p.slots[i], f
		}
	}
	return nil, found{}
}

// add makes s one of those who listen to a name.
func (x *index) add(name string, s *subscription) {
	hash := x.hash(name)
	at, f := x.search(hash, name)
	switch {
	case f.crowd != nil:
		f.crowd.add(s)
	case f.lone != nil:
		a := &audience{name: strings.Clone(name)} // its text would keep the one who came first in memory
		a.add(f.lone)
		a.add(s)
		x.lone.drop(at.who >> 1)
		at.who = x.crowds.put(a) << 1
	default:
		who := uint32(0)
		if !s.full {
			who = x.lone.put(s)<<1 | 1
		} else {
			a := &audience{name: name}
			a.add(s)
			who = x.crowds.put(a) << 1
		}
		p := x.part(hash)
		if (p.n+1)*4 > len(p.slots)*3 {
			p.resize(max(leastSlots, len(p.slots)*2))
		}
		p.put(slot{lower(hash), who})
		p.n++
		x.n++
	}
}

// leave takes s, which is gone, out of those who listen to a name.
func (x *index) leave(name string, s *subscription) {
	hash := x.hash(name)
	at, f := x.search(hash, name)
	switch {
	case at == nil:
		return
	case f.crowd != nil:
		if !f.crowd.leave(s) {
			return
		}
		x.crowds.drop(at.who >> 1)
	case f.lone == s:
		x.lone.drop(at.who >> 1)
	default:
		return
	}
	p := x.part(hash)
	p.free(at)
	p.n--
	x.n--
	if len(p.slots) > leastSlots && p.n*8 < len(p.slots) {
		p.resize(len(p.slots) / 2)
	}
}

// mask is what of a hash tells its slot. There are some.
func (p *indexPart) mask() uint64 { return uint64(len(p.slots)) - 1 }

// put enters what is not there, into the first slot that is free.
func (p *indexPart) put(at slot) {
	mask := p.mask()
	i := uint64(at.hash) & mask
	for p.slots[i].who != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = at
}

// free empties a slot, and moves up what is behind it and could be there, so that no gap comes between a name and
// the slot of its hash.
func (p *indexPart) free(at *slot) {
	mask := p.mask()
	gap := uint64(at.hash) & mask
	for &p.slots[gap] != at {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; p.slots[i].who != 0; i = (i + 1) & mask {
		home := uint64(p.slots[i].hash) & mask
		if (i-home)&mask >= (i-gap)&mask {
			p.slots[gap] = p.slots[i]
			gap = i
		}
	}
	p.slots[gap] = slot{}
}

func (p *indexPart) resize(n int) {
	old := p.slots
	p.slots = make([]slot, n)
	for _, at := range old {
		if at.who != 0 {
			p.put(at)
		}
	}
}
