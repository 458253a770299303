package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store"
)

// ways are the settling calls, each by its name.
var ways = []struct {
	name   string
	settle func(s *suite, d store.Delivery)
}{
	{"Ack", func(s *suite, d store.Delivery) { s.ack(d) }},
	{"Nack", func(s *suite, d store.Delivery) { s.nack(d, 0) }},
	{"NackLater", func(s *suite, d store.Delivery) { s.nack(d, time.Hour) }},
	{"Release", func(s *suite, d store.Delivery) { d.Release() }},
	{"Move", func(s *suite, d store.Delivery) {
		s.ok("Move", func(done func(error)) { d.Move(message("moved", "x"), done) })
	}},
	{"Commit", func(s *suite, d store.Delivery) {
		if err := s.commit(nil, d); err != nil {
			s.Fatal(err)
		}
	}},
}

var settleCases = []testCase{
	{name: "Settle/AckRemoves", run: func(s *suite) {
		s.publish("q", "m1", "m2")
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		s.ack(ds[0])
		s.wantContents("q", "m2")
		s.ack(ds[1])
		s.stat("q", store.Stat{Consumed: true})
	}},
	{name: "Settle/Count", run: func(s *suite) {
		s.publish("q", "m1")
		k := s.take("q", 0)
		for i, step := range []struct {
			want int
			nack bool
		}{{1, true}, {2, false}, {2, false}, {2, true}, {3, true}, {4, false}, {4, true}} {
			k.Credit(1)
			d := k.want("m1")[0]
			if d.Count() != step.want {
				s.Fatalf("step %d: count %d, want %d", i, d.Count(), step.want)
			}
			if step.nack {
				s.nack(d, 0)
			} else {
				d.Release()
			}
		}
	}},
	{name: "Settle/OnlyTheFirstCounts", run: func(s *suite) {
		for _, first := range ways {
			for _, second := range ways {
				queue := fmt.Sprintf("%s-%s", first.name, second.name)
				s.publish(queue, "m1", "m2")
				k := s.take(queue, 1)
				d := k.want("m1")[0]
				first.settle(s, d)
				want := s.contents(queue)
				moved := s.e.Stat("moved").Messages()
				stat := s.e.Stat(queue)
				second.settle(s, d)
				if got := s.contents(queue); !slices.Equal(got, want) {
					s.Errorf("%s: left %v, then %v", queue, want, got)
				}
				if got := s.e.Stat(queue); got != stat {
					s.Errorf("%s: Stat was %+v, then %+v", queue, stat, got)
				}
				if second.name == "Move" && s.e.Stat("moved").Messages() != moved {
					s.Errorf("%s: the late Move published", queue)
				}
			}
		}
	}},
	{name: "Settle/LateCallSparesTheNextLoan", run: func(s *suite) {
		for _, late := range ways {
			s.publish(late.name, "m1")
			k := s.take(late.name, 1)
			old := k.want("m1")[0]
			s.nack(old, 0)
			k.Credit(1)
			d := k.want("m1")[0]
			late.settle(s, old)
			if st := s.e.Stat(late.name); st.Held != 1 {
				s.Errorf("late %s: the new loan is disturbed: %+v", late.name, st)
			}
			s.ack(d)
			s.stat(late.name, store.Stat{Consumed: true})
		}
	}},
	{name: "Settle/AfterConsumerClose", run: func(s *suite) {
		for _, way := range ways {
			s.publish(way.name, "m1", "m2")
			k := s.take(way.name, 1)
			d := k.want("m1")[0]
			k.Close()
			s.stat(way.name, store.Stat{Ready: 1, Held: 1, Bytes: s.e.Stat(way.name).Bytes})
			way.settle(s, d)
			want := []string{"m2"}
			if way.name == "Nack" || way.name == "Release" {
				want = []string{"m1", "m2"}
			}
			s.take(way.name, 9).want(want...)
		}
	}},
	{name: "Settle/NackDelay", run: func(s *suite) {
		delay := 2 * s.unit()
		s.publish("q", "m1", "m2")
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		start := time.Now()
		s.nack(ds[0], delay)
		k.Credit(2)
		s.stat("q", store.Stat{Delayed: 1, Held: 1, Bytes: 2 * int64(message("q", "m1").Size()), Consumed: true})
		d := k.want("m1")[0]
		if waited := time.Since(start); waited < delay {
			s.Errorf("came back after %v, want at least %v", waited, delay)
		}
		if d.Count() != 2 {
			s.Errorf("count %d, want 2", d.Count())
		}
		s.nack(ds[1], delay)
		k.want("m2")
	}},
	{name: "Settle/DelayedTakesItsOldPlace", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3")
		k := s.take("q", 1)
		s.nack(k.want("m1")[0], s.unit())
		s.eventually("the delay is over", func() bool { return s.e.Stat("q").Ready == 3 })
		k.Credit(3)
		k.want("m1", "m2", "m3")
	}},
}

var moveCases = []testCase{
	{name: "Move/Moves", run: func(s *suite) {
		s.publish("q", "m1", "m2")
		dlq := s.take("dlq", 9)
		d := s.take("q", 1).want("m1")[0]
		s.ok("Move", func(done func(error)) { d.Move(message("dlq", "dead1"), done) })
		if got := dlq.want("dead1")[0].Count(); got != 1 {
			s.Errorf("count %d, want 1", got)
		}
		s.wantContents("q", "m2")
	}},
	{name: "Move/ToTheSameQueue", run: func(s *suite) {
		s.publish("q", "m1", "m2")
		k := s.take("q", 1)
		d := k.want("m1")[0]
		s.ok("Move", func(done func(error)) { d.Move(message("q", "m3"), done) })
		k.Credit(9)
		k.want("m2", "m3")
	}},
	{name: "Move/RefusedLeavesItHeld", setup: Setup{MaxMessages: 2}, run: func(s *suite) {
		s.publish("dlq", "d1", "d2")
		s.publish("q", "m1")
		k := s.take("q", 1)
		d := k.want("m1")[0]
		err := s.result("Move", func(done func(error)) { d.Move(message("dlq", "d3"), done) })
		if !errors.Is(err, store.ErrFull) {
			s.Fatalf("Move into a full queue: %v", err)
		}
		if st := s.e.Stat("q"); st.Held != 1 {
			s.Fatalf("after the refusal: %+v", st)
		}
		s.wantContents("dlq", "d1", "d2")
		s.nack(d, 0)
		k.Credit(1)
		s.ack(k.want("m1")[0])
	}},
}
