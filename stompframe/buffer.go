package stompframe

import (
	"math/bits"
	"sync"
)

// buffer is a piece of pooled memory; next chains the ones a decoder unescapes into.
type buffer struct {
	b    []byte
	next *buffer
}

// Buffers come in powers of two, so that one is always less than twice what it was wanted for;
// larger ones than the largest class are left to the garbage collector.
const (
	minClass = 9
	maxClass = 21
)

var pools [maxClass - minClass + 1]sync.Pool

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minClass) // #nosec G115 -- not below 0
	if class <= maxClass {
		if p, ok := pools[class-minClass].Get().(*buffer); ok {
			return p
		}
	}
	return &buffer{b: make([]byte, 0, 1<<class)}
}

// free gives p and what is chained to it back; p may be nil.
func (p *buffer) free() {
	for p != nil {
		next := p.next
		p.b, p.next = p.b[:0], nil
		if class := bits.Len(uint(cap(p.b)) - 1); class <= maxClass {
			pools[class-minClass].Put(p)
		}
		p = next
	}
}
