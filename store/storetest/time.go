package storetest

import (
	"errors"
	"time"

	"github.com/gudokmq/gudok/store"
)

// inMilli is the moment d from now, Unix milliseconds, as a router would compute it.
func inMilli(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }

func expiring(queue, id string, in time.Duration) *store.Message {
	m := message(queue, id)
	m.Expires = inMilli(in)
	return m
}

func delayed(queue, id string, by time.Duration) *store.Message {
	m := message(queue, id)
	m.NotBefore = inMilli(by)
	return m
}

// deadLetter is the Setup.Expired of the cases.
func deadLetter(m *store.Message) *store.Message { return message("dlq", "dead-"+m.ID) }

var timeCases = []testCase{
	{name: "Time/Delay", run: func(s *suite) {
		k := s.take("q", 9)
		m := delayed("q", "late", 2*s.unit())
		s.publishMessage(m)
		s.publish("q", "m1")
		k.want("m1", "late")
		if now := time.Now().UnixMilli(); now < m.NotBefore {
			s.Errorf("delivered %d ms early", m.NotBefore-now)
		}
	}},
	{name: "Time/DelayWithoutConsumer", run: func(s *suite) {
		s.publishMessage(delayed("q", "late", s.unit()))
		s.publish("q", "m1")
		size := int64(message("q", "m1").Size() + message("q", "late").Size())
		s.stat("q", store.Stat{Ready: 1, Delayed: 1, Bytes: size})
		s.stat("q", store.Stat{Ready: 2, Bytes: size})
		s.take("q", 9).want("late", "m1")
	}},
	{name: "Time/DelayThatIsOver", run: func(s *suite) {
		s.publishMessage(delayed("q", "m1", -time.Hour))
		s.take("q", 1).want("m1")
	}},
	{name: "Time/SoonerDelayPublishedLater", run: func(s *suite) {
		k := s.take("q", 9)
		s.publishMessage(delayed("q", "m1", time.Hour))
		s.publishMessage(delayed("q", "m2", s.unit()))
		s.publishMessage(delayed("r", "m3", time.Hour))
		k.want("m2")
	}},
	{name: "Time/ExpiredVanishesWithItsQueue", run: func(s *suite) {
		s.publishMessage(expiring("q", "m1", s.unit()))
		s.publishMessage(expiring("q", "m2", s.unit()))
		s.eventually("the queue is gone", func() bool { return len(s.e.Queues("", 9)) == 0 })
		s.stat("q", store.Stat{})
	}},
	{name: "Time/ExpiredIsNotDelivered", run: func(s *suite) {
		s.publishMessage(expiring("q", "old", -time.Second))
		s.publishMessage(expiring("q", "soon", s.unit()))
		s.publish("q", "m1")
		time.Sleep(2 * s.unit())
		k := s.take("q", 9)
		k.want("m1")
		k.none()
		s.stat("q", store.Stat{Held: 1, Bytes: int64(message("q", "m1").Size()), Consumed: true})
	}},
	{name: "Time/ManyExpire", run: func(s *suite) {
		for _, id := range ids("m", 2000) {
			s.publishMessage(expiring("q", id, 3*s.unit()))
		}
		s.publish("q", "stays")
		s.stat("q", store.Stat{Ready: 1, Bytes: int64(message("q", "stays").Size())})
	}},
	{name: "Time/DeadLetter", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		k := s.take("dlq", 9)
		s.publishMessage(expiring("q", "m1", s.unit()))
		s.publish("q", "m2")
		k.want("dead-m1")
		s.wantContents("q", "m2")
	}},
	{name: "Time/NoDeadLetter", setup: Setup{Expired: func(*store.Message) *store.Message { return nil }}, run: func(s *suite) {
		s.publishMessage(expiring("q", "m1", s.unit()))
		s.stat("q", store.Stat{})
	}},
	{name: "Time/DelayedExpiresToo", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		m := expiring("q", "m1", s.unit())
		m.NotBefore = inMilli(time.Hour)
		s.publishMessage(m)
		s.take("dlq", 9).want("dead-m1")
		s.stat("q", store.Stat{})
	}},
	{name: "Time/NackedBeyondItsExpiry", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		s.publishMessage(expiring("q", "m1", 3*s.unit()))
		k := s.take("q", 9)
		s.nack(k.want("m1")[0], time.Hour)
		s.take("dlq", 9).want("dead-m1")
		k.none()
	}},
	{name: "Time/HeldDoesNotExpire", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		s.publishMessage(expiring("q", "m1", 2*s.unit()))
		s.publishMessage(expiring("q", "m2", 2*s.unit()))
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		time.Sleep(4 * s.unit())
		dlq := s.take("dlq", 9)
		dlq.none()
		s.ack(ds[0])
		s.nack(ds[1], 0) // now it does
		k.Credit(1)
		dlq.want("dead-m2")
		k.none()
		dlq.none()
	}},
	{name: "Time/DeadLetterThatFindsNoRoom", setup: Setup{Expired: deadLetter, MaxMessages: 1}, run: func(s *suite) {
		s.publish("dlq", "d1")
		s.publishMessage(expiring("q", "m1", s.unit()))
		s.stat("q", store.Stat{})
		s.wantContents("dlq", "d1")
	}},
}

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
}
