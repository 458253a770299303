package transport

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

const (
	beyondSlots = 8           // connections of a listener that are being turned away at a time
	fullPause   = time.Minute // between two lines of the log about that

	// How long one of them keeps its place while others wait for it: while it is listened to and says
	// nothing, and otherwise.
	silentPlace = 50 * time.Millisecond
	spokenPlace = 500 * time.Millisecond
)

// Capacity bounds how many connections are open on all listeners of a process together, so that file
// descriptors are left for its files, its own questions to others, and for telling the rest that there are
// too many: what is not accepted because no descriptor is left hangs, without a word.
type Capacity struct {
	most           func() int
	log            *slog.Logger
	room           chan struct{} // tells one who waits that a connection has gone
	silent, spoken time.Duration // silentPlace and spokenPlace

	mu     sync.Mutex // guards what follows
	open   int
	turned uint64    // away since the latest line of the log
	told   time.Time // when that was
}

// NewCapacity returns a Capacity of most() connections. most is asked for each of them: the limit of
// files may change while the process runs.
func NewCapacity(most func() int, log *slog.Logger) *Capacity {
	return &Capacity{most: most, log: log, room: make(chan struct{}, 1), silent: silentPlace, spoken: spokenPlace}
}

// Listener divides what ln accepts: connections within the capacity come out of within, others out of
// beyond, at most eight at a time, which is where they are to be told; more of them wait. While somebody
// waits, who has said nothing for a moment is closed, so that a probe of health does not stand behind all who are
// silent. Closing within closes ln. Both have to be served.
func (c *Capacity) Listener(ln *net.TCPListener) (within, beyond net.Listener) {
	l := &withinCapacity{TCPListener: ln, c: c, slots: make(chan struct{}, beyondSlots), out: make(chan net.Conn), done: make(chan struct{})}
	return l, &beyondCapacity{l: l, done: make(chan struct{})}
}

// enter counts a connection, if there is room.
func (c *Capacity) enter() bool {
	most := c.most()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= most && !mutant.Is(mutant.CapacityOff) {
		return false
	}
	c.open++
	return true
}

func (c *Capacity) leave() {
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	c.roomy()
}

// roomy wakes one who waits for room; he wakes the next.
func (c *Capacity) roomy() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// full notes that somebody is turned away, and tells the log now and then.
func (c *Capacity) full(addr net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turned++
	if now := time.Now(); now.Sub(c.told) >= fullPause {
		c.log.Warn("too many connections for the open files that are allowed; others are turned away",
			"listen", addr.String(), "connections", c.open, "turned_away", c.turned, "setting", "ulimit -n, or limits.connections")
		c.told, c.turned = now, 0
	}
}

// withinCapacity is a listener behind which there are no more connections than there may be.
type withinCapacity struct {
	*net.TCPListener
	c     *Capacity
	slots chan struct{} // one for each that is being turned away
	out   chan net.Conn // to beyondCapacity's Accept
	once  sync.Once
	done  chan struct{} // closed by Close

	mu   sync.Mutex // guards away
	away []*awayConn
}

// Accept implements net.Listener.
func (l *withinCapacity) Accept() (net.Conn, error) {
	for {
		nc, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if l.c.enter() || l.turnAway(nc) {
			return &countedConn{TCPConn: nc, leave: l.c.leave}, nil
		}
	}
}

// turnAway hands a connection to beyondCapacity. It reports true if it was counted instead: there was
// room for it before there was somebody to turn it away.
func (l *withinCapacity) turnAway(nc *net.TCPConn) (entered bool) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case l.slots <- struct{}{}:
			l.c.full(l.Addr())
			select {
			case l.out <- l.place(nc):
			case <-l.done:
				nc.Close()
			}
			return false
		case <-t.C:
			t.Reset(l.giveWay())
		case <-l.c.room:
			if l.c.enter() {
				l.c.roomy()
				return true
			}
		case <-l.done:
			nc.Close()
			return false
		}
	}
}

// place takes one of the slots for a connection.
func (l *withinCapacity) place(nc *net.TCPConn) *awayConn {
	c := &awayConn{}
	c.TCPConn = nc
	c.since.Store(time.Now().UnixNano())
	c.leave = func() {
		l.mu.Lock()
		l.away = slices.DeleteFunc(l.away, func(x *awayConn) bool { return x == c })
		l.mu.Unlock()
		<-l.slots
	}
	l.mu.Lock()
	l.away = append(l.away, c)
	l.mu.Unlock()
	return c
}

// giveWay closes the one of those that are being turned away whose time is over first, if it is, and tells
// when to look again.
func (l *withinCapacity) giveWay() time.Duration {
	var first *awayConn
	least := l.c.silent
	l.mu.Lock()
	for _, c := range l.away {
		left := time.Until(time.Unix(0, c.since.Load()))
		if c.silent.Load() {
			left += l.c.silent
		} else {
			left += l.c.spoken
		}
		if left < least || first == nil {
			first, least = c, left
		}
	}
	l.mu.Unlock()
	if first != nil && least <= 0 && !mutant.Is(mutant.SilentStay) {
		first.Close()
	}
	return max(min(least, l.c.silent), time.Millisecond)
}

// Close implements net.Listener.
func (l *withinCapacity) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.TCPListener.Close()
}

// beyondCapacity is a listener for what withinCapacity has no room for.
type beyondCapacity struct {
	l    *withinCapacity
	once sync.Once
	done chan struct{}
}

// Accept implements net.Listener.
func (b *beyondCapacity) Accept() (net.Conn, error) {
	select {
	case nc := <-b.l.out:
		return nc, nil
	case <-b.done:
	case <-b.l.done:
	}
	return nil, fmt.Errorf("accept on %s: %w", b.Addr(), net.ErrClosed)
}

// Close implements net.Listener.
func (b *beyondCapacity) Close() error {
	b.once.Do(func() { close(b.done) })
	return nil
}

// Addr implements net.Listener.
func (b *beyondCapacity) Addr() net.Addr { return b.l.Addr() }

// countedConn is a connection that tells when its descriptor is free.
type countedConn struct {
	*net.TCPConn
	gone  atomic.Bool
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	err := c.TCPConn.Close()
	if !c.gone.Swap(true) {
		c.leave()
	}
	return err
}

// awayConn is a connection that is being turned away.
type awayConn struct {
	countedConn
	read   bool         // once; the reader's
	silent atomic.Bool  // it is being read, and has said nothing
	since  atomic.Int64 // when it was accepted, read first, or last said something, Unix nanoseconds
}

// Read implements net.Conn.
func (c *awayConn) Read(p []byte) (int, error) {
	if !c.read {
		c.read = true
		c.since.Store(time.Now().UnixNano())
		c.silent.Store(true)
	}
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.since.Store(time.Now().UnixNano())
		c.silent.Store(false)
	}
	return n, err
}
