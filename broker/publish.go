package broker

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// What a session sends to topics is gathered while more frames of it are at hand, and delivered
// before its reader waits for anything: so that subscribers get in one write what came in one read,
// and get it from the reader itself, which wakes nobody.

const (
	gatherTime = time.Millisecond // a message is not held back for longer, but for the handling of the next few:
	clockTurn  = 8                // the clock is looked at for one in so many
	maxGather  = 1024             // messages,
	maxShort   = 128 << 10        // bytes, of short ones: to many topics, each subscriber gets few of them in one write
	maxClaims  = 256              // outboxes written to by turns
	maxRuns    = 32               // topics whose audiences are looked up together: as much as stays in a cache

	firstChunk = 4 << 10  // bytes: what messages are written to until their audience is known,
	nextChunk  = 32 << 10 // and where that is not enough;
	largeData  = 4 << 10  // one of this size and more has memory of its own, and is not copied
)

// gathered is topic messages that a session has sent and nobody has got yet.
type gathered struct {
	sends  []topicSend
	bytes  int64
	since  time.Time // when the first came
	claims claims

	// What the session is about to gather, and the room it was given.
	next topicSend
	room int

	chunks []*piece[byte] // memory of those that are not large; the last has room

	// Of settle.
	runs      []run
	listeners listeners
}

// run is messages to one topic that are delivered together, to gathered.listeners.lists[from:to].
type run struct {
	sends    []topicSend
	from, to int

	// Of topics.look.
	hash  uint64
	first slot
	found found
}

type topicSend struct {
	topic string
	m     store.Message
	r     *receipt
	apart *piece[byte] // memory of m alone; nil: it is in a chunk, until all have been delivered
}

var gatherings = sync.Pool{New: func() any { return new(gathered) }}

// gathering is what the session gathers.
func (s *session) gathering() *gathered {
	if s.gathered == nil {
		s.gathered = gatherings.Get().(*gathered)
	}
	return s.gathered
}

// draft builds the message of a SEND to a topic; it is good until the next draft, or settle, unless gather takes it.
func (s *session) draft(destination string, f *stompframe.Frame, replyTo string) *store.Message {
	g := s.gathering()
	plain := stompframe.Plain(f.Header)
	n := messageRoom(destination, f, replyTo, plain)
	m := &g.next.m
	g.next.apart, g.room = nil, n
	if n >= largeData {
		g.next.apart = data.get(n)
		s.b.write(m, g.next.apart.s[:0:n], destination, f, replyTo, plain)
		return m
	}
	at := len(g.chunks) - 1
	if at < 0 || cap(g.chunks[at].s)-len(g.chunks[at].s) < n {
		size := nextChunk
		if at < 0 {
			size = firstChunk
		}
		g.chunks = append(g.chunks, data.get(size))
		at++
	}
	to := len(g.chunks[at].s)
	s.b.write(m, g.chunks[at].s[to:to:to+n], destination, f, replyTo, plain)
	return m
}

// gather takes the draft for a topic.
func (s *session) gather(topic string, r *receipt) {
	g := s.gathering()
	if len(g.sends) == 0 {
		g.since = time.Now()
	}
	x := &g.next
	x.topic, x.r = topic, r
	g.bytes += weight(&x.m)
	switch size := len(x.m.Data); {
	case size > g.room: // it has grown into memory of its own
		x.apart = nil
	case x.apart != nil:
		x.apart.s = x.apart.s[:size]
	default:
		last := g.chunks[len(g.chunks)-1]
		last.s = last.s[:len(last.s)+size]
	}
	g.sends = append(g.sends, *x)
	n := len(g.sends)
	if g.bytes >= batchBytes && (g.bytes >= maxShort || n < maxGather/8) || n == maxGather || n%clockTurn == 0 && time.Since(g.since) > gatherTime {
		s.settle()
	}
}

// unsettled tells whether settle has something to do.
func (s *session) unsettled() bool { return s.gathered != nil }

// settle delivers what has been gathered. The reader calls it before it waits for anything, and
// before it handles a frame of another kind.
func (s *session) settle() {
	g := s.gathered
	if g == nil {
		return
	}
	s.gathered = nil
	defer g.done()
	for rest := g.sends; len(rest) > 0; {
		n, size := 0, int64(0)
		for n < len(rest) && rest[n].topic == rest[0].topic {
			size += weight(&rest[n].m)
			if n > 0 && size > s.out.limit/fewWaiting {
				break // an outbox takes so many bursts, however slow
			}
			n++
		}
		g.runs = append(g.runs, run{sends: rest[:n]})
		rest = rest[n:]
	}
	for rest := g.runs; len(rest) > 0; {
		runs := rest[:min(len(rest), maxRuns)]
		s.b.topics.look(runs, &g.listeners)
		for i := range runs {
			r := &runs[i]
			s.deliver(r.sends, g.listeners.lists[r.from:r.to], &g.claims)
		}
		g.listeners.clear()
		rest = rest[len(runs):]
	}
}

// done writes what has been delivered and returns g to the pool.
func (g *gathered) done() {
	if len(g.claims.list) > 0 {
		runtime.Gosched() // other senders who are at it may add to what waits before it is written
	}
	g.claims.flush()
	for i := range g.sends {
		free(g.sends[i].apart) // nobody listened
	}
	clear(g.sends)
	g.sends, g.bytes, g.next = g.sends[:0], 0, topicSend{}
	for _, c := range g.chunks {
		free(c)
	}
	clear(g.chunks)
	g.chunks = g.chunks[:0]
	clear(g.runs)
	g.runs = g.runs[:0]
	g.listeners.clear()
	gatherings.Put(g)
}

// deliver gives messages to their topic, which is one for all of them. Those who listen get them at
// once; a receipt waits for those who are to get its message later.
func (s *session) deliver(sends []topicSend, to [][]*subscription, c *claims) {
	var queues seats
	if len(to) > 0 {
		b := burstOf(sends)
		queues = s.b.topics.serve(to, sends[0].topic, b, s, c)
		defer b.giveUp(1)
	}
	if queues == nil {
		for i := range sends {
			sends[i].r.confirm()
		}
		return
	}
	c.flush() // the store may make us wait
	s.keepCopies(sends, queues)
}

// keepCopies puts messages into the queues of the durable subscriptions of their topic.
func (s *session) keepCopies(sends []topicSend, queues seats) {
	left := int64(len(sends))
	arrived := func() {
		if atomic.AddInt64(&left, -1) == 0 {
			queues.served()
		}
	}
	for i := range sends {
		p := &sends[i]
		m := clone(&p.m)
		if mutant.Is(mutant.TopicFirst) {
			s.b.engine.Commit(copies(m, queues, nil), nil, func(error) { arrived() })
			p.r.confirm()
			continue
		}
		stored := s.whenStored(p.r)
		s.b.engine.Commit(copies(m, queues, nil), nil, func(err error) {
			stored(false, err)
			arrived()
		})
	}
}

// claims are outboxes whose flusher the holder has to be: soon, for they have no other.
type claims struct{ list []*outbox }

func (c *claims) add(o *outbox) {
	c.list = append(c.list, o)
	if len(c.list) == maxClaims {
		c.flush()
	}
}

// flush writes what waits in the outboxes claimed, as far as that needs no waiting.
func (c *claims) flush() {
	if len(c.list) == 0 {
		return
	}
	w := batches.Get().(*batch)
	for _, o := range c.list {
		if !o.flushNow(w) {
			w = batches.Get().(*batch)
		}
	}
	batches.Put(w)
	clear(c.list)
	c.list = c.list[:0]
}
