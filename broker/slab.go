package broker

import "math/bits"

// slab numbers what it holds, from 1. It grows without moving anything: its pages have one place, two, four and so on, to
// most, and each goes when nothing is in it any more. Low numbers come first, so that after a peak the pages that it took go.
type slab[T any] struct {
	pages []page[T]
	first int // no page before it has room
}

type page[T any] struct {
	held  []*T
	spare []uint16 // places that are free again
	used  int      // places that have been taken
	live  int
}

const (
	mostBits = 16 // of the places of the largest pages
	most     = 1 << mostBits
)

// put gives v a number.
func (s *slab[T]) put(v *T) uint32 {
	for s.first < len(s.pages) && s.pages[s.first].live == pageSize(s.first) {
		s.first++
	}
	if s.first == len(s.pages) {
		s.pages = append(s.pages, page[T]{})
	}
	p := &s.pages[s.first]
	if p.held == nil {
		p.held = make([]*T, pageSize(s.first))
	}
	place := p.used
	if last := len(p.spare) - 1; last >= 0 {
		place, p.spare = int(p.spare[last]), p.spare[:last]
	} else {
		p.used++
	}
	p.held[place] = v
	p.live++
	return pageStart(s.first) + uint32(place) // #nosec G115 -- at most the size of a page
}

// at is what has that number.
func (s *slab[T]) at(number uint32) *T {
	i, place := pageOf(number)
	return s.pages[i].held[place]
}

// drop frees a number.
func (s *slab[T]) drop(number uint32) {
	i, place := pageOf(number)
	p := &s.pages[i]
	s.first = min(s.first, i)
	if p.live--; p.live == 0 {
		*p = page[T]{}
		return
	}
	p.held[place] = nil
	p.spare = append(p.spare, uint16(place)) // #nosec G115 -- less than the size of a page
}

// pageOf tells where a number is.
func pageOf(number uint32) (page, place int) {
	if number >= most {
		return int(number>>mostBits) + mostBits - 1, int(number % most)
	}
	page = bits.Len32(number) - 1
	return page, int(number) - 1<<page
}

func pageSize(page int) int { return 1 << min(page, mostBits) }

// pageStart is the first number of a page.
func pageStart(page int) uint32 {
	if page > mostBits {
		return uint32(page-mostBits+1) << mostBits // #nosec G115 -- there are not so many
	}
	return 1 << page
}
