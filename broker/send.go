package broker

import (
	"errors"
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// target is where a SEND goes, decided before anything is stored.
type target struct {
	topic  string // the name whose audience gets it; or
	engine store.Engine
	queue  string // the engine's queue; neither: nobody gets it
	orphan bool   // the queue has no consumer and vanishes if none comes
	token  string // the reply address that led to the queue
	own    bool   // it is a temporary queue of the sender itself
}

// handleSend routes a message (STOMP 1.2, SEND), or puts it into its transaction.
func (s *session) handleSend(f *stompframe.Frame) *ending {
	name, ok := f.Header.Get(frame.Destination)
	if !ok {
		return because(reasonMissingHeader, "SEND needs a destination")
	}
	destination := ""
	if string(name) == s.latest.name {
		destination = s.latest.name
	} else {
		destination = string(name)
	}
	if destination == renewDestination {
		s.settle()
		return s.handleRenew(f)
	}
	p, bad := s.allow(OpSend, destination)
	if mutant.Is(mutant.UndecidedInTransaction) && bad != nil && f.Header.Has(frame.Transaction) {
		p.address, bad = s.resolve(OpSend, destination)
		p.op, p.by = OpSend, s.rights()
	}
	if bad != nil {
		return bad
	}
	t, bad := s.target(p, f)
	if bad != nil {
		return bad
	}
	replyTo, bad := s.replyTo(f)
	if bad != nil {
		return bad
	}
	id, in := f.Header.Get(frame.Transaction)
	var m *store.Message
	drafted := t.topic != "" && !in
	if drafted {
		m = s.draft(destination, f, replyTo)
	} else {
		m = s.b.newMessage(destination, f, replyTo)
	}
	if bad := sendOptions(m, f); bad != nil {
		return bad
	}
	if ps := s.b.policies; len(ps.all()) > 0 && (t.topic != "" || t.engine == s.b.engine) {
		ps.of(destination).apply(m, time.Now())
	}
	if t.topic != "" && m.NotBefore != 0 {
		if drafted {
			m = clone(m)
		}
		if t.topic != destination { // when its time comes, its destination alone tells where it goes
			d := s.b.newMessage(t.topic, f, replyTo)
			m.Data, m.ID, m.Flags = d.Data, d.ID, d.Flags&^flagPlain // no sender has checked the user's name
		}
		t = target{engine: s.b.engine, queue: delayedQueue}
	}
	m.Queue = t.queue
	if t.orphan {
		if last := time.Now().Add(orphanTime).UnixMilli(); m.Expires == 0 || m.Expires > last {
			m.Expires = last
		}
	}
	s.received.Add(1)
	if in {
		if bad := s.sendLater(string(id), p, t, m); bad != nil {
			return bad
		}
		s.confirm(f) // taken into the transaction; COMMIT's receipt is the promise
		return nil
	}
	id, _ = f.Header.Get(frame.Receipt)
	s.publish(t, m, s.acks.copied(id))
	return nil
}

// publish sends m on its way; one for a topic is a draft. The RECEIPT follows when it is stored as durably as it asked to be.
func (s *session) publish(t target, m *store.Message, receiptID string) {
	switch {
	case t.topic != "":
		s.gather(t.topic, s.acks.open(receiptID))
	case t.queue != "":
		s.settle()
		s.b.keep(t, m, s.whenStored(s.acks.open(receiptID)))
	default:
		s.acks.open(receiptID).confirm()
	}
}

// whenStored gives the done of a message with that receipt, nil for none.
func (s *session) whenStored(r *receipt) func(dup bool, err error) {
	if r != nil {
		return r.stored
	}
	if s.silently == nil {
		s.silently = s.storedSilently
	}
	return s.silently
}

// storedSilently tells how a message went that has no receipt.
func (s *session) storedSilently(_ bool, err error) {
	if err != nil {
		s.storeFailed(err, "", nil)
	}
}

// keep puts a message into the queue it goes to. A queue in memory may have gone with its owner
// since it was found, and must not come to life again: nobody would ever take from it.
func (b *Broker) keep(t target, m *store.Message, done func(dup bool, err error)) {
	t.engine.Publish(m, done)
	if t.engine != b.transient || t.own || t.orphan {
		return
	}
	alive := false
	if t.token != "" {
		_, alive = b.replies.Load(t.token)
	} else {
		b.mu.Lock()
		alive = b.queues[t.queue] != nil
		b.mu.Unlock()
	}
	if !alive {
		b.transient.Drop(t.queue, nil) // refused where somebody consumes it after all
	}
}

// storeFailed answers a SEND or COMMIT that the engine refused.
func (s *session) storeFailed(err error, receiptID string, r *receipt) {
	e := because(reasonStore, "%v", err)
	switch {
	case errors.Is(err, store.ErrFull):
		e = because(reasonStoreFull, "%v", err)
	case errors.Is(err, store.ErrQueues):
		e = because(reasonQueues, "there are as many as there may be, limits.queues; what is sent to those goes on")
	case errors.Is(err, store.ErrClosed):
		e = &ending{Reason: reasonShutdown}
	default:
		s.b.log.Error("message not stored", "session", s.id, "error", err)
	}
	e.receipt, e.cause = receiptID, err
	if s.soft && e.Soft {
		s.decline(e, r)
		return
	}
	s.end(e)
	if r != nil {
		r.refuse(func() {}) // the session's last ERROR answers it
	}
}

// target is where a permitted SEND leads in this session. /user/NAME/queue/x reaches every session
// of that user that subscribed to /user/queue/x.
func (s *session) target(p permit, f *stompframe.Frame) (target, *ending) {
	switch p.kind {
	case kindTopic, kindUser:
		return target{topic: p.name}, nil
	case kindTempQueue:
		t, bad := s.temp(p)
		if bad != nil {
			return target{}, bad
		}
		return target{engine: s.b.transient, queue: t.queue, own: true}, nil
	case kindReply:
		q, ok := s.b.replies.Load(p.rest)
		if !ok {
			return target{}, nil // who asked has gone; that is no fault of who answers
		}
		return target{engine: s.b.transient, queue: q.(string), token: p.rest}, nil
	}
	return s.b.queueTarget(p, f.Header.Has(hdrSimpOrig)), nil
}

// sendOptions reads what a SEND says about the life of its message in a queue. The earliest of
// several expiries counts, and the latest of several delays.
func sendOptions(m *store.Message, f *stompframe.Frame) *ending {
	var ms int64 // now; most frames need not know
	m.Persistent = !says(f.Header.String(hdrPersistent), "false") && !mutant.Is(mutant.Volatile)
	for _, h := range f.Header {
		var relative, delay bool
		switch string(h.Name) {
		case hdrPriority:
			if p := string(h.Value); len(p) == 1 && p[0] >= '0' && p[0] <= '9' {
				m.Priority = p[0] - '0'
			}
			continue
		case "expires":
		case "expiration", "ttl":
			relative = true
		case "x-delay", "AMQ_SCHEDULED_DELAY":
			relative, delay = true, true
		case "AMQ_SCHEDULED_TIME":
			delay = true
		default:
			continue
		}
		if ms == 0 {
			ms = time.Now().UnixMilli()
		}
		n, err := strconv.ParseInt(string(h.Value), 10, 64)
		if err != nil || n < 0 || n > maxMillis {
			return because(reasonBadHeader, "%s:%s is not a number of milliseconds", h.Name, quote(string(h.Value)))
		}
		if relative {
			n += ms
		}
		switch {
		case delay:
			m.NotBefore = max(m.NotBefore, n)
		case n > 0 && (m.Expires == 0 || n < m.Expires): // expires:0 is ActiveMQ's never
			m.Expires = n
		}
	}
	if m.NotBefore <= ms {
		m.NotBefore = 0
	}
	return nil
}

// maxMillis bounds times in headers: the year 9999.
const maxMillis = 253_402_300_799_000
