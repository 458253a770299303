package broker

import (
	"math/bits"
	"sync"
)

// piece is memory of a pool. Nobody has to give it back; what is not given back the collector frees.
type piece[T any] struct{ s []T }

// pieces are a pool of slices of certain capacities: powers of two, and above 1<<coarse eight to each. So what is kept for a
// large message is an eighth more than that at most: memory in use is to be what limits count.
// They serve those between 1<<least and 1<<most; shorter ones are of that size, longer ones not kept.
type pieces[T any] struct {
	least, most int
	classes     [coarse + 1 + (finest-coarse)<<3]sync.Pool
}

const (
	coarse = 12
	finest = 21 // most at most
)

// class is which class has room for n, and the size of those in it.
func (p *pieces[T]) class(n int) (class, size int) {
	bit := max(bits.Len(uint(max(n, 1)-1)), p.least) // #nosec G115 -- not below 0
	if bit <= coarse {
		return bit, 1 << bit
	}
	half, step := 1<<(bit-1), 1<<(bit-4)
	k := (max(n, half+1) - half + step - 1) / step
	return coarse + (bit-coarse-1)<<3 + k, half + k*step
}

// get returns a piece whose slice is empty and has room for n.
func (p *pieces[T]) get(n int) *piece[T] {
	if n > 1<<p.most {
		return &piece[T]{s: make([]T, 0, n)}
	}
	class, size := p.class(n)
	if x, ok := p.classes[class].Get().(*piece[T]); ok {
		return x
	}
	return &piece[T]{s: make([]T, 0, size)}
}

// put takes a piece back that get gave out and nobody uses any more. Whoever had it may have grown its slice.
func (p *pieces[T]) put(x *piece[T]) {
	n := cap(x.s)
	if n == 0 || n > 1<<p.most {
		return
	}
	if class, size := p.class(n); size == n {
		x.s = x.s[:0]
		p.classes[class].Put(x)
	}
}
