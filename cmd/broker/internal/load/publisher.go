package load

import (
	"context"
	"sync/atomic"
	"time"
)

// late is how far behind its time a paced message may be and still carry the time it was written:
// that much is the sleep of this program. Beyond it, the broker held the publisher up, and the
// message carries the time it was due.
const late = 2 * time.Millisecond

// publisher is one connection that sends.
type publisher struct {
	c    *conn
	r    *run
	t    *template
	rate float64 // messages per second; 0: as fast as the gates let
	max  int64   // messages to send; 0: no bound
	sent atomic.Int64
	pack []byte // messages that go into one WebSocket message; owned by publish

	answers  atomic.Int64 // receipts
	receipts *gate        // nil without receipts

	// For the delay of receipts, which only Send measures.
	h     *histogram
	times []atomic.Int64 // clock at sending, by number modulo the receipts there can be
}

func newPublisher(r *run, o Options, i int) *publisher {
	p := &publisher{r: r, rate: o.Rate / float64(o.Pubs)}
	if o.Protocol == "polling" {
		o.Protocol = "feeding"
	}
	p.t = o.speaks().template(o, i).spread(o)
	if o.Count > 0 {
		p.max = o.Count / int64(o.Pubs)
		if int64(i) < o.Count%int64(o.Pubs) {
			p.max++
		}
	}
	if o.Receipts > 0 {
		p.receipts = newGate(int64(o.Receipts), p.answers.Load)
	}
	return p
}

// on and after handle what a publisher reads: receipts.
func (p *publisher) on(f *frame) {
	if f.kind != 'R' {
		return
	}
	p.answers.Add(1)
	if p.h != nil && p.r.recording.Load() {
		if seq := hex(f.header("\nreceipt-id:")); seq >= 0 {
			p.h.add(p.c.now - p.times[seq%int64(len(p.times))].Load())
		}
	}
}

func (p *publisher) after() error {
	if p.receipts != nil {
		// The count may have grown by several; the gate looks at it again itself.
		p.receipts.passed(0, p.answers.Load())
	}
	return nil
}

// publish sends until ctx ends, the count is reached, or writing fails.
func (p *publisher) publish(ctx context.Context) error {
	batch := int64(p.r.o.Batch)
	begin, timer := clock(), time.NewTimer(time.Hour)
	defer timer.Stop()
	for seq := int64(0); ctx.Err() == nil && (p.max == 0 || seq < p.max); {
		n := batch
		if p.rate > 0 {
			due := begin + int64(float64(seq)*float64(time.Second)/p.rate)
			if !until(ctx, timer, due) {
				return nil
			}
			n = min(batch, int64(float64(clock()-begin)*p.rate/float64(time.Second))+1-seq)
		}
		if p.max > 0 {
			n = min(n, p.max-seq)
		}
		n = max(n, 1)
		if p.r.o.held && !p.r.gate.acquire(ctx, n) {
			return nil
		}
		if p.receipts != nil && !p.receipts.acquire(ctx, n) {
			return nil
		}
		if err := p.write(begin, seq, n); err != nil {
			return err
		}
		seq += n
	}
	return nil
}

// write sends n messages in one write.
func (p *publisher) write(begin, seq, n int64) error {
	c, now := p.c, clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wbuf, p.pack = c.wbuf[:0], p.pack[:0]
	packs := c.ws && c.speaks.packs()
	for i := seq; i < seq+n; i++ {
		at := now
		if p.rate > 0 {
			if due := begin + int64(float64(i)*float64(time.Second)/p.rate); due+int64(late) < now {
				at = due
			}
		}
		if p.h != nil {
			p.times[i%int64(len(p.times))].Store(at)
		}
		if f := p.t.fill(i, at); packs {
			p.pack = append(p.pack, f...)
		} else {
			c.wbuf = c.append(c.wbuf, f)
		}
	}
	if packs {
		c.wbuf = c.append(c.wbuf, p.pack)
	}
	p.sent.Store(seq + n) // before the write: what fails half-way counts as published
	return c.flush()
}

// until sleeps until the clock says due; false if ctx ended first.
func until(ctx context.Context, t *time.Timer, due int64) bool {
	d := due - clock()
	if d <= 0 {
		return ctx.Err() == nil
	}
	t.Reset(time.Duration(d))
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
