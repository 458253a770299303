package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store"
)

// moreReopenCases are about what a restart must not change.
var moreReopenCases = []testCase{
	{name: "Reopen/Unchanged", run: func(s *suite) {
		sent := []*store.Message{
			{ID: "full", Queue: "/queue/ä b", Data: bytes.Repeat([]byte{0, 0xff}, 100_000), Flags: 0xa5, Priority: 9, Persistent: true, Expires: 1 << 42},
			{ID: "bare", Queue: "/queue/ä b", Persistent: true},
			{ID: "past", Queue: "/queue/ä b", Data: []byte("x"), Persistent: true, NotBefore: 1},
		}
		for _, m := range sent {
			s.publishMessage(m)
		}
		stat := s.e.Stat("/queue/ä b")
		s.reopen()
		if got := s.e.Stat("/queue/ä b"); got != stat {
			s.Errorf("Stat was %+v, is %+v", stat, got)
		}
		k := s.take("/queue/ä b", 3)
		for _, want := range sent {
			got := k.next().Message()
			if got.ID != want.ID || got.Queue != want.Queue || !bytes.Equal(got.Data, want.Data) || got.Flags != want.Flags ||
				got.Priority != want.Priority || !got.Persistent || got.Expires != want.Expires || got.NotBefore != want.NotBefore {
				s.Errorf("%s changed: %+v", want.ID, got)
			}
		}
	}},
	{name: "Reopen/OthersAreGone", run: func(s *suite) {
		m := message("q", "m1")
		m.Persistent = false
		s.publishMessage(m)
		s.publish("q", "m2")
		m = message("r", "r1")
		m.Persistent = false
		s.publishMessage(m)
		s.wantContents("q", "m1", "m2")
		s.reopen()
		s.wantContents("q", "m2")
		if names := s.e.Queues("", 9); !slices.Equal(names, []string{"q"}) {
			s.Errorf("queues: %q", names)
		}
	}},
	{name: "Reopen/TimersGoOn", setup: Setup{Expired: deadLetter}, run: func(s *suite) {
		start := time.Now()
		s.publishMessage(delayed("q", "late", 2*s.unit()))
		s.publishMessage(expiring("r", "short", 2*s.unit()))
		s.publish("n", "m1", "m2")
		s.nack(s.take("n", 1).want("m1")[0], 2*s.unit())
		s.publishMessage(delayed("q", "never", time.Hour))
		s.reopen()
		size := int64(message("n", "m1").Size())
		s.stat("n", store.Stat{Ready: 1, Delayed: 1, Bytes: 2 * size})
		s.take("q", 9).want("late")
		if waited := time.Since(start); waited < 2*s.unit()-time.Millisecond {
			s.Errorf("came after %v", waited)
		}
		s.take("dlq", 9).want("dead-short")
		s.stat("n", store.Stat{Ready: 2, Bytes: 2 * size})
		s.take("n", 2).want("m1", "m2") // in its old place
	}},
	{name: "Reopen/OrderOfWhatComesAfter", run: func(s *suite) {
		s.publish("q", "m1", "m2", "m3")
		s.nack(s.take("q", 1).want("m1")[0], 0)
		s.reopen()
		s.publish("q", "m4")
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		s.nack(ds[1], 0)
		s.ack(ds[0])
		s.reopen()
		s.publish("q", "m5")
		s.take("q", 9).want("m2", "m3", "m4", "m5")
	}},
	{name: "Reopen/EmptiedAndFilledAgain", run: func(s *suite) {
		for round := range 3 {
			for i, id := range ids("m", 20) {
				s.publish("q", id)
				if i%2 == 0 {
					k := s.take("q", 1)
					s.ack(k.want(id)[0])
					k.Close()
				} else {
					s.ok("Drop", func(done func(error)) { s.e.Drop("q", done) })
				}
			}
			if round == 1 {
				s.reopen()
			}
		}
		s.publish("q", "a", "b")
		s.reopen()
		s.wantContents("q", "a", "b")
	}},
}
