package broker

import (
	"math/rand/v2"
	"sync"
	"time"
)

// minGrace is the least silence that ends a session: networks and background tabs pause.
const minGrace = 5 * time.Second

// heartBeat sends a session's heart-beats and ends it when the client's stay away. One timer
// serves both directions; an idle session holds no goroutine.
type heartBeat struct {
	// Static.
	s     *session
	every time.Duration // write at least this often; 0: never
	limit time.Duration // silence that ends the session; 0: any

	// Owned by the timer's tick.
	excused int64 // until then nobody was reading, Unix nanoseconds

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	stopped bool
}

// agree settles the intervals of a session (STOMP 1.2, Heart-beating). cx and cy are the
// client's heart-beat header; sx and sy are the server's answer to it. out and in are the agreed
// intervals, 0 for none.
func (h HeartBeat) agree(cx, cy time.Duration) (sx, sy, out, in time.Duration) {
	sx, sy = h.offer(h.Send, cy), h.offer(h.Receive, cx)
	if sx > 0 && cy > 0 {
		out = min(max(sx, cy), h.Max) // beating more often than agreed is always allowed
	}
	if sy > 0 && cx > 0 {
		in = max(sy, cx)
	}
	return sx, sy, out, in
}

// offer is the server's interval for one direction: its own, or the client's where that is
// shorter, but never below the minimum.
func (h HeartBeat) offer(own, client time.Duration) time.Duration {
	if own <= 0 || client <= 0 {
		return own
	}
	return min(max(client, h.Min), own)
}

// newHeartBeat starts the heart-beats of a session, or returns nil if there are none.
func newHeartBeat(s *session, out, in time.Duration, grace int) *heartBeat {
	if out == 0 && in == 0 {
		return nil
	}
	h := &heartBeat{s: s, every: out / 2}
	if in > 0 {
		h.limit = max(in*time.Duration(grace), minGrace)
	}
	if h.every > 0 {
		s.out.setKeep(keepBusy)
	}
	h.mu.Lock()
	h.timer = time.AfterFunc(h.next(time.Now()), h.tick)
	h.mu.Unlock()
	return h
}

// tick does what is due and sets the timer for what comes next.
func (h *heartBeat) tick() {
	now := time.Now()
	if h.limit > 0 {
		if h.s.busy.Load() {
			h.excused = now.UnixNano() // the store or the client's own slowness holds the reader up
		}
		if silent := now.Sub(h.heard()); silent >= h.limit {
			h.s.end(because(reasonHeartBeat, "nothing came for %v", silent.Round(time.Millisecond)))
			return
		}
	}
	if h.every > 0 && now.Sub(h.lastWrite()) >= h.every*9/10 {
		// Nothing waits in line behind a full outbox: a beat there would only add to it.
		if h.s.out.waiting.Load() == 0 {
			h.s.out.shed()
			h.s.out.putFrame(beat)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.timer.Reset(h.next(now))
	}
}

// heard is when the client last said something, or could not be heard.
func (h *heartBeat) heard() time.Time { return time.Unix(0, max(h.excused, h.s.conn.LastRead())) }

// beat is a heart-beat on the wire: an EOL between frames.
var beat = []byte("\n")

func (h *heartBeat) lastWrite() time.Time { return time.Unix(0, h.s.out.lastWrite.Load()) }

// next is how long to sleep until something may be due: the next beat, early by up to a tenth so
// that sessions which connected together do not beat together, or the end of the client's grace.
func (h *heartBeat) next(now time.Time) time.Duration {
	sleep := time.Duration(1<<63 - 1)
	if h.every > 0 {
		due := h.every - now.Sub(h.lastWrite())
		if due <= h.every/10 {
			due = h.every // a beat has just been put
		}
		sleep = due - time.Duration(rand.Int64N(int64(h.every/10)+1))
	}
	if h.limit > 0 {
		sleep = min(sleep, h.limit-now.Sub(h.heard()))
	}
	return max(sleep, time.Millisecond)
}

func (h *heartBeat) stop() {
	h.mu.Lock()
	h.stopped = true
	h.timer.Stop()
	h.mu.Unlock()
}
