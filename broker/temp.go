package broker

import (
	"strings"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// tempQueue is a /temp-queue/ of a session: private to it, and gone with it.
type tempQueue struct {
	queue string // its name in the engine, which no client can say
	token string // of its reply address, or empty while nobody needed one
}

// temp finds this session's temporary queue of a name, or makes it.
func (s *session) temp(p permit) (*tempQueue, *ending) {
	destination := p.name
	if t := s.temps[destination]; t != nil {
		return t, nil
	}
	if len(s.temps) >= s.limits.Subscriptions {
		return nil, because(reasonSubscriptions, "this session has %d temporary queues, its limit", len(s.temps))
	}
	if s.temps == nil {
		s.temps = make(map[string]*tempQueue)
	}
	t := &tempQueue{queue: destination + "@" + s.id}
	if mutant.Is(mutant.TempOfAll) {
		t.queue = destination
	}
	s.temps[destination] = t
	return t, nil
}

// replyTo rewrites a reply-to that names a temporary queue to an address that others can send
// to, which only they know who get the message. Replies come whether or not the client
// subscribes to the queue: without a SUBSCRIBE (RabbitMQ's way) their subscription header is the
// queue's name; with one (ActiveMQ's way) it is the SUBSCRIBE's. It returns "" where there is
// nothing to rewrite.
func (s *session) replyTo(f *stompframe.Frame) (string, *ending) {
	v := f.Header.String(hdrReplyTo)
	if !strings.HasPrefix(v, tempPrefix) {
		return "", nil
	}
	// Replies come as to a SUBSCRIBE.
	p, bad := s.allow(OpSubscribe, v)
	if bad != nil {
		return "", bad
	}
	t, bad := s.temp(p)
	if bad != nil {
		return "", bad
	}
	if t.token == "" {
		t.token = randomID(20)
		s.b.replies.Store(t.token, t.queue)
	}
	for sub := range s.subscriptions.all() {
		if sub.special().routed == t.queue {
			return replyPrefix + t.token, nil
		}
	}
	if s.subscriptions.get(v, false) != nil {
		return replyPrefix + t.token, nil // a subscription of that name is there; replies wait for one of their own
	}
	sub := newSubscription(s, v)
	sub.call(v)
	more := sub.special()
	more.routed, more.prefetch, more.temp, more.implicit, sub.queued = t.queue, autoPrefetch, true, true, true
	sub.permitted(p)
	s.numbers++
	more.number = s.numbers
	return replyPrefix + t.token, s.consume(sub, "")
}

// dropImplicit ends the subscription that a reply-to made, for a SUBSCRIBE that takes its place.
func (s *session) dropImplicit(destination string) {
	if sub := s.subscriptions.get(destination, true); sub != nil {
		s.unsubscribe(sub)
	}
}

// dropTemp removes a temporary queue, with what is in it, at the end of its session.
func (s *session) dropTemp(t *tempQueue) {
	if t.token != "" {
		s.b.replies.Delete(t.token)
	}
	s.b.transient.Drop(t.queue, s.b.logStore("drop temporary queue", t.queue))
}
