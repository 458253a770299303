package storetest

import (
	"errors"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// binderCases are for engines that are a store.Binder.
var binderCases = []testCase{
	{name: "Binder/BindAndUnbind", run: func(s *suite) {
		b := s.e.(store.Binder)
		bind := func(queue, topic, owner string) {
			s.Helper()
			s.ok("Bind", func(done func(error)) { b.Bind(store.Binding{Queue: queue, Topic: topic, Owner: owner}, done) })
		}
		want := func(all ...store.Binding) {
			s.Helper()
			if got := b.Bindings(); !slices.Equal(got, all) {
				s.Fatalf("bound: %v, want %v", got, all)
			}
		}
		want()
		bind("q2", "/topic/b", "me")
		bind("q1", "/topic/a", "me")
		bind("q2", "/topic/c", "")
		want(store.Binding{Queue: "q1", Topic: "/topic/a", Owner: "me"}, store.Binding{Queue: "q2", Topic: "/topic/c"})
		s.publish("q1", "m1", "m2")
		k := s.take("q1", 1)
		k.want("m1")
		unbind := func(queue string) error {
			s.Helper()
			return s.result("Unbind", func(done func(error)) { b.Unbind(queue, done) })
		}
		if err := unbind("q1"); !errors.Is(err, store.ErrConsumed) {
			s.Fatalf("Unbind of a consumed queue: %v", err)
		}
		k.Close()
		for _, queue := range []string{"q1", "none"} {
			if err := unbind(queue); err != nil {
				s.Fatal(err)
			}
		}
		want(store.Binding{Queue: "q2", Topic: "/topic/c"})
		s.stat("q1", store.Stat{})
	}},
	{name: "Binder/AfterClose", run: func(s *suite) {
		if s.opts.Reopen == nil {
			return // what is kept in memory only need not answer that
		}
		if err := s.e.Close(); err != nil {
			s.Fatal(err)
		}
		b := s.e.(store.Binder)
		for _, err := range []error{
			s.result("Bind", func(done func(error)) { b.Bind(store.Binding{Queue: "q"}, done) }),
			s.result("Unbind", func(done func(error)) { b.Unbind("q", done) }),
		} {
			if !errors.Is(err, store.ErrClosed) {
				s.Errorf("after Close: %v", err)
			}
		}
	}},
}

var binderReopenCases = []testCase{
	{name: "Reopen/Bindings", run: func(s *suite) {
		b := s.e.(store.Binder)
		all := []store.Binding{{Queue: "a", Topic: "/topic/ä.*", Owner: "x"}, {Queue: "b", Topic: "/topic/b"}}
		for _, bind := range all {
			s.ok("Bind", func(done func(error)) { b.Bind(bind, done) })
		}
		s.publish("c", "m1")
		s.ok("Bind", func(done func(error)) { b.Bind(store.Binding{Queue: "c", Topic: "t"}, done) })
		s.ok("Unbind", func(done func(error)) { b.Unbind("c", done) })
		s.reopen()
		if got := s.e.(store.Binder).Bindings(); !slices.Equal(got, all) {
			s.Errorf("bound after the restart: %v, want %v", got, all)
		}
		s.stat("c", store.Stat{})
	}},
}
