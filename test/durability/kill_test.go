package durability

import (
	"path/filepath"
	"testing"
)

// TestKill kills the broker with SIGKILL under load, again and again: whatever was receipted is there
// afterwards.
func TestKill(t *testing.T) {
	rnd := seeded(t)
	w := newWorld(t, rnd, filepath.Join(t.TempDir(), "data"))
	cycles := times(*cycleFlag)
	for range cycles {
		w.cycle(minimum+rnd.IntN(2000), func() { w.broker.Kill() })
		if len(w.l.faults()) > 0 {
			break
		}
	}
	w.finish("kills", cycles)
}

// finish drains everything, twice, and judges.
func (w *world) finish(what string, cycles int) outcome {
	w.t.Helper()
	w.start()
	w.drain(everything...)
	w.broker.Kill()
	w.start() // what was acknowledged just now stays gone as well
	w.drain(everything...)
	w.broker.Stop()
	w.l.keep(qShort, short-1) // the last message of drain took the place of one
	o := w.verdict()
	w.print(what, cycles, o)
	if w.stats.void > cycles/10 {
		w.t.Errorf("%d of %d cycles are void: fewer than %d receipts, or nothing in flight", w.stats.void, cycles, minimum)
	}
	return o
}
