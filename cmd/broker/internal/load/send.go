package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Send publishes to one queue that nobody reads, each message with a receipt, and measures the
// receipts; then it empties the queue, unless o.Keep is set, and judges what comes. The report is
// of use even with an error, which is the first fault met; ctx ending early is none.
func Send(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "send", URL: o.URL}
	o.Subs, o.Ack = 0, ""
	o, err := o.check("/queue/")
	if err != nil {
		return rep, err
	}
	if o.Pubs < 1 || o.Receipts < 1 {
		return rep, errors.New("at least one publisher and one receipt")
	}
	rep.Pubs, rep.Size, rep.Rate, rep.Batch, rep.Receipts = o.Pubs, o.Size, o.Rate, o.Batch, o.Receipts
	r := &run{gate: newGate(1<<62, func() int64 { return 0 })} // receipts alone hold the publishers
	for i := range o.Pubs {
		p := newPublisher(r, o, i)
		p.receipts.slack = 0 // as many outstanding as may be
		p.h, p.times = &r.hists[i%shards], make([]atomic.Int64, o.Receipts)
		r.pubs = append(r.pubs, p)
	}
	if err = messages(ctx, o, r, &rep); err != nil {
		return rep, err
	}
	rep.Lost = max(0, rep.Published-r.progress()) // each good-bye is answered too
	if o.Keep || ctx.Err() != nil {
		return rep, nil
	}
	o.Ack, o.Prefetch, o.Count, o.Subs = "client", drainPrefetch, rep.Published, 1
	got, err := Drain(ctx, o)
	rep.Lost, rep.Duplicates, rep.Misordered = rep.Lost+got.Lost, got.Duplicates, got.Misordered
	return rep, err
}

// drainPrefetch is what a consumer that empties a queue may have unacknowledged.
const drainPrefetch = 1000

// Drain takes what waits in a queue, put there by Send: o.Count messages of o.Pubs publishers, or
// all until nothing has come for o.Drain if o.Count is 0. A single subscriber has to see each
// publisher's numbers from 0 on, one by one; several, each in rising order.
func Drain(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "drain", URL: o.URL}
	if o.Destination == "" {
		return rep, errors.New("name the queue")
	}
	o, err := o.check("/queue/")
	if err != nil {
		return rep, err
	}
	if o.Ack = or(o.Ack, "client"); o.Subs < 1 || o.Pubs < 1 {
		return rep, errors.New("at least one publisher and one subscriber")
	}
	rep.Subs, rep.Pubs, rep.Size, rep.Ack = o.Subs, o.Pubs, o.Size, o.Ack
	load, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var total atomic.Int64
	r := &run{o: o, fail: stop, gate: newGate(1<<62, total.Load)}
	for i := range o.Subs {
		s := newReceiver(r, o, i)
		s.total = &total
		r.subs = append(r.subs, s)
	}
	defer r.close()
	before := sample{at: clock()}
	before.usage(o.PID)
	if err := r.connect(ctx, &rep); err != nil {
		return rep, err
	}
	for _, s := range r.subs {
		r.start(s.c, s.on, s.after)
	}
	after := r.await(load, before)
	rep.Interrupted = ctx.Err() != nil
	r.close()
	rep.perMessage(before, after)
	rep.Published = o.Count
	var got, gaps int64
	for _, s := range r.subs {
		got += s.n
		gaps += s.gaps
		rep.Misordered += s.back + s.foreign
	}
	switch {
	case o.Count > 0:
		rep.Lost, rep.Duplicates = max(0, o.Count-got), max(0, got-o.Count)
	case o.Subs == 1:
		rep.Lost = gaps
	}
	if o.Subs == 1 && rep.Lost == 0 && !rep.Interrupted {
		rep.Lost = gaps // as many came as were sent, but not the same
	}
	if err := context.Cause(load); err != nil && ctx.Err() == nil {
		return rep, fmt.Errorf("after %d messages: %w", got, err)
	}
	return rep, nil
}

// await waits until the count has come, or nothing has for Drain, and gives the moment of the last
// message.
func (r *run) await(ctx context.Context, before sample) sample {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	last := before
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return last
		}
		got := r.progress()
		if got != last.count {
			last = sample{at: clock(), count: got}
		}
		if r.o.Count > 0 && got >= r.o.Count || clock()-last.at > int64(r.o.Drain) {
			last.usage(r.o.PID)
			return last
		}
	}
}
