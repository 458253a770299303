package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// lingerTime is how long a closed connection waits for its peer to close too, so that the last
// frame is not lost to a reset.
const lingerTime = 2 * time.Second

// session is one client's connection.
type session struct {
	// Static.
	b      *Broker
	conn   Conn
	id     string
	out    outbox
	acks   receipts
	within time.Duration // the time to CONNECT
	number uint32        // in b.numbers; 0: none, then no subscription is ordinary

	watched *watched // its context
	over    func()   // tells whoever began it that it is over

	// Set once by CONNECT, before anything else of the session can be seen by others.
	limits   *Limits // at first those for everyone
	version  stompframe.Version
	clientID string
	soft     bool // refusals do not end the session

	// Written by the reader under table, which others hold to read it; taken before a rule's locks.
	table         sync.Mutex
	subscriptions subscriptions

	// Owned by the reader.
	counted      counted
	connected    bool
	staying      bool   // conn is a Waiter that does not leave yet
	detached     bool   // all its subscriptions are gone
	numbers      uint64 // subscriptions made so far
	patterns     int    // subscriptions to patterns
	transactions map[string]*transaction
	txBytes      int64
	txFrames     int
	temps        map[string]*tempQueue
	latest       address                   // of the latest SEND: most name one destination again and again
	silently     func(dup bool, err error) // storedSilently, made once
	gathered     *gathered                 // topic messages sent and not delivered yet
	spared       int                       // SENDs that hold lets pass
	expiring     int                       // place in the broker's expiry, see there; guarded by that

	beat  heartBeat
	alarm alarm // guarded by wheel.mu

	// Owned by the flusher of the moment.
	head []byte

	// Read and written anywhere.
	ending    atomic.Pointer[ending]
	principal atomic.Pointer[Principal]       // nil before CONNECT
	granted   atomic.Pointer[granted]         // what rights found last
	busy      atomic.Bool                     // the reader is not reading: a frame is being handled
	txOldest  atomic.Int64                    // when the oldest open transaction began, Unix nanoseconds; 0: none is
	txWatched atomic.Bool                     // the wheel will look at txOldest
	stalled   atomic.Bool                     // a queue waits for room in this session
	unacked   atomic.Int64                    // queue messages held, over all subscriptions
	consuming atomic.Pointer[[]*subscription] // those of queues; written by the reader
	received  atomic.Uint64
	delivered atomic.Uint64
	caused    atomic.Int64 // bytes published, by the number of their receivers, that look has not told of
}

func newSession(b *Broker, c Conn) *session {
	limits := &b.bounds.Load().limits
	s := &session{b: b, conn: c, limits: limits, within: limits.ConnectTime, id: randomID(16)}
	s.out.s, s.out.limit = s, s.limits.Outbox
	s.acks.out = &s.out
	return s
}

// run is the session's life until it waits, or ends. Its goroutine may then do something else.
func (s *session) run() {
	waits := false
	defer func() {
		if !waits {
			s.b.dismiss(s)
			s.over()
		}
	}()
	var e *ending
	if bad := s.guard(func() { e, waits = s.read() }); bad != nil {
		e = bad
	}
	if waits {
		go s.wait()
		return
	}
	if bad := s.guard(s.settle); bad != nil {
		e = bad
	}
	s.ending.CompareAndSwap(nil, e) // from here on nobody else's reason counts
	if s.guard(func() { s.finish(e) }) != nil {
		s.b.wheel.forget(s)
		s.out.close()
		s.conn.Abort()
		s.conn.Close(closeInternal, "", 0)
	}
}

// wait waits for the client on a goroutine that has not needed much stack yet: thousands may do that for hours. What comes
// then is handled on the same goroutine, whose stack grows with it; the next wait has another.
func (s *session) wait() {
	if bad := s.guard(s.conn.(Waiter).Wait); bad != nil {
		s.end(bad)
	}
	s.run()
}

// frames are of the readers at work: one that waits has none.
var frames = sync.Pool{New: func() any { return new(stompframe.Frame) }}

// read reads and handles frames until the session ends, and tells why, or is left to wait.
func (s *session) read() (e *ending, waits bool) {
	f := frames.Get().(*stompframe.Frame)
	for {
		if err := s.conn.ReadFrame(f); err != nil {
			switch e := s.ending.Load(); {
			case e != nil:
				return e, false
			case errors.Is(err, ErrWait):
				clear(f.Header)
				*f = stompframe.Frame{Header: f.Header[:0]}
				frames.Put(f)
				return nil, true
			}
			return readEnding(err, f), false
		}
		s.busy.Store(true)
		if f.Command != frame.SEND {
			s.settle()
		}
		again := s.connected
		e := s.handle(f)
		s.look()
		if f.Command == frame.SEND {
			s.hold()
		}
		for wait := s.out.crowded(); wait != nil && s.ending.Load() == nil; wait = s.out.crowded() {
			s.settle()
			<-wait
		}
		s.busy.Store(false)
		if s.staying && again { // what follows CONNECT came soon
			s.staying = false
			s.conn.(Waiter).Leaves()
		}
		if e != nil && e.receipt == "" && e.Reason != reasonDisconnect {
			e.receipt = receiptOf(f)
		}
		switch {
		case e == nil:
		case mutant.Is(mutant.RefusedGoesOn) && !s.connected && f.Command == frame.CONNECT:
			s.sendError(e, true)
			s.version, s.connected = stompframe.V12, true
			s.become(nobody)
		case s.soft && e.Soft:
			// In the order of the frames that asked for a receipt.
			s.decline(e, s.acks.open(e.receipt))
		default:
			return e, false
		}
		if e := s.ending.Load(); e != nil {
			return e, false
		}
	}
}

// receiptOf is the receipt a frame asks for; CONNECT may not ask (STOMP 1.2, Standard Headers).
func receiptOf(f *stompframe.Frame) string {
	if f.Command == frame.CONNECT || f.Command == frame.STOMP {
		return ""
	}
	return f.Header.String(frame.Receipt)
}

// end makes the session end for reason e, soon, from any goroutine. The first reason counts.
func (s *session) end(e *ending) {
	if !s.ending.CompareAndSwap(nil, e) {
		return
	}
	if e.mute {
		s.out.mute()
	}
	if e.abort {
		s.conn.Abort()
	}
	s.conn.Interrupt()
	s.out.wake()
}

// tooSlow ends a session whose outbox is over its limit (product policy "disconnect").
func (s *session) tooSlow(sub *subscription) {
	if mutant.Is(mutant.OutboxUnbounded) {
		return
	}
	s.end(&ending{Reason: reasonSlow, abort: true,
		detail: "more than " + strconv.FormatInt(s.out.limit, 10) + " bytes wait for it, on " + quote(sub.destination())})
}

// finish ends the session in order: nothing new comes in, what it held goes back to the queues,
// the last frames are flushed, the connection is closed.
func (s *session) finish(e *ending) {
	s.b.wheel.forget(s)
	s.b.expiry.leave(s)
	s.report(e)
	s.detach()
	if e.mute {
		s.out.forget()
	}
	if !e.lost && !e.abort {
		s.waitReceipts(s.receiptTime(e))
		s.farewell(e)
	}
	if e.abort || !s.out.drain(s.drainTime(e)) {
		s.conn.Abort()
		if wait := s.out.close(); wait != nil {
			<-wait
		}
		s.conn.Close(s.closeCode(e), e.Text, 0)
		return
	}
	linger := lingerTime
	if e.lost {
		linger = 0
	}
	s.conn.Close(s.closeCode(e), e.Text, linger)
}

// drainTime is how long the last frames may take: as long as any write, but not where the peer
// is gone or cannot be expected to read.
func (s *session) drainTime(e *ending) time.Duration {
	if e.mute {
		return muteTime
	}
	if e.lost || e.Reason == reasonHeartBeat {
		return time.Second
	}
	return s.limits.SendTime
}

// muteTime bounds what is left of a session that must not be told anything more: its last receipts,
// then the last write, which may have a message in it.
const muteTime = 400 * time.Millisecond

// receiptTime is how long the last receipts are waited for.
func (s *session) receiptTime(e *ending) time.Duration {
	if e.mute {
		return muteTime
	}
	return s.limits.SendTime
}

func (s *session) closeCode(e *ending) int {
	if e.code != 0 {
		return e.code
	}
	return e.Code
}

// maxRefusing bounds how many connections that were not admitted are waited for.
const maxRefusing = 256

// refuse ends a session that was not admitted, and logs one of them a second.
func (s *session) refuse(e *ending) {
	if now := time.Now().Unix(); s.b.refusedAt.Swap(now) != now {
		s.log(e)
	}
	if !mutant.Is(mutant.StrangersUncounted) {
		s.b.refusals.count(e.Reason)
	}
	s.farewell(e)
	s.out.drain(time.Second)
	// A CONNECT left unread would turn the close into a reset, which can destroy the ERROR.
	linger := time.Duration(0)
	if s.b.refusing.Add(1) <= maxRefusing {
		linger = lingerTime
	}
	s.conn.Close(e.Code, e.Text, linger)
	s.b.refusing.Add(-1)
}

// waitReceipts waits until what the client had a receipt promised for is done, so that a session
// that ends in order leaves no frame unanswered.
func (s *session) waitReceipts(most time.Duration) {
	wait := s.acks.pending()
	if wait == nil {
		return
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-wait:
	case <-t.C:
	case <-s.b.cut.Done():
	}
}

// farewell puts the last frame: the ERROR of a session that ends badly.
func (s *session) farewell(e *ending) {
	if !e.Silent {
		s.sendError(e, true)
	}
}

// decline refuses a frame of a session that goes on; r is the receipt it asked for, or nil.
func (s *session) decline(e *ending, r *receipt) {
	if !mutant.Is(mutant.SoftUncounted) {
		s.b.refusals.count(e.Reason)
	}
	r.refuse(func() { s.sendError(e, false) })
}

// sendError puts an ERROR frame (STOMP 1.2, ERROR).
func (s *session) sendError(e *ending, fatal bool) {
	body := e.Error()
	b := make([]byte, 0, 160+len(body)+len(e.receipt))
	b = append(b, frame.ERROR+"\n"...)
	b = stompframe.AppendHeader(b, s.version, frame.Message, e.Text)
	if e.receipt != "" {
		b = stompframe.AppendHeader(b, s.version, frame.ReceiptId, e.receipt)
	}
	if e.version {
		b = append(b, "version:"+stompframe.Supported+"\n"...)
	}
	if s.soft {
		b = stompframe.AppendHeader(b, s.version, "fatal", strconv.FormatBool(fatal))
	}
	b = append(b, "content-type:text/plain\ncontent-length:"...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\n\n"...)
	b = append(b, body...)
	s.out.putFrame(append(b, 0))
}

// report counts and logs how a session ended.
func (s *session) report(e *ending) {
	s.b.refusals.count(e.Reason)
	s.log(e)
}

// log logs how a session ended: that is an event for people only if it was not asked for.
func (s *session) log(e *ending) {
	level := slog.LevelInfo
	switch e.Reason {
	case reasonDisconnect, reasonShutdown:
		level = slog.LevelDebug
	case reasonSlow, reasonMemory, reasonUnchecked:
		level = slog.LevelWarn
	case reasonGone:
		if e.cause == nil || errors.Is(e.cause, io.EOF) {
			level = slog.LevelDebug
		}
	}
	if !s.b.log.Enabled(context.Background(), level) {
		return
	}
	p := s.conn.Peer()
	attrs := []slog.Attr{
		slog.String("reason", e.Text),
		slog.String("session", s.id),
		slog.String("transport", p.Transport),
		slog.String("peer", addrString(p)),
	}
	if p := s.principal.Load(); p != nil && p.Name != "" {
		attrs = append(attrs, slog.String("user", p.Name))
	}
	if e.detail != "" {
		attrs = append(attrs, slog.String("detail", e.detail))
	} else if e.cause != nil {
		attrs = append(attrs, slog.String("detail", e.cause.Error()))
	}
	if e.why != "" {
		attrs = append(attrs, slog.String("why", e.why))
	}
	s.b.log.LogAttrs(context.Background(), level, "session ended", attrs...)
}

func addrString(p Peer) string {
	if p.Addr == nil {
		return ""
	}
	return p.Addr.String()
}

// detach takes the session out of topics and queues and gives back all it held.
func (s *session) detach() {
	for id, tx := range s.transactions {
		s.undo(tx)
		delete(s.transactions, id)
	}
	// First out of all queues, so that nothing given back comes to this session again.
	for sub := range s.subscriptions.all() {
		s.leave(sub)
	}
	unsent := make(map[*subscription][]outItem)
	for _, it := range s.out.withdraw(nil) {
		unsent[it.sub] = append(unsent[it.sub], it)
	}
	for sub := range s.subscriptions.all() {
		if sub.queue() != nil {
			sub.queue().settle(sub, unsent[sub])
			s.b.durables.leave(sub.special().durable)
		}
	}
	for _, t := range s.temps {
		s.dropTemp(t)
	}
	s.detached = true
	s.table.Lock()
	s.subscriptions, s.temps = subscriptions{}, nil
	s.table.Unlock()
}

// leave ends the deliveries to a subscription.
func (s *session) leave(sub *subscription) {
	more := sub.special()
	if more.topic != "" {
		s.b.topics.unsubscribe(more.topic, sub.wild, sub)
	}
	if more.queue != nil {
		more.queue.remove(sub)
		return
	}
	s.b.topics.unsubscribe(sub.route(), sub.wild, sub)
}

// hasRoom reports whether a queue may hand this session another message.
func (s *session) hasRoom(m ackMode) bool {
	return s.out.room() && (m == ackAuto || s.unacked.Load() < int64(s.limits.Unacked) || mutant.Is(mutant.UnackedEach))
}

// unstall wakes the queues that found no room in this session, now that there may be some.
func (s *session) unstall() {
	if !s.stalled.Load() || !s.out.room() {
		return
	}
	s.stalled.Store(false)
	if subs := s.consuming.Load(); subs != nil {
		for _, sub := range *subs {
			sub.queue().refill()
		}
	}
}

// written tells that a batch has been handed to the network: messages of subscriptions in mode
// auto are consumed with that (STOMP 1.2, SUBSCRIBE ack Header). The flusher calls it.
func (s *session) written(batch []outItem) {
	var sub *subscription
	freed, messages := 0, uint64(0)
	for i := range batch {
		it := &batch[i]
		switch {
		case it.b != nil:
			messages += uint64(len(it.b.ms))
		case it.d != nil:
			messages++
		}
		if it.d == nil || it.sub.mode != ackAuto {
			continue
		}
		if it.sub != sub && sub != nil {
			sub.queue().freed(sub, freed, 0)
			freed = 0
		}
		sub = it.sub
		freed++
		it.d.Ack(nil)
	}
	if sub != nil {
		sub.queue().freed(sub, freed, 0)
	}
	s.delivered.Add(messages)
	s.unstall()
}

// giveBack returns deliveries that a broken connection did not take, or not surely.
func (s *session) giveBack(items []outItem, tried bool) {
	for _, it := range items {
		switch {
		case it.d == nil:
		case it.n != 0:
			if !tried {
				it.sub.queue().neverSent(it.sub, it.n)
			}
		case tried:
			it.d.Nack(0, nil)
		default:
			it.d.Release()
		}
	}
}

// neverSent marks a message of unacked as one that did not reach the wire.
func (q *queue) neverSent(sub *subscription, seq uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := sub.find(seq); i >= 0 {
		sub.special().unacked[i].unsent = true
	}
}
