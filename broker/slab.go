package broker

import "math/bits"

// slab numbers what it holds, from 1. It grows without moving anything: its pages have one place, two, four and so on.
type slab[T any] struct {
	pages [][]*T
	spare []uint32 // numbers that are free again
	n     uint32   // numbers given so far
}

// put gives v a number.
func (s *slab[T]) put(v *T) uint32 {
	var number uint32
	if last := len(s.spare) - 1; last >= 0 {
		number, s.spare = s.spare[last], s.spare[:last]
	} else {
		s.n++
		number = s.n
		if bits.Len32(number) > len(s.pages) {
			s.pages = append(s.pages, make([]*T, number))
		}
	}
	*s.place(number) = v
	return number
}

// at is what has that number.
func (s *slab[T]) at(number uint32) *T { return *s.place(number) }

// drop frees a number.
func (s *slab[T]) drop(number uint32) {
	*s.place(number) = nil
	s.spare = append(s.spare, number)
	if len(s.spare) == int(s.n) {
		*s = slab[T]{}
	}
}

func (s *slab[T]) place(number uint32) **T {
	page := bits.Len32(number) - 1
	return &s.pages[page][number&^(1<<page)]
}
