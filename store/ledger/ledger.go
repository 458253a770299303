package ledger

import "math"

// Entry is one message as the ledger knows it.
type Entry[V, B any] struct {
	// Pos is its place in the queue, from 1 up. Append gives it.
	Pos uint64
	// Value is the owner's: where the message is to be found, say. It had better hold no pointer.
	Value V
	// Body is the owner's as well: the message, while it is in memory, or nil.
	Body *B
	// Size is what it adds to Counts.Bytes, up to 4 GiB less one.
	Size uint32
	// Count is how many deliveries count against it; it sticks at 65535.
	Count int
	// Expires is when it stops being of use, Unix milliseconds; 0 means never.
	Expires int64
	// NotBefore is when it may be delivered at the earliest, Unix milliseconds; 0 means at once.
	NotBefore int64
}

// Counts tells how many messages are in which state, and the sum of their sizes.
type Counts struct {
	Ready   int
	Held    int // those that TakeExpired gave out or will give out among them
	Delayed int
	Bytes   int64
}

// Ledger keeps account of one queue. The zero Ledger is an empty queue, ready for use. It is not
// safe for concurrent use: its owner's lock guards it.
type Ledger[V, B any] struct {
	chunks chunks[V, B]
	tail   uint64 // the highest position given out
	// cursor is the lowest position that Next has not passed. What is ready from there on is
	// found by walking; what is ready before it stands in returned.
	cursor   uint64
	returned heap // at is 0 throughout: lowest position first
	delay    heap // the delayed, by NotBefore
	expiry   heap // those that expire, by Expires; not the held, whose key goes when it is met
	expired  []uint64
	timed    int // messages with the mark inExpiry
	counts   Counts
}

// Counts tells of now, as far as the ledger has been told the time.
func (l *Ledger[V, B]) Counts() Counts { return l.counts }

// Len is how many messages there are, whatever their state.
func (l *Ledger[V, B]) Len() int { return l.counts.Ready + l.counts.Held + l.counts.Delayed }

// Timed tells that the time matters: something is delayed or expires. While it is false any now
// will do.
func (l *Ledger[V, B]) Timed() bool { return len(l.delay)+len(l.expiry)+len(l.expired) > 0 }

// Append puts a message at the end and gives its position; e.Pos is ignored. A Count above 0 is
// what a journal remembers of earlier deliveries.
func (l *Ledger[V, B]) Append(e Entry[V, B], now int64) uint64 {
	e.Pos = l.Reserve()
	l.Insert(e, now)
	return e.Pos
}

// Reserve gives out the next position without a message, for Insert.
func (l *Ledger[V, B]) Reserve() uint64 {
	l.tail++
	return l.tail
}

// Insert puts a message at e.Pos, which must be higher than that of any message put before:
// a position that Reserve gave, or one that a journal remembers. Positions between may stay empty.
func (l *Ledger[V, B]) Insert(e Entry[V, B], now int64) {
	l.tail = max(l.tail, e.Pos)
	s := l.chunks.add(e.Pos)
	s.value, s.size = e.Value, e.Size
	s.setTimes(times{e.Expires, e.NotBefore})
	s.setBody(e.Body)
	s.count = uint16(min(max(e.Count, 0), math.MaxUint16))
	l.counts.Bytes += int64(e.Size)
	l.putBack(e.Pos, s, e.NotBefore > now)
}

// Tail is the highest position given out, 0 at first.
func (l *Ledger[V, B]) Tail() uint64 { return l.tail }

// Clear removes every message, those on loan too, and keeps the positions used up.
func (l *Ledger[V, B]) Clear() { *l = Ledger[V, B]{tail: l.tail, cursor: l.tail + 1} }

// Remove takes out a message that is not on loan and tells what it was; false if there is none.
func (l *Ledger[V, B]) Remove(pos uint64) (Entry[V, B], bool) {
	s := l.chunks.find(pos)
	if s.slot == nil || s.state != ready && s.state != delayed {
		return Entry[V, B]{}, false
	}
	e := entry(pos, s)
	l.remove(pos, s)
	l.chunks.trim()
	l.pruneExpiry()
	l.pruneReturned()
	l.delay.prune(l.counts.Delayed, func(k key) bool { return isDelayed(l.chunks.find(k.pos), k) })
	return e, true
}

// Next lends out the ready message with the lowest position and counts the delivery; false if
// none is ready. A message that has expired is never lent: it goes to TakeExpired.
func (l *Ledger[V, B]) Next(now int64) (Entry[V, B], bool) {
	l.Advance(now)
	for l.counts.Ready > 0 {
		pos, s := l.lowest()
		l.counts.Ready--
		l.counts.Held++
		if at := s.times().expires; at != 0 && at <= now {
			s.state = expired
			l.expired = append(l.expired, pos)
			continue
		}
		s.state = held
		if s.count < math.MaxUint16 {
			s.count++
		}
		return entry(pos, s), true
	}
	return Entry[V, B]{}, false
}

// Ack removes a message on loan and tells what it was; false if pos is not on loan.
func (l *Ledger[V, B]) Ack(pos uint64) (Entry[V, B], bool) {
	s := l.chunks.find(pos)
	if s.slot == nil || s.state != held {
		return Entry[V, B]{}, false
	}
	e := entry(pos, s)
	l.remove(pos, s)
	l.chunks.trim()
	l.pruneExpiry()
	return e, true
}

// Nack takes a message back to its old place, not to be lent before until (Unix milliseconds; 0
// for at once). The delivery counts. False if pos is not on loan.
func (l *Ledger[V, B]) Nack(pos uint64, until int64) bool {
	s := l.chunks.find(pos)
	if s.slot == nil || s.state != held {
		return false
	}
	l.counts.Held--
	s.setTimes(times{s.times().expires, until})
	l.putBack(pos, s, until != 0)
	return true
}

// Release takes a message back to its old place as if it had not been lent. False if pos is not
// on loan.
func (l *Ledger[V, B]) Release(pos uint64) bool {
	s := l.chunks.find(pos)
	if s.slot == nil || s.state != held {
		return false
	}
	l.counts.Held--
	if s.count > 0 {
		s.count--
	}
	l.putBack(pos, s, false)
	return true
}

// Advance tells the ledger the time: what was delayed until now becomes ready. Next does so too.
func (l *Ledger[V, B]) Advance(now int64) {
	for len(l.delay) > 0 && l.delay[0].at <= now {
		k := l.delay.pop()
		if s := l.chunks.find(k.pos); isDelayed(s, k) {
			l.counts.Delayed--
			l.putBack(k.pos, s, false)
		}
	}
}

// TakeExpired lends out a message that is ready or delayed and has expired, without counting a
// delivery; the caller disposes of it and calls Ack (or Nack, after which it is offered again).
// False if there is none.
func (l *Ledger[V, B]) TakeExpired(now int64) (Entry[V, B], bool) {
	if len(l.expired) > 0 {
		pos := l.expired[0]
		if l.expired = l.expired[1:]; len(l.expired) == 0 {
			l.expired = nil
		}
		s := l.chunks.find(pos)
		s.state = held
		return entry(pos, s), true
	}
	for len(l.expiry) > 0 && l.expiry[0].at <= now {
		pos := l.expiry[0].pos
		s := l.popExpiry()
		if s.slot == nil || s.state != ready && s.state != delayed {
			continue
		}
		l.counts.Held++
		if s.state == ready {
			l.counts.Ready--
			s.state = held
			l.pruneReturned()
		} else {
			l.counts.Delayed--
			s.state = held
			l.delay.prune(l.counts.Delayed, func(k key) bool { return isDelayed(l.chunks.find(k.pos), k) })
		}
		return entry(pos, s), true
	}
	return Entry[V, B]{}, false
}

// NextWake tells when Advance or TakeExpired will next have something to do, Unix milliseconds (0:
// at once); false if nothing waits for the time.
func (l *Ledger[V, B]) NextWake() (int64, bool) {
	if len(l.expired) > 0 {
		return 0, true
	}
	for len(l.delay) > 0 && !isDelayed(l.chunks.find(l.delay[0].pos), l.delay[0]) {
		l.delay.pop()
	}
	for len(l.expiry) > 0 {
		if s := l.chunks.find(l.expiry[0].pos); s.slot != nil && s.state != held {
			break
		}
		l.popExpiry()
	}
	switch {
	case len(l.delay) == 0 && len(l.expiry) == 0:
		return 0, false
	case len(l.delay) == 0:
		return l.expiry[0].at, true
	case len(l.expiry) == 0:
		return l.delay[0].at, true
	}
	return min(l.delay[0].at, l.expiry[0].at), true
}

// Get tells of the message at pos, whatever its state.
func (l *Ledger[V, B]) Get(pos uint64) (Entry[V, B], bool) {
	if s := l.chunks.find(pos); s.slot != nil {
		return entry(pos, s), true
	}
	return Entry[V, B]{}, false
}

// Set changes value and body of the message at pos, as when the body leaves memory for the journal.
// False if pos is gone.
func (l *Ledger[V, B]) Set(pos uint64, v V, body *B) bool {
	s := l.chunks.find(pos)
	if s.slot == nil {
		return false
	}
	s.value = v
	s.setBody(body)
	if body == nil && s.ch.bodied == 0 {
		s.ch.bodies = nil
	}
	return true
}

// Range calls yield for each message after the position, whatever its state, in order, until it
// returns false. yield must not change the ledger.
func (l *Ledger[V, B]) Range(after uint64, yield func(Entry[V, B]) bool) {
	for i := l.chunks.locate(after); i < len(l.chunks.dir); i++ {
		sp := l.chunks.dir[i]
		if sp.chunk == nil {
			continue
		}
		for j := range uint64(chunkLen) {
			s, pos := sp.chunk.spot(j), sp.index*chunkLen+j
			if s.state != gone && pos > after && !yield(entry(pos, s)) {
				return
			}
		}
	}
}

// Purge removes what is not on loan and calls each (which may be nil) with every message it
// removes, in order. It tells how many there were.
func (l *Ledger[V, B]) Purge(each func(Entry[V, B])) int {
	n := 0
	for _, sp := range l.chunks.dir {
		if sp.chunk == nil {
			continue
		}
		for j := range uint64(chunkLen) {
			s, pos := sp.chunk.spot(j), sp.index*chunkLen+j
			if s.state == gone || s.state == held {
				continue
			}
			if each != nil {
				each(entry(pos, s))
			}
			l.remove(pos, s)
			n++
		}
	}
	for _, k := range l.returned {
		if s := l.chunks.find(k.pos); s.slot != nil {
			s.marks &^= inReturned
		}
	}
	l.chunks.trim()
	l.returned, l.delay, l.expired = nil, nil, nil
	l.cursor = l.tail + 1
	l.pruneExpiry()
	return n
}

func entry[V, B any](pos uint64, s spot[V, B]) Entry[V, B] {
	at := s.times()
	return Entry[V, B]{
		Pos: pos, Value: s.value, Body: s.body(), Size: s.size, Count: int(s.count),
		Expires: at.expires, NotBefore: at.notBefore,
	}
}

// putBack makes a message ready, or delayed until its notBefore. Its former state is already out
// of the counts.
func (l *Ledger[V, B]) putBack(pos uint64, s spot[V, B], later bool) {
	at := s.times()
	if at.expires != 0 && s.marks&inExpiry == 0 {
		s.marks |= inExpiry
		l.timed++
		l.expiry.push(key{at.expires, pos})
	}
	if later {
		s.state = delayed
		l.counts.Delayed++
		l.delay.push(key{at.notBefore, pos})
		return
	}
	s.state = ready
	l.counts.Ready++
	if pos < l.cursor && s.marks&inReturned == 0 {
		s.marks |= inReturned
		l.returned.push(key{0, pos})
	}
}

// lowest finds the ready message with the lowest position and forgets where it found it. At
// least one must be ready.
func (l *Ledger[V, B]) lowest() (uint64, spot[V, B]) {
	for len(l.returned) > 0 {
		pos := l.returned.pop().pos
		if s := l.chunks.find(pos); s.slot != nil {
			s.marks &^= inReturned
			if s.state == ready {
				return pos, s
			}
		}
	}
	for i := l.chunks.locate(l.cursor); ; i++ {
		sp := l.chunks.dir[i]
		l.cursor = max(l.cursor, sp.index*chunkLen)
		if sp.chunk == nil {
			continue
		}
		for j := l.cursor % chunkLen; l.cursor/chunkLen == sp.index; j++ {
			l.cursor++
			if s := sp.chunk.spot(j); s.state == ready {
				return l.cursor - 1, s
			}
		}
	}
}

// remove takes a message out of all but the heaps, where its key is met later.
func (l *Ledger[V, B]) remove(pos uint64, s spot[V, B]) {
	switch s.state {
	case ready:
		l.counts.Ready--
	case delayed:
		l.counts.Delayed--
	default:
		l.counts.Held--
	}
	l.counts.Bytes -= int64(s.size)
	if s.marks&inExpiry != 0 {
		l.timed--
	}
	l.chunks.clear(pos, l.tail)
}

// popExpiry takes the first key off the expiry heap and gives its message, nil if it is gone.
func (l *Ledger[V, B]) popExpiry() spot[V, B] {
	s := l.chunks.find(l.expiry.pop().pos)
	if s.slot != nil {
		s.marks &^= inExpiry
		l.timed--
	}
	return s
}

func (l *Ledger[V, B]) pruneExpiry() {
	if l.timed == 0 {
		l.expiry.empty()
	}
	l.expiry.prune(l.timed, func(k key) bool { return l.chunks.find(k.pos).slot != nil })
}

func (l *Ledger[V, B]) pruneReturned() {
	l.returned.prune(l.counts.Ready, func(k key) bool {
		s := l.chunks.find(k.pos)
		if s.slot == nil {
			return false
		}
		if s.state != ready {
			s.marks &^= inReturned
			return false
		}
		return true
	})
}

func isDelayed[V, B any](s spot[V, B], k key) bool {
	return s.slot != nil && s.state == delayed && s.times().notBefore == k.at
}
