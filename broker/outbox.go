package broker

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

const (
	batchBytes = 64 << 10 // what one write carries, unless a single frame is larger
	fewWaiting = 4        // so many messages may wait whatever their size
)

// outbox holds what waits to be written to one session. Putting never blocks. The flusher exists only
// while there is something to write: it is the goroutine that delivers a topic message, as long as
// the network takes all at once, and otherwise one of its own. It drains what waits into one
// buffer and writes it at once: what came while one write ran is the next batch.
type outbox struct {
	// Static.
	s     *session
	limit int64

	// Read anywhere.
	waiting   atomic.Int64 // bytes in items
	answers   atomic.Int64 // of them, those of the server's own frames; written under mu
	lent      atomic.Int64 // of them, those of deliveries, which go back to their queues if the session ends; likewise
	lastWrite atomic.Int64 // Unix nanoseconds

	mu      sync.Mutex // guards what follows
	line    line       // what waits
	running bool
	held    bool          // frames are kept back until release
	muted   bool          // frames are kept back until close
	closed  bool          // nothing more may be put
	failing bool          // a write has failed; the flusher gives back what it took
	idle    chan struct{} // closed when the flusher ends; nil if nobody waits
	eased   chan struct{} // closed when the reader may go on; nil if it does not wait
}

// outItem is what waits: a whole frame, or a RECEIPT's id, or messages to be framed for sub, either
// of a topic or one of a queue. Many are copied, so it is small.
type outItem struct {
	sub *subscription
	b   *burst         // of a topic, or nil
	d   store.Delivery // of a queue, or nil
	at  *byte          // a frame or an id, or nil
	n   uint64         // of a delivery its ack number, 0 where the mode needs none; of a frame its length, twice; of an id one more
}

// frameItem is a whole frame; it is not empty.
func frameItem(raw []byte) outItem { return outItem{at: &raw[0], n: uint64(len(raw)) << 1} }

// receiptItem is the RECEIPT for an id, which is not empty.
func receiptItem(id string) outItem {
	return outItem{at: unsafe.StringData(id), n: uint64(len(id))<<1 | 1} // #nosec G103 -- it is only read
}

// raw is the frame, or the id, and receipt tells which.
func (it *outItem) raw() []byte { return unsafe.Slice(it.at, it.n>>1) } // #nosec G103 -- as long as frameItem or receiptItem saw it

func (it *outItem) receipt() bool { return it.at != nil && it.n&1 != 0 }

func (it *outItem) size() int64 {
	switch {
	case it.b != nil:
		return it.b.size
	case it.d != nil:
		return weight(it.d.Message())
	}
	return int64(it.n>>1) + 64 // #nosec G115 -- a length
}

// batches are the buffers of the flushers at work; idle sessions hold none.
var batches = sync.Pool{New: func() any { return &batch{bytes: make([]byte, 0, batchBytes+8<<10)} }}

// batch is what a flusher works with.
type batch struct {
	bytes []byte
	taken []outItem
	rest  []byte // of taken as frames, what the network did not take yet
}

// putFrame queues a frame of the server's own. It is never refused for size: such frames answer
// the client's own, which are not read while too many answers wait (crowded).
func (o *outbox) putFrame(raw []byte) bool { return o.put(frameItem(raw), false) }

// putReceipt is putFrame for the RECEIPT of that id, which is framed when it is written.
func (o *outbox) putReceipt(id string) {
	o.put(receiptItem(id), false)
}

// putBurst queues topic messages, with one of the caller's shares in them, and tells whether it has; full tells that the
// subscriber is too slow for them. The caller may have to write them: see claims. c is nil where it can't.
func (o *outbox) putBurst(b *burst, sub *subscription, c *claims) (put, full bool) {
	o.mu.Lock()
	if o.closed || sub.gone.Load() { // what comes after its withdraw would follow UNSUBSCRIBE's RECEIPT
		o.mu.Unlock()
		return false, false
	}
	if o.waiting.Load()+b.size > o.limit && o.line.n >= fewWaiting && !mutant.Is(mutant.OutboxUnbounded) {
		o.mu.Unlock()
		return false, true
	}
	o.push(outItem{b: b, sub: sub})
	idle := o.startable()
	o.running = o.running || idle
	o.mu.Unlock()
	switch {
	case !idle:
	case c != nil:
		c.add(o)
	default:
		go o.flush(batches.Get().(*batch))
	}
	return true, false
}

// putDelivery queues a delivery of a queue; false means that the session is ending and the caller
// still owns it.
func (o *outbox) putDelivery(it outItem) bool { return o.put(it, false) }

// beat writes a heart-beat, in the room given, unless something else is on its way: one would only
// add to that. It waits for nothing.
func (o *outbox) beat(room []byte, now time.Time) {
	o.mu.Lock()
	idle := o.line.n == 0 && !o.running && !o.held && !o.muted && !o.closed
	o.running = o.running || idle
	o.mu.Unlock()
	if !idle {
		return
	}
	frame := o.s.conn.AppendFrame(room, beat, nil, true)
	n, err := o.s.conn.TryWrite(frame)
	switch {
	case err != nil:
		o.fail(err, nil)
	case n < len(frame):
		w := batches.Get().(*batch)
		w.rest = append(w.bytes[:0], frame[n:]...)
		go o.flush(w)
	default:
		o.lastWrite.Store(now.UnixNano())
		if !o.emptied() {
			go o.flush(batches.Get().(*batch))
		}
	}
}

// putHeld queues a frame and keeps it, and all that follows, back until release: so that what a
// RECEIPT promises is true before it can be read.
func (o *outbox) putHeld(raw []byte) { o.put(frameItem(raw), true) }

func (o *outbox) put(it outItem, hold bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.held = o.held || hold
	o.push(it)
	o.start()
	return true
}

// push queues an item. o.mu is held.
func (o *outbox) push(it outItem) {
	size := it.size()
	o.waiting.Add(size)
	switch {
	case it.at != nil:
		o.answers.Add(size)
	case it.d != nil:
		o.lent.Add(size)
	}
	o.line.push(it)
	o.s.b.pressure.move()
}

// startable tells that there is something to write and no flusher. o.mu is held.
func (o *outbox) startable() bool { return !o.running && !o.held && !o.muted && o.line.n > 0 }

// start sees to it that a flusher runs. o.mu is held.
func (o *outbox) start() {
	if o.startable() {
		o.running = true
		go o.flush(batches.Get().(*batch))
	}
}

// release lets go what putHeld kept back.
func (o *outbox) release() {
	o.mu.Lock()
	o.held = false
	o.start()
	o.mu.Unlock()
}

// room reports whether a queue may hand this session another message: deliveries wait in their
// queue, not here, when half of the limit is taken.
func (o *outbox) room() bool { return o.waiting.Load() < o.limit/2 }

// flush writes until nothing waits, first the rest in w. It is a flusher's goroutine.
func (o *outbox) flush(w *batch) {
	var err error
	if bad := o.s.guard(func() { err = o.write(w) }); bad != nil {
		err = bad
	}
	if err != nil {
		o.fail(err, w.taken)
	}
	w.release()
}

// release returns w to the pool.
func (w *batch) release() {
	clear(w.taken)
	w.taken, w.rest = w.taken[:0], nil
	batches.Put(w)
}

// write writes until nothing waits, or returns why w could not be written.
func (o *outbox) write(w *batch) error {
	for len(w.rest) > 0 || o.next(w) {
		if err := o.s.conn.Write(w.rest, o.s.limits.SendTime); err != nil {
			return err
		}
		o.wrote(w)
	}
	return nil
}

// next takes what waits into w, and reports whether there is any. If not, the flusher has ended.
func (o *outbox) next(w *batch) bool {
	w.taken = o.take(w.taken[:0])
	if len(w.taken) == 0 {
		return false
	}
	w.rest = o.s.encode(w)
	return true
}

// wrote notes that all in w is on its way.
func (o *outbox) wrote(w *batch) {
	o.lastWrite.Store(time.Now().UnixNano())
	o.s.written(w.taken)
	for i := range w.taken {
		if b := w.taken[i].b; b != nil {
			b.giveUp(1)
		}
	}
	clear(w.taken)
	w.taken, w.rest = w.taken[:0], nil
}

// flushNow is a flusher that does not wait: what the network does not take at once it leaves to a
// goroutine, with w; then it returns false.
func (o *outbox) flushNow(w *batch) (done bool) {
	var err error
	if bad := o.s.guard(func() { done, err = o.tryWrite(w) }); bad != nil {
		done, err = true, bad
	}
	if err != nil {
		o.fail(err, w.taken)
		clear(w.taken)
		w.taken, w.rest = w.taken[:0], nil
	}
	return done
}

func (o *outbox) tryWrite(w *batch) (done bool, err error) {
	if !o.next(w) {
		return true, nil
	}
	n, err := o.s.conn.TryWrite(w.rest)
	if err != nil {
		return true, err
	}
	if w.rest = w.rest[n:]; len(w.rest) > 0 {
		go o.flush(w)
		return false, nil
	}
	o.wrote(w)
	if !o.emptied() {
		go o.flush(batches.Get().(*batch))
	}
	return true, nil
}

// emptied reports whether nothing waits; then the flusher has ended.
func (o *outbox) emptied() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held || o.muted || o.line.n == 0 {
		o.ended()
		return true
	}
	return false
}

// take moves a batch of items out of the queue, into the slice given. When nothing is left, the
// flusher has ended.
func (o *outbox) take(to []outItem) []outItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held || o.muted || o.line.n == 0 {
		o.ended()
		return nil
	}
	bytes, answers, lent := int64(0), int64(0), int64(0)
	for it := o.line.peek(); it != nil; it = o.line.peek() {
		size := it.size()
		if bytes > 0 && bytes+size > batchBytes {
			break
		}
		switch {
		case it.at != nil:
			answers += size
		case it.d != nil:
			lent += size
		}
		bytes += size
		to = append(to, o.line.pop())
	}
	o.waiting.Add(-bytes)
	if lent > 0 {
		o.lent.Add(-lent)
	}
	if answers > 0 && o.answers.Add(-answers) <= o.limit/2 {
		o.ease()
	}
	return to
}

// crowded tells, by what to wait for, that the client leaves the answers to its own frames unread:
// to read on would pile up more of them. Nil: read on.
func (o *outbox) crowded() <-chan struct{} {
	if o.answers.Load() <= o.limit {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.answers.Load() <= o.limit {
		return nil
	}
	if o.eased == nil {
		o.eased = make(chan struct{})
	}
	return o.eased
}

// waking is closed when the session ends, or earlier.
func (o *outbox) waking() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.eased == nil {
		o.eased = make(chan struct{})
	}
	return o.eased
}

// wake lets the reader go on, because the session ends.
func (o *outbox) wake() {
	o.mu.Lock()
	o.ease()
	o.mu.Unlock()
}

// ease lets the reader go on. o.mu is held.
func (o *outbox) ease() {
	if o.eased != nil {
		close(o.eased)
		o.eased = nil
	}
}

// ended notes that the flusher is no more. o.mu is held.
func (o *outbox) ended() {
	o.running = false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// fail notes that the peer cannot be written to any more and gives back what it did not get. It
// is the flusher's last act.
func (o *outbox) fail(err error, batch []outItem) {
	o.mu.Lock()
	o.closed, o.failing = true, true
	var rest []outItem
	for o.line.n > 0 {
		rest = append(rest, o.line.pop())
	}
	o.waiting.Store(0)
	o.answers.Store(0)
	o.lent.Store(0)
	o.mu.Unlock()

	// Before the session ends: its reader gives back the rest, all in the queue's order.
	o.s.giveBack(batch, true)
	o.s.giveBack(rest, false)
	o.s.end(&ending{Reason: reasonGone, lost: true, abort: true, cause: err})

	o.mu.Lock()
	o.ended()
	o.mu.Unlock()
}

// withdraw takes out the deliveries that wait, oldest first; those of one subscription, with its
// other messages, or of all if sub is nil. Frames stay, to be flushed. A flusher that has failed
// has given back all it took when withdraw returns.
func (o *outbox) withdraw(sub *subscription) []outItem {
	o.mu.Lock()
	if o.failing && o.running {
		idle := o.ending()
		o.mu.Unlock()
		<-idle
		return nil
	}
	defer o.mu.Unlock()
	var out []outItem
	for range o.line.n {
		it := o.line.pop()
		switch {
		case it.d != nil && (sub == nil || it.sub == sub):
			out = append(out, it)
			o.lent.Add(-it.size())
		case it.b != nil && it.sub == sub:
		default:
			o.line.push(it)
			continue
		}
		o.waiting.Add(-it.size())
	}
	return out
}

// mute keeps back all that waits, until the session's reader has taken out what must not be written.
func (o *outbox) mute() {
	o.mu.Lock()
	o.muted = true
	o.mu.Unlock()
}

// forget takes out the topic messages that wait; withdraw has taken the deliveries.
func (o *outbox) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range o.line.n {
		it := o.line.pop()
		if it.b != nil {
			o.waiting.Add(-it.size())
			continue
		}
		o.line.push(it)
	}
}

// drain closes the outbox, waits until all in it is written or timeout is over, and reports
// whether the flusher has ended by itself.
func (o *outbox) drain(timeout time.Duration) bool {
	wait := o.close()
	if wait == nil {
		return true
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-wait:
		return true
	case <-t.C:
		return false
	}
}

// close lets nothing more in and returns what ends with the flusher, or nil if none runs.
func (o *outbox) close() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.held, o.muted = false, false
	o.ease()
	o.start()
	if !o.running {
		return nil
	}
	return o.ending()
}

// ending returns what is closed when the flusher that runs has ended. o.mu is held.
func (o *outbox) ending() <-chan struct{} {
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	return o.idle
}
