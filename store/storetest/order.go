package storetest

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/gudokmq/gudok/store"
)

var orderCases = []testCase{
	{name: "Order/PublishedBeforeConsume", run: func(s *suite) {
		all := ids("m", 1000)
		s.publish("q", all...)
		s.take("q", 1000).want(all...)
	}},
	{name: "Order/PublishedAfterConsume", run: func(s *suite) {
		all := ids("m", 1000)
		k := s.take("q", 1000)
		s.publish("q", all...)
		k.want(all...)
	}},
	{name: "Order/WithoutWaitingForDone", run: func(s *suite) {
		all := ids("m", 1000)
		k := s.take("q", 1000)
		for _, id := range all {
			_, done := s.newDone("Publish " + id)
			s.e.Publish(message("q", id), func(_ bool, err error) { done(err) })
		}
		k.want(all...)
	}},
	{name: "Order/QueuesAreApart", run: func(s *suite) {
		s.publish("a", "a1")
		s.publish("b", "b1")
		s.publish("a", "a2")
		s.take("b", 9).want("b1")
		s.take("a", 9).want("a1", "a2")
	}},
	{name: "Order/ReturnedTakesItsOldPlace", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3", "m4", "m5")
		k := s.take("q", 4)
		ds := k.want("m1", "m2", "m3", "m4")
		s.nack(ds[2], 0)
		ds[0].Release()
		s.nack(ds[1], 0)
		s.publish("q", "m6")
		k.Credit(9)
		k.want("m1", "m2", "m3", "m5", "m6")
	}},
	{name: "Order/ClosedConsumersMessagesComeBack", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3", "m4")
		k := s.take("q", 3)
		ds := k.want("m1", "m2", "m3")
		s.ack(ds[1])
		k.Close()
		s.nack(ds[2], 0)
		ds[0].Release()
		again := s.take("q", 9).want("m1", "m3", "m4")
		for i, count := range []int{1, 2, 1} {
			if again[i].Count() != count {
				s.Errorf("%s: count %d, want %d", again[i].Message().ID, again[i].Count(), count)
			}
		}
	}},
	{name: "Order/MessageComesBackUnchanged", run: func(s *suite) {
		data := bytes.Repeat([]byte{0, 1, 0xff, '\n'}, 50_000)
		sent := []*store.Message{
			{ID: "full", Queue: "/queue/ä b", Data: data, Flags: 0xa5, Priority: 9, Persistent: true, Expires: 1 << 42},
			{ID: "bare", Queue: "/queue/ä b"},
		}
		for _, m := range sent {
			s.publishMessage(m)
		}
		k := s.take("/queue/ä b", 2)
		for _, want := range sent {
			got := k.next().Message()
			if got.ID != want.ID || got.Queue != want.Queue || !bytes.Equal(got.Data, want.Data) ||
				got.Flags != want.Flags || got.Priority != want.Priority || got.Persistent != want.Persistent ||
				got.Expires != want.Expires || got.NotBefore != want.NotBefore {
				s.Errorf("%s changed on its way", want.ID)
			}
		}
	}},
	{name: "Order/NilDone", run: func(s *suite) {
		s.e.Publish(message("q", "m1"), nil)
		s.e.Commit([]*store.Message{message("q", "m2")}, nil, nil)
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		ds[0].Nack(0, nil)
		k.Credit(1)
		k.want("m1")[0].Ack(nil)
		ds[1].Move(message("r", "m3"), nil)
		s.eventually("the moved message is in r", func() bool { return s.e.Stat("r").Ready == 1 })
		s.e.Purge("r", nil)
		s.e.Drop("r", nil)
	}},
}

var creditCases = []testCase{
	{name: "Credit/NothingWithout", run: func(s *suite) {
		s.publish("q", "m1")
		k := s.take("q", 0)
		s.publish("q", "m2")
		k.none()
	}},
	{name: "Credit/EachDeliveryUsesOne", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3", "m4")
		k := s.take("q", 1)
		d := k.want("m1")[0]
		k.none()
		s.ack(d) // does not give the credit back
		k.none()
		k.Credit(1)
		k.Credit(1)
		k.want("m2", "m3")
		k.none()
	}},
	{name: "Credit/ReturnedMessageNeedsItToo", run: func(s *suite) {
		s.publish("q", "m1")
		k := s.take("q", 1)
		s.nack(k.want("m1")[0], 0)
		k.none()
		k.Credit(1)
		k.want("m1")[0].Release()
		k.none()
	}},
	{name: "Credit/KeptForLaterMessages", run: func(s *suite) {
		k := s.take("q", 2)
		k.none()
		s.publish("q", "m1", "m2", "m3")
		k.want("m1", "m2")
		k.none()
	}},
	{name: "Credit/DeliverMayCallBack", run: func(s *suite) {
		const n = 5000
		all := ids("m", n)
		var inside atomic.Int32
		var got []string
		finished := make(chan struct{})
		handed := make(chan store.Consumer, 1)
		var own store.Consumer
		c, err := s.e.Consume("q", func(d store.Delivery) {
			if inside.Add(1) != 1 {
				s.Error("deliver is called while it runs")
			}
			defer inside.Add(-1)
			if own == nil {
				own = <-handed
			}
			switch {
			case d.Count() == 1 && len(got)%7 == 0:
				d.Nack(0, nil)
			default:
				got = append(got, d.Message().ID)
				d.Ack(nil)
				s.e.Publish(message("other", "o"+d.Message().ID), nil)
			}
			if len(got) == n {
				close(finished)
			}
			own.Credit(1)
		})
		if err != nil {
			s.Fatal(err)
		}
		handed <- c
		c.Credit(1)
		s.publish("q", all...)
		<-finished
		if !slices.Equal(got, all) {
			s.Error("not in order")
		}
		s.stat("q", store.Stat{Consumed: true})
		s.eventually("each callback's own message is there", func() bool { return s.e.Stat("other").Ready == n })
	}},
}
