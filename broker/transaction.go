package broker

import (
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// transaction gathers what a client wants done at once (STOMP 1.2, BEGIN).
type transaction struct {
	sends []send
	acks  []claim
	nacks []nack

	bytes  int64
	frames int
	began  int64 // Unix nanoseconds
}

type send struct {
	by permit
	to target
	m  *store.Message
}

type nack struct {
	claim
	how settlement
}

// handleBegin opens a transaction (STOMP 1.2, BEGIN).
func (s *session) handleBegin(f *stompframe.Frame) *ending {
	id, ok := f.Header.Get(frame.Transaction)
	if !ok {
		return because(reasonMissingHeader, "BEGIN needs a transaction")
	}
	if s.transactions[string(id)] != nil {
		return because(reasonDuplicateTx, "transaction %s is open", quote(string(id)))
	}
	if len(s.transactions) >= s.limits.Transactions && !mutant.Is(mutant.TransactionsUncounted) {
		return because(reasonTxLimit, "this session has %d transactions open, its limit", s.limits.Transactions)
	}
	if s.transactions == nil {
		s.transactions = make(map[string]*transaction)
	}
	now := time.Now()
	s.transactions[string(id)] = &transaction{began: now.UnixNano()}
	s.watch(now)
	s.confirm(f)
	return nil
}

// watch has the wheel look at the session before its oldest transaction has been open for too long.
// now is when one has begun.
func (s *session) watch(now time.Time) {
	if s.txOldest.Load() != 0 {
		return
	}
	s.txOldest.Store(now.UnixNano())
	// Most transactions end long before the wheel looks, and the next ones need not wake it.
	if s.txWatched.Swap(true) {
		return
	}
	first := s.limits.TransactionTime
	if h := &s.beat; h.every > 0 { // its alarm is replaced
		first = min(first, h.every/5)
	} else if h.limit > 0 {
		first = min(first, h.limit)
	}
	s.b.wheel.wake(s, first, true)
}

// tooMany refuses one more frame in a transaction, if there are as many as there may be.
func (s *session) tooMany() *ending {
	if s.txFrames >= s.limits.TransactionFrames && !mutant.Is(mutant.TransactionFramesFree) {
		return because(reasonTxFrames, "the open transactions of this session have %d SEND, ACK and NACK, the limit", s.txFrames)
	}
	return nil
}

// count notes one more frame in an open transaction.
func (s *session) count(tx *transaction) {
	tx.frames++
	s.txFrames++
}

// closed takes a transaction out of the open ones.
func (s *session) closed(id string, tx *transaction) {
	delete(s.transactions, id)
	s.txBytes -= tx.bytes
	s.txFrames -= tx.frames
	if tx.began != s.txOldest.Load() {
		return
	}
	oldest := int64(0)
	for _, tx := range s.transactions {
		if oldest == 0 || tx.began < oldest {
			oldest = tx.began
		}
	}
	s.txOldest.Store(oldest)
}

// open finds the open transaction that a frame names.
func (s *session) open(id string) (*transaction, *ending) {
	if tx := s.transactions[id]; tx != nil {
		return tx, nil
	}
	return nil, because(reasonNoTx, "transaction %s is not open", quote(id))
}

// finished takes the transaction that a COMMIT or ABORT names out of the open ones.
func (s *session) finished(f *stompframe.Frame) (*transaction, *ending) {
	id, ok := f.Header.Get(frame.Transaction)
	if !ok {
		return nil, because(reasonMissingHeader, "%s needs a transaction", f.Command)
	}
	tx, bad := s.open(string(id))
	if bad == nil {
		s.closed(string(id), tx)
	}
	return tx, bad
}

// sendLater adds a SEND to a transaction.
func (s *session) sendLater(id string, p permit, t target, m *store.Message) *ending {
	tx, bad := s.open(id)
	if bad != nil {
		return bad
	}
	size := int64(m.Size())
	if s.txBytes+size > s.limits.TransactionBytes && !mutant.Is(mutant.TransactionBytesFree) {
		return because(reasonTxBytes, "the open transactions of this session would hold %d bytes, the limit is %d",
			s.txBytes+size, s.limits.TransactionBytes)
	}
	if bad := s.tooMany(); bad != nil {
		return bad
	}
	s.count(tx)
	tx.sends = append(tx.sends, send{p, t, m})
	tx.bytes += size
	s.txBytes += size
	return nil
}

// settleLater adds an ACK or NACK to a transaction. The messages stay held; nobody else gets
// them, and no other ACK finds them, until COMMIT or ABORT.
func (s *session) settleLater(id string, f *stompframe.Frame, how settlement) *ending {
	tx, bad := s.open(id)
	if bad != nil {
		return bad
	}
	if bad := s.tooMany(); bad != nil {
		return bad
	}
	c, bad := s.claimed(f)
	if bad != nil {
		return bad
	}
	s.count(tx)
	switch {
	case len(c.hs) == 0:
	case how.nack:
		tx.nacks = append(tx.nacks, nack{c, how})
	default:
		tx.acks = append(tx.acks, c)
	}
	s.confirm(f)
	return nil
}

// handleCommit does all of a transaction, or none of it (STOMP 1.2, COMMIT). What the store
// keeps is one commit of the store; what it does not keep, topic messages and those of temporary
// queues, follows when that has succeeded, and NACKs too.
func (s *session) handleCommit(f *stompframe.Frame) *ending {
	tx, bad := s.finished(f)
	if bad != nil {
		return bad
	}
	// What was permitted when it was sent may not be any more.
	for _, x := range tx.sends {
		if bad := s.recheck(x.by); bad != nil && !mutant.Is(mutant.CommitOfThen) {
			s.undo(tx)
			s.unstall()
			return bad
		}
	}
	var ms []*store.Message
	var acks []store.Delivery
	var durable seats
	later := len(tx.nacks) > 0
	for _, x := range tx.sends {
		if x.to.engine == s.b.engine {
			ms = append(ms, x.m)
			continue
		}
		later = true
		if x.to.topic != "" {
			to := s.b.topics.durable(x.to.topic)
			ms, durable = copies(x.m, to, ms), append(durable, to...)
		}
	}
	for _, c := range tx.acks {
		for _, h := range c.hs {
			if c.sub.queue().engine == s.b.engine {
				acks = append(acks, h.d)
			}
		}
		later = later || c.sub.queue().engine != s.b.engine
	}
	id := f.Header.String(frame.Receipt)
	r := s.acks.open(id)
	committed := make(chan struct{})
	if mutant.Is(mutant.HalfCommit) {
		for _, m := range ms[:max(len(ms)-1, 0)] {
			stored := make(chan struct{})
			s.b.engine.Publish(m, func(bool, error) { close(stored) })
			<-stored
		}
		ms = ms[max(len(ms)-1, 0):]
	}
	s.b.engine.Commit(ms, acks, func(err error) {
		defer close(committed)
		durable.served()
		if err != nil {
			s.undo(tx)
			s.unstall()
			s.storeFailed(err, id, r)
			return
		}
		s.follow(tx)
		r.confirm()
		s.releasedAll(tx)
	})
	if later {
		<-committed // what this session sends next must not overtake it
	}
	return nil
}

// follow does the part of a committed transaction that is not the store's.
func (s *session) follow(tx *transaction) {
	for _, x := range tx.sends {
		switch {
		case x.to.topic != "":
			s.b.topics.publish(x.to.topic, newBurst(x.m), s, nil).served()
		case x.to.engine != nil && x.to.engine != s.b.engine:
			log := s.b.logStore("message not kept", x.to.queue)
			s.b.keep(x.to, x.m, func(_ bool, err error) { log(err) })
		}
	}
	for _, c := range tx.acks {
		if c.sub.queue().engine != s.b.engine {
			for _, h := range c.hs {
				h.d.Ack(nil)
			}
		}
	}
	for _, n := range tx.nacks {
		n.how.refuse(n.claim, nil)
	}
}

// releasedAll is released for all that a transaction settled.
func (s *session) releasedAll(tx *transaction) {
	for _, c := range tx.acks {
		s.released(c)
	}
	for _, n := range tx.nacks {
		s.released(n.claim)
	}
}

// handleAbort undoes a transaction (STOMP 1.2, ABORT).
func (s *session) handleAbort(f *stompframe.Frame) *ending {
	tx, bad := s.finished(f)
	if bad != nil {
		return bad
	}
	s.undo(tx)
	s.unstall()
	s.confirm(f)
	return nil
}

// undo makes what a transaction claimed ackable again by the same ids; where the subscription
// has gone meanwhile, the message returns to its queue.
func (s *session) undo(tx *transaction) {
	all := tx.acks
	for _, n := range tx.nacks {
		all = append(all, n.claim)
	}
	for _, c := range all {
		q := c.sub.queue()
		q.mu.Lock()
		gone := c.sub.gone.Load()
		if !gone {
			c.sub.unclaim(c.hs)
		}
		q.mu.Unlock()
		if !gone {
			continue
		}
		s.unacked.Add(-int64(len(c.hs)))
		for _, h := range c.hs {
			h.d.Nack(0, nil)
		}
	}
}

// countdown calls f once after n calls of done, with the first error of them.
type countdown struct {
	left atomic.Int64
	err  atomic.Pointer[error]
	f    func(error)
}

func newCountdown(n int, f func(error)) *countdown {
	c := &countdown{f: f}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) done(err error) {
	if err != nil {
		c.err.CompareAndSwap(nil, &err)
	}
	if c.left.Add(-1) > 0 {
		return
	}
	if p := c.err.Load(); p != nil {
		c.f(*p)
		return
	}
	c.f(nil)
}
