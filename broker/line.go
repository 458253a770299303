package broker

import "sync"

// line is what waits in an outbox, first in, first out, in parts from a pool: an empty line holds
// nothing, and a busy one allocates nothing in the long run. The outbox's lock guards it.
type line struct {
	first, last *part
	n           int
}

// part is a piece of a line; its items stand from head to tail.
type part struct {
	items      [32]outItem
	head, tail int
	next       *part
}

var parts = sync.Pool{New: func() any { return new(part) }}

func (l *line) push(it outItem) {
	if l.last == nil || l.last.tail == len(l.last.items) {
		p := parts.Get().(*part)
		if l.last == nil {
			l.first = p
		} else {
			l.last.next = p
		}
		l.last = p
	}
	l.last.items[l.last.tail] = it
	l.last.tail++
	l.n++
}

// peek is the first item, nil if there is none; it is good until pop.
func (l *line) peek() *outItem {
	if l.n == 0 {
		return nil
	}
	return &l.first.items[l.first.head]
}

// pop takes the first item out; there must be one.
func (l *line) pop() outItem {
	p := l.first
	it := p.items[p.head]
	p.items[p.head] = outItem{}
	p.head++
	l.n--
	if p.head == p.tail {
		if l.first = p.next; l.first == nil {
			l.last = nil
		}
		p.head, p.tail, p.next = 0, 0, nil
		parts.Put(p)
	}
	return it
}
