package main

import (
	"runtime"
	"testing"
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

// A long heap is marked by a whole processor, and where there are enough of them nothing changes.
func TestRaiseProcs(t *testing.T) {
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	runtime.SetDefaultGOMAXPROCS()
	own, raised := runtime.GOMAXPROCS(0), false
	for i, c := range []struct {
		live         uint64
		cores        int
		first, procs int // those set by somebody before, if any
		raised       bool
	}{
		{longLive - 1, 2, 2, 2, false},
		{longLive, 2, 0, 4, true},
		{longLive / 2, 2, 0, 4, true},
		{longLive/2 - 1, 2, 0, own, false},
		{longLive, 8, 8, 8, false},
		{longLive, 8, 2, 2, false}, // of a quota
		{longLive, 1, 1, 4, true},
		{0, 1, 0, own, false},
	} {
		if c.first > 0 {
			runtime.GOMAXPROCS(c.first)
		}
		raised = raiseProcs(c.live, c.cores, raised)
		if n := runtime.GOMAXPROCS(0); raised != c.raised || n != c.procs {
			t.Errorf("step %d: %d, raised: %v", i, n, raised)
		}
	}
}
