package broker

import (
	"cmp"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

const (
	sampleTime = 100 * time.Millisecond // how often memory is looked at
	lookTime   = time.Second            // how often the outboxes are, though nobody asks, if something has been put into one
	lookMost   = 5 * time.Second        // where there are so many sessions that it takes long
	lookShare  = 1000                   // it takes one part of so many of the time, then

	restTime  = 5 * time.Second // a broker in which nothing but heart-beats has happened for so long rests:
	restStep  = time.Second     // memory is looked at so often then
	restsMost = 20_000          // so many sessions' heart-beats are no rest

	holdTime   = time.Second      // how long a publisher is held up while memory is short
	holdFrames = 16               // what it may then send until it is held up again
	stuckTime  = 30 * time.Second // after which memory that stays short is not the sessions'
	leastShed  = batchBytes       // a session for which less waits is not slow
	takeTime   = time.Second      // one that has taken nothing for so long does not take from its queues

	// However fast publishers are, no more comes to wait between two looks than one part in askShare of
	// Limits.Outboxes or Memory, and askSlack for each session; each publisher tells of so much at a time.
	askShare  = 8
	askSlack  = 4 << 10
	tellBytes = 256 << 10
)

// pressure keeps what waits to be written, and the memory in use, within limits. One goroutine looks
// at memory a few times a second, and at the outboxes then if it is short, and when so much has been put into them
// that it ought to.
type pressure struct {
	// Static.
	inUse  func() int64
	own    bool   // inUse is the runtime's, and has garbage in it
	onRest func() // tells that resting has changed
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	ask    chan struct{} // for a look at once

	// Read anywhere; written by the sampler.
	eased   atomic.Pointer[chan struct{}] // while memory is short: closed when it is not any more
	stuck   atomic.Int64                  // then: since when there is nothing to shed, Unix nanoseconds
	samples atomic.Uint64
	used    atomic.Int64 // as of the last look
	shed    atomic.Uint64
	looked  atomic.Pointer[chan struct{}] // closed by the end of the look that is next, or on its way
	slack   atomic.Int64                  // askSlack of all sessions
	moved   atomic.Bool                   // a frame has come, or been put into an outbox, since the last look, or limits are new
	resting atomic.Bool                   // nothing has happened for a while

	caused atomic.Int64 // bytes published since the last look began, by the number of their receivers

	let time.Time // a connection was let in last although memory is short; guarded by Broker.mu

	// Owned by the sampler.
	all       []*session
	stirred   time.Time     // when moved was last seen
	seen      time.Time     // when the outboxes were looked at last
	rest      time.Duration // for how long they are not again, if nobody asks
	collected time.Time     // when garbage was collected last
	pause     time.Duration // for how long it is not again
}

func (p *pressure) init(inUse func() int64, onRest func()) {
	if onRest == nil {
		onRest = func() {}
	}
	p.inUse, p.own, p.onRest = inUse, inUse == nil, onRest
	p.stirred = time.Now()
	if p.own {
		p.inUse = memoryInUse()
	}
	p.used.Store(p.inUse())
	p.stop, p.done, p.ask = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	looked := make(chan struct{})
	p.looked.Store(&looked)
}

// end stops the sampler and waits for it.
func (p *pressure) end() {
	p.once.Do(func() { close(p.stop) })
	<-p.done
}

// memoryInUse returns what tells how much memory the Go runtime has from the system, without what it
// could give back at once.
func memoryInUse() func() int64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	return func() int64 {
		metrics.Read(s)
		return int64(s[0].Value.Uint64() - s[1].Value.Uint64() - s[2].Value.Uint64()) // #nosec G115 -- bytes of memory
	}
}

// sampler looks again and again, until end.
func (b *Broker) sampler() {
	p := &b.pressure
	defer close(p.done)
	t := time.NewTimer(sampleTime)
	defer t.Stop()
	for {
		asked := false
		select {
		case <-p.stop:
			b.easeMemory()
			return
		case <-t.C:
		case <-p.ask:
			asked = true
		}
		b.sample(asked)
		p.samples.Add(1)
		if asked {
			next := make(chan struct{})
			close(*p.looked.Swap(&next))
		}
		if p.resting.Load() {
			t.Reset(restStep)
		} else {
			t.Reset(sampleTime)
		}
	}
}

// sample looks at memory, and at the outboxes if asked to or if it is time, and does what is needed.
func (b *Broker) sample(asked bool) {
	p := &b.pressure
	l := &b.bounds.Load().limits
	excess, fresh := b.excess(l.Memory)
	began := time.Now()
	b.settleDown(began)
	if !asked && excess == 0 && (began.Sub(p.seen) < p.rest || !p.moved.Load()) {
		return
	}
	p.moved.Store(false) // before looking: who puts something in later says so again
	p.caused.Store(0)
	sum := b.waiting()
	p.seen = time.Now()
	p.rest = min(max(lookTime, lookShare*p.seen.Sub(began)), lookMost)
	goal := l.Outboxes
	if fresh && excess > 0 {
		goal = min(goal, max(sum-excess, 0))
	}
	if sum > goal && !mutant.Is(mutant.OutboxesFree) {
		short := goal < l.Outboxes
		if b.shed(sum, goal, short) > 0 && short {
			p.stuck.Store(time.Now().UnixNano())
		}
	}
	clear(p.all)
	p.all = p.all[:0]
}

// move notes that a frame has come, or been put into an outbox.
func (p *pressure) move() {
	if p.moved.Load() { // it mostly has, and then all cores may have that in their caches
		return
	}
	p.moved.Store(true)
	if p.resting.Load() {
		p.rouse()
	}
}

// rouse ends a rest.
func (p *pressure) rouse() {
	if !p.resting.Swap(false) {
		return
	}
	p.onRest()
	select {
	case p.ask <- struct{}{}: // the next look at memory may be far away
	default:
	}
}

func (b *Broker) sessionCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// settleDown begins a rest when it is time to, and ends it when memory has become short. The sampler calls it, before it forgets what has moved.
func (b *Broker) settleDown(now time.Time) {
	p := &b.pressure
	switch {
	case p.moved.Load():
		p.stirred = now
		return
	case p.eased.Load() != nil: // what frames that have not ended fill it with, say
		p.stirred = now
		p.rouse()
		return
	case p.resting.Load() || now.Sub(p.stirred) < restTime || b.sessionCount() > restsMost:
		return
	}
	p.resting.Store(true)
	p.onRest()
	if p.moved.Load() { // since; who did that may not have seen that there is a rest
		p.rouse()
	}
}

// waiting gathers the sessions and adds up what waits for them. Those that were cut off do not count.
func (b *Broker) waiting() (sum int64) {
	p := &b.pressure
	b.mu.Lock()
	for s := range b.sessions {
		p.all = append(p.all, s)
	}
	b.mu.Unlock()
	p.slack.Store(askSlack * int64(len(p.all)))
	for _, s := range p.all {
		if e := s.ending.Load(); e == nil || !e.abort {
			sum += s.out.waiting.Load()
		}
	}
	return sum
}

// excess is by how much the memory in use is above what it is to come down to, 0 while it is not above
// its mark; fresh tells that no garbage is in that. mark 0 is none.
func (b *Broker) excess(mark int64) (excess int64, fresh bool) {
	p := &b.pressure
	if mutant.Is(mutant.MemoryUnseen) {
		mark = 0
	}
	used := p.inUse()
	fresh = true
	if p.own && mark > 0 && used > mark {
		if fresh = time.Since(p.collected) >= p.pause; fresh {
			began := time.Now()
			runtime.GC()
			p.collected = time.Now()
			p.pause = max(2*sampleTime, 10*p.collected.Sub(began))
			used = p.inUse()
		}
	}
	p.used.Store(used)
	low := mark - mark/16
	switch short := p.eased.Load() != nil; {
	case short && (mark == 0 || used < low) && !mutant.Is(mutant.MemoryNeverEases):
		b.easeMemory()
		b.log.Info("memory is no longer short", "in_use", used, "mark", mark)
	case !short && mark > 0 && used > mark && fresh:
		p.stuck.Store(time.Now().UnixNano())
		eased := make(chan struct{})
		p.eased.Store(&eased)
		b.log.Warn("memory is short: connections are refused, publishers are held up, and slow consumers closed",
			"in_use", used, "mark", mark, "setting", "limits.memory")
	}
	if p.eased.Load() == nil || used <= mark {
		return 0, fresh
	}
	return used - low, fresh
}

// easeMemory lets readers go on and connections in.
func (b *Broker) easeMemory() {
	if eased := b.pressure.eased.Swap(nil); eased != nil {
		close(*eased)
	}
}

// shed closes sessions, those for which most waits first, until no more than goal of sum waits, and
// tells how many.
func (b *Broker) shed(sum, goal int64, short bool) (n int) {
	type load struct {
		s       *session
		waiting int64
	}
	var loads []load
	now := time.Now()
	for _, s := range b.pressure.all {
		if e := s.ending.Load(); e != nil && e.abort {
			continue
		}
		w := s.out.waiting.Load()
		if short && now.Sub(s.lastWrite()) < takeTime {
			w -= s.out.lent.Load() // to end who takes from a queue keeps the rest of it in memory
		}
		if w >= leastShed {
			loads = append(loads, load{s, w})
		}
	}
	slices.SortFunc(loads, func(a, b load) int { return cmp.Compare(b.waiting, a.waiting) })
	if mutant.Is(mutant.SmallestFirst) {
		slices.Reverse(loads)
	}
	why := "all sessions together have more waiting than limits.outboxes"
	if short {
		why = "the process uses more memory than limits.memory"
	}
	for _, l := range loads {
		if sum <= goal {
			break
		}
		e := because(reasonMemory, "%d bytes wait for it, and %s", l.waiting, why)
		e.abort = true
		l.s.end(e)
		if now := l.s.ending.Load(); now != e {
			l.s.conn.Abort() // it was ending in good order, for as long as its peer likes
		}
		sum -= l.waiting
		n++
	}
	b.pressure.shed.Add(uint64(n)) // #nosec G115 -- a count
	return n
}

// refuses tells that memory is too short for another connection. When closing sessions has not helped
// for a while, one a second is let in: maybe it takes from the queues that fill the memory. Broker.mu is
// held.
func (p *pressure) refuses() bool {
	if p.eased.Load() == nil || mutant.Is(mutant.MemoryLetsIn) {
		return false
	}
	now := time.Now()
	if now.Sub(time.Unix(0, p.stuck.Load())) < stuckTime || now.Sub(p.let) < time.Second {
		return true
	}
	p.let = now
	return false
}

// look waits for a look at the outboxes once publishers have put enough into them since the last, so
// that what waits is bounded however many there are, and fast.
func (s *session) look() {
	n := s.caused.Load()
	if n < tellBytes || mutant.Is(mutant.OutboxesUnasked) {
		return
	}
	s.caused.Add(-n)
	p := &s.b.pressure
	looked := *p.looked.Load()
	if s.b.tell(n) {
		s.settle()
		select {
		case <-looked:
		case <-p.done:
		}
	}
}

// tell adds to what has been put into outboxes since the last look, and asks for the next if that is enough.
func (b *Broker) tell(n int64) (asked bool) {
	p := &b.pressure
	l := &b.bounds.Load().limits
	most := l.Outboxes
	if l.Memory > 0 {
		most = min(most, l.Memory)
	}
	if p.caused.Add(n) < most/askShare+p.slack.Load() {
		return false
	}
	select {
	case p.ask <- struct{}{}:
	default:
	}
	return true
}

// hold keeps the reader from reading on after a SEND while memory is short; not for ever, since what
// comes behind may be the ACK that frees some.
func (s *session) hold() {
	eased := s.b.pressure.eased.Load()
	if eased == nil || mutant.Is(mutant.MemoryHoldsNobody) {
		return
	}
	if s.spared > 0 {
		s.spared--
		return
	}
	s.settle()
	t := time.NewTimer(holdTime)
	defer t.Stop()
	// What the client says meanwhile is not read: the wheel may look just between two holds.
	defer func() { s.beat.excused.Store(time.Now().UnixNano()) }()
	for {
		wake := s.out.waking()
		if s.ending.Load() != nil {
			return
		}
		select {
		case <-*eased:
			return
		case <-t.C:
			s.spared = holdFrames
			return
		case <-wake:
		}
	}
}
