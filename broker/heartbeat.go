package broker

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// minGrace is the least silence that ends a session: networks and background tabs pause.
const minGrace = 5 * time.Second

// beatMargin is how much sooner than agreed a beat is written, of intervals above twice that: so late it may be
// on the way, and the broker under load.
const beatMargin = time.Second

// heartBeat is what a session has agreed to do while nothing happens: write beats, and end when the
// client's stay away. The broker's wheel asks for it.
type heartBeat struct {
	// Set by CONNECT, before the wheel looks at them.
	every time.Duration // write at least this often; 0: never
	limit time.Duration // silence that ends the session; 0: any

	// Written by the wheel's turn, and by a reader that was held up.
	excused atomic.Int64 // until then nobody was reading, Unix nanoseconds
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

// startBeats starts the heart-beats of a session, in place of its time to CONNECT.
func (s *session) startBeats(out, in time.Duration, grace int) {
	h := &s.beat
	h.every = out - min(out/2, beatMargin)
	if in > 0 {
		h.limit = max(in*time.Duration(grace), minGrace)
		if mutant.Is(mutant.GraceTen) {
			h.limit *= 10
		}
	}
	if h.every == 0 && h.limit == 0 {
		s.b.wheel.forget(s)
		return
	}
	s.b.wheel.wake(s, s.nextBeat(time.Now()), true)
}

// ring does what is due and tells in how long something may be due again; 0: never. The wheel
// calls it: beats is false while CONNECT has not come, room is for a heart-beat.
func (s *session) ring(now time.Time, beats bool, room []byte) time.Duration {
	if !beats {
		if mutant.Is(mutant.ConnectTimeOff) {
			return 0
		}
		if s.principal.Load() != nil {
			return 0 // CONNECT is accepted, just in time
		}
		s.end(because(reasonConnectTime, "the connection was open for %v", s.within))
		return 0
	}
	if s.overdue(now) {
		s.end(because(reasonTxTime, "it was open for %v, the limit", s.limits.TransactionTime))
		return 0
	}
	h := &s.beat
	if h.limit > 0 {
		if s.busy.Load() {
			h.excused.Store(now.UnixNano()) // the store or the client's own slowness holds the reader up
		}
		if silent := now.Sub(s.heard()); silent >= h.limit {
			s.end(because(reasonHeartBeat, "nothing came for %v", silent.Round(time.Millisecond)))
			return 0
		}
	}
	if h.every > 0 && now.Sub(s.lastWrite()) >= h.every*4/5 {
		s.out.beat(room, now)
	}
	return s.nextBeat(now)
}

// overdue reports whether a transaction has been open for too long. It notes, where none is open, that
// the wheel may look away.
func (s *session) overdue(now time.Time) bool {
	began := s.txOldest.Load()
	if began == 0 {
		s.txWatched.Store(false)
		if began = s.txOldest.Load(); began == 0 {
			return false
		}
		s.txWatched.Store(true) // one began meanwhile, and may not have seen that
	}
	return now.Sub(time.Unix(0, began)) >= s.limits.TransactionTime
}

// heard is when the client last said something, or could not be heard.
func (s *session) heard() time.Time {
	return time.Unix(0, max(s.beat.excused.Load(), s.conn.LastRead()))
}

func (s *session) lastWrite() time.Time { return time.Unix(0, s.out.lastWrite.Load()) }

// beat is a heart-beat on the wire: an EOL between frames.
var beat = []byte("\n")

// nextBeat is how long it takes until something may be due: the next beat, early by up to a tenth
// so that sessions which connected together do not beat together, the end of the client's grace, or
// of the time of a transaction; 0: nothing will be.
func (s *session) nextBeat(now time.Time) time.Duration {
	h := &s.beat
	const never = time.Duration(1<<63 - 1)
	sleep := never
	if h.every > 0 {
		due := h.every - now.Sub(s.lastWrite())
		if due <= h.every/5 {
			due = h.every // a beat has just been put
		}
		sleep = due - time.Duration(rand.Int64N(int64(h.every/10)+1)) // #nosec G404 -- it spreads heart-beats
	}
	if h.limit > 0 {
		sleep = min(sleep, h.limit-now.Sub(s.heard()))
	}
	if began := s.txOldest.Load(); began != 0 {
		sleep = min(sleep, s.limits.TransactionTime-now.Sub(time.Unix(0, began)))
	}
	if sleep == never {
		return 0
	}
	return max(sleep, time.Millisecond)
}
