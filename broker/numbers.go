package broker

import (
	"sync"
	"sync/atomic"
)

// sessionNumbers finds sessions by number, from 1. Ordinary subscriptions, of which there may be millions, name theirs so,
// for a pointer in each is what the collector would have to follow. Finding takes no lock.
//
// A number is another session's once its first has ended. Before that all subscriptions of the first are gone: who
// finds a session by a subscription and then sees that it is not gone has found the right one.
type sessionNumbers struct {
	pages [numberPages]atomic.Pointer[numberPage]

	mu    sync.Mutex // guards what follows, and writing
	spare []uint32   // numbers that are free again
	n     uint32     // numbers given so far
}

type numberPage [1024]atomic.Pointer[session]

const numberPages = 4096 // enough for four million sessions at once

// give gives s a number; 0 if there is none left.
func (n *sessionNumbers) give(s *session) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var number uint32
	if last := len(n.spare) - 1; last >= 0 {
		number, n.spare = n.spare[last], n.spare[:last]
	} else {
		if n.n == numberPages*uint32(len(numberPage{}))-1 {
			return 0
		}
		n.n++
		number = n.n
		if page := &n.pages[number/uint32(len(numberPage{}))]; page.Load() == nil {
			page.Store(new(numberPage))
		}
	}
	n.place(number).Store(s)
	return number
}

// at is the session of that number, or nil.
func (n *sessionNumbers) at(number uint32) *session { return n.place(number).Load() }

// drop frees a number; 0 is none. All subscriptions of its session are gone.
func (n *sessionNumbers) drop(number uint32) {
	if number == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.place(number).Store(nil)
	n.spare = append(n.spare, number)
}

// place is where a number that has been given is.
func (n *sessionNumbers) place(number uint32) *atomic.Pointer[session] {
	page := n.pages[number/uint32(len(numberPage{}))].Load()
	return &page[number%uint32(len(numberPage{}))]
}
