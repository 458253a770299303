package broker

import "hash/maphash"

// index finds the audience of a topic's name. It is a hash table of its own, and not a map, because a map finds one
// name after the other: of a hundred thousand topics nothing is in a cache, and each step of a search, to the place, to
// the audience, to its members, waits for memory. Here several searches take each step together.
//
// It is cut into parts, so that growing, for which everybody waits, never takes long.
type index struct {
	seed  maphash.Seed
	n     int
	parts [256]indexPart
}

// indexPart is an open table: a name is in the slot of its hash or in one of those behind it, without a gap.
type indexPart struct {
	slots []slot // a power of two of them, at most three quarters taken
	n     int
}

type slot struct {
	hash uint64
	a    *audience // nil: the slot is free
}

const leastSlots = 8

func newIndex() index { return index{seed: maphash.MakeSeed()} }

func (x *index) hash(name string) uint64 { return maphash.String(x.seed, name) }

// part is where names of that hash are. The upper bits choose it, the lower ones the slot in it.
func (x *index) part(hash uint64) *indexPart { return &x.parts[hash>>56] }

// at is what is in the first slot where a name of that hash can be.
func (x *index) at(hash uint64) slot {
	p := x.part(hash)
	if len(p.slots) == 0 {
		return slot{}
	}
	return p.slots[hash&p.mask()]
}

// find returns the audience of a name, whose hash is given, or nil.
func (x *index) find(hash uint64, name string) *audience {
	p := x.part(hash)
	if i := p.find(hash, name); i >= 0 {
		return p.slots[i].a
	}
	return nil
}

// get is find for one name.
func (x *index) get(name string) *audience { return x.find(x.hash(name), name) }

// make finds the audience of a name, or enters one.
func (x *index) make(name string) *audience {
	hash := x.hash(name)
	p := x.part(hash)
	if i := p.find(hash, name); i >= 0 {
		return p.slots[i].a
	}
	if (p.n+1)*4 > len(p.slots)*3 {
		p.resize(max(leastSlots, len(p.slots)*2))
	}
	a := &audience{name: name}
	p.put(slot{hash, a})
	p.n++
	x.n++
	return a
}

// remove takes a name out, if it is there.
func (x *index) remove(name string) {
	hash := x.hash(name)
	p := x.part(hash)
	i := p.find(hash, name)
	if i < 0 {
		return
	}
	p.free(uint64(i))
	p.n--
	x.n--
	if len(p.slots) > leastSlots && p.n*8 < len(p.slots) {
		p.resize(len(p.slots) / 2)
	}
}

// mask is what of a hash tells its slot. There are some.
func (p *indexPart) mask() uint64 { return uint64(len(p.slots)) - 1 }

// find tells the slot of a name, or -1.
func (p *indexPart) find(hash uint64, name string) int {
	if len(p.slots) == 0 {
		return -1
	}
	mask := p.mask()
	for i := hash & mask; ; i = (i + 1) & mask {
		switch at := &p.slots[i]; {
		case at.a == nil:
			return -1
		case at.hash == hash && at.a.name == name:
			return int(i) // #nosec G115 -- it is less than len(p.slots)
		}
	}
}

// put enters what is not there, into the first slot that is free.
func (p *indexPart) put(at slot) {
	mask := p.mask()
	i := at.hash & mask
	for p.slots[i].a != nil {
		i = (i + 1) & mask
	}
	p.slots[i] = at
}

// free empties a slot, and moves up what is behind it and could be there, so that no gap comes between a name and
// the slot of its hash.
func (p *indexPart) free(gap uint64) {
	mask := p.mask()
	for i := (gap + 1) & mask; p.slots[i].a != nil; i = (i + 1) & mask {
		home := p.slots[i].hash & mask
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
		if at.a != nil {
			p.put(at)
		}
	}
}
