package broker

import (
	"sync"
	"sync/atomic"
)

// topics routes topic messages. A name that somebody subscribes to, or a pattern, has an
// audience; publishing finds the audience of the name and those of the patterns that match it.
type topics struct {
	mu       sync.RWMutex // guards what follows; never held while delivering
	exact    map[string]*audience
	patterns node
	wild     int // number of patterns with an audience
}

// audience is the subscriptions of one name or pattern. Publishers walk a snapshot without a
// lock; changes are made under topics.mu.
type audience struct {
	snapshot atomic.Pointer[members]
	gone     int // members of the snapshot that have left; guarded by topics.mu
}

// members is a snapshot of an audience. That of few is in one place: where messages go to one of many
// topics, what is looked at is in no cache.
type members struct {
	subs []*subscription
	few  [5]*subscription
}

// node is one segment of the patterns' tree.
type node struct {
	children map[string]*node // by literal segment
	star     *node            // "*": any one segment
	here     *audience        // patterns that end here
	rest     *audience        // "#", ">", "**": patterns that take any number from here
}

// list is who was a member just now.
func (a *audience) list() []*subscription { return a.snapshot.Load().subs }

// add appends a member. The backing array of many is shared by the snapshots that grew from one another:
// each reads only its own length.
func (a *audience) add(s *subscription) {
	var subs []*subscription
	if m := a.snapshot.Load(); m != nil {
		subs = m.subs
	}
	m := new(members)
	if len(subs) < len(m.few) {
		subs = append(m.few[:0], subs...)
	}
	m.subs = append(subs, s)
	a.snapshot.Store(m)
}

// leave takes note that a member has gone, and makes a new snapshot once a quarter has, so that
// leaving costs the same however large the audience. It reports whether nobody is left.
func (a *audience) leave() bool {
	a.gone++
	subs := a.list()
	n := len(subs)
	if a.gone == n {
		return true
	}
	if a.gone*4 < n && n > 64 {
		return false
	}
	m := new(members)
	left := m.few[:0]
	if n-a.gone > len(m.few) {
		left = make([]*subscription, 0, n-a.gone+4)
	}
	for _, s := range subs {
		if !s.gone.Load() {
			left = append(left, s)
		}
	}
	a.gone = 0
	m.subs = left
	a.snapshot.Store(m)
	return false
}

func newTopics() *topics { return &topics{exact: make(map[string]*audience)} }

// subscribe makes s a member of the audience of name, which is a pattern if wild. From its
// return on every message published is delivered to s.
func (t *topics) subscribe(name string, wild bool, s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !wild {
		a := t.exact[name]
		if a == nil {
			a = new(audience)
			t.exact[name] = a
		}
		a.add(s)
		return
	}
	slot := t.patterns.slot(topicRest(name), true)
	if *slot == nil {
		*slot = new(audience)
		t.wild++
	}
	(*slot).add(s)
}

// unsubscribe ends s's membership; s gets nothing that is published afterwards.
func (t *topics) unsubscribe(name string, wild bool, s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.gone.Swap(true) { // under the lock: leave counts those who have gone
		return
	}
	if !wild {
		if a := t.exact[name]; a != nil && a.leave() {
			delete(t.exact, name)
		}
		return
	}
	rest := topicRest(name)
	if slot := t.patterns.slot(rest, false); slot != nil && *slot != nil && (*slot).leave() {
		*slot = nil
		t.wild--
		t.patterns.prune(rest)
	}
}

// publish delivers a burst to all who are subscribed to name, and returns the durable subscriptions,
// which the caller has to serve. from is the sender's session, or nil. The caller
// flushes the claims that it gets; without c, goroutines do.
func (t *topics) publish(name string, b *burst, from *session, c *claims) (durable seats) {
	var few [8]*audience
	t.mu.RLock()
	all := t.audiences(name, few[:0])
	t.mu.RUnlock()
	return t.serve(all, name, b, from, c)
}

// look finds the audiences of what was sent to several topics. What it reads is read again at once, when messages
// are delivered; here one cache miss need not be over for the next to begin.
func (t *topics) look(runs []run, all []*audience) []*audience {
	t.mu.RLock()
	for i := range runs {
		r := &runs[i]
		r.from = len(all)
		all = t.audiences(r.sends[0].topic, all)
		r.to = len(all)
	}
	t.mu.RUnlock()
	if len(runs) == 1 {
		return all
	}
	for _, a := range all {
		if subs := a.list(); len(subs) <= len(members{}.few) {
			for _, s := range subs {
				s.gone.Load()
			}
		}
	}
	return all
}

// serve is publish to those audiences.
func (t *topics) serve(all []*audience, name string, b *burst, from *session, c *claims) (durable seats) {
	receivers := 0
	for _, a := range all {
		receivers += len(a.list())
	}
	b.shared = b.pays(receivers)
	if from != nil {
		from.caused.Add(int64(receivers) * b.size)
	}
	for _, a := range all {
		for _, s := range a.list() {
			if s.way == nil {
				s.deliverTopic(name, b, from, c)
			} else if s.way.enter(s) {
				durable = append(durable, s)
			}
		}
	}
	return durable
}

// durable is what publish returns, without publishing.
func (t *topics) durable(name string) (durable seats) {
	var few [8]*audience
	t.mu.RLock()
	all := t.audiences(name, few[:0])
	t.mu.RUnlock()
	for _, a := range all {
		for _, s := range a.list() {
			if s.way != nil && s.way.enter(s) {
				durable = append(durable, s)
			}
		}
	}
	return durable
}

// audiences appends who gets what is sent to name. t.mu is held.
func (t *topics) audiences(name string, all []*audience) []*audience {
	if a := t.exact[name]; a != nil {
		all = append(all, a)
	}
	if rest := topicRest(name); t.wild > 0 && rest != "" {
		all = t.patterns.match(rest, true, all)
	}
	return all
}

// count tells how many names and patterns have an audience.
func (t *topics) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.exact) + t.wild
}

// topicRest cuts the prefix off a topic's name. Names outside /topic/ (user destinations) have
// audiences too, but no pattern matches them.
func topicRest(name string) string {
	if len(name) > len(topicPrefix) && name[:len(topicPrefix)] == topicPrefix {
		return name[len(topicPrefix):]
	}
	return ""
}

// slot finds the place of a pattern's audience, or makes it.
func (n *node) slot(pattern string, create bool) **audience {
	for {
		seg, rest, more := nextSegment(pattern)
		switch seg {
		case "#", ">", "**":
			return &n.rest
		}
		next := n.child(seg, create)
		if next == nil {
			return nil
		}
		n = next
		if !more {
			return &n.here
		}
		pattern = rest
	}
}

func (n *node) child(seg string, create bool) *node {
	if seg == "*" {
		if n.star == nil && create {
			n.star = new(node)
		}
		return n.star
	}
	c := n.children[seg]
	if c == nil && create {
		if n.children == nil {
			n.children = make(map[string]*node)
		}
		c = new(node)
		n.children[seg] = c
	}
	return c
}

// prune removes the nodes along a pattern that hold nothing any more; it reports whether n itself
// holds nothing.
func (n *node) prune(pattern string) bool {
	seg, rest, more := nextSegment(pattern)
	if c := n.child(seg, false); c != nil {
		empty := false
		if more {
			empty = c.prune(rest)
		} else {
			empty = c.empty()
		}
		if empty {
			if seg == "*" {
				n.star = nil
			} else {
				delete(n.children, seg)
			}
		}
	}
	return n.empty()
}

func (n *node) empty() bool {
	return n.here == nil && n.rest == nil && n.star == nil && len(n.children) == 0
}

// match appends the audiences of the patterns that match a name. Cost: the nodes that can match,
// at most two per segment and branch; more tells that name still has segments.
func (n *node) match(name string, more bool, to []*audience) []*audience {
	if n.rest != nil {
		to = append(to, n.rest)
	}
	if !more {
		if n.here != nil {
			to = append(to, n.here)
		}
		return to
	}
	seg, rest, more := nextSegment(name)
	if c := n.children[seg]; c != nil {
		to = c.match(rest, more, to)
	}
	if n.star != nil {
		to = n.star.match(rest, more, to)
	}
	return to
}
