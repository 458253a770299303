package durability

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// key is one message in one queue.
type key struct {
	pub   string
	seq   int
	queue string // of a durable subscription: its label in the test
}

// entry is what is known of a message.
type entry struct {
	key
	sum     string
	life    int   // in which it was sent
	expires int64 // Unix milliseconds; 0 never
	auto    bool  // its queue is consumed without acknowledgements
	tx      *unit // sent within

	notBefore int64  // Unix milliseconds
	fleeting  bool   // not durable
	optional  bool   // may be gone
	loose     bool   // comes in any order
	grave     *entry // what it becomes as a dead letter, or
	of        *entry // what it was before

	receipted  bool // the broker promised to keep it
	delivered  int
	last       int      // life of the last delivery
	held       *reading // who has it on loan, in that life
	ackSent    bool
	ackTx      *unit // acknowledged within
	marked     bool  // the last delivery was, as one that comes again
	ackPromise bool  // the broker promised never to deliver it again
}

// unit is what must happen as a whole or not at all: a transaction, or one message to several queues.
type unit struct {
	life      int
	asked     bool // COMMIT, or the one SEND, is on its way
	receipted bool
	whole     bool // also where it only acknowledges
	sends     []*entry
	acks      []*entry
}

// reading is one subscription from SUBSCRIBE to its end.
type reading struct {
	queue string
	last  map[string]int // by publisher
	got   []*entry
}

func newReading(queue string) *reading { return &reading{queue: queue, last: map[string]int{}} }

// ledger is what all clients of a test have seen, over all lives of the broker. Its methods may be
// called from any goroutine; what is wrong is noted, not told at once.
type ledger struct {
	mu      sync.Mutex
	life    int
	entries map[key]*entry
	units   []*unit
	first   map[[2]string]int // publisher, queue: the last that was delivered for the first time
	torn    map[string]int    // by queue: the life from which on a message may be marked that nobody has seen
	wrong   []string
	kinds   map[string]int // how many of each
	fickle  []*entry       // of subFickle, since it was last deleted
	counts  struct {
		intents, receipts, deliveries, acks, ackReceipts, again, unread, errors int
		refusals, burials, deletions, aborted                                   int
	}
	target  int // so many receipts
	reached chan struct{}
}

func newLedger() *ledger {
	return &ledger{entries: map[key]*entry{}, first: map[[2]string]int{}, torn: map[string]int{}, kinds: map[string]int{}}
}

// maxWrong is how many faults of a kind, the word before the colon, are told.
const maxWrong = 6

// fault notes what is wrong. The caller holds l.mu.
func (l *ledger) fault(format string, args ...any) {
	kind, _, _ := strings.Cut(format, ":")
	l.kinds[kind]++
	switch n := l.kinds[kind]; {
	case n <= maxWrong:
		l.wrong = append(l.wrong, fmt.Sprintf("life %d: ", l.life)+fmt.Sprintf(format, args...))
	case n == maxWrong+1:
		l.wrong = append(l.wrong, "and more: "+kind)
	}
}

// report is fault from outside.
func (l *ledger) report(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault(format, args...)
}

// begin begins a life of the broker; the channel is closed after so many receipts for messages.
func (l *ledger) begin(receipts int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
	l.target = l.counts.receipts + receipts
	l.reached = make(chan struct{})
	return l.reached
}

// intend notes a message that is about to be sent to each of its queues.
func (l *ledger) intend(e entry, queues []string, u *unit) []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var es []*entry
	for _, q := range queues {
		c := e
		c.queue, c.life, c.tx, c.auto = q, l.life, u, q == qAuto
		l.entries[c.key] = &c
		es = append(es, &c)
		if e.optional {
			l.counts.aborted++
		} else {
			l.counts.intents++
		}
		if q == subFickle {
			c.optional = true
			l.fickle = append(l.fickle, &c)
		}
		if q == qStorm {
			c.grave = &entry{key: c.key, sum: c.sum, life: l.life, loose: true, optional: true, of: &c}
			c.grave.queue = graveOf(q)
			l.entries[c.grave.key] = c.grave
		}
	}
	if u != nil {
		u.sends = append(u.sends, es...)
	}
	return es
}

// unit begins one.
func (l *ledger) unit() *unit {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := &unit{life: l.life}
	l.units = append(l.units, u)
	return u
}

// asked notes that the frame is about to be sent that makes the unit happen.
func (l *ledger) asked(u *unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.asked = true
}

// receipted notes the broker's promise for messages.
func (l *ledger) receipted(es []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		e.receipted = true
	}
	l.count(len(es))
}

// committed notes the broker's promise for a unit.
func (l *ledger) committed(u *unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.receipted = true
	for _, e := range u.sends {
		e.receipted = true
	}
	for _, e := range u.acks {
		e.ackPromise = true
	}
	l.counts.ackReceipts += len(u.acks)
	l.count(len(u.sends))
}

// count counts receipts. The caller holds l.mu.
func (l *ledger) count(n int) {
	was := l.counts.receipts
	l.counts.receipts += n
	if l.reached != nil && was < l.target && l.counts.receipts >= l.target {
		close(l.reached)
	}
}

// delivered notes a delivery and looks at it from all sides. It gives nil for a message that nobody
// sent.
func (l *ledger) delivered(r *reading, k key, sum string, redelivered bool) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.deliveries++
	e := l.entries[k]
	switch {
	case e == nil:
		l.fault("phantom: %v was never sent there", k)
		return nil
	case e.sum != sum:
		l.fault("altered: %v came with the sum %s, sent was %s", k, sum, e.sum)
	case e.ackPromise:
		l.fault("resurrected: %v, its acknowledgement was receipted (sent in life %d, delivered %d times)", k, e.life, e.delivered)
	case e.tx != nil && !e.tx.asked:
		l.fault("half a transaction: %v is not committed", k)
	case e.held != nil && e.last == l.life:
		l.fault("twice: %v is on loan already", k)
	}
	if e.expires > 0 && time.Now().UnixMilli() > e.expires+slack.Milliseconds() {
		l.fault("expired: %v came %d ms after its time", k, time.Now().UnixMilli()-e.expires)
	}
	switch now := time.Now().UnixMilli(); {
	case e.fleeting && e.life < l.life:
		l.fault("resurrected: %v is of life %d, and not durable", k, e.life)
	case now < e.notBefore:
		l.fault("delay: %v came %d ms before its time", k, e.notBefore-now)
	case e.grave != nil && e.grave.delivered > 0:
		l.fault("resurrected: %v is a dead letter already", k)
	case e.of != nil && e.of.ackPromise:
		l.fault("resurrected: %v, whose acknowledgement was receipted, is a dead letter", k)
	case e.of != nil:
		e.of.ackSent = true // it is there no longer
		if e.delivered == 0 {
			l.counts.burials++
		}
	}
	if e.delivered > 0 && e.last == l.life && !redelivered {
		l.fault("redelivered flag: %v came again without it", k)
	}
	if from, ok := l.torn[e.queue]; e.delivered == 0 && redelivered && (!ok || l.life < from) {
		l.fault("redelivered flag: %v has it the first time", k)
	}
	if last, ok := r.last[k.pub]; ok && k.seq <= last && !e.loose {
		l.fault("out of order: %v after %d of the same publisher", k, last)
	}
	r.last[k.pub] = k.seq
	if e.delivered == 0 {
		pq := [2]string{k.pub, e.queue}
		if last, ok := l.first[pq]; ok && k.seq <= last && !e.loose {
			l.fault("out of order: %v the first time after %d of the same publisher", k, last)
		}
		l.first[pq] = k.seq
	} else {
		l.counts.again++
	}
	e.delivered++
	e.last, e.held = l.life, r
	e.ackSent, e.ackTx = false, nil // it had no effect
	e.marked = redelivered
	r.got = append(r.got, e)
	return e
}

// slack is how late a message may come that expires: it was on its way.
const slack = time.Second

// acking notes that acknowledgements are about to be sent, within u or for themselves.
func (l *ledger) acking(es []*entry, u *unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.acks += len(es)
	for _, e := range es {
		if u != nil {
			e.ackTx = u
			u.acks = append(u.acks, e)
		} else {
			e.ackSent = true
		}
	}
}

// acked notes the broker's promise for acknowledgements.
func (l *ledger) acked(es []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		e.ackPromise = true
		l.counts.ackReceipts++
	}
}

// ended notes that a subscription has ended in order: what it held and did not acknowledge may come
// again.
func (l *ledger) ended(r *reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range r.got {
		if e.held == r && !e.ackSent && (e.ackTx == nil || !e.ackTx.asked) {
			e.held = nil
		}
	}
}

// beginning notes that a queue is being consumed: what the broker will have on its way when it dies is
// known as delivered in the next life.
func (l *ledger) beginning(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.torn[queue]; !ok {
		l.torn[queue] = l.life + 1
	}
}

// ending notes that a subscription ends while messages may be on their way to it.
func (l *ledger) ending(r *reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.torn[r.queue] = min(l.torn[r.queue], l.life)
}

// clone is a ledger that goes on from what this one knows; it has no units.
func (l *ledger) clone() *ledger {
	c := newLedger()
	c.life, c.first, c.torn = l.life, maps.Clone(l.first), maps.Clone(l.torn)
	for k, e := range l.entries {
		one := *e
		one.held = nil
		c.entries[k] = &one
	}
	return c
}

// move notes that a message is about to leave its queue for another as it is.
func (l *ledger) move(e *entry, queue string, u *unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := &entry{key: e.key, sum: e.sum, life: l.life, tx: u}
	to.queue = queue
	l.entries[to.key] = to
	u.sends, u.acks, u.asked = append(u.sends, to), append(u.acks, e), true
	e.ackTx = u
}

// keep notes that a queue keeps no more than its latest n messages: older ones may go.
func (l *ledger) keep(queue string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var es []*entry
	for _, e := range l.entries {
		if e.queue == queue {
			es = append(es, e)
		}
	}
	slices.SortFunc(es, func(a, b *entry) int { return a.seq - b.seq })
	for _, e := range es[:max(0, len(es)-n)] {
		e.ackSent = true
	}
}

// while waits until done is closed, for as long as anything comes from the broker at all; false if nothing
// does any more.
func (l *ledger) while(done <-chan struct{}) bool {
	seen := -1
	for {
		select {
		case <-done:
			return true
		case <-time.After(harness.Patience):
		}
		l.mu.Lock()
		now := l.counts.deliveries + l.counts.receipts + l.counts.ackReceipts
		l.mu.Unlock()
		if now == seen {
			return false
		}
		seen = now
	}
}
