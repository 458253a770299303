package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// maxDump bounds what the log gets of the goroutines.
const maxDump = 64 << 10

// watchdog looks for a standstill: a step of something that takes far longer than the slowest disk does.
type watchdog struct {
	warn, exit time.Duration // 0: never
	log        *slog.Logger
	die        func(error) // ends the process
	subjects   []*subject

	verdict atomic.Pointer[standstill]
}

// subject is something that is watched.
type subject struct {
	name string
	// pulse tells the number of the step that is under way; not busy: none is.
	pulse func() (step uint64, busy bool)

	// Owned by the watchdog.
	step    uint64
	stalled time.Duration
}

// standstill is what has come to one.
type standstill struct {
	what string
	at   time.Duration
}

func (s *standstill) Error() string { return fmt.Sprintf("%s takes longer than %v", s.what, s.at) }

// err is why the process does not work, or nil.
func (w *watchdog) err() error {
	if s := w.verdict.Load(); s != nil {
		return s
	}
	return nil
}

// period is how often it looks.
func (w *watchdog) period() time.Duration {
	least := w.warn
	if least == 0 || w.exit != 0 && w.exit < least {
		least = w.exit
	}
	return min(max(least/10, 10*time.Millisecond), time.Second)
}

// run looks until ctx ends.
func (w *watchdog) run(ctx context.Context) {
	if w.warn == 0 && w.exit == 0 {
		return
	}
	period := w.period()
	t := time.NewTicker(period)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		w.look(now.Sub(last))
		last = now
	}
}

// look looks once, so long after the last time. What passes while the process does not run, stopped or on
// a machine that sleeps, is nobody's fault: no more than two periods count.
func (w *watchdog) look(since time.Duration) {
	since = min(since, 2*w.period())
	var worst *subject
	for _, s := range w.subjects {
		step, busy := s.pulse()
		if busy && step == s.step {
			s.stalled += since
		} else {
			s.stalled = 0
		}
		s.step = step
		if worst == nil || s.stalled > worst.stalled {
			worst = s
		}
	}
	switch was := w.verdict.Load(); {
	case w.warn > 0 && worst.stalled >= w.warn && was == nil:
		w.verdict.Store(&standstill{worst.name, w.warn})
		w.log.Error("a standstill: the broker is not healthy", "what", worst.name, "longer_than", w.warn, "setting", "watchdog.warn")
		w.log.Error("goroutines", "stacks", goroutines())
	case was != nil && worst.stalled < w.warn:
		w.verdict.Store(nil)
		w.log.Warn("the standstill is over", "what", was.what)
	}
	if w.exit > 0 && worst.stalled >= w.exit {
		w.die(&standstill{worst.name, w.exit})
	}
}

// goroutines tells where all of them stand, those that stand at one place together, as far as there is
// room.
func goroutines() string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return err.Error()
	}
	return string(b.Bytes()[:min(b.Len(), maxDump)])
}
