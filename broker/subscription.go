package broker

import (
	"sort"
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// ackMode is a subscription's ack header (STOMP 1.2, SUBSCRIBE ack Header).
type ackMode uint8

const (
	ackAuto ackMode = iota
	ackClient
	ackIndividual
)

// subscription is one SUBSCRIBE of a session. There may be millions: it is two cache lines, of which a message of
// a topic looks at the first, and has no pointer that the collector would have to follow. All is static but what
// says who writes it.
type subscription struct {
	gone      atomic.Bool // deliver nothing any more; written by who unsubscribes
	of        uint32      // the number of its session, of an ordinary one: see sessionNumbers
	mode      ackMode
	noLocal   bool
	queued    bool // route is a queue: that of the destination, or a private one
	pattern   bool // name is a pattern
	wild      bool // route is a pattern
	anonymous bool // its MESSAGEs have no subscription header: in 1.0 without an id
	seat      bool // it is the place of a durable subscription at its topic
	full      bool // it is part of a fullSubscription; else it is ordinary
	short     uint8
	length    uint8     // of the destination in text, of an ordinary one
	text      [102]byte // its first short bytes are the id as it is written, unless short is tooLong; then comes the destination of an ordinary one
	by        uint64    // the number of the rights that permitted it; guarded by session.table
}

// tooLong is subscription.short where the id, as it is written, has no room there.
const tooLong = 255

// fullSubscription is one that has something special. They begin alike, so that a pointer to one is a pointer to the other.
type fullSubscription struct {
	subscription
	more special
}

// special is what few subscriptions to topics have. All is static but what says who writes it.
type special struct {
	s           *session
	filter      atomic.Pointer[Filter] // keeps from a wildcard subscription what its session may not get; mostly nil. A reload replaces it
	destination string                 // as the client wrote it
	named       string                 // see name
	routed      string                 // see route
	called      string                 // the id, if that is not what text says
	escaped     string                 // the id as it is written, if that is neither called nor in text
	number      uint64                 // counts the session's subscriptions; first part of an ack id
	sent        uint64                 // topic messages, where they are numbered; owned by the session's flusher
	way         *way                   // of a seat
	temp        bool                   // route is a temporary queue
	implicit    bool                   // made by a reply-to, not by a SUBSCRIBE
	ephemeral   bool                   // Spring's: about a user's destination
	asked       bool                   // the client said the prefetch
	durable     string                 // the queue of a durable subscription; alone it is that queue's seat at its topic
	topic       string                 // what it listens to while route is its private queue (private.go), else empty
	prefetch    int
	queue       *queue // nil for topics

	// fresh: bytes published into its private queue and not handed to it yet.
	fresh atomic.Int64

	// Guarded by queue.mu.
	free    int   // how many more messages it may hold
	bytes   int64 // what those add up to that it holds unacknowledged
	seq     uint64
	unacked []held // in the order of seq; settled ones are nil until they are cut off
	settled int    // nils in unacked
}

// ordinary is what is special about most subscriptions to topics. Nobody writes to it.
var ordinary special

// special is what it has beyond the ordinary.
func (sub *subscription) special() *special {
	if !sub.full {
		return &ordinary
	}
	return &(*fullSubscription)(unsafe.Pointer(sub)).more // #nosec G103 -- full says that it is one
}

// queue is the queue that it consumes, or nil.
func (sub *subscription) queue() *queue { return sub.special().queue }

// newSubscription makes one that may become anything.
func newSubscription(s *session, destination string) *subscription {
	f := &fullSubscription{subscription: subscription{full: true}}
	f.more.s, f.more.destination = s, destination
	return &f.subscription
}

// slimmed is sub, or where nothing is special about it, an ordinary subscription that is the same. Nothing can reach it yet.
func (s *session) slimmed(sub *subscription) *subscription {
	more := sub.special()
	if sub.queued || sub.mode != ackAuto || more.called != "" || sub.pattern ||
		more.named != more.destination || more.routed != more.destination ||
		int(sub.short)+len(more.destination) > len(sub.text) || s.number == 0 {
		return sub
	}
	s.table.Lock() // the table is looked at by others
	defer s.table.Unlock()
	slim := s.subscriptions.make()
	slim.of = s.number
	slim.noLocal, slim.anonymous, slim.short, slim.by = sub.noLocal, sub.anonymous, sub.short, sub.by
	slim.length = uint8(copy(slim.text[copy(slim.text[:], sub.text[:sub.short]):], more.destination)) // #nosec G115 -- it has room in text
	return slim
}

// session is whose subscription it is. Of one that is gone it may be another's, or nil: whoever does not own the
// subscription looks at gone afterwards.
func (sub *subscription) session(n *sessionNumbers) *session {
	if sub.full {
		return sub.special().s
	}
	return n.at(sub.of)
}

// destination is the destination as the client wrote it.
func (sub *subscription) destination() string {
	if sub.full {
		return sub.special().destination
	}
	return within(sub.text[sub.short:][:sub.length])
}

// within is text as a string.
func within(text []byte) string {
	return unsafe.String(unsafe.SliceData(text), len(text)) // #nosec G103 -- nobody writes to it any more
}

// name is the destination as it is permitted: what is decided on again after a reload.
func (sub *subscription) name() string {
	if sub.full {
		return sub.special().named
	}
	return sub.destination()
}

// route is what is routed: a topic's name or pattern, or a queue's name.
func (sub *subscription) route() string {
	if sub.full {
		return sub.special().routed
	}
	return sub.destination()
}

// call notes what the client calls the subscription, as it is to be written in its MESSAGE frames.
func (sub *subscription) call(id string) {
	more := sub.special()
	written := stompframe.AppendEscaped(sub.text[:0], more.s.version, []byte(id))
	if len(written) <= len(sub.text) {
		sub.short = uint8(len(written)) // #nosec G115 -- at most len(sub.text)
	} else {
		sub.short = tooLong
	}
	same := string(written) == id
	if !same || sub.short == tooLong {
		more.called = id
	}
	if !same && sub.short == tooLong {
		more.escaped = string(written)
	}
}

// id is what the client calls it; in 1.0 without an id, the destination.
func (sub *subscription) id() string {
	switch {
	case sub.anonymous:
		return sub.destination()
	case sub.full && sub.special().called != "":
		return sub.special().called
	}
	return within(sub.text[:sub.short])
}

// written is the id as it is written in MESSAGE frames.
func (sub *subscription) written() string {
	more := sub.special()
	switch {
	case sub.short != tooLong:
		return within(sub.text[:sub.short])
	case more.escaped != "":
		return more.escaped
	}
	return more.called
}

// appendHead appends how its MESSAGE frames begin.
func (sub *subscription) appendHead(dst []byte) []byte {
	dst = append(dst, frame.MESSAGE+"\n"...)
	if sub.anonymous {
		return dst
	}
	dst = append(dst, frame.Subscription+":"...)
	return append(append(dst, sub.written()...), '\n')
}

// alike tells whether the MESSAGE frames of both begin alike, in one version.
func (sub *subscription) alike(other *subscription) bool {
	return sub == other || sub.anonymous == other.anonymous && sub.written() == other.written()
}

// held is one message that a subscription has not acknowledged yet.
type held struct {
	seq    uint64
	d      store.Delivery
	unsent bool // never reached the wire: giving it back does not count as a delivery
}

// deliverTopic puts messages sent to name, a topic, into the session's outbox, or into the private queue. It tells
// whether the outbox has them.
func (sub *subscription) deliverTopic(n *sessionNumbers, name string, b *burst, from *session, c *claims) bool {
	s := sub.session(n)
	if sub.gone.Load() || sub.noLocal && from == s {
		return false
	}
	if sub.full {
		if f := sub.special().filter.Load(); f != nil && (*f)(name) {
			return false
		}
		if sub.queued {
			b.kept = true
			for i := range b.ms {
				sub.enqueue(&b.ms[i])
			}
			return false
		}
	}
	put, full := s.out.putBurst(b, sub, c)
	if full {
		s.tooSlow(sub)
	}
	return put
}

// appendAckID appends the ack header's value for a delivery.
func (sub *subscription) appendAckID(dst []byte, seq uint64) []byte {
	dst = strconv.AppendUint(dst, sub.special().number, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, seq, 10)
}

// hold notes a delivery that must be acknowledged and gives it its number. queue.mu is held.
func (sub *subscription) hold(d store.Delivery) uint64 {
	more := sub.special()
	more.seq++
	more.bytes += int64(d.Message().Size())
	more.unacked = append(more.unacked, held{seq: more.seq, d: d})
	return more.seq
}

// find tells the place of a number in unacked, or -1. queue.mu is held.
func (sub *subscription) find(seq uint64) int {
	more := sub.special()
	i := sort.Search(len(more.unacked), func(i int) bool { return more.unacked[i].seq >= seq })
	if i == len(more.unacked) || more.unacked[i].seq != seq || more.unacked[i].d == nil {
		return -1
	}
	return i
}

// findMessage is find by message-id, for STOMP 1.0 and 1.1. queue.mu is held.
func (sub *subscription) findMessage(id string) int {
	more := sub.special()
	for i := range more.unacked {
		if d := more.unacked[i].d; d != nil && d.Message().ID == id {
			return i
		}
	}
	return -1
}

// claim takes the message at place i out of unacked, and in mode client all before it
// (STOMP 1.2, SUBSCRIBE ack Header: cumulative), appending them to the slice given, oldest
// first. queue.mu is held.
func (sub *subscription) claim(i int, to []held) []held {
	more := sub.special()
	from := i
	if sub.mode == ackClient && !mutant.Is(mutant.CumulativeOne) {
		from = 0
	}
	for j := from; j <= i; j++ {
		if more.unacked[j].d != nil {
			to = append(to, more.unacked[j])
			more.unacked[j].d = nil
			more.settled++
		}
	}
	sub.compact()
	return to
}

// compact cuts the settled entries off, at once when all are, else when they are the half.
func (sub *subscription) compact() {
	more := sub.special()
	if more.settled*2 < len(more.unacked) || more.settled == 0 {
		return
	}
	kept := more.unacked[:0]
	for _, h := range more.unacked {
		if h.d != nil {
			kept = append(kept, h)
		}
	}
	clear(more.unacked[len(kept):])
	if len(kept) == 0 && cap(kept) > keepIdle {
		kept = nil // it may be idle for long
	}
	more.unacked, more.settled = kept, 0
}

// unclaim puts messages back that a transaction had claimed and gave up (STOMP 1.2, ABORT); each
// takes its old place. queue.mu is held.
func (sub *subscription) unclaim(hs []held) {
	more := sub.special()
	for _, h := range hs {
		i := sort.Search(len(more.unacked), func(i int) bool { return more.unacked[i].seq >= h.seq })
		if i < len(more.unacked) && more.unacked[i].seq == h.seq {
			more.unacked[i] = h
			more.settled--
			continue
		}
		more.unacked = append(more.unacked, held{})
		copy(more.unacked[i+1:], more.unacked[i:])
		more.unacked[i] = h
	}
}
