package transport

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// abortTime is how long sessions have to end after their sockets were torn.
const abortTime = time.Second

// group answers for connections, whatever goroutines serve them: it lets none begin after shutdown began and waits
// for all.
type group struct {
	ctx    context.Context // of sessions; cancelled when shutdown ran out of time
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// mu guards what follows.
	mu      sync.Mutex
	closing bool
	sockets map[*socket]int // how many parts of its life are going on for each
}

func (g *group) init() {
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.sockets = make(map[*socket]int)
}

// enter lets a part of the life of the connection s begin, or tells false if shutdown has begun. leave ends
// it.
func (g *group) enter(s *socket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	g.sockets[s]++
	g.wg.Add(1)
	return true
}

func (g *group) leave(s *socket) {
	g.mu.Lock()
	if g.sockets[s]--; g.sockets[s] == 0 {
		delete(g.sockets, s)
	}
	g.mu.Unlock()
	g.wg.Done()
}

// begin tells the group that shutdown has begun.
func (g *group) begin() {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
}

func (g *group) isClosing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closing
}

// wait waits for the sessions; when ctx is done first, it tears their sockets.
func (g *group) wait(ctx context.Context) error {
	defer g.cancel()
	done := make(chan struct{})
	go func() { g.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	g.cancel()
	g.mu.Lock()
	n := len(g.sockets)
	for s := range g.sockets {
		s.abort()
	}
	g.mu.Unlock()
	late := time.NewTimer(abortTime)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
	return fmt.Errorf("%d connections were torn: %w", n, context.Cause(ctx))
}
