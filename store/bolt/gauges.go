package bolt

import (
	"fmt"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store"
)

var (
	_ store.Gauger = (*Engine)(nil)
	_ store.Prober = (*Engine)(nil)
)

// commitTimes are the bounds of the histogram of transactions.
var commitTimes = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second,
}

// tally is what the committer has done so far.
type tally struct {
	records uint64
	sum     time.Duration
	counts  [13]uint64 // one more than commitTimes
}

// took notes a transaction.
func (c *committer) took(d time.Duration, records int) {
	i, _ := slices.BinarySearch(commitTimes, d)
	c.mu.Lock()
	c.tally.records += uint64(records)
	c.tally.sum += d
	c.tally.counts[i]++
	c.mu.Unlock()
}

// step notes that something begins that may wait for the disk, and rest that nothing does.
func (c *committer) step() { c.pulse.Store((c.pulse.Load() + 2) | 1) }
func (c *committer) rest() { c.pulse.Store((c.pulse.Load() + 2) &^ 1) }

// Gauges implements [store.Gauger]. It asks the file system what is free.
func (e *Engine) Gauges(deepest int) store.Gauges {
	g := e.table.Gauges(deepest)
	c := e.committer
	c.mu.Lock()
	usage, t := c.usage, c.tally
	c.mu.Unlock()
	g.Disk = &store.Disk{
		File: usage.File, Used: usage.Used, Free: -1, Records: t.records,
		Commits: store.TimeHistogram{Bounds: commitTimes, Counts: t.counts[:], Sum: t.sum},
	}
	if free, ok := freeSpace(e.opts.Path); ok {
		g.Disk.Free = free
	}
	return g
}

// Probe implements [store.Prober].
func (e *Engine) Probe() error {
	if err := e.journal.Err(); err != nil {
		return err
	}
	if e.journal.full.Load() {
		return fmt.Errorf("%w: no room on the disk", store.ErrFull)
	}
	return nil
}

// Pulse implements [store.Prober].
func (e *Engine) Pulse() (step uint64, busy bool) {
	p := e.committer.pulse.Load()
	return p, p&1 == 1
}
