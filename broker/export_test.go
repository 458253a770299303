package broker

import "time"

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
