package store

import "time"

// Gauger is what an Engine offers too if it can tell how it is doing. Gauges visits every queue, for as
// long as it takes to count its messages; call it as often as somebody wants to look. deepest bounds
// how many queues it names.
type Gauger interface {
	Gauges(deepest int) Gauges
}

// Gauges is an engine at one moment.
type Gauges struct {
	Queues   int     // that exist
	Messages int     // in all of them, whatever their state
	Bytes    int64   // sum of their Message.Size
	Deepest  []Depth // those with the most messages, the deepest first
	Disk     *Disk   // nil where there is none
}

// Depth is one queue of Gauges.
type Depth struct {
	Queue string
	Stat
}

// Disk is what an engine has done to its disk since it was opened, and what is left of it.
type Disk struct {
	File, Used int64 // bytes of the file, and of them those in use
	Free       int64 // bytes that this process may still fill; -1 if that is not known

	Records uint64        // messages written
	Commits TimeHistogram // how long each transaction of the file took
}

// TimeHistogram counts durations. Counts[i] are those above Bounds[i-1] and up to Bounds[i]; the last of
// Counts, which has one more, those above all bounds.
type TimeHistogram struct {
	Bounds []time.Duration // immutable
	Counts []uint64
	Sum    time.Duration
}

// Prober is what an Engine with a disk offers too, to tell whether it works. Its methods are quick, do no
// I/O and may be called from anywhere.
type Prober interface {
	// Probe tells why durable messages are refused now: an error that wraps ErrFull, or the failure
	// after which the engine does nothing more; nil if they are taken.
	Probe() error
	// Pulse tells whether the engine is at work on its disk, and a number that changes with each step
	// of that: busy twice with one number is one step that took as long.
	Pulse() (step uint64, busy bool)
}
