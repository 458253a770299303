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
	ps := procs{fixed: os.Getenv("GOMAXPROCS") != ""}
	defer ps.rest(false)
	for {
		metrics.Read(sample)
		live, allocated := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		if p := gcPercent(live); p < set*9/10 || p > set*11/10 {
			debug.SetGCPercent(p)
			set = p
		}
		ps.rest(d.broker.Resting())
		if rush.over(live, allocated, sample[2].Value.Uint64(), sample[3].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-d.rest:
				ps.rest(d.broker.Resting())
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

// procs is how many processors the runtime has: while the broker rests one, so that what wakes up wakes nothing else, and
// otherwise its own number. To change that stops the world for a moment.
type procs struct {
	fixed bool // somebody said how many
	one   bool
}

func (p *procs) rest(resting bool) {
	switch {
	case p.fixed || resting == p.one:
		return
	case resting:
		runtime.GOMAXPROCS(1)
	default:
		runtime.SetDefaultGOMAXPROCS()
	}
	p.one = resting
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
