package bolt

import (
	"cmp"
	"math"
	"slices"
)

// identity tells messages of a file apart. Copies of the same one, which the cleaner makes, have the
// same: the checksum covers all that a message is.
type identity struct {
	queue uint32 // a number for its name
	crc   uint32
	pos   uint64
}

func (a identity) compare(b identity) int {
	return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.pos, b.pos), cmp.Compare(a.crc, b.crc))
}

// roll lists the messages that may be taken over. Positions may be used again once what had them is
// gone; where what is gone comes back, several messages have the same one.
type roll struct {
	all  []identity
	pos  []uint64 // of each, what it will have: different ones in the old order
	done []bool   // of each: it was taken over
}

func (l *roll) enter(id identity) { l.all = append(l.all, id) }

// close ends entering.
func (l *roll) close() {
	slices.SortFunc(l.all, identity.compare)
	l.all = slices.Compact(l.all)
	l.pos, l.done = make([]uint64, len(l.all)), make([]bool, len(l.all))
	for i, id := range l.all {
		l.pos[i] = id.pos
		if i > 0 && l.all[i-1].queue == id.queue && l.pos[i-1] >= id.pos && l.pos[i-1] < math.MaxUint64 {
			l.pos[i] = l.pos[i-1] + 1
		}
	}
}

// find gives the place of one that was entered; false if it was not.
func (l *roll) find(id identity) (int, bool) {
	return slices.BinarySearchFunc(l.all, id, identity.compare)
}

// identify gives a record's identity.
func (s *salvage) identify(r *record) identity {
	n, ok := s.ids[r.queue]
	if !ok {
		n = uint32(len(s.ids))
		s.ids[r.queue] = n
	}
	return identity{n, r.crc, r.pos}
}
