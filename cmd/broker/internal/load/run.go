package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// shards is how many histograms receivers share, so that they seldom meet in one.
const shards = 32

// run is one load with publishers and receivers under way.
type run struct {
	o    Options
	gate *gate
	fail context.CancelCauseFunc // first cause ends the load early

	recording atomic.Bool // latencies count
	ending    atomic.Bool // connections may end from now on
	hists     [shards]histogram

	subs    []*receiver
	pubs    []*publisher
	readers sync.WaitGroup
	senders sync.WaitGroup
}

// errDone ends a load that has run its time.
var errDone = errors.New("done")

// messages runs a load of publishers and receivers and judges what arrived.
func messages(ctx context.Context, o Options, r *run, rep *Report) error {
	load, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.o, r.fail = o, stop
	defer r.close()
	if err := r.connect(ctx, rep); err != nil {
		return err
	}
	for i, s := range r.subs {
		if o.Protocol == "polling" {
			r.read(func() error { return s.poll(i) })
		} else {
			r.start(s.c, s.on, s.after)
		}
	}
	before := r.sample(false)
	r.recording.Store(o.Warmup == 0)
	for _, p := range r.pubs {
		r.start(p.c, p.on, p.after)
		r.senders.Go(func() {
			if err := p.publish(load); err != nil && !r.ending.Load() {
				stop(err)
			}
		})
	}
	sent := make(chan struct{})
	go func() { defer close(sent); r.senders.Wait() }()

	if o.Warmup > 0 {
		wait(load, sent, o.Warmup)
		if load.Err() == nil { // else the warm-up is all there is
			before = r.sample(false)
		}
		r.recording.Store(true)
	}
	wait(load, sent, o.Duration)
	r.recording.Store(false)
	after := r.sample(true)
	rep.Interrupted = ctx.Err() != nil
	stop(errDone)
	for _, p := range r.pubs {
		p.c.nc.SetWriteDeadline(time.Now().Add(o.Drain))
	}
	<-sent
	r.drain()
	if o.Count > 0 && r.published() >= o.Count {
		after = r.sample(true) // the count ended it: all of it is the measured span
	}
	r.ending.Store(true)
	rep.perMessage(before, after)
	rep.Latency = quantiles(r.hists[:])
	rep.Published = r.published()
	if err := context.Cause(load); !errors.Is(err, errDone) && ctx.Err() == nil {
		return err
	}
	return nil
}

// wait waits for d, the end of ctx, or ended.
func wait(ctx context.Context, ended <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-ended:
	}
}

// connect makes all connections, 32 at a time, subscribers first.
func (r *run) connect(ctx context.Context, rep *Report) error {
	d := r.o.dialing(r.o.Subs + r.o.Pubs)
	extra := ""
	if r.o.Prefetch > 0 {
		extra = fmt.Sprintf("prefetch-count:%d\n", r.o.Prefetch)
	}
	err := parallel(ctx, len(r.subs), 32, func(i int) error {
		c, err := dial(ctx, d)
		if err != nil {
			return fmt.Errorf("connect subscriber: %w", err)
		}
		r.subs[i].c = c
		if r.o.Topics > 0 {
			return c.subscribeAll(ctx, r.o.spread().names(r.o.Destination, i))
		}
		if len(r.pubs) == 0 {
			return c.subscribeBlind(r.o.Destination, r.o.Ack, extra)
		}
		return c.subscribe(ctx, r.o.Destination, or(r.o.Ack, "auto"), extra)
	})
	if err != nil {
		return err
	}
	if d.Protocol == "polling" {
		d.Protocol = "feeding"
	}
	err = parallel(ctx, len(r.pubs), 32, func(i int) error {
		c, err := dial(ctx, d)
		if err != nil {
			return fmt.Errorf("connect publisher: %w", err)
		}
		r.pubs[i].c = c
		return nil
	})
	switch {
	case err != nil:
	case len(r.pubs) > 0:
		rep.Server = r.pubs[0].c.server
	default:
		rep.Server = r.subs[0].c.server
	}
	return err
}

// parallel calls f for 0 to n-1, width at a time, and returns the first error.
func parallel(ctx context.Context, n, width int, f func(int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, width) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// start reads c in a goroutine until it ends.
func (r *run) start(c *conn, on func(*frame), after func() error) {
	r.read(func() error { return c.run(on, after) })
}

// read runs what reads a connection in a goroutine until it ends.
func (r *run) read(f func() error) {
	r.readers.Go(func() {
		if err := f(); err != nil && !r.ending.Load() {
			r.fail(err)
		}
	})
}

// sample reads all counters, at the end of the measured span or at its beginning.
func (r *run) sample(end bool) sample {
	var told *goRuntime
	if !end {
		told = tell(r.o)
	}
	s := sample{at: clock(), count: r.progress(), gc: told}
	for _, rcv := range r.subs {
		s.took, s.wrote = s.took+rcv.c.took.Load(), s.wrote+rcv.c.wrote.Load()
	}
	s.usage(r.o.PID)
	if end {
		s.gc = tell(r.o)
	}
	return s
}

// usage adds what broker and client have used so far.
func (s *sample) usage(pid int) {
	var err error
	if pid > 0 {
		s.broker, err = measure(pid)
		s.known = err == nil
	}
	s.client, err = measure(os.Getpid())
	s.self = err == nil
}

// tell asks the broker for its own figures, which costs it a collection: so it comes before a measured
// span begins or after it has ended. A broker that does not tell has none.
func tell(o Options) *goRuntime {
	if o.Log == "" || o.PID == 0 {
		return nil
	}
	told, err := ask(o.PID, o.Log)
	if err != nil {
		return nil
	}
	return &told
}

// progress is the messages that have come, or the receipts where nobody subscribes.
func (r *run) progress() (n int64) {
	for _, s := range r.subs {
		n += s.count.Load()
	}
	if len(r.subs) == 0 {
		for _, p := range r.pubs {
			n += p.answers.Load()
		}
	}
	return n
}

func (r *run) published() (n int64) {
	for _, p := range r.pubs {
		n += p.sent.Load()
	}
	return n
}

// drain waits until all that was published has arrived, or nothing more has for Drain.
func (r *run) drain() {
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	fan := int64(1)
	switch {
	case r.o.Topics > 0:
		fan = int64(r.o.spread().fan)
	case r.o.Ack == "" && len(r.subs) > 0:
		fan = int64(len(r.subs))
	}
	last, since := int64(-1), time.Now()
	for range t.C {
		got := r.progress()
		if got >= r.published()*fan || time.Since(since) > r.o.Drain {
			return
		}
		if got != last {
			last, since = got, time.Now()
		}
	}
}

// close takes leave of the broker and waits for all goroutines.
func (r *run) close() {
	r.ending.Store(true)
	var all []*conn
	for _, s := range r.subs {
		all = append(all, s.c)
	}
	for _, p := range r.pubs {
		all = append(all, p.c)
	}
	for _, c := range all {
		if c != nil {
			c.leave()
		}
	}
	r.readers.Wait()
	for _, c := range all {
		if c != nil {
			c.close()
		}
	}
}
