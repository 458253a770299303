package bolt

import "sync"

// fate is what may have become of a change when the machine stops.
type fate int

const (
	open fate = iota // begun: it happened or not
	sure
	never // refused
)

// change is one call of the model whose done tells its fate.
type change struct {
	mu   sync.Mutex
	fate fate
	ran  chan struct{}
}

func newChange() *change { return &change{ran: make(chan struct{})} }

func (c *change) done(err error) {
	c.mu.Lock()
	if c.fate = sure; err != nil {
		c.fate = never
	}
	c.mu.Unlock()
	close(c.ran)
}

func (c *change) now() fate {
	if c == nil {
		return never
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fate
}
