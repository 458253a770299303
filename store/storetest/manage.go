package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store"
)

var manageCases = []testCase{
	{name: "Manage/Stat", run: func(s *suite) {
		s.stat("q", store.Stat{})
		size := int64(message("q", "m1").Size())
		s.publish("q", "m1", "m2", "m3")
		s.stat("q", store.Stat{Ready: 3, Bytes: 3 * size})
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		s.stat("q", store.Stat{Ready: 1, Held: 2, Bytes: 3 * size, Consumed: true})
		s.nack(ds[0], time.Hour)
		s.stat("q", store.Stat{Ready: 1, Held: 1, Delayed: 1, Bytes: 3 * size, Consumed: true})
		s.ack(ds[1])
		k.Close()
		s.stat("q", store.Stat{Ready: 1, Delayed: 1, Bytes: 2 * size})
	}},
	{name: "Manage/QueueLivesWhileItHasSomething", run: func(s *suite) {
		exists := func(want bool) {
			s.Helper()
			if got := slices.Contains(s.e.Queues("", 100), "q"); got != want {
				s.Fatalf("the queue exists: %v, want %v", got, want)
			}
		}
		exists(false)
		k := s.take("q", 1)
		exists(true)
		k.Close()
		exists(false)
		s.publish("q", "m1")
		exists(true)
		k = s.take("q", 1)
		d := k.want("m1")[0]
		k.Close()
		exists(true)
		s.ack(d)
		exists(false)
	}},
	{name: "Manage/Queues", run: func(s *suite) {
		var want []string
		for _, id := range ids("q", 250) {
			s.publish(id, "m")
			want = append(want, id)
		}
		var got []string
		for after := ""; ; {
			page := s.e.Queues(after, 100)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			s.Errorf("got %d names: %q", len(got), got)
		}
		if page := s.e.Queues("q0001x", 2); !slices.Equal(page, []string{"q0002", "q0003"}) {
			s.Errorf("after a name that does not exist: %q", page)
		}
	}},
	{name: "Manage/Browse", run: func(s *suite) {
		if ms, _ := s.e.Browse("none", 0, 10); len(ms) != 0 {
			s.Errorf("no queue, yet %d messages", len(ms))
		}
		all := ids("m", 300)
		s.publish("q", all...)
		k := s.take("q", 150)
		for i, d := range k.want(all[:150]...) {
			if i%2 == 1 {
				s.ack(d)
			}
		}
		var want, got []string
		for i, id := range all {
			if i >= 150 || i%2 == 0 {
				want = append(want, id)
			}
		}
		for after := uint64(0); ; {
			ms, last := s.e.Browse("q", after, 7)
			if len(ms) == 0 {
				break
			}
			if len(ms) > 7 {
				s.Fatalf("asked for 7, got %d", len(ms))
			}
			for _, m := range ms {
				got = append(got, m.ID)
			}
			after = last
		}
		if !slices.Equal(got, want) {
			s.Errorf("got %q", got)
		}
		k.none()
	}},
	{name: "Manage/Purge", run: func(s *suite) {
		purge := func(queue string) (n int) {
			s.Helper()
			s.ok("Purge", func(done func(error)) {
				s.e.Purge(queue, func(purged int, err error) { n = purged; done(err) })
			})
			return n
		}
		if n := purge("none"); n != 0 {
			s.Errorf("purged %d of nothing", n)
		}
		s.publish("q", "m1", "m2", "m3", "m4")
		s.publishMessage(delayed("q", "m5", s.unit()))
		k := s.take("q", 2)
		ds := k.want("m1", "m2")
		if n := purge("q"); n != 3 {
			s.Errorf("purged %d, want 3", n)
		}
		s.wantContents("q", "m1", "m2")
		s.nack(ds[1], 0)
		s.publish("q", "m6")
		k.Credit(9)
		k.want("m2", "m6")
		time.Sleep(2 * s.unit())
		k.none()
		k.Close()
		s.publish("r", "r1", "r2")
		if n := purge("r"); n != 2 {
			s.Errorf("purged %d, want 2", n)
		}
		if names := s.e.Queues("", 9); !slices.Equal(names, []string{"q"}) {
			s.Errorf("queues: %q", names)
		}
	}},
	{name: "Manage/Drop", run: func(s *suite) {
		drop := func(queue string) error {
			s.Helper()
			return s.result("Drop", func(done func(error)) { s.e.Drop(queue, done) })
		}
		if err := drop("none"); err != nil {
			s.Errorf("Drop of nothing: %v", err)
		}
		s.publish("q", "m1", "m2")
		k := s.take("q", 1)
		d := k.want("m1")[0]
		if err := drop("q"); !errors.Is(err, store.ErrConsumed) {
			s.Fatalf("Drop of a consumed queue: %v", err)
		}
		s.wantContents("q", "m1", "m2")
		k.Close()
		if err := drop("q"); err != nil {
			s.Fatal(err)
		}
		s.stat("q", store.Stat{})
		if names := s.e.Queues("", 9); len(names) != 0 {
			s.Errorf("queues: %q", names)
		}
		// A delivery from before must not touch the queue that has the name now.
		s.publish("q", "n1")
		s.take("q", 1).want("n1")
		s.nack(d, 0)
		s.ack(d)
		s.wantContents("q", "n1")
	}},
	{name: "Manage/OneConsumer", run: func(s *suite) {
		k := s.take("q", 0)
		if _, err := s.e.Consume("q", func(store.Delivery) {}); !errors.Is(err, store.ErrConsumed) {
			s.Fatalf("second consumer: %v", err)
		}
		s.take("other", 0)
		k.Close()
		s.take("q", 0)
	}},
}
