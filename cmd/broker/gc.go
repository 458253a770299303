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
// percent. GOGC switches all this off, and GOMAXPROCS what is said of processors.
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

// tune adjusts the collector and the number of processors until ctx ends.
func (d *daemon) tune(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/memory/classes/heap/free:bytes"}}
	t := time.NewTicker(gcInterval)
	defer t.Stop()
	set, rush := 0, rush{}
	ps := procs{fixed: os.Getenv("GOMAXPROCS") != "", cores: runtime.NumCPU()}
	defer ps.set(0)
	for {
		metrics.Read(sample)
		live, allocated := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		if p := gcPercent(live); p < set*9/10 || p > set*11/10 {
			debug.SetGCPercent(p)
			set = p
		}
		ps.see()
		ps.set(ps.want(live, allocated-rush.before, d.broker.Resting()))
		if rush.over(live, allocated, sample[2].Value.Uint64(), sample[3].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-d.rest:
				ps.set(ps.want(live, 0, d.broker.Resting()))
			case <-t.C:
				again = true
			}
		}
	}
}

// rested has tune look whether the broker rests.
func (d *daemon) rested() {
	select {
	case d.rest <- struct{}{}:
	default: // it is about to
	}
}

// procs is how many processors the runtime has. To change that stops the world for a moment.
type procs struct {
	fixed bool // somebody said how many
	own   int  // as many as it takes by itself, when that was last seen: a quota may change
	cores int
	now   int // what has been set, or 0
}

// want tells how many it should have, 0 for its own number. While the broker rests it is one: what wakes up then wakes
// nothing else. While much is allocated beside that many live bytes it is as many as it takes to mark them by a whole one,
// unless that are no more; where it has fewer than there are cores something else bounds it, the quota of a
// container say, which more would use up sooner.
func (p *procs) want(live, grown uint64, resting bool) int {
	few := p.own < wholeProc && p.own == p.cores
	switch {
	case resting:
		return 1
	case p.now == wholeProc && live >= longLive/2, few && live >= longLive && grown >= quietRate:
		return wholeProc
	}
	return 0
}

// see looks how many the runtime takes by itself, if it does.
func (p *procs) see() {
	if p.now == 0 {
		p.own = runtime.GOMAXPROCS(0)
	}
}

func (p *procs) set(n int) {
	if p.fixed || n == p.now {
		return
	}
	if n == 0 {
		runtime.SetDefaultGOMAXPROCS()
	} else {
		runtime.GOMAXPROCS(n)
	}
	p.now = n
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
