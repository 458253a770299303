package durability

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// graveOf is the queue for a queue's dead letters.
func graveOf(queue string) string { return strings.Replace(queue, "/queue/", "/dlq/", 1) }

// awaited is how many messages were promised to be in a queue, or among the dead letters of another,
// and have not come.
func (l *ledger) awaited(queue string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.entries {
		switch {
		case !e.receipted || e.ackSent || e.ackPromise || e.optional || e.fleeting || e.auto || e.expires > 0:
		case e.grave != nil && e.grave.queue == queue && e.grave.delivered == 0,
			e.queue == queue && e.notBefore > 0 && e.delivered == 0:
			n++
		}
	}
	return n
}

// refusing notes that a message is about to be refused: it will come again.
func (l *ledger) refusing(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.held = nil
	l.counts.refusals++
}

// dropped notes that a subscription has ended with its connection: whatever it had may come again.
func (l *ledger) dropped(r *reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.torn[r.queue] = min(l.torn[r.queue], l.life)
	for _, e := range r.got {
		if e.held == r {
			e.held = nil
		}
	}
}

// promised are the messages of subFickle that were receipted so far and may still be there.
func (l *ledger) promised() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var es []*entry
	rest := l.fickle[:0]
	for _, e := range l.fickle {
		if e.receipted {
			es = append(es, e)
		} else {
			rest = append(rest, e)
		}
	}
	l.fickle = rest
	return es
}

// deleted notes the broker's promise that the messages of a durable subscription are gone with it.
func (l *ledger) deleted(es []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		e.ackPromise = true
	}
	l.counts.deletions++
}

// outcome is what the ledger says once everything has been drained.
type outcome struct {
	missing map[int]int // by life: what was sent, not promised, and is not there
	autoGap int         // of the queue without acknowledgements: promised, and lost on its way to the consumer
}

// settle judges what can be told at the end only.
func (l *ledger) settle() outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := outcome{missing: map[int]int{}}
	for _, u := range l.units {
		l.settleUnit(u)
	}
	lost := 0
	order := slices.SortedFunc(maps.Values(l.entries), func(a, b *entry) int {
		return strings.Compare(fmt.Sprintf("%s %s %9d", a.queue, a.pub, a.seq), fmt.Sprintf("%s %s %9d", b.queue, b.pub, b.seq))
	})
	for _, e := range order {
		switch {
		case e.optional || e.fleeting:
		case !e.receipted && e.delivered == 0:
			o.missing[e.life]++
		case !e.receipted || e.ackSent || e.expires > 0:
		case e.auto && e.delivered > 0:
		case e.auto:
			o.autoGap++
		default:
			lost++
			l.fault("lost: %v of life %d was receipted, delivered %d times (last in life %d), never acknowledged, and is gone",
				e.key, e.life, e.delivered, e.last)
		}
	}
	if lost > 0 {
		l.wrong = append(l.wrong, fmt.Sprintf("lost in all: %d", lost))
	}
	return o
}

// settleUnit judges whether a unit happened as a whole. The caller holds l.mu.
func (l *ledger) settleUnit(u *unit) {
	there, absent := 0, 0
	for _, e := range u.sends {
		switch {
		case e.auto || e.expires > 0 || e.optional: // may go by itself
		case e.delivered > 0:
			there++
		default:
			absent++
		}
	}
	if there > 0 && absent > 0 {
		l.fault("half a transaction: %d of its messages are there, %d are not; one is %v", there, absent, u.sends[0].key)
	}
	again := 0
	for _, e := range u.acks {
		if e.last > u.life {
			again++
		}
	}
	if u.whole && again > 0 && again < len(u.acks) {
		l.fault("half a transaction: %d of its %d messages came again; one is %v", again, len(u.acks), u.acks[0].key)
	}
	happened := u.receipted || there > 0
	for _, e := range u.acks {
		if happened && e.delivered > 0 && e.last > u.life {
			l.fault("half a transaction: its messages are there, and %v, which it acknowledged, was delivered again", e.key)
		}
		if happened || u.asked && len(u.sends) == 0 {
			e.ackSent = true
		}
	}
}

// faults are what is wrong so far.
func (l *ledger) faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.wrong)
}
