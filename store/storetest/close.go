package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
)

var closeCases = []testCase{
	{name: "Close/ConsumerGetsNoMore", run: func(s *suite) {
		s.publish("q", "m1", "m2")
		k := s.take("q", 1)
		d := k.want("m1")[0]
		k.Close()
		k.Credit(5)
		s.publish("q", "m3")
		d.Release()
		k.none()
		k.Close() // again: nothing happens
		s.take("q", 9).want("m1", "m2", "m3")
	}},
	{name: "Close/ConsumerWaitsForDeliver", run: func(s *suite) {
		entered, leave := make(chan struct{}), make(chan struct{})
		var left atomic.Bool
		c, err := s.e.Consume("q", func(store.Delivery) {
			close(entered)
			<-leave // a real one must not block
			left.Store(true)
		})
		if err != nil {
			s.Fatal(err)
		}
		go func() {
			c.Credit(5)
			s.e.Publish(message("q", "m1"), nil)
			s.e.Publish(message("q", "m2"), nil)
		}()
		<-entered
		closed := make(chan struct{})
		for range 2 {
			go func() {
				c.Close()
				if !left.Load() {
					s.Error("Close returned while deliver ran")
				}
				closed <- struct{}{}
			}()
		}
		s.settle()
		close(leave)
		<-closed
		<-closed
		s.eventually("one message on loan, one ready", func() bool {
			st := s.e.Stat("q")
			return st.Held == 1 && st.Ready == 1
		})
	}},
	{name: "Close/EngineAnswersErrClosed", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3", "m4", "m5")
		s.publish("r", "r1")
		k := s.take("q", 4)
		ds := k.want("m1", "m2", "m3", "m4")
		if err := s.e.Close(); err != nil {
			s.Fatal(err)
		}
		wantClosed := func(what string, f func(done func(error))) {
			s.Helper()
			if err := s.result(what, f); !errors.Is(err, store.ErrClosed) {
				s.Errorf("%s after Close: %v", what, err)
			}
		}
		wantClosed("Publish", func(done func(error)) {
			s.e.Publish(message("q", "m9"), func(_ bool, err error) { done(err) })
		})
		wantClosed("Commit", func(done func(error)) { s.e.Commit([]*store.Message{message("q", "m9")}, nil, done) })
		wantClosed("Commit of an ack", func(done func(error)) { s.e.Commit(nil, ds[:1], done) })
		wantClosed("Purge", func(done func(error)) { s.e.Purge("q", func(_ int, err error) { done(err) }) })
		wantClosed("Drop", func(done func(error)) { s.e.Drop("q", done) })
		wantClosed("Ack", ds[0].Ack)
		wantClosed("Nack", func(done func(error)) { ds[1].Nack(0, done) })
		wantClosed("Move", func(done func(error)) { ds[2].Move(message("r", "x"), done) })
		ds[3].Release()
		if _, err := s.e.Consume("r", func(store.Delivery) {}); !errors.Is(err, store.ErrClosed) {
			s.Errorf("Consume after Close: %v", err)
		}
		k.Credit(9)
		k.none()
		k.Close()
		if st := s.e.Stat("q"); st != (store.Stat{}) {
			s.Errorf("Stat after Close: %+v", st)
		}
		if names := s.e.Queues("", 9); len(names) != 0 {
			s.Errorf("Queues after Close: %q", names)
		}
		if ms, _ := s.e.Browse("q", 0, 9); len(ms) != 0 {
			s.Errorf("Browse after Close: %d messages", len(ms))
		}
	}},
	{name: "Close/EngineStopsTimers", run: func(s *suite) {
		k := s.take("q", 9)
		s.publishMessage(delayed("q", "m1", s.unit()))
		s.publishMessage(expiring("r", "m2", s.unit()))
		if err := s.e.Close(); err != nil {
			s.Fatal(err)
		}
		time.Sleep(s.unit())
		k.none()
	}},
}

var reopenCases = []testCase{
	{name: "Reopen/PersistentMessagesAreThere", run: func(s *suite) {
		all := ids("m", 100)
		s.publish("q", all...)
		late := delayed("q", "late", time.Hour)
		s.publishMessage(late)
		k := s.take("q", 4)
		ds := k.want(all[:4]...)
		s.ack(ds[0])
		s.nack(ds[2], 0)
		if err := s.commit([]*store.Message{message("r", "r1")}, ds[3]); err != nil {
			s.Fatal(err)
		}
		s.reopen()
		s.wantContents("r", "r1")
		want := slices.Concat(all[1:3], all[4:])
		s.wantContents("q", append(slices.Clone(want), "late")...)
		k = s.take("q", len(want)+1)
		again := k.want(want...)
		k.none()
		// What was on loan may count or not, what was given back must.
		if got := again[1].Count(); got != 2 {
			s.Errorf("%s: count %d, want 2", all[2], got)
		}
	}},
	{name: "Reopen/PurgedAndDroppedStayAway", run: func(s *suite) {
		s.publish("p", "p1", "p2")
		s.publish("d", "d1")
		s.publish("q", "m1")
		s.ok("Purge", func(done func(error)) { s.e.Purge("p", func(_ int, err error) { done(err) }) })
		s.ok("Drop", func(done func(error)) { s.e.Drop("d", done) })
		s.reopen()
		if names := s.e.Queues("", 9); !slices.Equal(names, []string{"q"}) {
			s.Errorf("queues: %q", names)
		}
	}},
	{name: "Reopen/ExpiredMeanwhile", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		s.publishMessage(expiring("q", "m1", s.unit()))
		k := s.take("q", 1) // on loan it does not expire
		k.want("m1")
		time.Sleep(2 * s.unit())
		s.reopen()
		s.take("dlq", 1).want("dead-m1")
		s.stat("q", store.Stat{})
	}},
}

func (s *suite) reopen() {
	s.Helper()
	s.e = s.opts.Reopen(s.T, s.e, s.setup)
}
