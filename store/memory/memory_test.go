package memory_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
	"github.com/gudokmq/gudok/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(_ testing.TB, s storetest.Setup) store.Engine {
	return memory.New(memory.Options{MaxBytes: s.MaxBytes, MaxMessages: s.MaxMessages, Expired: s.Expired, Bounds: s.Bounds})
}

func TestEngine(t *testing.T) {
	storetest.Run(t, storetest.Options{Open: open, Bubble: true, Binder: true})
}

// The same in real time, as an engine on a disk would run it.
func TestEngineInRealTime(t *testing.T) {
	storetest.Run(t, storetest.Options{Open: open, Binder: true})
}

func BenchmarkEngine(b *testing.B) { storetest.Bench(b, open) }

// The clock of the options decides what has expired, also where it is set while the engine
// sleeps.
func TestClockIsSetForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64 // nanoseconds
		e := memory.New(memory.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		defer e.Close()
		e.Publish(&store.Message{ID: "m", Queue: "q", Expires: time.Now().Add(24 * time.Hour).UnixMilli()}, nil)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := e.Stat("q").Messages(); n != 1 {
			t.Fatalf("%d messages before their time, want 1", n)
		}
		ahead.Store(int64(24 * time.Hour))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := e.Stat("q").Messages(); n != 0 {
			t.Fatalf("%d messages after the clock was set, want 0", n)
		}
	})
}

// A publisher that happens to be the pump must get away from a queue that never runs dry.
func TestPublisherIsNotHeldUp(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close()
	var c store.Consumer
	c, err := e.Consume("q", func(d store.Delivery) {
		d.Nack(0, nil) // and so it is deliverable again, for ever
		c.Credit(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(1)
	returned := make(chan struct{})
	go func() {
		e.Publish(&store.Message{ID: "m", Queue: "q"}, nil)
		close(returned)
	}()
	select {
	case <-returned:
	case <-time.After(10 * time.Second):
		t.Fatal("Publish did not return")
	}
	c.Close()
}

func TestCommitRefusesDeliveriesOfOthers(t *testing.T) {
	a, b := memory.New(memory.Options{}), memory.New(memory.Options{})
	defer a.Close()
	defer b.Close()
	a.Publish(&store.Message{ID: "m", Queue: "q"}, nil)
	c, err := a.Consume("q", func(d store.Delivery) {
		b.Commit(nil, []store.Delivery{d}, func(err error) {
			if err == nil || errors.Is(err, store.ErrClosed) {
				t.Errorf("foreign delivery: %v", err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(1)
	if st := a.Stat("q"); st.Held != 1 {
		t.Errorf("after the refusal: %+v", st)
	}
}

func TestCloseTwice(t *testing.T) {
	e := memory.New(memory.Options{})
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
