package store

import "sync/atomic"

// Names counts the queues of one or more engines together, and bounds them. The zero Names bound
// nothing. All methods may be called from any goroutine.
type Names struct {
	// Exempt tells by its name that a queue is not counted, nil: all are. Set it before the Names are
	// used; it must say the same each time and not call an engine.
	Exempt func(queue string) bool

	count, most atomic.Int64
}

// Namer is what an Engine offers too if it can count its queues: CountNames has it count those that
// are there and all that come and go from then on, and refuse with [ErrQueues] a Publish, Commit or
// Consume that would make one too many. What a Move or an expiry brings to a queue is never refused
// for it. Called once, before anything is asked of the engine.
type Namer interface {
	CountNames(*Names)
}

// Bound sets how many queues there may be; 0 for any number. Those that are there stay.
func (n *Names) Bound(most int) { n.most.Store(int64(most)) }

// Count is how many queues there are.
func (n *Names) Count() int { return int(n.count.Load()) }

// Take is for engines: it counts a queue that comes, if there may be one more, or if it is forced.
func (n *Names) Take(queue string, forced bool) bool {
	if n.Exempt != nil && n.Exempt(queue) {
		return true
	}
	for {
		have, most := n.count.Load(), n.most.Load()
		if !forced && most > 0 && have >= most {
			return false
		}
		if n.count.CompareAndSwap(have, have+1) {
			return true
		}
	}
}

// Give is for engines: it counts a queue that goes.
func (n *Names) Give(queue string) {
	if n.Exempt == nil || !n.Exempt(queue) {
		n.count.Add(-1)
	}
}
