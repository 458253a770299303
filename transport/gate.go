package transport

import (
	"fmt"
	"net"
	"sync"
)

// gate is a listener behind which each connection is looked at before Accept hands it on, each by a
// goroutine of its own, so that nobody who is silent holds up others.
type gate struct {
	net.Listener
	look func(net.Conn) // calls heard, and hand unless it keeps or closes the connection

	out  chan accepted
	done chan struct{} // closed by Close
	wg   sync.WaitGroup

	// mu guards what follows.
	mu     sync.Mutex
	closed bool
	silent map[net.Conn]struct{} // have not said enough yet
}

// accepted is what an Accept returns.
type accepted struct {
	nc  net.Conn
	err error
}

// open begins to accept. look bounds the time that it reads.
func (g *gate) open(ln net.Listener, look func(net.Conn)) {
	g.Listener, g.look = ln, look
	g.out, g.done, g.silent = make(chan accepted), make(chan struct{}), make(map[net.Conn]struct{})
	g.wg.Go(g.accept)
}

// accept takes connections until the listener fails for good. Errors are for who called Accept, who
// waits a little before he calls again.
func (g *gate) accept() {
	for {
		nc, err := g.Listener.Accept()
		if err != nil {
			if !g.hand(accepted{err: err}) || !passes(err) {
				return
			}
			continue
		}
		g.mu.Lock()
		if g.closed {
			nc.Close()
		} else {
			g.silent[nc] = struct{}{}
			g.wg.Go(func() { g.look(nc) })
		}
		g.mu.Unlock()
	}
}

// heard tells that nothing more is read of the connection here: Close leaves it alone.
func (g *gate) heard(nc net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.silent, nc)
}

// hand gives something to Accept; false: the listener is closed.
func (g *gate) hand(a accepted) bool {
	select {
	case g.out <- a:
		return true
	case <-g.done:
		if a.nc != nil {
			a.nc.Close()
		}
		return false
	}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case a := <-g.out:
		return a.nc, a.err
	case <-g.done:
		return nil, fmt.Errorf("accept on %s: %w", g.Addr(), net.ErrClosed)
	}
}

// Close implements net.Listener. It closes what has not said enough yet.
func (g *gate) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	silent := g.silent
	g.silent = nil
	g.mu.Unlock()
	close(g.done)
	err := g.Listener.Close()
	for nc := range silent {
		nc.Close()
	}
	g.wg.Wait()
	return err
}
