package broker

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// durablePrefix begins the names of the queues behind durable subscriptions. No client can say
// such a name: parseDestination does not know the prefix.
const durablePrefix = "/durable/"

// durables are the durable topic subscriptions: queues of the engine that are members of a
// topic's audience, whether or not somebody consumes them.
type durables struct {
	mu      sync.Mutex // guards what follows
	byQueue map[string]*durable
}

// durable is one durable subscription.
type durable struct {
	store.Binding
	seat  *subscription // its place in the audience
	ready chan struct{} // closed when the engine has remembered it, or err is set
	err   error

	// Guarded by durables.mu.
	users   int           // subscriptions of sessions, also those about to join
	leaving chan struct{} // closed when the unbind under way is over; nil if none is
}

// errNoDurables answers a durable SUBSCRIBE where the engine cannot remember it.
var errNoDurables = errors.New("this store keeps no durable subscriptions")

// durableName reads the name of a durable subscription from a SUBSCRIBE or UNSUBSCRIBE, in any of
// the dialects in use; "" if the frame asks for none.
func durableName(f *stompframe.Frame, id string) string {
	for _, h := range f.Header {
		switch string(h.Name) {
		case "activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name", "x-queue-name":
			return string(h.Value)
		}
	}
	if says(f.Header.String("durable"), "true") || says(f.Header.String(hdrPersistent), "true") {
		return id
	}
	return ""
}

// owner is whose durable subscriptions a session's are: its user's, and within them its
// client-id's. Subscription ids start anew in every browser and say nothing. A client-id without
// a login is nobody's, whatever it is called: no user's.
func (s *session) owner() string {
	switch name := s.user(); {
	case name != "" && s.clientID != "":
		return userOwner + name + "/" + s.clientID
	case name != "":
		return userOwner + name
	case s.clientID != "":
		return clientOwner + s.clientID
	}
	return ""
}

// What owners begin with. Those of bindings that older versions made begin with neither: there a
// login and a client-id without one were the same.
const (
	userOwner   = "/user/"
	clientOwner = "/client/"
)

const maxDurableName = 255 // bytes, of an owner or a name

// durableQueue names the queue of a durable subscription.
func (s *session) durableQueue(name, destination string) (string, *ending) {
	owner := s.owner()
	if owner == "" {
		return "", because(reasonMissingHeader,
			"a durable subscription needs to know whose it is: CONNECT with a login or a client-id")
	}
	if len(owner) > maxDurableName || len(name) > maxDurableName {
		return "", because(reasonBadHeader, "durable subscription %s: client-id and name may have %d bytes each",
			quote(name), maxDurableName)
	}
	rest := url.QueryEscape(name) + "/" + url.QueryEscape(strings.TrimPrefix(destination, topicPrefix))
	if mutant.Is(mutant.DurableOfAll) {
		owner = userOwner + "all"
	}
	queue, claimed := s.b.durables.place(owner, rest, s.b.open())
	if claimed != nil {
		return queue, s.b.claim(*claimed)
	}
	return queue, nil
}

// former is what an owner was called by older versions, and other what it is called where a
// binding of theirs stands in the way.
func former(owner string) (old, other string) {
	if name, ok := strings.CutPrefix(owner, userOwner); ok {
		return name, name + "/"
	}
	old = strings.TrimPrefix(owner, clientOwner)
	return old, "/" + old
}

// place names the queue of an owner's durable subscription; rest is the end of its name. A binding
// of an older version is claimed by a user of that name, or where anyone may use any name by the
// client-id: whoever comes first, as they were one. The caller has a claim remembered.
func (d *durables) place(owner, rest string, open bool) (queue string, claimed *store.Binding) {
	old, other := former(owner)
	queue, instead := durableOf(old)+rest, durableOf(other)+rest
	user := strings.HasPrefix(owner, userOwner)
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.byQueue[queue]
	switch {
	case d.byQueue[instead] != nil:
		return instead, nil
	case x == nil && user || x != nil && x.Owner == owner:
		return queue, nil
	case x != nil && x.Owner == old && (user || open):
		x.Owner = owner
		bind := x.Binding
		return queue, &bind
	}
	return instead, nil
}

// claim remembers whose a binding is now.
func (b *Broker) claim(bind store.Binding) *ending {
	done := make(chan error, 1)
	b.engine.(store.Binder).Bind(bind, func(err error) { done <- err })
	if err := <-done; err != nil {
		return because(reasonStore, "durable subscription to %s: %v", quote(bind.Topic), err)
	}
	return nil
}

// durableTopic is the topic's name or pattern in a name that durableQueue made; "" for any other.
func durableTopic(queue string) string {
	topic, err := url.QueryUnescape(queue[strings.LastIndexByte(queue, '/')+1:])
	if err != nil || !strings.HasPrefix(queue, durablePrefix) {
		return ""
	}
	return topicPrefix + topic
}

// durableOf begins the names of all durable queues of an owner.
func durableOf(owner string) string { return durablePrefix + url.QueryEscape(owner) + "/" }

// maxDurables bounds the durable subscriptions of a broker: owners cost nothing where anyone may
// connect.
const maxDurables = 100_000

// bind finds or makes the durable subscription behind a queue, for one more user; from its return
// on the queue gets what is sent to the topic, and nobody can unbind it before the user leaves. An
// owner may have most of them.
func (b *Broker) bind(queue, owner string, p permit, most int) *ending {
	destination, wild := p.name, p.wild
	binder, ok := b.engine.(store.Binder)
	if !ok {
		return because(reasonUnsupported, "%v", errNoDurables)
	}
	d := b.durables.settled(queue)
	made := d == nil
	if made {
		if n := b.durables.count(owner); n >= most || len(b.durables.byQueue) >= maxDurables {
			b.durables.mu.Unlock()
			return because(reasonSubscriptions, "%s has %d durable subscriptions, the limit", quote(strings.TrimPrefix(owner, userOwner)), n)
		}
		d = b.newDurable(store.Binding{Queue: queue, Topic: destination, Owner: owner}, wild)
	}
	d.users++
	b.durables.mu.Unlock()
	if made {
		binder.Bind(d.Binding, func(err error) {
			d.err = err
			if err == nil {
				b.topics.subscribe(destination, wild, d.seat)
			} else {
				b.durables.remove(queue)
			}
			close(d.ready)
		})
	}
	<-d.ready
	if d.err != nil {
		return because(reasonStore, "durable subscription to %s: %v", quote(destination), d.err)
	}
	return nil
}

// newDurable enters a durable subscription into the table. durables.mu is held.
func (b *Broker) newDurable(bind store.Binding, wild bool) *durable {
	d := &durable{
		Binding: bind,
		seat:    newSeat(bind.Topic, wild, bind.Queue),
		ready:   make(chan struct{}),
	}
	b.durables.byQueue[bind.Queue] = d
	return d
}

// restore seats the durable subscriptions that the engine remembers.
func (b *Broker) restore() error {
	binder, ok := b.engine.(store.Binder)
	if !ok {
		return nil
	}
	b.durables.mu.Lock()
	defer b.durables.mu.Unlock()
	for _, bind := range binder.Bindings() {
		k, _, wild, bad := parseDestination(bind.Topic, true)
		if bad != nil || k != kindTopic {
			return fmt.Errorf("durable subscription %q: topic %q is none", bind.Queue, bind.Topic)
		}
		d := b.newDurable(bind, wild)
		b.topics.subscribe(bind.Topic, wild, d.seat)
		close(d.ready)
	}
	return nil
}

// settled finds a durable subscription, or nil, after the unbind of it that may be under way. It
// returns with d.mu held.
func (d *durables) settled(queue string) *durable {
	for {
		d.mu.Lock()
		x := d.byQueue[queue]
		if x == nil || x.leaving == nil {
			return x
		}
		leaving := x.leaving
		d.mu.Unlock()
		<-leaving
	}
}

// leave tells that a subscription for which bind was called has ended.
func (d *durables) leave(queue string) {
	if queue == "" {
		return
	}
	d.mu.Lock()
	if x := d.byQueue[queue]; x != nil {
		x.users--
	}
	d.mu.Unlock()
}

// unbind deletes a durable subscription with the messages it had not got. Nobody may be using it.
func (b *Broker) unbind(queue string) *ending {
	d := b.durables.settled(queue)
	if d == nil || d.users > 0 {
		b.durables.mu.Unlock()
		if d == nil {
			return nil
		}
		return because(reasonForbidden, "durable subscription to %s is in use by another session", quote(d.Topic))
	}
	d.leaving = make(chan struct{})
	b.durables.mu.Unlock()
	defer func() {
		b.durables.mu.Lock()
		close(d.leaving)
		d.leaving = nil
		b.durables.mu.Unlock()
	}()
	// Out of the audience first: what is published later must not make the queue again, nor what is on its way.
	b.topics.unsubscribe(d.Topic, d.seat.wild, d.seat)
	d.seat.special().way.wait()
	done := make(chan error, 1)
	b.engine.(store.Binder).Unbind(queue, func(err error) { done <- err })
	if err := <-done; err != nil {
		d.seat = newSeat(d.Topic, d.seat.wild, queue)
		b.topics.subscribe(d.Topic, d.seat.wild, d.seat)
		return because(reasonStore, "delete durable subscription to %s: %v", quote(d.Topic), err)
	}
	b.durables.remove(queue)
	return nil
}

// unbindNamed deletes the durable subscriptions of this session's owner with a name, to whatever
// topic: an UNSUBSCRIBE may come without the SUBSCRIBE, from a client that only cleans up.
func (s *session) unbindNamed(name string) (found bool, bad *ending) {
	owner := s.owner()
	if owner == "" {
		return false, nil
	}
	old, _ := former(owner)
	mine := func(x *durable) bool {
		return x.Owner == owner || x.Owner == old && (s.user() != "" || s.b.open()) || mutant.Is(mutant.UnsubscribeOfAll)
	}
	part := "/" + url.QueryEscape(name) + "/"
	s.b.durables.mu.Lock()
	var queues []string
	for q, x := range s.b.durables.byQueue {
		if mine(x) && strings.HasSuffix(q[:strings.LastIndexByte(q, '/')+1], part) {
			queues = append(queues, q)
		}
	}
	s.b.durables.mu.Unlock()
	for _, q := range queues {
		if bad := s.b.unbind(q); bad != nil {
			return true, bad
		}
	}
	return len(queues) > 0, nil
}

func (d *durables) remove(queue string) {
	d.mu.Lock()
	delete(d.byQueue, queue)
	d.mu.Unlock()
}

// count is how many an owner has. d.mu is held.
func (d *durables) count(owner string) int {
	n := 0
	for _, x := range d.byQueue {
		if x.Owner == owner {
			n++
		}
	}
	return n
}

// way counts the messages on their way into the queue of a durable subscription, so that those of a deleted one
// are deleted with it.
type way struct {
	mu    sync.Mutex // guards what follows
	count int
	empty chan struct{} // closed when count is 0; nil if nobody waits
}

func newSeat(topic string, wild bool, queue string) *subscription {
	sub := newSubscription(nil, topic)
	sub.wild, sub.seat = wild, true
	more := sub.special()
	more.named, more.routed, more.durable, more.way = topic, topic, queue, new(way)
	return sub
}

// enter counts one more for the seat; false if that has left its audience.
func (w *way) enter(seat *subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seat.gone.Load() {
		return false
	}
	w.count++
	return true
}

// wait returns once nothing is on its way any more. The seat has left its audience.
func (w *way) wait() {
	w.mu.Lock()
	if w.count == 0 {
		w.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	w.empty = empty
	w.mu.Unlock()
	<-empty
}

// seats are durable subscriptions that a message is on its way to.
type seats []*subscription

// served tells that the message is where it was to go, or never will be.
func (s seats) served() {
	for _, seat := range s {
		w := seat.special().way
		w.mu.Lock()
		if w.count--; w.count == 0 && w.empty != nil {
			close(w.empty)
			w.empty = nil
		}
		w.mu.Unlock()
	}
}

// copies makes the messages that durable subscriptions get of a topic message.
func copies(m *store.Message, durable seats, to []*store.Message) []*store.Message {
	for _, seat := range durable {
		c := *m
		c.Queue = seat.special().durable
		to = append(to, &c)
	}
	return to
}
