package ledger

// key is a position with a time; keys are ordered by time, then by position.
type key struct {
	at  int64
	pos uint64
}

func (k key) before(o key) bool {
	return k.at < o.at || k.at == o.at && k.pos < o.pos
}

// heap is a binary heap with the least key first. Its owner deletes lazily: a key whose message
// has moved on is recognised and skipped when it comes to the top.
type heap []key

func (h *heap) push(k key) {
	*h = append(*h, k)
	s := *h
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !k.before(s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = k
}

func (h *heap) pop() key {
	s := *h
	top, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) > 0 {
		s.sink(0, last)
	} else {
		h.empty()
	}
	return top
}

// empty forgets all keys, and a big backlog's memory with them.
func (h *heap) empty() {
	if cap(*h) > 1024 {
		*h = nil
	}
	*h = (*h)[:0]
}

// sink puts k at i or below.
func (h heap) sink(i int, k key) {
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if right := down + 1; right < len(h) && h[right].before(h[down]) {
			down = right
		}
		if !h[down].before(k) {
			break
		}
		h[i] = h[down]
		i = down
	}
	h[i] = k
}

// slack is how many keys of messages that moved on a heap may hold beyond half of its length.
const slack = 64

// prune drops the keys that keep refuses, once the heap is so much longer than the number of
// messages it is for that the work is paid for by those that moved on. Memory is given back.
func (h *heap) prune(wanted int, keep func(key) bool) {
	if len(*h) <= 2*wanted+slack {
		return
	}
	kept := make(heap, 0, wanted+slack)
	for _, k := range *h {
		if keep(k) {
			kept = append(kept, k)
		}
	}
	for i := len(kept)/2 - 1; i >= 0; i-- {
		kept.sink(i, kept[i])
	}
	*h = kept
}
