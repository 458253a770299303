// Package storetest checks a store engine against the contract written in package store. Every
// engine runs the one suite, see [Run].
package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/store"
)

// Setup is what one case asks of the engine it is to be given. Zero means the engine's default,
// which must be enough for 50,000 messages and 64 MiB.
type Setup struct {
	// MaxBytes bounds the sum of Message.Size over the engine.
	MaxBytes int64
	// MaxMessages bounds the messages of each queue.
	MaxMessages int
	// Bounds are further limits of a queue; nil for none.
	Bounds func(queue string) store.Bounds
	// Expired gives what takes the place of an expired message, nil for nothing; a nil func
	// stands for nothing always.
	Expired func(*store.Message) *store.Message
}

// Options tell how the engine under test is made and what it can do.
type Options struct {
	// Open makes a new, empty engine. The suite closes it.
	Open func(t testing.TB, s Setup) store.Engine
	// Reopen closes an engine and opens what it left behind, as a restart does. nil for an
	// engine that keeps nothing; the cases about that are then left out.
	Reopen func(t testing.TB, e store.Engine, s Setup) store.Engine
	// Binder tells that the engine is a store.Binder.
	Binder bool
	// Bubble runs each case in a testing/synctest bubble, where the waits take no time. The
	// engine must do no I/O but to files, and take its clock from package time.
	Bubble bool
}

// testCase is one case of the suite, in a sub-test of its own.
type testCase struct {
	name  string
	setup Setup
	run   func(s *suite)
}

// Run runs the suite; each case on an engine of its own.
func Run(t *testing.T, o Options) {
	cases := slices.Concat(orderCases, creditCases, settleCases, moveCases, commitCases, timeCases,
		limitCases, manageCases, closeCases)
	if o.Reopen != nil {
		cases = append(cases, reopenCases...)
		cases = append(cases, moreReopenCases...)
	}
	if o.Binder {
		cases = append(cases, binderCases...)
		if o.Reopen != nil {
			cases = append(cases, binderReopenCases...)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if o.Bubble {
				synctest.Test(t, func(t *testing.T) { o.runCase(t, c) })
			} else {
				t.Parallel() // most of them wait
				o.runCase(t, c)
			}
		})
	}
	// These are about real concurrency, so they run in real time.
	o.Bubble = false
	for _, c := range concurrencyCases {
		t.Run(c.name, func(t *testing.T) { o.runCase(t, c) })
	}
}

func (o Options) runCase(t *testing.T, c testCase) {
	s := &suite{T: t, opts: o, setup: c.setup}
	s.e = o.Open(t, c.setup)
	t.Cleanup(func() {
		if err := s.e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
		s.checkDones()
	})
	c.run(s)
}

// patience is how long the suite waits for what must come.
const patience = 20 * time.Second

// suite is what one case works with.
type suite struct {
	*testing.T
	opts  Options
	setup Setup
	e     store.Engine

	mu    sync.Mutex
	dones []*done
}

// done is one callback handed to the engine, which must call it exactly once.
type done struct {
	what  string
	calls int
	err   error
	ran   chan struct{}
}

func (s *suite) newDone(what string) (*done, func(error)) {
	d := &done{what: what, ran: make(chan struct{})}
	s.mu.Lock()
	s.dones = append(s.dones, d)
	s.mu.Unlock()
	return d, func(err error) {
		s.mu.Lock()
		d.calls++
		first := d.calls == 1
		if first {
			d.err = err
		}
		s.mu.Unlock()
		if first {
			close(d.ran)
		}
	}
}

// checkDones runs after the engine was closed: no callback may be owed any more.
func (s *suite) checkDones() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dones {
		if d.calls != 1 {
			s.Errorf("%s: done was called %d times", d.what, d.calls)
		}
	}
}

// result calls f with a done and waits for what it is told.
func (s *suite) result(what string, f func(done func(error))) error {
	s.Helper()
	d, call := s.newDone(what)
	f(call)
	select {
	case <-d.ran:
	case <-time.After(patience):
		s.Fatalf("%s: done was not called", what)
	}
	return d.err
}

// ok is result for what must not fail.
func (s *suite) ok(what string, f func(done func(error))) {
	s.Helper()
	if err := s.result(what, f); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// message makes a message of 8 bytes whose ID is id.
func message(queue, id string) *store.Message {
	return &store.Message{ID: id, Queue: queue, Data: []byte("12345678"), Persistent: true}
}

// ids gives n IDs: prefix0001 and so on.
func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%04d", prefix, i+1)
	}
	return all
}

func (s *suite) tryPublish(m *store.Message) error {
	s.Helper()
	return s.result("Publish "+m.ID, func(done func(error)) {
		s.e.Publish(m, func(dup bool, err error) {
			if dup {
				s.Errorf("Publish %s: taken for a repetition", m.ID)
			}
			done(err)
		})
	})
}

func (s *suite) publishMessage(m *store.Message) {
	s.Helper()
	if err := s.tryPublish(m); err != nil {
		s.Fatalf("Publish %s: %v", m.ID, err)
	}
}

func (s *suite) publish(queue string, ids ...string) {
	s.Helper()
	for _, id := range ids {
		s.publishMessage(message(queue, id))
	}
}

func (s *suite) ack(d store.Delivery) {
	s.Helper()
	s.ok("Ack "+d.Message().ID, d.Ack)
}

func (s *suite) nack(d store.Delivery, delay time.Duration) {
	s.Helper()
	s.ok("Nack "+d.Message().ID, func(done func(error)) { d.Nack(delay, done) })
}

func (s *suite) commit(ms []*store.Message, acks ...store.Delivery) error {
	s.Helper()
	return s.result("Commit", func(done func(error)) { s.e.Commit(ms, acks, done) })
}

// unit is what the cases count their waits in: long enough that a busy machine gets in between
// whatever a case does within it.
func (s *suite) unit() time.Duration {
	if s.opts.Bubble {
		return 20 * time.Millisecond
	}
	return 250 * time.Millisecond
}

// settle gives the engine time to do what it must not do, and its goroutines time to finish.
func (s *suite) settle() {
	if s.opts.Bubble {
		synctest.Wait()
	} else {
		time.Sleep(10 * time.Millisecond)
	}
}

// eventually waits until what cond tells is so.
func (s *suite) eventually(what string, cond func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not so: %s", what)
		}
	}
}

// stat waits until the queue's Stat is want.
func (s *suite) stat(queue string, want store.Stat) {
	s.Helper()
	var got store.Stat
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if got = s.e.Stat(queue); got == want {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("Stat(%q) is %+v, want %+v", queue, got, want)
		}
	}
}

// taker is a consumer that keeps what it is given.
type taker struct {
	store.Consumer
	s   *suite
	got chan store.Delivery
}

// take becomes the consumer of a queue and grants credit.
func (s *suite) take(queue string, credit int) *taker {
	s.Helper()
	k := &taker{s: s, got: make(chan store.Delivery, 100_000)}
	c, err := s.e.Consume(queue, func(d store.Delivery) { k.got <- d })
	if err != nil {
		s.Fatalf("Consume %q: %v", queue, err)
	}
	k.Consumer = c
	if credit > 0 {
		c.Credit(credit)
	}
	return k
}

// next waits for the next delivery.
func (k *taker) next() store.Delivery {
	k.s.Helper()
	select {
	case d := <-k.got:
		return d
	case <-time.After(patience):
		k.s.Fatal("nothing was delivered")
		return nil
	}
}

// want waits for deliveries of the messages with these IDs, in this order, and gives them.
func (k *taker) want(ids ...string) []store.Delivery {
	k.s.Helper()
	ds := make([]store.Delivery, len(ids))
	for i, id := range ids {
		ds[i] = k.next()
		if got := ds[i].Message().ID; got != id {
			k.s.Fatalf("delivered %s, want %s (number %d)", got, id, i+1)
		}
	}
	return ds
}

// none checks that nothing more is delivered.
func (k *taker) none() {
	k.s.Helper()
	k.s.settle()
	select {
	case d := <-k.got:
		k.s.Fatalf("%s was delivered", d.Message().ID)
	default:
	}
}

// contents gives the IDs of all messages of a queue by Browse.
func (s *suite) contents(queue string) []string {
	ms, _ := s.e.Browse(queue, 0, 1_000_000)
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = m.ID
	}
	return all
}

func (s *suite) wantContents(queue string, ids ...string) {
	s.Helper()
	if got := s.contents(queue); !slices.Equal(got, ids) {
		s.Fatalf("%s holds %v, want %v", queue, got, ids)
	}
}
