package broker_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/gudokmq/gudok/broker"
)

// odd is a context that cannot be a key of a map.
type odd struct {
	context.Context
	_ []int
}

// A context that ends takes its own sessions with it, and no others.
func TestContextEndsItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		serve := func(ctx context.Context) (over func() bool) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				b.Serve(ctx, newPipe(1<<10))
			}()
			synctest.Wait()
			return func() bool {
				synctest.Wait()
				select {
				case <-ended:
					return true
				default:
					return false
				}
			}
		}
		shared, endShared := context.WithCancel(context.Background())
		other, endOther := context.WithCancel(context.Background())
		lone, endLone := context.WithCancel(context.Background())
		a1, a2, o1, l1, never := serve(shared), serve(shared), serve(other), serve(odd{Context: lone}), serve(context.Background())
		if n := b.Watched(); n != 2 {
			t.Errorf("%d contexts are watched, want 2", n)
		}
		for _, step := range []struct {
			end  func()
			want [5]bool // over: a1, a2, o1, l1, never
		}{
			{func() {}, [5]bool{}},
			{endShared, [5]bool{true, true, false, false, false}},
			{endLone, [5]bool{true, true, false, true, false}},
			{endOther, [5]bool{true, true, true, true, false}},
		} {
			step.end()
			if got := [5]bool{a1(), a2(), o1(), l1(), never()}; got != step.want {
				t.Errorf("over: %v, want %v", got, step.want)
			}
		}
		if !serve(shared)() {
			t.Error("a session goes on that began after its context had ended")
		}
		if n := b.Watched(); n != 0 {
			t.Errorf("%d contexts are watched for nobody", n)
		}
	})
}
