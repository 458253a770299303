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

// subscription is one SUBSCRIBE of a session. There may be a million: it is two cache lines, of which a message of
// a topic looks at the first. All is static but what says who writes it.
type subscription struct {
	s         *session
	way       *way                   // of a seat: the subscription is the place of a durable one at its topic
	filter    atomic.Pointer[Filter] // keeps from a wildcard subscription what its session may not get; mostly nil. A reload replaces it
	sent      uint64                 // topic messages, where they are numbered; owned by the session's flusher
	gone      atomic.Bool            // deliver nothing any more; written by who unsubscribes
	mode      ackMode
	noLocal   bool
	queued    bool // route is a queue: that of the destination, or a private one
	pattern   bool // name is a pattern
	wild      bool // route is a pattern
	anonymous bool // its MESSAGEs have no subscription header: in 1.0 without an id
	short     uint8
	room      [20]byte // its first short bytes are the id as it is written, unless short is tooLong

	id          string   // as the client named it; in 1.0 without an id, the destination
	destination string   // as the client wrote it
	number      uint64   // counts the session's subscriptions; first part of an ack id
	by          *granted // who permitted it; guarded by s.table
	*special
}

// tooLong is subscription.short where the id, as it is written, has no room there.
const tooLong = 255

// special is what few subscriptions to topics have. All is static but what says who writes it.
type special struct {
	named     string // see name
	routed    string // see route
	escaped   string // the id as it is written, if that is neither id nor has room in the subscription
	temp      bool   // route is a temporary queue
	implicit  bool   // made by a reply-to, not by a SUBSCRIBE
	ephemeral bool   // Spring's: about a user's destination
	asked     bool   // the client said the prefetch
	durable   string // the queue of a durable subscription; alone it is that queue's seat at its topic
	topic     string // what it listens to while route is its private queue (private.go), else empty
	prefetch  int
	queue     *queue // nil for topics

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

func newSubscription(s *session, destination string) *subscription {
	return &subscription{s: s, destination: destination, special: new(special)}
}

// slim forgets what is special about a subscription that has nothing of the kind, before anything can reach it.
func (sub *subscription) slim() {
	if sub.queued || sub.escaped != "" || sub.named != sub.destination || sub.routed != sub.destination {
		return
	}
	sub.destination = sub.s.b.topics.spelling(sub.destination)
	sub.special = &ordinary
}

// name is the destination as it is permitted: what is decided on again after a reload.
func (sub *subscription) name() string {
	if sub.special == &ordinary {
		return sub.destination
	}
	return sub.named
}

// route is what is routed: a topic's name or pattern, or a queue's name.
func (sub *subscription) route() string {
	if sub.special == &ordinary {
		return sub.destination
	}
	return sub.routed
}

// called notes what the client calls the subscription, as it is to be written in its MESSAGE frames.
func (sub *subscription) called(id string) {
	written := stompframe.AppendEscaped(sub.room[:0], sub.s.version, []byte(id))
	switch {
	case len(written) <= len(sub.room):
		sub.short = uint8(len(written)) // #nosec G115 -- at most len(sub.room)
		if string(written) == id {      // one place for both
			id = unsafe.String(&sub.room[0], len(written)) // #nosec G103 -- it is not written again
		}
	case string(written) == id:
		sub.short = tooLong
	default:
		sub.short, sub.escaped = tooLong, string(written)
	}
	sub.id = id
}

// written is the id as it is written in MESSAGE frames.
func (sub *subscription) written() string {
	switch {
	case sub.short != tooLong:
		return unsafe.String(&sub.room[0], int(sub.short)) // #nosec G103 -- it is not written again
	case sub.escaped != "":
		return sub.escaped
	}
	return sub.id
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

// key is where the session's table has it.
func (sub *subscription) key() string {
	if sub.implicit {
		return implicitKey(sub.id)
	}
	return sub.id
}

// implicitKey keeps the subscriptions that a reply-to made apart from the client's own: no header
// has a NUL.
func implicitKey(id string) string { return "\x00" + id }

// held is one message that a subscription has not acknowledged yet.
type held struct {
	seq    uint64
	d      store.Delivery
	unsent bool // never reached the wire: giving it back does not count as a delivery
}

// deliverTopic puts messages sent to name, a topic, into the session's outbox, or into the private queue.
func (sub *subscription) deliverTopic(name string, b *burst, from *session, c *claims) {
	if sub.gone.Load() || sub.noLocal && from == sub.s {
		return
	}
	if f := sub.filter.Load(); f != nil && (*f)(name) {
		return
	}
	if sub.queued {
		for _, m := range b.ms {
			sub.enqueue(m)
		}
		return
	}
	if sub.s.out.putBurst(b, sub, c) {
		sub.s.tooSlow(sub)
	}
}

// appendAckID appends the ack header's value for a delivery.
func (sub *subscription) appendAckID(dst []byte, seq uint64) []byte {
	dst = strconv.AppendUint(dst, sub.number, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, seq, 10)
}

// hold notes a delivery that must be acknowledged and gives it its number. queue.mu is held.
func (sub *subscription) hold(d store.Delivery) uint64 {
	sub.seq++
	sub.bytes += int64(d.Message().Size())
	sub.unacked = append(sub.unacked, held{seq: sub.seq, d: d})
	return sub.seq
}

// find tells the place of a number in unacked, or -1. queue.mu is held.
func (sub *subscription) find(seq uint64) int {
	i := sort.Search(len(sub.unacked), func(i int) bool { return sub.unacked[i].seq >= seq })
	if i == len(sub.unacked) || sub.unacked[i].seq != seq || sub.unacked[i].d == nil {
		return -1
	}
	return i
}

// findMessage is find by message-id, for STOMP 1.0 and 1.1. queue.mu is held.
func (sub *subscription) findMessage(id string) int {
	for i := range sub.unacked {
		if d := sub.unacked[i].d; d != nil && d.Message().ID == id {
			return i
		}
	}
	return -1
}

// claim takes the message at place i out of unacked, and in mode client all before it
// (STOMP 1.2, SUBSCRIBE ack Header: cumulative), appending them to the slice given, oldest
// first. queue.mu is held.
func (sub *subscription) claim(i int, to []held) []held {
	from := i
	if sub.mode == ackClient && !mutant.Is(mutant.CumulativeOne) {
		from = 0
	}
	for j := from; j <= i; j++ {
		if sub.unacked[j].d != nil {
			to = append(to, sub.unacked[j])
			sub.unacked[j].d = nil
			sub.settled++
		}
	}
	sub.compact()
	return to
}

// compact cuts the settled entries off, at once when all are, else when they are the half.
func (sub *subscription) compact() {
	if sub.settled*2 < len(sub.unacked) || sub.settled == 0 {
		return
	}
	kept := sub.unacked[:0]
	for _, h := range sub.unacked {
		if h.d != nil {
			kept = append(kept, h)
		}
	}
	clear(sub.unacked[len(kept):])
	if len(kept) == 0 && cap(kept) > keepIdle {
		kept = nil // it may be idle for long
	}
	sub.unacked, sub.settled = kept, 0
}

// unclaim puts messages back that a transaction had claimed and gave up (STOMP 1.2, ABORT); each
// takes its old place. queue.mu is held.
func (sub *subscription) unclaim(hs []held) {
	for _, h := range hs {
		i := sort.Search(len(sub.unacked), func(i int) bool { return sub.unacked[i].seq >= h.seq })
		if i < len(sub.unacked) && sub.unacked[i].seq == h.seq {
			sub.unacked[i] = h
			sub.settled--
			continue
		}
		sub.unacked = append(sub.unacked, held{})
		copy(sub.unacked[i+1:], sub.unacked[i:])
		sub.unacked[i] = h
	}
}
