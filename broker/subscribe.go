package broker

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// Prefetch where a SUBSCRIBE does not say: how many messages a subscription may hold.
const (
	defaultPrefetch = 100 // unacknowledged, in the modes client and client-individual
	autoPrefetch    = 500 // on their way to the network, in mode auto
)

// handleSubscribe makes a subscription (STOMP 1.2, SUBSCRIBE).
func (s *session) handleSubscribe(f *stompframe.Frame) *ending {
	destination, ok := f.Header.Get(frame.Destination)
	if !ok {
		return because(reasonMissingHeader, "SUBSCRIBE needs a destination")
	}
	sub := newSubscription(s, string(destination))
	for _, step := range []func(*subscription, *stompframe.Frame) *ending{
		s.nameSubscription, readAckMode, s.readPrefetch, refuseUnsupported, s.routeSubscription,
	} {
		if bad := step(sub, f); bad != nil {
			return bad
		}
	}
	if int(s.subscriptions.n) >= s.limits.Subscriptions && !mutant.Is(mutant.SubscriptionsUncounted) {
		s.b.durables.leave(sub.special().durable)
		return because(reasonSubscriptions, "this session has %d subscriptions, its limit", s.limits.Subscriptions)
	}
	if sub.pattern && s.patterns >= s.limits.WildcardSubscriptions && !mutant.Is(mutant.PatternsUncounted) {
		s.b.durables.leave(sub.special().durable)
		return because(reasonWildcards, "this session has %d subscriptions to patterns, its limit", s.patterns)
	}
	s.dropImplicit(sub.id()) // two subscriptions of one name could not be told apart
	s.numbers++
	sub.special().number = s.numbers
	sub.noLocal = says(f.Header.String("no-local"), "true") || says(f.Header.String("activemq.noLocal"), "true")
	return s.start(sub, f.Header.String(frame.Receipt))
}

// start puts the subscription to work. Its RECEIPT is sent before its first MESSAGE, and cannot
// be read before it is true.
func (s *session) start(sub *subscription, receiptID string) *ending {
	if receiptID != "" {
		s.waitReceipts(s.limits.SendTime) // in the order of the frames that asked
	}
	if sub.special().asked && sub.mode != ackAuto && !sub.queued {
		s.routePrivate(sub)
	}
	if sub.queued {
		return s.consume(sub, receiptID)
	}
	sub = s.slimmed(sub)
	if bad := s.enrol(sub); bad != nil {
		return bad
	}
	if receiptID != "" {
		s.out.putHeld(receiptFrame(s.version, receiptID))
		defer s.out.release()
	}
	s.b.topics.subscribe(sub.route(), sub.wild, sub)
	return nil
}

// nameSubscription finds the subscription's id; STOMP 1.0 does without, and is known by its
// destination.
func (s *session) nameSubscription(sub *subscription, f *stompframe.Frame) *ending {
	id, ok := f.Header.Get(frame.Id)
	switch {
	case ok:
		sub.call(string(id))
	case s.version == stompframe.V10:
		sub.anonymous = true
	default:
		return because(reasonMissingHeader, "SUBSCRIBE needs an id in STOMP %s", s.version)
	}
	if old := s.subscriptions.get(sub.id(), false); old != nil {
		return because(reasonDuplicateID, "subscription %s exists, to %s", quote(sub.id()), quote(old.destination()))
	}
	return nil
}

// readAckMode reads the ack header; absent means auto (STOMP 1.2, SUBSCRIBE ack Header).
func readAckMode(sub *subscription, f *stompframe.Frame) *ending {
	v, ok := f.Header.Get(frame.Ack)
	switch mode := string(v); {
	case !ok || mode == frame.AckAuto:
		sub.mode = ackAuto
	case mode == frame.AckClient:
		sub.mode = ackClient
	case mode == frame.AckClientIndividual:
		sub.mode = ackIndividual
	default:
		return because(reasonBadHeader, "ack:%s is not auto, client or client-individual", quote(mode))
	}
	return nil
}

// readPrefetch reads how many messages the subscription may hold, from the first of the names in
// use; 0 means as many as the session may hold.
func (s *session) readPrefetch(sub *subscription, f *stompframe.Frame) *ending {
	more := sub.special()
	more.prefetch = defaultPrefetch
	if sub.mode == ackAuto {
		more.prefetch = autoPrefetch
	}
	for _, name := range []string{"prefetch-count", "activemq.prefetchSize", "credit"} {
		v, ok := f.Header.Get(name)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(string(v), ",") // credit:messages,bytes
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return because(reasonBadHeader, "%s:%s is not a number of messages", name, quote(string(v)))
		}
		if n == 0 {
			n = s.limits.Unacked
		}
		more.prefetch = n
		more.asked = true
		break
	}
	more.prefetch = min(more.prefetch, s.limits.Unacked)
	return nil
}

// refuseUnsupported refuses what would change what the subscriber gets and is not there yet;
// ignoring it would deliver the wrong messages, or none.
func refuseUnsupported(sub *subscription, f *stompframe.Frame) *ending {
	for _, h := range f.Header {
		value := string(h.Value)
		refuse := false
		switch string(h.Name) {
		case "selector":
			refuse = value != ""
		case "browser":
			refuse = says(value, "true")
		case "exclusive", "activemq.exclusive":
			refuse = says(value, "true")
		case "from-seq", "x-stream-offset":
			refuse = true
		}
		if refuse {
			return because(reasonUnsupported, "SUBSCRIBE with %s:%s is not supported yet", h.Name, quote(value))
		}
	}
	return nil
}

// routeSubscription decides what the subscription listens to.
func (s *session) routeSubscription(sub *subscription, f *stompframe.Frame) *ending {
	more := sub.special()
	p, bad := s.allow(OpSubscribe, sub.destination())
	if bad != nil {
		return bad
	}
	sub.permitted(p)
	more.routed, sub.wild = p.name, p.wild
	switch p.kind {
	case kindTopic:
		if name := durableName(f, sub.id()); name != "" {
			return s.routeDurable(sub, p, name)
		}
	case kindQueue:
		sub.queued = true
		more.ephemeral = f.Header.Has(hdrSimpOrig)
	case kindTempQueue:
		t, bad := s.temp(p)
		if bad != nil {
			return bad
		}
		more.routed, sub.queued, more.temp = t.queue, true, true
		s.dropImplicit(sub.destination())
	}
	return nil
}

// routeDurable makes sub a consumer of the queue of a durable subscription.
func (s *session) routeDurable(sub *subscription, p permit, name string) *ending {
	queue, bad := s.durableQueue(name, p.name)
	if bad != nil {
		return bad
	}
	if bad := s.b.bind(queue, s.owner(), p, s.limits.Subscriptions); bad != nil {
		return bad
	}
	more := sub.special()
	more.routed, more.durable, sub.queued, sub.wild = queue, queue, true, false
	return nil
}

// consume joins the queue of a subscription. It has no room for a message until its RECEIPT is
// on its way.
func (s *session) consume(sub *subscription, receiptID string) *ending {
	more := sub.special()
	more.ephemeral = more.ephemeral && s.b.engine.Stat(more.routed).Messages() == 0
	if bad := s.enrol(sub); bad != nil {
		s.b.durables.leave(more.durable)
		return bad
	}
	if err := s.b.join(sub); err != nil {
		s.strike(sub)
		s.b.durables.leave(more.durable)
		if errors.Is(err, store.ErrQueues) {
			return because(reasonQueues, "there are as many as there may be, limits.queues, and %s is not one of them", quote(sub.destination()))
		}
		return because(reasonStore, "consume %s: %v", quote(sub.destination()), err)
	}
	s.noteConsuming()
	if more.topic != "" {
		s.b.topics.subscribe(more.topic, sub.wild, sub)
	}
	if receiptID != "" {
		s.out.putHeld(receiptFrame(s.version, receiptID)) // read, it is true: the subscription has its turn
		defer s.out.release()
	}
	more.queue.freed(sub, more.prefetch, 0)
	return nil
}

// noteConsuming makes the list of queue subscriptions for those who wake their queues.
func (s *session) noteConsuming() {
	list := make([]*subscription, 0, s.subscriptions.n)
	for sub := range s.subscriptions.all() {
		if sub.queue() != nil {
			list = append(list, sub)
		}
	}
	s.consuming.Store(&list)
}

// handleUnsubscribe ends a subscription; what it held returns to its queue at once (STOMP 1.2,
// UNSUBSCRIBE).
func (s *session) handleUnsubscribe(f *stompframe.Frame) *ending {
	id, ok := s.subscriptionNamed(f)
	if !ok {
		return because(reasonMissingHeader, "UNSUBSCRIBE needs the id of a subscription")
	}
	durable := durableName(f, id)
	sub := s.subscriptions.get(id, false)
	if sub == nil {
		sub = s.subscriptions.get(id, true)
	}
	if sub == nil {
		found, bad := false, (*ending)(nil)
		if durable != "" {
			found, bad = s.unbindNamed(durable)
		}
		if !found {
			bad = because(reasonNoSubscription, "this session has no subscription %s", quote(id))
		}
		if bad == nil {
			s.confirm(f)
		}
		return bad
	}
	s.unsubscribe(sub)
	if durable != "" && sub.special().durable != "" {
		if bad := s.b.unbind(sub.special().durable); bad != nil {
			return bad
		}
	}
	s.confirm(f)
	return nil
}

// subscriptionNamed finds the id that an UNSUBSCRIBE names; in STOMP 1.0 the destination will do,
// whether or not the SUBSCRIBE gave an id too.
func (s *session) subscriptionNamed(f *stompframe.Frame) (id string, ok bool) {
	v, ok := f.Header.Get(frame.Id)
	if ok || s.version != stompframe.V10 {
		return string(v), ok
	}
	v, ok = f.Header.Get(frame.Destination)
	id = string(v)
	if s.subscriptions.get(id, false) == nil {
		for sub := range s.subscriptions.all() {
			if sub.destination() == id {
				return sub.id(), ok
			}
		}
	}
	return id, ok
}

func (s *session) unsubscribe(sub *subscription) {
	s.strike(sub)
	s.leave(sub)
	unsent := s.out.withdraw(sub)
	if sub.queue() != nil {
		s.noteConsuming()
		sub.queue().settle(sub, unsent)
		s.b.durables.leave(sub.special().durable)
		s.unstall()
	}
}
