package broker

import (
	"sync"
	"unsafe"

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
	spare   []receipt     // to be given out: a session that asks for many gets them from few allocations
	slab    int           // how many the latest of those made
	drained chan struct{} // closed when queue gets empty; nil if nobody waits

	text []byte // what copied writes to; the reader's own
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
	l.mu.Lock()
	if len(l.spare) == 0 {
		l.slab = min(2*l.slab+1, mostReceipts)
		l.spare = make([]receipt, l.slab)
	}
	r := &l.spare[0]
	l.spare = l.spare[1:]
	r.list, r.id = l, id
	l.queue = append(l.queue, r)
	l.mu.Unlock()
	return r
}

// How many receipts, and how many bytes of their ids, one allocation makes at most.
const (
	mostReceipts = 15
	mostText     = 512
)

// copied is a copy of an id, several to an allocation. Only the session's reader may call it.
func (l *receipts) copied(id []byte) string {
	if len(id) == 0 {
		return ""
	}
	if cap(l.text)-len(l.text) < len(id) {
		l.text = make([]byte, 0, max(len(id), min(2*cap(l.text), mostText)))
	}
	from := len(l.text)
	l.text = append(l.text, id...)
	return unsafe.String(&l.text[from], len(id)) // #nosec G103 -- what is there is never written again
}

// stored tells how the message went that the receipt stands for: store.Engine's done.
func (r *receipt) stored(_ bool, err error) {
	if err != nil {
		r.list.out.s.storeFailed(err, r.id, r)
		return
	}
	r.confirm()
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
			l.out.putReceipt(r.id)
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
	return appendReceipt(make([]byte, 0, len(id)+32), v, id)
}

func appendReceipt[S string | []byte](b []byte, v stompframe.Version, id S) []byte {
	b = append(b, frame.RECEIPT+"\n"...)
	b = append(b, frame.ReceiptId+":"...)
	b = stompframe.AppendEscaped(b, v, []byte(id))
	return append(b, '\n', '\n', 0)
}
