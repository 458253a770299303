package load

import (
	"context"
	"sync"
	"sync/atomic"
)

// gate keeps senders from outrunning the slowest receiver by more than a window of messages.
type gate struct {
	window int64
	slack  int64        // how far below the window a sender that had to wait lets it fall
	low    func() int64 // what the slowest receiver has got

	need atomic.Int64  // what a waiting sender waits for; 0: nobody waits
	wake chan struct{} // capacity 1

	mu   sync.Mutex // one sender at a time
	sent int64      // guarded by mu
}

func newGate(window int64, low func() int64) *gate {
	return &gate{window: window, slack: window / 4, low: low, wake: make(chan struct{}, 1)}
}

// acquire waits until n more messages fit into the window; false if ctx ended first. A sender
// that had to wait waits for the slack, so that it is not woken for each message.
func (g *gate) acquire(ctx context.Context, n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	floor := g.sent + n - g.window
	if g.low() < floor {
		floor = min(floor+g.slack, g.sent)
		g.need.Store(floor)
		defer g.need.Store(0)
		for g.low() < floor {
			select {
			case <-g.wake:
			case <-ctx.Done():
				return false
			}
		}
	}
	g.sent += n
	return ctx.Err() == nil
}

// passed tells that a receiver's count went from before to after.
func (g *gate) passed(before, after int64) {
	if need := g.need.Load(); before < need && after >= need {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}
