package broker

import (
	"bytes"
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// claim is messages that an ACK or NACK took out of a subscription.
type claim struct {
	sub *subscription
	hs  []held
}

// handleAck acknowledges (STOMP 1.2, ACK), or notes it in its transaction. An ACK of what the
// session does not hold any more, after UNSUBSCRIBE say, gets its RECEIPT and does nothing.
func (s *session) handleAck(f *stompframe.Frame) *ending {
	if id, in := f.Header.Get(frame.Transaction); in {
		return s.settleLater(string(id), f, settlement{})
	}
	c, bad := s.claimed(f)
	if bad != nil {
		return bad
	}
	done := s.afterSettling(f, c)
	for _, h := range c.hs {
		h.d.Ack(done)
	}
	if done == nil {
		s.released(c)
	}
	return nil
}

// handleNack refuses messages (STOMP 1.2, NACK): they are delivered again, after the back-off or
// the delay asked for, or with requeue:false go to the dead letter queue.
func (s *session) handleNack(f *stompframe.Frame) *ending {
	how, bad := readNack(f)
	if bad != nil {
		return bad
	}
	if id, in := f.Header.Get(frame.Transaction); in {
		return s.settleLater(string(id), f, how)
	}
	c, bad := s.claimed(f)
	if bad != nil {
		return bad
	}
	var done func(error)
	if how.dead {
		done = s.afterSettling(f, c)
	} else {
		// To come again is no promise that needs the disk; the RECEIPT comes before the MESSAGE.
		s.confirm(f)
	}
	how.refuse(c, done)
	if done == nil {
		s.released(c)
	}
	return nil
}

// settlement is what an ACK or NACK does with what it claims; the zero value acknowledges.
type settlement struct {
	nack    bool
	dead    bool          // to the dead letter queue
	delay   time.Duration // before it comes again
	delayed bool          // delay was asked for; else the back-off counts
}

// maxNackDelay bounds the delay header of a NACK.
const maxNackDelay = 24 * time.Hour

func readNack(f *stompframe.Frame) (settlement, *ending) {
	how := settlement{nack: true, dead: says(f.Header.String("requeue"), "false")}
	if v, ok := f.Header.Get("delay"); ok {
		ms, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || ms < 0 || ms > maxNackDelay.Milliseconds() {
			return how, because(reasonBadHeader, "delay:%s is not a number of milliseconds up to %d",
				quote(string(v)), maxNackDelay.Milliseconds())
		}
		how.delay, how.delayed = time.Duration(ms)*time.Millisecond, true
	}
	return how, nil
}

// refuse settles claimed messages that a NACK refuses, oldest first.
func (how settlement) refuse(c claim, done func(error)) {
	for _, h := range c.hs {
		if how.dead {
			c.sub.queue().bury(h.d, deadByClient, done)
			continue
		}
		if mutant.Is(mutant.RequeueAtTail) {
			m := *h.d.Message()
			h.d.Move(&m, done)
			continue
		}
		delay := how.delay
		if !how.delayed {
			q := c.sub.queue()
			delay = q.b.policies.ofQueue(q.name, h.d.Message()).Redelivery.after(h.d.Count())
		}
		h.d.Nack(delay, done)
	}
}

// afterSettling returns the done of the settling calls of one frame, or nil if it asked for no
// receipt: the RECEIPT follows the last of them, and then the room that they make is free. Without
// messages it is confirmed at once.
func (s *session) afterSettling(f *stompframe.Frame, c claim) func(error) {
	id := f.Header.String(frame.Receipt)
	if id == "" {
		return nil
	}
	r := s.acks.open(id)
	if len(c.hs) == 0 {
		r.confirm()
		return nil
	}
	left := newCountdown(len(c.hs), func(err error) {
		if err != nil {
			s.storeFailed(err, id, r)
		} else {
			r.confirm()
		}
		s.released(c)
	})
	return left.done
}

// released gives the room of claimed messages back: the prefetch of their subscription, the
// session's bound.
func (s *session) released(c claim) {
	if len(c.hs) == 0 {
		return
	}
	s.unacked.Add(-int64(len(c.hs)))
	bytes := int64(0)
	for _, h := range c.hs {
		bytes += int64(h.d.Message().Size())
	}
	c.sub.queue().freed(c.sub, len(c.hs), bytes)
	s.unstall()
}

// claimed takes what an ACK or NACK means out of its subscription; nothing if the session does
// not hold it.
func (s *session) claimed(f *stompframe.Frame) (claim, *ending) {
	if s.version == stompframe.V12 {
		if id, ok := f.Header.Get(frame.Id); ok {
			c, ours := s.claimByID(id)
			if !ours {
				// A broker whose ack ids are its message ids has taught clients to send those.
				c = s.claimByMessage(string(id), f)
			}
			return c, nil
		}
	}
	// STOMP 1.1, ACK: message-id and subscription. STOMP 1.0: message-id. Old clients do so on
	// 1.2 as well.
	id, ok := f.Header.Get(frame.MessageId)
	if !ok {
		need := frame.MessageId
		if s.version == stompframe.V12 {
			need = frame.Id
		}
		return claim{}, because(reasonMissingHeader, "%s needs the header %s", f.Command, need)
	}
	if s.version == stompframe.V11 && !f.Header.Has(frame.Subscription) {
		return claim{}, because(reasonMissingHeader, "%s needs the header subscription in STOMP 1.1", f.Command)
	}
	return s.claimByMessage(string(id), f), nil
}

// claimByID claims by a MESSAGE's ack header, NUMBER-SEQ; ours tells that id has that form.
func (s *session) claimByID(id []byte) (c claim, ours bool) {
	n, q, ok := bytes.Cut(id, []byte("-"))
	if !ok {
		return claim{}, false
	}
	number, err := strconv.ParseUint(string(n), 10, 64)
	seq, err2 := strconv.ParseUint(string(q), 10, 64)
	if err != nil || err2 != nil {
		return claim{}, false
	}
	sub := s.byNumber(number)
	if sub == nil || sub.special().queue == nil || sub.mode == ackAuto {
		return claim{}, true
	}
	sub.queue().mu.Lock()
	defer sub.queue().mu.Unlock()
	i := sub.find(seq)
	if i < 0 {
		return claim{}, true
	}
	return claim{sub, sub.claim(i, nil)}, true
}

// claimByMessage claims by message-id, of the subscription that the frame names, if it does.
func (s *session) claimByMessage(id string, f *stompframe.Frame) claim {
	if name, named := f.Header.Get(frame.Subscription); named {
		if sub := s.subscriptions.get(string(name), false); sub != nil {
			return claimMessage(sub, id)
		}
		return claim{}
	}
	for sub := range s.subscriptions.all() {
		if c := claimMessage(sub, id); c.hs != nil {
			return c
		}
	}
	return claim{}
}

func claimMessage(sub *subscription, id string) claim {
	if sub.special().queue == nil || sub.mode == ackAuto {
		return claim{}
	}
	sub.queue().mu.Lock()
	defer sub.queue().mu.Unlock()
	i := sub.findMessage(id)
	if i < 0 {
		return claim{}
	}
	return claim{sub, sub.claim(i, nil)}
}

// byNumber finds a subscription by the first part of its ack ids.
func (s *session) byNumber(n uint64) *subscription {
	if list := s.consuming.Load(); list != nil {
		for _, sub := range *list {
			if sub.special().number == n {
				return sub
			}
		}
	}
	return nil
}
