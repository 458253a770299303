package broker

import (
	"sync"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
)

// receipts sends RECEIPT frames in the order of the frames that asked for them, whenever what
// they confirm is done (STOMP 1.2, RECEIPT: a receipt also tells that all earlier frames have
// been received).
type receipts struct {
	out *outbox

	mu      sync.Mutex // guards what follows
	version stompframe.Version
	queue   []*receipt
	drained chan struct{} // closed when queue gets empty; nil if nobody waits
}

// receipt is one RECEIPT that a client asked for and waits for. A nil receipt stands for a frame
// that asked for none; its methods do nothing.
type receipt struct {
	list   *receipts
	id     string
	done   bool
	answer func() // what to send instead of the RECEIPT, or nil
}

// keepIdle is how many places a list keeps that is empty and was longer.
const keepIdle = 64

// open takes the next place in the order. An empty id gives nil.
func (l *receipts) open(id string) *receipt {
	if id == "" {
		return nil
	}
	r := &receipt{list: l, id: id}
	l.mu.Lock()
	l.queue = append(l.queue, r)
	l.mu.Unlock()
	return r
}

// refuse tells that what the receipt stands for failed and answer, an ERROR, takes its place in
// the order. answer runs with the list's lock held. A nil receipt is answered at once.
func (r *receipt) refuse(answer func()) {
	if r == nil {
		answer()
		return
	}
	r.answer = answer
	r.confirm()
}

// confirm tells that what the receipt stands for is done. It may be called from anywhere, once.
func (r *receipt) confirm() {
	if r == nil {
		return
	}
	l := r.list
	l.mu.Lock()
	defer l.mu.Unlock()
	r.done = true
	n := 0
	for n < len(l.queue) && l.queue[n].done {
		if r := l.queue[n]; r.answer != nil {
			r.answer()
		} else {
			l.out.putFrame(receiptFrame(l.version, r.id))
		}
		n++
	}
	if n == 0 {
		return
	}
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	if rest == 0 && cap(l.queue) > keepIdle {
		l.queue = nil // the session may be idle for long
	}
	if rest == 0 && l.drained != nil {
		close(l.drained)
		l.drained = nil
	}
}

// pending returns a channel that is closed when no receipt waits any more, or nil if none does.
func (l *receipts) pending() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	if l.drained == nil {
		l.drained = make(chan struct{})
	}
	return l.drained
}

func receiptFrame(v stompframe.Version, id string) []byte {
	b := make([]byte, 0, len(id)+32)
	b = append(b, frame.RECEIPT+"\n"...)
	b = stompframe.AppendHeader(b, v, frame.ReceiptId, id)
	return append(b, '\n', 0)
}
