package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
)

func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 400}, {1 << 20, 400}, {16 << 20, 400}, {32 << 20, 200}, {64 << 20, 200}, {128 << 20, 200}, {256 << 20, 100}, {512 << 20, 50}, {1 << 30, 25}, {1 << 40, 25}} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("%d live: %d, want %d", c.live, got, c.want)
		}
	}
}

// Memory is given back once after a rush, neither during it nor again and again.
func TestRush(t *testing.T) {
	const mib = 1 << 20
	var r rush
	for i, c := range []struct {
		live, allocated, cycles, free uint64
		want                          bool
	}{
		{0, mib / 2, 0, 0, false},
		{0, 20 * mib, 0, 0, false},                   // a rush
		{0, 40 * mib, 0, 0, false},                   // still
		{0, 40*mib + 100, 0, 0, true},                // over
		{20 * mib, 40*mib + 200, 1, 0, false},        // collected
		{20 * mib, 40*mib + 300, 1, 0, false},        // and nothing more
		{20 * mib, 48 * mib, 1, 0, false},            // another one
		{20 * mib, 48*mib + 100, 1, 0, false},        // not much
		{20 * mib, 53 * mib, 1, 0, false},            // more
		{20 * mib, 53*mib + 100, 1, 0, true},         // over
		{900 * mib, 160 * mib, 2, 0, false},          // much is live
		{900 * mib, 160*mib + 100, 2, 0, false},      // compared with which this is nothing
		{4 * mib, 260 * mib, 3, 60 * mib, false},     // a rush whose garbage somebody collects
		{4 * mib, 260*mib + 100, 3, 60 * mib, true},  // is not given back by that
		{4 * mib, 260*mib + 200, 4, 2 * mib, false},  // it is
		{4 * mib, 260*mib + 300, 4, 16 * mib, false}, // as much as may stay
	} {
		if got := r.over(c.live, c.allocated, c.cycles, c.free); got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
}

// Where somebody said how many processors there are, a rest changes nothing.
func TestProcsAsSaid(t *testing.T) {
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	runtime.GOMAXPROCS(3)
	p := procs{fixed: true}
	if p.rest(true); runtime.GOMAXPROCS(0) != 3 {
		t.Errorf("%d, though %d was said", runtime.GOMAXPROCS(0), 3)
	}
}

// A broker that rests has one processor, and all of them again before anything else happens to it.
func TestRest(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMAXPROCS", "")
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	runtime.SetDefaultGOMAXPROCS()
	own := runtime.GOMAXPROCS(0)
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{rest: make(chan struct{}, 1)}
		var err error
		if d.broker, err = broker.New(broker.Options{OnRest: d.rested}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			d.tune(ctx)
			close(done)
		}()
		check := func(what string, resting bool, procs int) {
			t.Helper()
			synctest.Wait()
			if n := runtime.GOMAXPROCS(0); d.broker.Resting() != resting || n != procs {
				t.Errorf("%s: resting: %v, %d processors, want %d", what, d.broker.Resting(), n, procs)
			}
		}
		stir := func() {
			if err := d.broker.SetLimits(broker.Limits{}, broker.HeartBeat{}); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(4 * time.Second)
		check("after 4s", false, own)
		time.Sleep(3 * time.Second)
		check("after 7s", true, 1)
		stir()
		check("stirred", false, own)
		for range 20 {
			time.Sleep(time.Second)
			stir()
		}
		check("stirred again and again", false, own)
		time.Sleep(8 * time.Second)
		check("after 8s", true, 1)
		cancel()
		<-done
		check("the end", true, own)
		if err := d.broker.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
