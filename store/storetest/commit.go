package storetest

import (
	"errors"

	"github.com/gudokmq/gudok/store"
)

var commitCases = []testCase{
	{name: "Commit/PublishesAndAcknowledges", run: func(s *suite) {
		s.publish("in", "m1", "m2", "m3")
		ds := s.take("in", 3).want("m1", "m2", "m3")
		out := s.take("out1", 9)
		err := s.commit([]*store.Message{
			message("out1", "a"), message("out2", "b"), message("out1", "c"), message("in", "d"),
		}, ds[0], ds[2])
		if err != nil {
			s.Fatal(err)
		}
		out.want("a", "c")
		s.wantContents("out2", "b")
		s.wantContents("in", "m2", "d")
	}},
	{name: "Commit/Empty", run: func(s *suite) {
		if err := s.commit(nil); err != nil {
			s.Fatal(err)
		}
	}},
	{name: "Commit/IgnoresWhatIsNotHeldAnyMore", run: func(s *suite) {
		s.publish("in", "m1", "m2", "m3")
		k := s.take("in", 3)
		ds := k.want("m1", "m2", "m3")
		s.ack(ds[0])
		s.nack(ds[1], 0)
		if err := s.commit([]*store.Message{message("out", "a")}, ds...); err != nil {
			s.Fatal(err)
		}
		s.wantContents("out", "a")
		s.wantContents("in", "m2")
		k.Credit(1)
		k.want("m2")
	}},
	{name: "Commit/IgnoresDeliveriesOfADroppedQueue", run: func(s *suite) {
		s.publish("in", "m1")
		k := s.take("in", 1)
		d := k.want("m1")[0]
		k.Close()
		s.ok("Drop", func(done func(error)) { s.e.Drop("in", done) })
		s.publish("in", "n1")
		if err := s.commit([]*store.Message{message("in", "n2")}, d, d); err != nil {
			s.Fatal(err)
		}
		s.wantContents("in", "n1", "n2")
	}},
	{name: "Commit/AllOrNothingByMessages", setup: Setup{MaxMessages: 3}, run: func(s *suite) {
		s.publish("full", "f1", "f2")
		s.publish("in", "m1")
		k := s.take("in", 1)
		d := k.want("m1")[0]
		err := s.commit([]*store.Message{
			message("out", "a"), message("full", "f3"), message("full", "f4"), message("new", "n"),
		}, d)
		if !errors.Is(err, store.ErrFull) {
			s.Fatalf("got %v", err)
		}
		s.wantContents("full", "f1", "f2")
		s.wantContents("out")
		if st := s.e.Stat("in"); st.Held != 1 || st.Messages() != 1 {
			s.Errorf("in: %+v", st)
		}
		if names := s.e.Queues("", 10); len(names) != 2 {
			s.Errorf("queues after the refusal: %q", names)
		}
		// The delivery is held as before, so it can still be settled.
		if err := s.commit([]*store.Message{message("full", "f3")}, d); err != nil {
			s.Fatal(err)
		}
		s.stat("in", store.Stat{Consumed: true})
	}},
	{name: "Commit/AllOrNothingByBytes", setup: Setup{MaxBytes: 1000}, run: func(s *suite) {
		s.publish("in", "m1")
		d := s.take("in", 1).want("m1")[0]
		big := &store.Message{ID: "big", Queue: "out", Data: make([]byte, 900)}
		err := s.commit([]*store.Message{message("out", "a"), big}, d)
		if !errors.Is(err, store.ErrFull) {
			s.Fatalf("got %v", err)
		}
		s.wantContents("out")
		if st := s.e.Stat("in"); st.Held != 1 {
			s.Errorf("in: %+v", st)
		}
		s.publish("out", "b")
	}},
	{name: "Commit/ItsAcksMakeRoom", setup: Setup{MaxMessages: 2}, run: func(s *suite) {
		s.publish("q", "m1", "m2")
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		if err := s.commit([]*store.Message{message("q", "m3"), message("q", "m4")}, ds...); err != nil {
			s.Fatal(err)
		}
		s.wantContents("q", "m3", "m4")
	}}, {name: "Commit/SettledAcksMakeNoRoom", setup: Setup{MaxMessages: 2, MaxBytes: 300}, run: func(s *suite) {
		full := func(ms []*store.Message, acks ...store.Delivery) {
			s.Helper()
			if err := s.commit(ms, acks...); !errors.Is(err, store.ErrFull) {
				s.Fatalf("got %v", err)
			}
		}
		s.publish("q", "m1")
		k := s.take("q", 9)
		acked := k.want("m1")[0]
		s.ack(acked)
		s.publish("q", "m2", "m3")
		held := k.want("m2", "m3")
		full([]*store.Message{message("q", "m4")}, acked)
		full([]*store.Message{message("q", "m4"), message("q", "m5")}, held[0], held[0])
		s.ack(held[1])
		s.ack(held[0])

		s.publish("dropped", "d1")
		k = s.take("dropped", 1)
		gone := k.want("d1")[0]
		k.Close()
		s.ok("Drop", func(done func(error)) { s.e.Drop("dropped", done) })
		big := &store.Message{ID: "big", Queue: "q", Data: make([]byte, 240)}
		full([]*store.Message{big}, gone)
	}},
}
