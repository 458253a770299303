package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk is something that is watched.
type disk struct {
	step atomic.Uint64
	busy atomic.Bool
}

func (d *disk) pulse() (uint64, bool) { return d.step.Load(), d.busy.Load() }

// dogged runs a watchdog over a disk; died gets why it would have ended the process, each time.
func dogged(t *testing.T, warn, exit time.Duration, f func(w *watchdog, d *disk, log func() string, died func() int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var text bytes.Buffer
		var deaths atomic.Int64
		d := new(disk)
		w := &watchdog{warn: warn, exit: exit, log: slog.New(slog.NewTextHandler(locked{&mu, &text}, nil)),
			die: func(error) { deaths.Add(1) }, subjects: []*subject{{name: "the disk", pulse: d.pulse}}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.run(ctx) })
		f(w, d, func() string {
			mu.Lock()
			defer mu.Unlock()
			return text.String()
		}, func() int { return int(deaths.Load()) })
		cancel()
		wg.Wait()
	})
}

type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

func TestWatchdog(t *testing.T) {
	const warn, exit = 30 * time.Second, 2 * time.Minute
	dogged(t, warn, exit, func(w *watchdog, d *disk, log func() string, died func() int) {
		time.Sleep(time.Hour) // idle
		d.busy.Store(true)
		for range 100 { // slow, each step just quick enough
			time.Sleep(warn - 2*time.Second)
			d.step.Add(1)
		}
		if w.err() != nil || log() != "" || died() != 0 {
			t.Fatalf("a slow disk: %v %s %d", w.err(), log(), died())
		}
		time.Sleep(warn + 3*time.Second)
		if err := w.err(); err == nil || err.Error() != "the disk takes longer than 30s" {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		said := log()
		if strings.Count(said, "a standstill") != 1 || strings.Count(said, "msg=goroutines") != 1 || !strings.Contains(said, "watchdog_test.go") ||
			len(said) > 4*maxDump || died() != 0 {
			t.Errorf("%d %s", died(), said)
		}
		d.step.Add(1)
		time.Sleep(2 * time.Second)
		if w.err() != nil || !strings.Contains(log(), "the standstill is over") {
			t.Errorf("%v %s", w.err(), log())
		}
		time.Sleep(exit - 3*time.Second)
		if died() != 0 {
			t.Error("too early")
		}
		time.Sleep(5 * time.Second)
		if died() == 0 {
			t.Error("the process lives")
		}
	})
	// 0 is off, one or both.
	dogged(t, 0, 0, func(w *watchdog, d *disk, log func() string, died func() int) {
		d.busy.Store(true)
		time.Sleep(time.Hour)
		if w.err() != nil || log() != "" || died() != 0 {
			t.Error("not off")
		}
	})
	dogged(t, warn, 0, func(w *watchdog, d *disk, log func() string, died func() int) {
		d.busy.Store(true)
		time.Sleep(time.Hour)
		if w.err() == nil || died() != 0 {
			t.Errorf("%v %d", w.err(), died())
		}
	})
	dogged(t, 0, exit, func(w *watchdog, d *disk, log func() string, died func() int) {
		d.busy.Store(true)
		time.Sleep(exit + 3*time.Second)
		if w.err() != nil || log() != "" || died() == 0 {
			t.Errorf("%v %s %d", w.err(), log(), died())
		}
	})
}

// What passes while the process is stopped is not a standstill.
func TestWatchdogAfterAStop(t *testing.T) {
	d := new(disk)
	d.busy.Store(true)
	w := &watchdog{warn: 30 * time.Second, exit: time.Minute, log: slog.New(slog.DiscardHandler), die: func(err error) { t.Error(err) },
		subjects: []*subject{{name: "the disk", pulse: d.pulse}}}
	w.look(time.Second)
	for range 10 {
		w.look(time.Hour)
	}
	if w.err() != nil {
		t.Error(w.err())
	}
	w.look(time.Hour) // ten periods of two seconds were not enough; thirty seconds are
	for range 5 {
		w.look(time.Hour)
	}
	if w.err() == nil {
		t.Error("it never warns")
	}
}
