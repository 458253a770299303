package durability

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/gudokmq/gudok/test/harness"
)

// publisher sends numbered messages, of which some number are on their way at a time. Its numbers go on over
// the lives of the broker.
type publisher struct {
	l    *ledger
	name string
	seq  int
	rnd  *rand.Rand
	size int // of each body, unless 0
	// dress, unless nil, says what is special about the next message, and gives headers for it.
	dress func(e *entry) string
}

func newPublisher(l *ledger, name string, rnd *rand.Rand) *publisher {
	return &publisher{l: l, name: name, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 1))}
}

// next makes the next message: what the ledger knows of it, its headers and its body.
func (p *publisher) next() (entry, string, []byte) {
	p.seq++
	n := 1 + p.rnd.IntN(400)
	switch p.rnd.IntN(100) {
	case 0:
		n = 64<<10 + p.rnd.IntN(20<<10)
	case 1, 2, 3:
		n = 4000 + p.rnd.IntN(8000)
	}
	if p.size > 0 {
		n = p.size
	}
	body := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := p.rnd.Uint64()
		for j := i; j < min(i+8, n); j++ {
			body[j] = byte(v >> (8 * (j - i)))
		}
	}
	e := entry{key: key{pub: p.name, seq: p.seq}, sum: sumOf(p.name, p.seq, body)}
	special := ""
	if p.dress != nil {
		special = p.dress(&e)
	}
	return e, fmt.Sprintf("x-pub:%s\nx-seq:%d\nx-sum:%s\n%s%s", p.name, p.seq, e.sum, special, odd), body
}

// window bounds what is on its way.
type window struct {
	slots chan struct{}
	gone  <-chan struct{}
}

func newWindow(n int, gone <-chan struct{}) window { return window{make(chan struct{}, n), gone} }

func (w window) enter() bool {
	select {
	case w.slots <- struct{}{}:
		return true
	case <-w.gone:
		return false
	}
}

func (w window) leave() { <-w.slots }

// run sends to the queues in turn, each message with a receipt, until the broker or stop ends it.
func (p *publisher) run(k *link, outstanding int, queues []string, stop <-chan struct{}) {
	w := newWindow(outstanding, k.gone)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		if !w.enter() || p.one(k, queues[i%len(queues)], w.leave) != nil {
			return
		}
	}
}

// one sends one message with a receipt.
func (p *publisher) one(k *link, queue string, then func()) error {
	e, headers, body := p.next()
	es := p.l.intend(e, []string{queue}, nil)
	return k.send("SEND\ndestination:"+queue+"\n"+headers, body, func() {
		p.l.receipted(es)
		then()
	})
}

// topic sends to a topic with durable subscriptions, which get a message all or none of them.
func (p *publisher) topic(k *link, outstanding int, topic string, labels []string, stop <-chan struct{}) {
	w := newWindow(outstanding, k.gone)
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !w.enter() {
			return
		}
		if p.news(k, topic, labels, w.leave) != nil {
			return
		}
	}
}

// news sends one message to a topic with durable subscriptions.
func (p *publisher) news(k *link, topic string, labels []string, then func()) error {
	u := p.l.unit()
	e, headers, body := p.next()
	p.l.intend(e, labels, u)
	p.l.asked(u)
	return k.send("SEND\ndestination:"+topic+"\n"+headers, body, func() {
		p.l.committed(u)
		then()
	})
}

// transactions sends to all of the queues in each transaction.
func (p *publisher) transactions(k *link, outstanding int, queues []string, stop <-chan struct{}) {
	w := newWindow(outstanding, k.gone)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if !w.enter() {
			return
		}
		do := p.transaction
		if p.rnd.IntN(10) == 0 {
			do = p.abort
		}
		if do(k, fmt.Sprint("t", n), queues, w.leave) != nil {
			return
		}
	}
}

// abort takes a transaction back: nothing of it ever comes.
func (p *publisher) abort(k *link, id string, queues []string, then func()) error {
	if err := p.gather(k, p.l.unit(), id, queues, true); err != nil {
		return err
	}
	return k.send("ABORT\ntransaction:"+id+"\n", nil, then)
}

func (p *publisher) transaction(k *link, id string, queues []string, then func()) error {
	u := p.l.unit()
	if err := p.gather(k, u, id, queues, false); err != nil {
		return err
	}
	p.l.asked(u)
	return k.send("COMMIT\ntransaction:"+id+"\n", nil, func() {
		p.l.committed(u)
		then()
	})
}

// gather sends what is in a transaction, but not how it ends.
func (p *publisher) gather(k *link, u *unit, id string, queues []string, optional bool) error {
	if err := k.send("BEGIN\ntransaction:"+id+"\n", nil, nil); err != nil {
		return err
	}
	for _, q := range queues {
		e, headers, body := p.next()
		e.optional = optional
		p.l.intend(e, []string{q}, u)
		if err := k.send("SEND\ndestination:"+q+"\ntransaction:"+id+"\n"+headers, body, nil); err != nil {
			return err
		}
	}
	return nil
}

// mode is how a consumer acknowledges.
type mode string

const (
	auto       mode = "auto"
	cumulative mode = "client"
	individual mode = "client-individual"
	forwarding mode = "forwarding" // each message goes on to another queue in a transaction
	burying    mode = "burying"    // each message goes to the dead letter queue
	refusing   mode = "refusing"   // most messages are refused as often as that is possible
)

// consumer takes the messages of one queue.
type consumer struct {
	l       *ledger
	k       *link
	queue   string // its label
	headers string // of SUBSCRIBE: destination, and durable
	mode    mode
	rnd     *rand.Rand
	// prompt acknowledges everything at once; else some of it is kept for a while, and the
	// subscription is renewed now and then.
	prompt bool
	onward *publisher // forwarding: who sends on
	to     string     // forwarding: where
	then   func()     // forwarding, burying: after each receipt
	seen   func(e *entry)
	// leaves: after so many messages the connection ends without a word.
	leaves   int
	departed bool
	// deletes: after so many messages a durable subscription is deleted and made again.
	deletes int
	// inbox, unless nil, gets the deliveries instead, for the test to settle.
	inbox chan waiting

	turn sync.Mutex // held while a message is being settled

	mu      sync.Mutex // guards what follows
	id      int
	current *reading
	old     *reading // ended, not confirmed
	kept    []waiting
	since   int // deliveries in this subscription
}

// waiting is a delivery that is not settled yet.
type waiting struct {
	e   *entry
	ack string
	f   *harness.Frame
}

// subscribe subscribes and waits for the receipt.
func (c *consumer) subscribe() error {
	c.k.message = c.message
	return c.k.call(c.head(), nil)
}

// head makes a new reading and the SUBSCRIBE for it.
func (c *consumer) head() string {
	c.l.beginning(c.queue)
	c.mu.Lock()
	c.id++
	c.current, c.since = newReading(c.queue), 0
	c.mu.Unlock()
	ack := c.mode
	if ack != auto && ack != cumulative {
		ack = individual
	}
	return fmt.Sprintf("SUBSCRIBE\nid:%s\nack:%s\n%s", c.name(), ack, c.headers)
}

// message takes one message. It runs on the link's goroutine.
func (c *consumer) message(sub string, f *harness.Frame) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.departed {
		return // it is not there to read it
	}
	c.mu.Lock()
	r := c.current
	if c.old != nil {
		r = c.old // what was on its way
	}
	c.since++
	c.mu.Unlock()
	k, sum := keyOf(f, c.queue)
	e := c.l.delivered(r, k, sum, f.Value("redelivered") == "true")
	if e == nil {
		return
	}
	switch {
	case c.inbox != nil:
		c.inbox <- waiting{e, f.Value("ack"), f}
	case c.old == nil:
		c.settle(e, f.Value("ack"))
	}
	switch {
	case c.leaves > 0 && c.since == c.leaves:
		c.depart(r)
	case c.deletes > 0 && c.since >= c.deletes && c.old == nil:
		c.remake()
	}
	if c.seen != nil {
		c.seen(e)
	}
}

func (c *consumer) settle(e *entry, ack string) {
	switch c.mode {
	case auto:
		// The broker took it for consumed as it was sent.
	case individual:
		if !c.prompt && c.rnd.IntN(8) == 0 && len(c.kept) < 40 {
			c.kept = append(c.kept, waiting{e: e, ack: ack})
			return
		}
		c.acknowledge([]*entry{e}, ack)
		if len(c.kept) >= 40 {
			for _, w := range c.kept {
				c.acknowledge([]*entry{w.e}, w.ack)
			}
			c.kept = nil
		}
		if !c.prompt && c.since > 100 && c.rnd.IntN(100) == 0 {
			c.renew()
		}
	case cumulative:
		c.kept = append(c.kept, waiting{e: e, ack: ack})
		if c.prompt || len(c.kept) >= 50 || c.rnd.IntN(10) == 0 {
			var es []*entry
			for _, w := range c.kept {
				es = append(es, w.e)
			}
			c.kept = nil
			c.acknowledge(es, ack)
		}
	case forwarding:
		c.forward(e, ack)
	case burying:
		c.bury(e, ack)
	case refusing:
		if c.rnd.IntN(8) == 0 {
			c.acknowledge([]*entry{e}, ack)
			return
		}
		c.l.refusing(e)
		_ = c.k.send("NACK\nid:"+ack+"\ndelay:0\n", nil, nil)
	}
}

// depart ends the connection with all it holds.
func (c *consumer) depart(r *reading) {
	c.departed = true
	c.k.closing.Store(true)
	c.l.dropped(r)
	c.k.conn.Close()
}

// remake deletes a durable subscription and makes it again: what was receipted before is gone for good.
func (c *consumer) remake() {
	c.mu.Lock()
	r := c.current
	c.old = r
	c.mu.Unlock()
	c.kept = nil
	c.l.ending(r)
	es := c.l.promised()
	_ = c.k.send("UNSUBSCRIBE\nid:"+c.name()+"\ndurable:true\n", nil, func() {
		c.l.deleted(es)
		c.l.ended(r)
		c.mu.Lock()
		c.old = nil
		c.mu.Unlock()
		_ = c.k.send(c.head(), nil, nil)
	})
}

func (c *consumer) acknowledge(es []*entry, ack string) {
	c.l.acking(es, nil)
	_ = c.k.send("ACK\nid:"+ack+"\n", nil, func() { c.l.acked(es) })
}

// renew ends the subscription, which gives back what is kept, and makes another.
func (c *consumer) renew() {
	c.mu.Lock()
	r := c.current
	c.old = r
	id := c.id
	c.mu.Unlock()
	c.kept = nil
	c.l.ending(r)
	_ = c.k.send(fmt.Sprintf("UNSUBSCRIBE\nid:s%d\n", id), nil, func() {
		c.l.ended(r)
		c.mu.Lock()
		c.old = nil
		c.mu.Unlock()
		_ = c.k.send(c.head(), nil, nil)
	})
}

// forward acknowledges a message and sends another on, in one transaction.
func (c *consumer) forward(e *entry, ack string) {
	u := c.l.unit()
	id := "f" + ack
	m, headers, body := c.onward.next()
	c.l.intend(m, []string{c.to}, u)
	c.l.acking([]*entry{e}, u)
	if c.k.send("BEGIN\ntransaction:"+id+"\n", nil, nil) != nil ||
		c.k.send("ACK\nid:"+ack+"\ntransaction:"+id+"\n", nil, nil) != nil ||
		c.k.send("SEND\ndestination:"+c.to+"\ntransaction:"+id+"\n"+headers, body, nil) != nil {
		return
	}
	c.l.asked(u)
	_ = c.k.send("COMMIT\ntransaction:"+id+"\n", nil, func() { c.settled(u) })
}

// bury refuses a message for good.
func (c *consumer) bury(e *entry, ack string) {
	u := c.l.unit()
	c.l.move(e, graveOf(c.queue), u)
	_ = c.k.send("NACK\nid:"+ack+"\nrequeue:false\n", nil, func() { c.settled(u) })
}

func (c *consumer) settled(u *unit) {
	c.l.committed(u)
	if c.then != nil {
		c.then()
	}
}

// name is the id of the current subscription.
func (c *consumer) name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(c.headers, "durable:true") {
		return "news" // the name of a durable subscription
	}
	return fmt.Sprint("s", c.id)
}
