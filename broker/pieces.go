package broker

import (
	"math/bits"
	"sync"
)

// piece is memory of a pool. Nobody has to give it back; what is not given back the collector frees.
type piece[T any] struct{ s []T }

// pieces are a pool of slices whose capacities are powers of two: a piece is less than twice what it was wanted for.
// They serve those between 1<<least and 1<<most; shorter ones are of that size, longer ones not kept.
type pieces[T any] struct {
	least, most int
	classes     [24]sync.Pool
}

// get returns a piece whose slice is empty and has room for n.
func (p *pieces[T]) get(n int) *piece[T] {
	class := max(bits.Len(uint(max(n, 1)-1)), p.least) // #nosec G115 -- not below 0
	if class > p.most {
		return &piece[T]{s: make([]T, 0, n)}
	}
	if x, ok := p.classes[class].Get().(*piece[T]); ok {
		return x
	}
	return &piece[T]{s: make([]T, 0, 1<<class)}
}

// put takes a piece back that get gave out and nobody uses any more. Whoever had it may have grown its slice.
func (p *pieces[T]) put(x *piece[T]) {
	n := cap(x.s)
	if class := bits.Len(uint(n)) - 1; n > 0 && n == 1<<class && class >= p.least && class <= p.most { // #nosec G115 -- not below 0
		x.s = x.s[:0]
		p.classes[class].Put(x)
	}
}
