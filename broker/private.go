package broker

import (
	"errors"
	"strconv"

	"github.com/gudokmq/gudok/store"
)

// A topic subscription that acknowledges and says how many messages it wants at a time has a
// private queue between the topic and itself. The rest is a queue's: prefetch, redelivery, NACK,
// transactions. The queue lives in memory and goes with the subscription. Other topic
// subscriptions hold nothing.

// privatePrefix begins the names of private queues. No client can say such a name.
const privatePrefix = "/private/"

// routePrivate makes sub the consumer of a private queue of the topic it is routed to.
func (s *session) routePrivate(sub *subscription) {
	more := sub.special()
	more.topic = more.routed
	more.routed = privatePrefix + s.id + "/" + strconv.FormatUint(more.number, 10)
	sub.queued = true
}

// enqueue puts a topic message into the private queue. What waits there is bounded as in an
// outbox: a subscriber that lets more wait is too slow, and the publisher never waits for it.
func (sub *subscription) enqueue(m *store.Message) {
	more := sub.special()
	c := *m
	c.Queue, c.NotBefore = more.routed, 0
	engine, limit, size := more.s.b.private, more.s.out.limit, int64(c.Size())
	if n := more.fresh.Add(size); n > limit {
		// Look closer: some may have expired, which nobody tells us.
		st := engine.Stat(c.Queue)
		waiting := st.Bytes - more.queue.lent(sub) + size
		if waiting > limit && st.Ready >= fewWaiting {
			more.s.tooSlow(sub)
			return
		}
		more.fresh.Add(min(0, waiting-n))
	}
	engine.Publish(&c, func(_ bool, err error) {
		if err != nil && !sub.gone.Load() && !errors.Is(err, store.ErrClosed) {
			// Full of others' messages: a gap is worse than an end.
			more.s.end(&ending{Reason: reasonSlow, abort: true, cause: err,
				detail: "no room for what waits on " + quote(sub.destination())})
		}
	})
	if sub.gone.Load() {
		// It left meanwhile, and this may have made its queue anew.
		engine.Drop(c.Queue, nil)
	}
}

// lent is how many bytes of the queue sub has and not acknowledged.
func (q *queue) lent(sub *subscription) int64 {
	n := 0
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range sub.special().unacked {
		if h.d != nil {
			n += h.d.Message().Size()
		}
	}
	return int64(n)
}
