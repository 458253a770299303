package broker

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// expiryStep bounds how long the expiry sleeps while somebody's time runs: what a token says is
// wall-clock time, which can be set anew.
const expiryStep = time.Second

// expiry ends sessions whose principal's time is over. There is one timer for all of them, and
// none while nobody's time runs.
type expiry struct {
	count atomic.Uint64 // sessions ended so far

	mu    sync.Mutex // guards what follows, and session.expiring
	due   dueHeap
	timer *time.Timer // nil at first
	armed bool
}

// dueHeap has the session that ends next in front.
type dueHeap []dueSession

type dueSession struct {
	at int64 // Unix milliseconds, rounded up
	s  *session
}

// What session.expiring holds, if not the place in the heap and 1.
const (
	notDue = 0
	gone   = -1 // the session has ended and must not be held any more
)

// set puts s where its principal's time says.
func (x *expiry) set(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.expiring == gone {
		return
	}
	if s.expiring != notDue {
		heap.Remove(&x.due, s.expiring-1)
	}
	if at := s.principal.Load().Expires; !at.IsZero() {
		heap.Push(&x.due, dueSession{at.Add(time.Millisecond - 1).UnixMilli(), s})
	}
	x.arm()
}

// leave takes out a session that ends, for good.
func (x *expiry) leave(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.expiring > 0 {
		heap.Remove(&x.due, s.expiring-1)
		x.arm()
	}
	s.expiring = gone
}

// arm sets the timer for the first that is due. x.mu is held.
func (x *expiry) arm() {
	if len(x.due) == 0 {
		if x.armed {
			x.timer.Stop()
			x.armed = false
		}
		x.due = nil
		return
	}
	sleep := min(max(time.Until(time.UnixMilli(x.due[0].at)), 0), expiryStep)
	if x.timer == nil {
		x.timer = time.AfterFunc(sleep, x.tick)
	} else {
		x.timer.Reset(sleep)
	}
	x.armed = true
}

// tick ends those whose time is over.
func (x *expiry) tick() {
	now := time.Now().UnixMilli()
	var over []*session
	x.mu.Lock()
	for len(x.due) > 0 && x.due[0].at <= now {
		over = append(over, heap.Pop(&x.due).(dueSession).s)
	}
	x.arm()
	x.mu.Unlock()
	for _, s := range over {
		x.count.Add(1)
		if mutant.Is(mutant.ExpiryWhenBusy) && s.conn.LastRead() < now*1e6-1e9 {
			continue
		}
		s.end(s.expired())
	}
}

// expired is the end of a session whose time is over.
func (s *session) expired() *ending {
	if p := s.principal.Load(); p != nil && p.Via == ViaCertificate {
		return &ending{Reason: reasonCertificateExpired, mute: true}
	}
	return &ending{Reason: reasonExpired, detail: "connect with a new one, or send it to " + renewDestination + " in time", mute: true}
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].s.expiring, h[j].s.expiring = i+1, j+1
}

func (h *dueHeap) Push(x any) {
	d := x.(dueSession)
	*h = append(*h, d)
	d.s.expiring = len(*h)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = dueSession{}
	*h = (*h)[:last]
	d.s.expiring = notDue
	return d
}
