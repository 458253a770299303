package load

import (
	"context"
	"math"
)

// Fanout publishes to one topic with many subscribers, or to many topics in turn. The report is of use even with an error,
// which is the first fault met; ctx ending early is none.
func Fanout(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "fanout", URL: o.URL}
	o.Ack = ""
	o, err := o.check("/topic/")
	if err == nil {
		err = o.pair()
	}
	if err != nil {
		return rep, err
	}
	rep.Subs, rep.Pubs, rep.Size, rep.Rate, rep.Batch = o.Subs, o.Pubs, o.Size, o.Rate, o.Batch
	if o.Rate > 0 {
		rep.Bench = "latency"
	}
	rep.Topics = o.Topics
	r := &run{}
	for i := range o.Subs {
		r.subs = append(r.subs, newReceiver(r, o, i))
	}
	r.gate = newGate(int64(o.Window), func() int64 {
		low := int64(math.MaxInt64)
		for _, s := range r.subs {
			if s.mine > 0 {
				low = min(low, s.reach(s.count.Load()))
			}
		}
		return low
	})
	if o.Topics > 0 {
		for i, s := range r.subs {
			s.of, s.mine = int64(o.Topics), int64(len(o.spread().names("", i)))
		}
	}
	for i := range o.Pubs {
		r.pubs = append(r.pubs, newPublisher(r, o, i))
	}
	err = messages(ctx, o, r, &rep)
	if o.Topics > 0 {
		o.spread().judge(r, &rep)
		return rep, err
	}
	// Every subscriber has to have seen each publisher's numbers from 0 on, one by one.
	for _, s := range r.subs {
		for i, p := range r.pubs {
			rep.Lost += p.sent.Load() - s.next[i]
		}
		rep.Lost += s.gaps
		rep.Misordered += s.back + s.foreign
	}
	return rep, err
}
