package storetest

import (
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
