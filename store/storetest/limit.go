package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
)

// someBounds are of a queue that takes three, of one that keeps the last three, and of one that
// takes hardly a byte.
func someBounds(queue string) store.Bounds {
	switch queue {
	case "three":
		return store.Bounds{Messages: 3}
	case "ring":
		return store.Bounds{Messages: 3, DropOldest: true}
	case "small":
		return store.Bounds{Bytes: 60}
	}
	return store.Bounds{}
}

// growing are bounds that take one message more with each question.
func growing(queue string) store.Bounds {
	n, _ := grown.LoadOrStore(queue, new(atomic.Int64))
	return store.Bounds{Messages: int(n.(*atomic.Int64).Add(1))}
}

var (
	grown  sync.Map // by queue: the questions so far
	unique atomic.Int64
)

var limitCases = []testCase{
	{name: "Limit/Messages", setup: Setup{MaxMessages: 3}, run: func(s *suite) {
		s.publish("q", "m1", "m2")
		s.publishMessage(delayed("q", "m3", time.Hour))
		if err := s.tryPublish(message("q", "m4")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("message 4 of 3: %v", err)
		}
		s.publish("other", "o1")
		d := s.take("q", 1).want("m1")[0]
		if err := s.tryPublish(message("q", "m5")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("a message on loan must count: %v", err)
		}
		s.ack(d)
		s.publish("q", "m6")
		s.wantContents("q", "m2", "m3", "m6")
	}},
	{name: "Limit/Bytes", setup: Setup{MaxBytes: 2000}, run: func(s *suite) {
		half := func(queue, id string, more int) *store.Message {
			m := &store.Message{ID: id, Queue: queue}
			m.Data = make([]byte, 1000-m.Size()+more)
			return m
		}
		s.publishMessage(half("a", "m1", 0))
		if err := s.tryPublish(half("b", "m2", 1)); !errors.Is(err, store.ErrFull) {
			s.Fatalf("2001 bytes of 2000: %v", err)
		}
		s.publishMessage(half("b", "m3", 0))
		if err := s.tryPublish(message("c", "m4")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("beyond 2000 bytes: %v", err)
		}
		if names := s.e.Queues("", 9); len(names) != 2 {
			s.Errorf("queues: %q", names)
		}
		// Each way out gives the room back.
		d := s.take("a", 1).want("m1")[0]
		s.ok("Move", func(done func(error)) { d.Move(half("a2", "m5", 0), done) })
		s.ok("Purge", func(done func(error)) { s.e.Purge("b", func(_ int, err error) { done(err) }) })
		s.publishMessage(half("b", "m6", 0))
		s.ok("Drop", func(done func(error)) { s.e.Drop("a2", done) })
		m := half("c", "m7", 0)
		m.Expires = inMilli(s.unit())
		s.publishMessage(m)
		s.stat("c", store.Stat{})
		s.publishMessage(half("d", "m8", 0))
		if err := s.tryPublish(message("e", "m9")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("beyond 2000 bytes at the end: %v", err)
		}
	}},
	{name: "Limit/Bounds", setup: Setup{MaxMessages: 4, Bounds: someBounds}, run: func(s *suite) {
		s.publish("three", "m1", "m2", "m3")
		for _, m := range []*store.Message{message("three", "m4"), message("small", "m5")} {
			if err := s.tryPublish(m); !errors.Is(err, store.ErrFull) {
				s.Errorf("%s: %v", m.ID, err)
			}
		}
		s.publish("other", "m1", "m2", "m3", "m4")
		if err := s.tryPublish(message("other", "m5")); !errors.Is(err, store.ErrFull) {
			s.Errorf("beyond the engine's own limit: %v", err)
		}
		d := s.take("three", 1).want("m1")[0]
		if err := s.commit([]*store.Message{message("three", "m5"), message("three", "m6")}, d); !errors.Is(err, store.ErrFull) {
			s.Errorf("two for one: %v", err)
		}
		if err := s.commit([]*store.Message{message("three", "m7")}, d); err != nil {
			s.Errorf("one for one: %v", err)
		}
		s.wantContents("three", "m2", "m3", "m7")
	}},
	{name: "Limit/Rebound", setup: Setup{Bounds: growing}, run: func(s *suite) {
		r, ok := s.e.(store.Rebounder)
		if !ok {
			s.Skip("this engine asks for bounds each time, or not at all")
		}
		q := fmt.Sprintf("q%d", unique.Add(1))
		s.publish(q, "m1") // the first question: one message
		if err := s.tryPublish(message(q, "m2")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("message 2 of 1: %v", err)
		}
		r.Rebound()
		s.publish(q, "m3")
		if err := s.tryPublish(message(q, "m4")); !errors.Is(err, store.ErrFull) {
			s.Fatalf("message 3 of 2: %v", err)
		}
		s.wantContents(q, "m1", "m3")
	}},
	{name: "Limit/Names", run: func(s *suite) {
		c, ok := s.e.(store.Namer)
		if !ok {
			s.Skip("this engine does not count its queues")
		}
		s.publish("there", "m1")
		names := &store.Names{Exempt: func(q string) bool { return q == "free" }}
		names.Bound(3)
		c.CountNames(names)
		s.publish("two", "m1")
		k := s.take("three", 1)
		count := func(want int) {
			s.Helper()
			s.eventually(fmt.Sprintf("%d queues are counted", want), func() bool { return names.Count() == want })
		}
		refused := func(err error) {
			s.Helper()
			if !errors.Is(err, store.ErrQueues) {
				s.Errorf("a queue too many: %v", err)
			}
		}
		count(3)
		refused(s.tryPublish(message("four", "m1")))
		_, err := s.e.Consume("four", func(store.Delivery) {})
		refused(err)
		s.publish("free", "m1") // is not counted
		s.publish("two", "m2")
		s.publish("three", "m1")
		d := k.want("m1")[0]
		refused(s.commit([]*store.Message{message("two", "m3"), message("four", "m1")}, d))
		s.wantContents("two", "m1", "m2")
		count(3)
		s.ok("Move", func(done func(error)) { d.Move(message("grave", "m1"), done) })
		count(4)
		s.wantContents("grave", "m1")
		s.ok("Drop", func(done func(error)) { s.e.Drop("two", done) })
		count(3)
		refused(s.tryPublish(message("four", "m1")))
		s.ok("Drop", func(done func(error)) { s.e.Drop("grave", done) })
		s.ok("Drop", func(done func(error)) { s.e.Drop("free", done) })
		count(2)
		refused(s.commit([]*store.Message{message("four", "m1"), message("five", "m1")}))
		count(2) // the first of them has left nothing
		if err := s.commit([]*store.Message{message("four", "m1"), message("four", "m2")}); err != nil {
			s.Errorf("commit to one more: %v", err)
		}
		count(3)
		refused(s.commit([]*store.Message{message("five", "m1")}))
		names.Bound(0)
		s.publish("five", "m1")
		s.publish("six", "m1")
		count(5)
	}},
	{name: "Limit/DropOldest", setup: Setup{Bounds: someBounds}, run: func(s *suite) {
		s.publish("ring", "m1", "m2", "m3", "m4")
		s.wantContents("ring", "m2", "m3", "m4")
		k := s.take("ring", 2)
		held := k.want("m2", "m3")
		s.publish("ring", "m5")
		s.publish("ring", "m6") // what is on loan stays
		s.wantContents("ring", "m2", "m3", "m6")
		if err := s.commit([]*store.Message{message("ring", "m7"), message("ring", "m8")}, held[0]); err != nil {
			s.Errorf("commit: %v", err)
		}
		s.wantContents("ring", "m3", "m7", "m8")
		if err := s.commit([]*store.Message{message("ring", "a"), message("ring", "b"), message("ring", "c"), message("ring", "d")}); !errors.Is(err, store.ErrFull) {
			s.Errorf("more than there is ever room for: %v", err)
		}
		s.wantContents("ring", "m3", "m7", "m8")
		s.ack(held[1])
		k.Credit(5)
		k.want("m7", "m8")
		if err := s.tryPublish(message("ring", "m9")); err != nil {
			s.Errorf("a third beside two on loan: %v", err)
		}
		k.want("m9")
		if err := s.tryPublish(message("ring", "m10")); !errors.Is(err, store.ErrFull) {
			s.Errorf("all are on loan, yet one gave way: %v", err)
		}
	}},
}
