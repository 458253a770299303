package broker

import (
	"net"
	"reflect"
	"time"
	"unsafe"

	"github.com/gudokmq/gudok/stompframe"
)

// What the tests of this package look into.

// ParseDestination is parseDestination, with the catalogue's text instead of its reason.
func ParseDestination(name string, pattern bool) (wild bool, text string) {
	_, _, wild, bad := parseDestination(name, pattern)
	if bad != nil {
		return wild, bad.Text
	}
	return wild, ""
}

// Queues is how many queues have a consumer.
func (b *Broker) Queues() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queues)
}

// Transient names the temporary queues and those of Spring's user destinations.
func (b *Broker) Transient() []string { return b.transient.Queues("", 100) }

// Private names the private queues.
func (b *Broker) Private() []string { return b.private.Queues("", 100) }

// PatternNodes counts the nodes of the patterns' tree, to see that nothing is left of patterns
// nobody subscribes to.
func (b *Broker) PatternNodes() int {
	b.topics.mu.RLock()
	defer b.topics.mu.RUnlock()
	return b.topics.patterns.size()
}

func (n *node) size() int {
	c := 1
	for _, k := range n.children {
		c += k.size()
	}
	if n.star != nil {
		c += n.star.size()
	}
	return c
}

// Agree is HeartBeat.agree with the defaults filled in.
func (h HeartBeat) Agree(cx, cy time.Duration) (sx, sy, out, in time.Duration) {
	return h.withDefaults().agree(cx, cy)
}

// After is after.
func (r Redelivery) After(n int) time.Duration { return r.after(n) }

// Expiring is how many sessions the expiry holds.
func (b *Broker) Expiring() int {
	b.expiry.mu.Lock()
	defer b.expiry.mu.Unlock()
	return len(b.expiry.due)
}

// Route tells which name a session of user (empty: none) has decided on for an operation, and
// where that then leads; both empty if it is refused before anyone is asked.
func (b *Broker) Route(user string, op Op, destination string, durable bool) (asked, routed string) {
	s := newSession(b, nil)
	s.id = "s3ss10n"
	s.principal.Store(&Principal{Name: user})
	var f stompframe.Frame
	if durable {
		f.Header = append(f.Header, stompframe.Field{Name: []byte("x-queue-name"), Value: []byte("n")})
	}
	if op == OpSend {
		p, bad := s.allow(op, destination)
		if bad != nil {
			return "", bad.Text
		}
		t, bad := s.target(p, &f)
		switch {
		case bad != nil:
			return p.name, bad.Text
		case t.token != "":
			return p.name, replyPrefix + t.token
		case t.topic != "":
			return p.name, t.topic
		}
		return p.name, t.queue
	}
	sub := newSubscription(s, destination)
	if bad := s.routeSubscription(sub, &f); bad != nil {
		return sub.name(), bad.Text
	}
	return sub.name(), sub.route()
}

// Reply makes a reply address.
func (b *Broker) Reply(token, queue string) { b.replies.Store(token, queue) }

// Watched is how many contexts of sessions are watched.
func (b *Broker) Watched() int {
	b.contexts.mu.Lock()
	defer b.contexts.mu.Unlock()
	return len(b.contexts.of)
}

// Sampler ends the broker's own looks at memory and returns what looks once.
func (b *Broker) Sampler() func() {
	b.pressure.end()
	return func() { b.sample(true) }
}

// Counted tells how many sessions the census counts in all, and of whom it counts any.
func (b *Broker) Counted() (total int, byAddress, byUser map[string]int) {
	b.census.mu.Lock()
	defer b.census.mu.Unlock()
	byAddress, byUser = map[string]int{}, map[string]int{}
	for p, n := range b.census.byAddress {
		byAddress[shown(p)] = n
	}
	for u, n := range b.census.byUser {
		byUser[u] = n
	}
	return b.census.total, byAddress, byUser
}

// Place is place, for people.
func Place(a net.Addr) string {
	if p := place(a); p.IsValid() {
		return shown(p)
	}
	return ""
}

// Names is how many queues are counted.
func (b *Broker) Names() int { return b.names.Count() }

// Matches tells whether a subscription to a pattern gets what is sent to a topic.
func Matches(pattern, name string) bool {
	t := newTopics(nil)
	t.subscribe(pattern, true, newSubscription(nil, pattern))
	var l listeners
	t.listen(name, &l)
	return len(l.lists) > 0
}

// Spoil has memory spoilt that goes back to a pool, so that who still reads it reads no message. It is called before all tests.
func Spoil() {
	spoil = func(b []byte) {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

// Ordinary tells that nobody has written to what all ordinary subscriptions share.
func Ordinary() bool { return reflect.ValueOf(&ordinary).Elem().IsZero() }

// Sizes are those of a subscription and of an audience, in bytes.
func Sizes() (ofSubscription, ofAudience uintptr) {
	return unsafe.Sizeof(subscription{}), unsafe.Sizeof(audience{})
}

// Index is the table of topics' names, with the members of each counted.
type Index struct{ x index }

// NewIndex makes an empty one.
func NewIndex() *Index { return &Index{newIndex()} }

// Followed tells what of a subscription, or of the slots of the index, the collector would have to follow.
func Followed() []string {
	var pointers []string
	var look func(of string, t reflect.Type)
	look = func(of string, t reflect.Type) {
		switch k := t.Kind(); {
		case k == reflect.Struct:
			for f := range t.Fields() {
				look(of+"."+f.Name, f.Type)
			}
		case k == reflect.Array:
			look(of, t.Elem())
		case k > reflect.Complex128:
			pointers = append(pointers, of)
		}
	}
	look("subscription", reflect.TypeFor[subscription]())
	look("slot", reflect.TypeFor[slot]())
	return pointers
}

// Listener is one of those who listen to a name.
type Listener struct{ sub *subscription }

// Add makes somebody listen to a name, as most do or not.
func (x *Index) Add(name string, most bool) Listener {
	sub := newSubscription(nil, name)
	if most {
		sub = new(subscription)
		sub.length = uint8(copy(sub.text[:], name))
	}
	x.x.add(name, sub)
	return Listener{sub}
}

// Leave has somebody listen to a name no more.
func (x *Index) Leave(name string, l Listener) {
	l.sub.gone.Store(true)
	x.x.leave(name, l.sub)
}

// Listening is who listens to a name.
func (x *Index) Listening(name string) map[Listener]bool {
	var l listeners
	l.listen(x.x.get(name))
	who := map[Listener]bool{}
	for _, subs := range l.lists {
		for _, s := range subs {
			if !s.gone.Load() {
				who[Listener{s}] = true
			}
		}
	}
	return who
}

// Subscriptions is the table of a session's.
type Subscriptions struct{ t subscriptions }

// Add enters one of that name, or what a reply-to makes.
func (s *Subscriptions) Add(id string, implicit bool) Listener {
	sub := newSubscription(new(session), id)
	sub.call(id)
	if sub.special().implicit = implicit; !implicit && len(id) < 50 {
		sub = s.t.make()
		sub.short = uint8(copy(sub.text[:], id))
	}
	s.t.put(sub)
	return Listener{sub}
}

// Get finds what Add returned, or nothing.
func (s *Subscriptions) Get(id string, implicit bool) (l Listener, ok bool) {
	sub := s.t.get(id, implicit)
	return Listener{sub}, sub != nil
}

// Remove takes out what Add returned.
func (s *Subscriptions) Remove(l Listener) { s.t.remove(l.sub) }

// All is how many there are, counted, how many slots, and how many places in memory.
func (s *Subscriptions) All() (n, counted, slots, places int) {
	for range s.t.all() {
		counted++
	}
	for _, b := range s.t.blocks {
		places += len(b.subs)
	}
	return int(s.t.n), counted, len(s.t.slots), places
}

// Slab is a slab of integers.
type Slab struct{ s slab[int] }

// Put gives v a number.
func (s *Slab) Put(v *int) uint32 { return s.s.put(v) }

// At is what has it.
func (s *Slab) At(n uint32) *int { return s.s.at(n) }

// Drop frees it.
func (s *Slab) Drop(n uint32) { s.s.drop(n) }

// Places is how many there are in memory.
func (s *Slab) Places() int {
	n := 0
	for i := range s.s.pages {
		n += len(s.s.pages[i].held)
	}
	return n
}

// Len is how many names there are, and how many slots.
func (x *Index) Len() (names, slots int) {
	for i := range x.x.parts {
		slots += len(x.x.parts[i].slots)
	}
	return x.x.n, slots
}

// Numbered is how many numbers sessions have had.
func (b *Broker) Numbered() int {
	b.numbers.mu.Lock()
	defer b.numbers.mu.Unlock()
	return int(b.numbers.n)
}

// PieceRoom is how many bytes a piece of data has that is wanted for n.
func PieceRoom(n int) int { return cap(data.get(n).s) }
