package broker

import (
	"sync"
	"time"
)

const (
	wheelTick  = 20 * time.Millisecond // how late an alarm may be
	wheelSlots = 512                   // one that is further away is looked at on the way
	wheelFar   = 50                    // one that is so many ticks away may be early,
	wheelGroup = 5                     // by less than so many: fewer turns see to more
)

// wheel wakes sessions when something may be due: a heart-beat, the end of the client's grace, the
// end of the time to CONNECT. One timer serves all of them, and all that fall into one tick are
// seen to in one go: an idle session costs neither a goroutine nor a timer nor a wake-up of its
// own. The timer runs only while an alarm is set.
type wheel struct {
	start time.Time // of tick 0

	mu      sync.Mutex // guards what follows, and the alarms; taken last, nothing is called under it
	slots   [wheelSlots]*session
	at      int64 // all ticks before this one have been seen to
	set     int   // alarms on the wheel
	timer   *time.Timer
	armed   int64 // the tick timer is set for, or 0
	running bool  // turn is under way, and will set the timer

	// Owned by turn.
	due   []dueItem
	frame []byte // room for a heart-beat
}

// alarm is a session's place on the wheel; the sessions of a slot are a list.
type alarm struct {
	next, prev *session
	slot       int32
	on         bool  // it is on the wheel
	beats      bool  // for heart-beats; else for the end of the time to CONNECT
	turn       uint8 // counts changes, so that a turn under way does not undo one
}

// dueItem is an alarm that a turn has taken off the wheel.
type dueItem struct {
	s     *session
	beats bool
	turn  uint8
	wait  time.Duration
}

func newWheel() *wheel { return &wheel{start: time.Now(), frame: make([]byte, 16)} }

// wake sets the alarm of s, for d from now; it replaces the one that is set.
func (w *wheel) wake(s *session, d time.Duration, beats bool) {
	now := time.Since(w.start)
	w.mu.Lock()
	defer w.mu.Unlock()
	s.alarm.turn++
	s.alarm.beats = beats
	w.remove(s)
	w.pass(int64(now / wheelTick))
	tick := w.insert(s, now+d)
	if !w.running && (w.armed == 0 || tick < w.armed) {
		w.arm(tick, now)
	}
}

// forget takes the alarm of s off. A turn under way may still look at s.
func (w *wheel) forget(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.alarm.turn++
	w.remove(s)
	if w.set == 0 && w.armed != 0 {
		w.timer.Stop()
		w.armed = 0
	}
}

// pass goes by the empty slots up to that tick. w.mu is held.
func (w *wheel) pass(tick int64) {
	if w.set == 0 {
		w.at = max(w.at, tick)
	}
	for w.at < tick && w.slots[w.at%wheelSlots] == nil {
		w.at++
	}
}

// insert puts s on the wheel, for the first tick that is not before when, or earlier if that is too
// far away. w.mu is held.
func (w *wheel) insert(s *session, when time.Duration) int64 {
	tick := int64((when + wheelTick - 1) / wheelTick)
	tick = min(max(tick, w.at), w.at+wheelSlots-1)
	if tick-w.at > wheelFar {
		tick -= tick % wheelGroup
	}
	a := &s.alarm
	a.on, a.slot = true, int32(tick%wheelSlots) // #nosec G115 -- there are few slots
	head := &w.slots[a.slot]
	a.prev, a.next = nil, *head
	if a.next != nil {
		a.next.alarm.prev = s
	}
	*head = s
	w.set++
	return tick
}

// remove takes s off the wheel, if it is on it. w.mu is held.
func (w *wheel) remove(s *session) {
	a := &s.alarm
	if !a.on {
		return
	}
	if a.prev != nil {
		a.prev.alarm.next = a.next
	} else {
		w.slots[a.slot] = a.next
	}
	if a.next != nil {
		a.next.alarm.prev = a.prev
	}
	a.next, a.prev, a.on = nil, nil, false
	w.set--
}

// arm sets the timer. w.mu is held.
func (w *wheel) arm(tick int64, now time.Duration) {
	w.armed = max(tick, 1) // 0 stands for none
	sleep := time.Duration(w.armed)*wheelTick - now
	if w.timer == nil {
		w.timer = time.AfterFunc(sleep, w.turn)
	} else {
		w.timer.Reset(sleep)
	}
}

// turn sees to the sessions whose time has come. It runs on the timer's goroutine, never twice at
// once.
func (w *wheel) turn() {
	w.mu.Lock()
	if w.running { // it sets the timer
		w.mu.Unlock()
		return
	}
	w.running, w.armed = true, 0
	last := int64(time.Since(w.start) / wheelTick)
	for n := 0; w.at <= last && n < wheelSlots; n++ {
		head := &w.slots[w.at%wheelSlots]
		for *head != nil {
			s := *head
			w.remove(s)
			w.due = append(w.due, dueItem{s: s, beats: s.alarm.beats, turn: s.alarm.turn})
		}
		w.at++
	}
	w.at = max(w.at, last+1)
	w.mu.Unlock()

	now := time.Now()
	for i := range w.due {
		d := &w.due[i]
		d.wait = d.s.ring(now, d.beats, w.frame[:0])
	}

	w.mu.Lock()
	for _, d := range w.due {
		if d.wait > 0 && d.s.alarm.turn == d.turn {
			w.insert(d.s, now.Sub(w.start)+d.wait)
		}
	}
	clear(w.due)
	w.due = w.due[:0]
	w.running = false
	if w.set > 0 {
		tick := w.at
		for w.slots[tick%wheelSlots] == nil {
			tick++
		}
		w.arm(tick, time.Since(w.start))
	}
	w.mu.Unlock()
}
