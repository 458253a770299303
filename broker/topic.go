package broker

import "sync"

// topics routes topic messages. A name that somebody subscribes to, or a pattern, has an
// audience; publishing finds the audience of the name and those of the patterns that match it.
type topics struct {
	sessions *sessionNumbers

	mu       sync.RWMutex // guards what follows; never held while delivering
	exact    index
	patterns node
	wild     int // number of patterns with an audience
}

// audience is the subscriptions of one name or pattern; topics.mu guards it. There may be a million: it is two cache
// lines, of which five members and less need one. Few members are copied by who publishes; the slice of many is
// shared with publishers.
type audience struct {
	name string // of the topic; empty for a pattern
	n    int32  // members in few; tooMany: they are in many
	gone int32  // members of many that have left
	few  [10]*subscription
	many []*subscription // never changed but beyond its end
}

const tooMany = -1

// listeners are who is to get what is published, audience by audience.
type listeners struct {
	lists [][]*subscription
	few   []*subscription // holds the lists of small audiences
}

// listen appends who was found to listen to a name, as add does.
func (l *listeners) listen(f found) {
	switch {
	case f.lone != nil:
		from := len(l.few)
		l.few = append(l.few, f.lone)
		l.lists = append(l.lists, l.few[from:len(l.few):len(l.few)])
	case f.crowd != nil:
		l.add(f.crowd)
	}
}

// add appends the members of a as they are now. It is good until the next clear. topics.mu is held.
func (l *listeners) add(a *audience) {
	if a.n == tooMany {
		l.lists = append(l.lists, a.many)
		return
	}
	from := len(l.few)
	l.few = append(l.few, a.few[:a.n]...)
	l.lists = append(l.lists, l.few[from:len(l.few):len(l.few)])
}

// clear forgets them all.
func (l *listeners) clear() {
	clear(l.lists)
	clear(l.few)
	l.lists, l.few = l.lists[:0], l.few[:0]
}

// add appends a member.
func (a *audience) add(s *subscription) {
	switch {
	case a.n == tooMany:
	case int(a.n) < len(a.few):
		a.few[a.n] = s
		a.n++
		return
	default:
		a.many = append(make([]*subscription, 0, 4*len(a.few)), a.few[:]...)
		a.few, a.n = [len(a.few)]*subscription{}, tooMany
	}
	// Publishers have slices of the same memory: each reads only its own length.
	a.many = append(a.many, s)
}

// leave takes s out, which is gone. Of many it takes note, and makes a new list once a quarter has gone, so
// that leaving costs the same however large the audience. It reports whether nobody is left.
func (a *audience) leave(s *subscription) bool {
	if a.n != tooMany {
		left := a.few[:0]
		for _, m := range a.few[:a.n] {
			if m != s {
				left = append(left, m)
			}
		}
		clear(a.few[len(left):])
		a.n = int32(len(left)) // #nosec G115 -- at most len(few)
		return a.n == 0
	}
	a.gone++
	n, gone := len(a.many), int(a.gone)
	if gone == n {
		return true
	}
	if gone*4 < n && n > 64 {
		return false
	}
	left := a.few[:0]
	if n-gone > len(a.few) {
		left = make([]*subscription, 0, n-gone+4)
	}
	for _, m := range a.many {
		if !m.gone.Load() {
			left = append(left, m)
		}
	}
	a.many, a.gone = left, 0
	if len(left) <= len(a.few) {
		a.many, a.n = nil, int32(len(left)) // #nosec G115 -- at most len(few)
	}
	return false
}

func newTopics(n *sessionNumbers) *topics { return &topics{exact: newIndex(), sessions: n} }

// subscribe makes s a member of the audience of name, which is a pattern if wild. From its
// return on every message published is delivered to s.
func (t *topics) subscribe(name string, wild bool, s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !wild {
		t.exact.add(name, s)
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
		t.exact.leave(name, s)
		return
	}
	rest := topicRest(name)
	if slot := t.patterns.slot(rest, false); slot != nil && *slot != nil && (*slot).leave(s) {
		*slot = nil
		t.wild--
		t.patterns.prune(rest)
	}
}

// publish delivers a burst to all who are subscribed to name, and returns the durable subscriptions,
// which the caller has to serve. from is the sender's session, or nil. The caller
// flushes the claims that it gets; without c, goroutines do.
func (t *topics) publish(name string, b *burst, from *session, c *claims) (durable seats) {
	var l listeners
	t.listen(name, &l)
	return t.serve(l.lists, name, b, from, c)
}

// listen finds who listens to name.
func (t *topics) listen(name string, l *listeners) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l.listen(t.exact.get(name))
	t.match(name, l)
}

// look finds who listens to each of several topics. What it reads is in no cache where topics are many, so it takes each step
// for all of them, one behind the other: one cache miss need not be over for the next to begin. The last reads
// what is read again at once, when messages are delivered.
func (t *topics) look(runs []run, l *listeners) {
	t.mu.RLock()
	x := &t.exact
	for i := range runs {
		runs[i].hash = x.hash(runs[i].sends[0].topic)
	}
	for i := range runs {
		runs[i].first = x.first(runs[i].hash)
	}
	for i := range runs {
		runs[i].found = x.at(runs[i].first)
	}
	for i := range runs {
		r := &runs[i]
		if !r.found.some() || len(r.found.name()) != len(r.sends[0].topic) {
			r.found = x.find(r.hash, r.sends[0].topic)
		}
	}
	for i := range runs {
		r := &runs[i]
		if last := len(r.sends[0].topic) - 1; r.found.some() && r.found.name()[last] != r.sends[0].topic[last] {
			r.found = x.find(r.hash, r.sends[0].topic)
		}
	}
	for i := range runs {
		r := &runs[i]
		name := r.sends[0].topic
		if r.found.some() && r.found.name() != name {
			r.found = x.find(r.hash, name)
		}
		r.from = len(l.lists)
		l.listen(r.found)
		t.match(name, l)
		r.to = len(l.lists)
	}
	t.mu.RUnlock()
	if len(runs) == 1 {
		return
	}
	for _, s := range l.few {
		s.gone.Load()
	}
}

// serve is publish to those. The caller keeps its share in b.
func (t *topics) serve(to [][]*subscription, name string, b *burst, from *session, c *claims) (durable seats) {
	receivers := 0
	for _, subs := range to {
		receivers += len(subs)
	}
	b.shared = b.pays(receivers)
	if from != nil {
		from.caused.Add(int64(receivers) * b.size)
	}
	over := int32(0)
	b.shares.Add(int32(receivers)) // #nosec G115 -- subscriptions
	for _, subs := range to {
		for _, s := range subs {
			if !s.seat {
				if !s.deliverTopic(t.sessions, name, b, from, c) {
					over++
				}
				continue
			}
			over++
			if s.special().way.enter(s) {
				durable = append(durable, s)
			}
		}
	}
	b.giveUp(over)
	return durable
}

// durable is what publish returns, without publishing.
func (t *topics) durable(name string) (durable seats) {
	var l listeners
	t.listen(name, &l)
	for _, subs := range l.lists {
		for _, s := range subs {
			if s.seat && s.special().way.enter(s) {
				durable = append(durable, s)
			}
		}
	}
	return durable
}

// match adds who subscribed to patterns that match name. t.mu is held.
func (t *topics) match(name string, l *listeners) {
	if t.wild == 0 {
		return
	}
	if rest := topicRest(name); rest != "" {
		t.patterns.match(rest, true, l)
	}
}

// count tells how many names and patterns have an audience.
func (t *topics) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.exact.n + t.wild
}

// node is one segment of the patterns' tree.
type node struct {
	children map[string]*node // by literal segment
	star     *node            // "*": any one segment
	here     *audience        // patterns that end here
	rest     *audience        // "#", ">", "**": patterns that take any number from here
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

// match adds who subscribed to the patterns that match a name. Cost: the nodes that can match,
// at most two per segment and branch; more tells that name still has segments.
func (n *node) match(name string, more bool, l *listeners) {
	if n.rest != nil {
		l.add(n.rest)
	}
	if !more {
		if n.here != nil {
			l.add(n.here)
		}
		return
	}
	seg, rest, more := nextSegment(name)
	if c := n.children[seg]; c != nil {
		c.match(rest, more, l)
	}
	if n.star != nil {
		n.star.match(rest, more, l)
	}
}
