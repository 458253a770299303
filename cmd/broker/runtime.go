package main

import (
	"context"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"time"
)

// debugSignals are the times somebody asks for runtime figures, from now on.
func debugSignals() <-chan os.Signal {
	asked := make(chan os.Signal, 1)
	if debugSignal != nil {
		signal.Notify(asked, debugSignal)
	}
	return asked
}

// tellRuntime collects garbage and logs one line of what the Go runtime knows each time it is asked,
// until ctx ends.
// "broker bench -log" reads it.
func tellRuntime(ctx context.Context, asked <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			runtime.GC() // so that what is called alive is alive
			log.Info("runtime", runtimeFigures()...)
		}
	}
}

// runtimeFigures are counters since the start, but for the first three.
func runtimeFigures() []any {
	s := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/heap/tiny/allocs:objects"},
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/cycles/automatic:gc-cycles"},
		{Name: "/sched/pauses/total/gc:seconds"},
	}
	metrics.Read(s)
	n := func(i int) uint64 { return s[i].Value.Uint64() }
	return []any{
		"goroutines", n(0), "heap_live", n(1), "stacks", n(2), "mallocs", n(3) + n(4), "malloc_bytes", n(5), "gc_cycles", n(6),
		"gc_pauses_5ms", over(s[7].Value.Float64Histogram(), 5*time.Millisecond),
		"gc_pause_max", longest(s[7].Value.Float64Histogram()).String(),
	}
}

// over counts what lies in buckets that begin at d or above.
func over(h *metrics.Float64Histogram, d time.Duration) (n uint64) {
	for i, c := range h.Counts {
		if h.Buckets[i] >= d.Seconds()*0.99 { // bounds are near decimal numbers, not on them
			n += c
		}
	}
	return n
}

// longest is the upper bound of the highest bucket that is not empty.
func longest(h *metrics.Float64Histogram) time.Duration {
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if h.Counts[i] > 0 {
			bound := h.Buckets[i+1]
			if math.IsInf(bound, 1) {
				bound = h.Buckets[i]
			}
			return time.Duration(bound * float64(time.Second))
		}
	}
	return 0
}
