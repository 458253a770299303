package load

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Queue publishes to one queue with competing consumers that acknowledge. The report is of use
// even with an error, which is the first fault met; ctx ending early is none.
func Queue(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "queue", URL: o.URL}
	o, err := o.check("/queue/")
	if err == nil {
		err = o.pair()
	}
	if err != nil {
		return rep, err
	}
	switch o.Ack = or(o.Ack, "client-individual"); o.Ack {
	case "auto", "client", "client-individual":
	default:
		return rep, fmt.Errorf("ack mode %q: must be auto, client or client-individual", o.Ack)
	}
	rep.Subs, rep.Pubs, rep.Size, rep.Rate, rep.Batch = o.Subs, o.Pubs, o.Size, o.Rate, o.Batch
	rep.Ack = o.Ack
	var total atomic.Int64
	r := &run{gate: newGate(int64(o.Window), total.Load)}
	for i := range o.Subs {
		s := newReceiver(r, o, i)
		s.total = &total
		r.subs = append(r.subs, s)
	}
	for i := range o.Pubs {
		r.pubs = append(r.pubs, newPublisher(r, o, i))
	}
	err = messages(ctx, o, r, &rep)
	// Each number has to have been seen once by somebody; by each consumer in rising order.
	var got, sum, want int64
	for _, s := range r.subs {
		got += s.n
		sum += s.sum
		rep.Misordered += s.back + s.foreign
	}
	for _, p := range r.pubs {
		n := p.sent.Load()
		want += n * (n - 1) / 2
	}
	rep.Lost, rep.Duplicates = max(0, rep.Published-got), max(0, got-rep.Published)
	if got == rep.Published && sum != want {
		rep.Lost, rep.Duplicates = 1, 1 // at least: the count hides as many lost as doubled
	}
	return rep, err
}
