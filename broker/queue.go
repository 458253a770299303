package broker

import (
	"sync"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// queue hands what the engine delivers to the subscriptions of one queue. It exists while it has
// subscriptions; the messages live in the engine.
type queue struct {
	// Static.
	b         *Broker
	name      string
	engine    store.Engine
	ephemeral bool // lives in memory and vanishes with its last subscription
	keep      bool // a temporary queue, which vanishes with its session instead

	mu       sync.Mutex // guards what follows and its subscriptions' unacked
	consumer store.Consumer
	subs     []*subscription
	turn     int              // whose turn it is
	given    int64            // bytes put into outboxes that the sampler has not been told of
	granted  int              // credit the engine has not used yet
	parked   []store.Delivery // delivered while nobody had room; at most what was granted
	settling int              // sessions giving back what they held: nothing is handed out meanwhile
	stale    bool             // the next delivery may have been chosen before a settling was over
	closed   bool             // ends, or has ended

	ready chan struct{} // closed when consumer, or failed, is set
	ended chan struct{} // closed when it has left the broker's table
	// failed is why the engine refused a consumer; read after ready.
	failed error
}

// maxCredit is how many messages the engine may be about to deliver: so many, at most, are parked
// when room runs out, however much prefetch there is.
const maxCredit = 32

// deliver is the engine's callback.
func (q *queue) deliver(d store.Delivery) {
	q.mu.Lock()
	q.granted--
	dead := d.Count() > 1 && q.isDead(d)
	stale := q.stale && !dead
	q.stale = false
	denied := false
	if !dead && !stale {
		taken := false
		if !q.frozen() && len(q.parked) == 0 {
			taken, denied = q.hand(d)
		}
		if !taken && !denied {
			q.parked = append(q.parked, d)
		}
	}
	low := q.granted < maxCredit/4
	q.mu.Unlock()
	switch {
	case stale:
		d.Release() // the engine now knows which is the first
	case dead:
		q.bury(d, deadByLimit, q.b.logStore("dead letter not stored", q.name))
	case denied:
		q.discard(d)
	}
	if dead || denied || low {
		q.refill()
	}
}

// frozen tells that nothing is handed out: sessions give back what they held, or all of them end, and what one gives
// back must not go to the next, to be given back again and be counted as delivered every time. Private and temporary
// queues end with their messages, which go out as long as they can. q.mu is held.
func (q *queue) frozen() bool {
	return q.settling > 0 || q.engine == q.b.engine && q.b.ctx.Err() != nil
}

// discard settles a message of a durable wildcard subscription that its owner may not have.
func (q *queue) discard(d store.Delivery) {
	d.Ack(q.b.logStore("denied message not removed", q.name))
}

// isDead tells that a message has been delivered as often as it may.
func (q *queue) isDead(d store.Delivery) bool {
	return d.Count() > q.b.policies.ofQueue(q.name, d.Message()).Redelivery.limit() &&
		deadLetterQueue(q.name) != ""
}

// hand gives a delivery to the next subscription in turn that has room; denied tells that none of
// them may have it. q.mu is held.
func (q *queue) hand(d store.Delivery) (taken, denied bool) {
	filtered := 0
	for range q.subs {
		if q.turn >= len(q.subs) {
			q.turn = 0
		}
		sub := q.subs[q.turn]
		q.turn++
		more := sub.special()
		if f := more.filter.Load(); f != nil && (*f)(destinationOf(d.Message())) {
			filtered++
			continue
		}
		if !sub.ready() {
			continue
		}
		it := outItem{sub: sub, d: d}
		if sub.mode != ackAuto {
			if !sub.fits(d) {
				continue
			}
			it.n = sub.hold(d)
			more.s.unacked.Add(1)
			if mutant.Is(mutant.AckAtDelivery) {
				defer d.Ack(nil)
			}
		}
		if more.s.out.putDelivery(it) {
			more.free--
			if q.given += weight(d.Message()); q.given >= tellBytes {
				q.b.tell(q.given)
				q.given = 0
			}
			if more.topic != "" && d.Count() == 1 {
				more.fresh.Add(-int64(d.Message().Size()))
			}
			return true, false
		}
		if sub.mode != ackAuto {
			more.unacked = more.unacked[:len(more.unacked)-1]
			more.bytes -= int64(d.Message().Size())
			more.s.unacked.Add(-1)
		}
	}
	return false, filtered > 0 && filtered == len(q.subs)
}

// ready reports whether a subscription can take one more message: it has prefetch left, its
// session may hold more, and its outbox is not half full. If only the session stands in the way,
// the session will call refill. q.mu is held.
func (sub *subscription) ready() bool {
	more := sub.special()
	if more.free <= 0 || sub.gone.Load() {
		return false
	}
	if more.s.hasRoom(sub.mode) {
		return true
	}
	// Say so first and look again: whoever makes room looks for stalled afterwards.
	more.s.stalled.Store(true)
	return more.s.hasRoom(sub.mode)
}

// fits reports whether a subscription may hold one more message of that size: any, if it holds none.
// One that finds no room anywhere waits, and those behind it, until somebody has acknowledged enough.
// q.mu is held.
func (sub *subscription) fits(d store.Delivery) bool {
	more := sub.special()
	return more.bytes == 0 || more.bytes+int64(d.Message().Size()) <= more.s.limits.PrefetchBytes || mutant.Is(mutant.PrefetchBytesFree)
}

// refill hands out what is parked and grants the engine as much credit as the subscriptions have
// room for beyond what it has already, up to maxCredit at a time.
func (q *queue) refill() {
	c, want, denied := q.share()
	for _, d := range denied {
		q.discard(d)
	}
	if want > 0 {
		c.Credit(want)
	}
}

// share is refill but for what the engine is told: whom to grant how much, and what to discard.
func (q *queue) share() (c store.Consumer, want int, denied []store.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.frozen() {
		return nil, 0, nil // settle will come back, if anything does
	}
	n := 0
	for ; n < len(q.parked); n++ {
		taken, no := q.hand(q.parked[n])
		if no {
			denied = append(denied, q.parked[n])
		} else if !taken {
			break
		}
	}
	if n > 0 {
		rest := copy(q.parked, q.parked[n:])
		clear(q.parked[rest:])
		q.parked = q.parked[:rest]
	}
	if len(q.parked) > 0 {
		return nil, 0, denied // the first of them has to wait, and more would wait behind it
	}
	want = -q.granted
	most := want + maxCredit
	for i := 0; i < len(q.subs) && want < most; i++ { // the rest of many would not change it
		if sub := q.subs[i]; sub.ready() {
			want += sub.special().free
		}
	}
	want = min(want, most)
	if want <= 0 || q.consumer == nil {
		return nil, 0, denied
	}
	q.granted += want
	return q.consumer, want, denied
}

// freed tells that n messages of a subscription are settled, of so many bytes if they had to be.
func (q *queue) freed(sub *subscription, n int, bytes int64) {
	more := sub.special()
	q.mu.Lock()
	more.free += n
	more.bytes -= bytes
	q.mu.Unlock()
	q.refill()
}

// remove ends a subscription's part in the queue: nothing is handed to it any more. What it
// holds is given back by settle.
func (q *queue) remove(sub *subscription) {
	sub.gone.Store(true)
	q.mu.Lock()
	for i, s := range q.subs {
		if s == sub {
			q.subs = append(q.subs[:i], q.subs[i+1:]...)
			if i < q.turn {
				q.turn--
			}
			break
		}
	}
	q.mu.Unlock()
}

// settle gives back all that a removed subscription holds: the unacknowledged messages, marked as
// redelivered, and those that never reached the wire, unmarked; all take their old places
// (STOMP 1.2, UNSUBSCRIBE). Then the other subscriptions go on, or the queue ends.
func (q *queue) settle(sub *subscription, unsent []outItem) {
	more := sub.special()
	never := make(map[uint64]bool, len(unsent))
	for _, it := range unsent {
		if it.n != 0 {
			never[it.n] = true
		}
	}
	q.mu.Lock()
	hs := more.unacked
	more.unacked, more.settled = nil, 0
	q.settling++ // what comes again must not be overtaken by what nobody has had yet
	q.mu.Unlock()

	// Oldest first: an engine with credit left delivers them again in that order.
	for _, h := range hs {
		if h.d == nil {
			continue
		}
		more.s.unacked.Add(-1)
		if h.unsent || never[h.seq] {
			h.d.Release()
		} else {
			if mutant.Is(mutant.UnsubscribeAcks) {
				h.d.Ack(nil)
			}
			h.d.Nack(0, nil)
		}
	}
	for _, it := range unsent {
		if it.n == 0 {
			it.d.Release()
		}
	}
	q.unpark()
	q.b.leave(q)
	q.refill()
}

// unpark ends a settling: it gives back all that is parked, and what the engine, which has credit
// left, delivers meanwhile, so that the engine holds all of it in order.
func (q *queue) unpark() {
	for {
		q.mu.Lock()
		parked := q.parked
		q.parked = nil
		if len(parked) == 0 {
			q.settling--
			q.stale = q.granted > 0
		}
		q.mu.Unlock()
		if len(parked) == 0 {
			return
		}
		for _, d := range parked {
			d.Release()
		}
	}
}
