package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's default, to let the heap double, collects a small heap far too often for
// a broker, and gives a large one, ten million queued messages say, far too much room. So the room
// beyond what is live is twice as much, but at least smallRoom and at most largeRoom bytes, within the bounds of
// percent. GOGC switches this off, and GOMAXPROCS what is said of processors.
const (
	smallRoom  = 64 << 20
	largeRoom  = 256 << 20
	mostRoom   = 400 // percent of what is live
	leastRoom  = 25
	gcInterval = time.Second

	// The garbage of a rush, thousands of connects say, would stay until the next one. So once it is over
	// it is collected, and the memory given back: when garbageKept bytes or a quarter of what is live have
	// come since the last collection, or twice as much is free after one, and less than quietRate in the last second.
	garbageKept = 8 << 20
	quietRate   = 1 << 20

	// The runtime marks with a quarter of its processors. Where that is not a whole one it takes one by turns, of
	// ten milliseconds and more, and what is ready to run there waits: subscribers saw pauses of 20 ms on
	// two cores. So a heap of longLive, which takes long to mark, has a whole one. Below longLive/2 it has not.
	longLive  = 64 << 20
	wholeProc = 4
)

// tuneGC adjusts the collector until ctx ends.
func tuneGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/memory/classes/heap/free:bytes"}}
	t := time.NewTicker(gcInterval)
	defer t.Stop()
	set, rush := 0, rush{}
	fixed, raised := os.Getenv("GOMAXPROCS") != "", false
	for {
		metrics.Read(sample)
		live := sample[0].Value.Uint64()
		if p := gcPercent(live); p < set*9/10 || p > set*11/10 {
			debug.SetGCPercent(p)
			set = p
		}
		if !fixed {
			raised = raiseProcs(live, runtime.NumCPU(), raised)
		}
		if rush.over(live, sample[1].Value.Uint64(), sample[2].Value.Uint64(), sample[3].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// raiseProcs gives the runtime as many processors as it takes to mark that many live bytes by a whole one, or no more
// than it would have, and tells which. Either stops the world for a moment. Where it has fewer than there are cores
// something else bounds it, the quota of a container say, which more would use up sooner.
func raiseProcs(live uint64, cores int, raised bool) bool {
	switch procs := runtime.GOMAXPROCS(0); {
	case !raised && live >= longLive && procs < wholeProc && procs == cores:
		runtime.GOMAXPROCS(wholeProc)
		return true
	case raised && live < longLive/2:
		runtime.SetDefaultGOMAXPROCS()
		return false
	}
	return raised
}

// rush tells when much has become garbage and little does any more.
type rush struct {
	cycles, at uint64 // collections so far, and what had been allocated at the latest, about
	before     uint64 // what had been allocated a moment ago
}

// over takes the bytes that are live, those allocated so far, the number of collections, and the bytes that are free
// and not given back.
func (r *rush) over(live, allocated, cycles, free uint64) bool {
	grown := allocated - r.before
	if cycles != r.cycles {
		r.cycles, r.at = cycles, r.before
	}
	r.before = allocated
	much := max(garbageKept, live/4)
	return grown < quietRate && (allocated-r.at > much || free > 2*much)
}

// gcPercent is how much the heap may grow, in percent of what is live.
func gcPercent(live uint64) int {
	room := max(smallRoom, min(2*live, largeRoom))
	return int(min(max(room*100/max(live, 1), leastRoom), mostRoom)) // #nosec G115 -- it is mostRoom at most
}
