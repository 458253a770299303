package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's default, to let the heap double, collects a small heap far too often for
// a broker, and gives a large one, ten million queued messages say, far too much room. So the room
// beyond what is live is at least smallRoom and at most largeRoom bytes, within the bounds of
// percent. GOGC switches this off.
const (
	smallRoom  = 64 << 20
	largeRoom  = 256 << 20
	mostRoom   = 400 // percent of what is live
	leastRoom  = 25
	gcInterval = time.Second
)

// tuneGC adjusts the collector until ctx ends.
func tuneGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	t := time.NewTicker(gcInterval)
	defer t.Stop()
	set := 0
	for {
		metrics.Read(sample)
		if p := gcPercent(sample[0].Value.Uint64()); p < set*9/10 || p > set*11/10 {
			debug.SetGCPercent(p)
			set = p
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// gcPercent is how much the heap may grow, in percent of what is live.
func gcPercent(live uint64) int {
	room := max(smallRoom, min(live, largeRoom))
	return int(min(max(room*100/max(live, 1), leastRoom), mostRoom))
}
