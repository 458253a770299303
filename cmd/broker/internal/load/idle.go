package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// connectors is how many idle connections are being made at a time.
const connectors = 64

// Idle makes connections with one subscription each, then keeps them for Duration with nothing
// but heart-beats. The report is of use even with an error, which is the first fault met; ctx
// ending early is none.
func Idle(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "idle", URL: o.URL}
	o, err := o.check("/topic/")
	if err != nil {
		return rep, err
	}
	rep.Conns = o.Conns
	d := o.dialing(o.Conns)
	d.buffer = 512 // each holds a CONNECTED at most
	l := &idlers{all: make([]*conn, o.Conns), times: make([]histogram, shards)}
	defer l.close()

	told := tell(o)
	before := l.sample(o.PID)
	before.gc = told
	err = parallel(ctx, o.Conns, connectors, func(i int) error {
		begin := clock()
		c, err := dial(ctx, d)
		if err != nil {
			return fmt.Errorf("connect number %d: %w", i+1, err)
		}
		l.all[i] = c
		if err := c.subscribe(ctx, fmt.Sprintf("%s.%d", o.Destination, i), "auto", ""); err != nil {
			return err
		}
		l.times[i%shards].add(clock() - begin)
		l.read(c)
		l.note(o.PID, l.made.Add(1))
		return nil
	})
	made := l.sample(o.PID)
	rep.Server = l.server()
	rep.perMessage(before, made)
	rep.Conns, rep.Connects, rep.Delivered, rep.PerSecond = int(rep.Delivered), rep.PerSecond, 0, 0
	rep.BrokerWrites = nil
	rep.Latency = quantiles(l.times)
	if err != nil || rep.Conns == 0 {
		if rep.Interrupted = ctx.Err() != nil; rep.Interrupted {
			err = nil
		}
		return rep, err
	}
	l.hold(ctx, o, o.Warmup)
	begun := l.sample(o.PID)
	in, out := l.beatsIn.Load(), l.beatsOut
	l.hold(ctx, o, o.Duration)
	after := l.sample(o.PID)
	after.gc = tell(o) // not before: a collection would change the memory that is measured
	rep.Interrupted = ctx.Err() != nil
	rep.Seconds = time.Duration(after.at - begun.at).Seconds()
	rep.BeatsIn, rep.BeatsOut, rep.Dropped = l.beatsIn.Load()-in, l.beatsOut-out, l.dropped.Load()
	if before.known && made.known && after.known {
		kib := float64(after.broker.rssAnon-before.broker.rssAnon) / 1024 / float64(rep.Conns)
		share := 100 * (after.broker.cpu - begun.broker.cpu).Seconds() / rep.Seconds
		rep.RssAnon, rep.IdleCPU = &kib, &share
		rep.Growth = append(l.growth, Point{float64(rep.Conns), float64(after.broker.rssAnon) / (1 << 20)})
		rep.BrokerPeak = float64(after.broker.rssAnon) / (1 << 20)
	}
	if before.gc != nil && after.gc != nil {
		each := float64(after.gc.goroutines-before.gc.goroutines) / float64(rep.Conns)
		bytes := float64(after.gc.heapLive+after.gc.stacks-before.gc.heapLive-before.gc.stacks) / float64(rep.Conns)
		allocs := float64(after.gc.mallocs-before.gc.mallocs) / float64(rep.Conns)
		rep.Goroutines, rep.GoBytes, rep.Allocs = &each, &bytes, &allocs
	}
	return rep, nil
}

// idlers are connections that only exist.
type idlers struct {
	all     []*conn
	times   []histogram // connect to receipt of SUBSCRIBE
	made    atomic.Int64
	beatsIn atomic.Int64
	dropped atomic.Int64
	ending  atomic.Bool
	readers sync.WaitGroup

	beatsOut int64 // owned by hold, with turn
	turn     int64 // whose beat is next, counted on and on

	mu     sync.Mutex
	growth []Point // guarded by mu
}

// growthStep is after how many connections the broker's memory is looked at.
const growthStep = 500

// note looks at the broker's memory now and then.
func (l *idlers) note(pid int, made int64) {
	if made%growthStep != 0 && made != 1 || pid == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if u, err := measure(pid); err == nil {
		l.growth = append(l.growth, Point{float64(made), float64(u.rssAnon) / (1 << 20)})
	}
}

func (l *idlers) sample(pid int) sample {
	s := sample{at: clock(), count: l.made.Load()}
	s.usage(pid)
	return s
}

func (l *idlers) server() string {
	for _, c := range l.all {
		if c != nil && c.server != "" {
			return c.server
		}
	}
	return ""
}

// read counts the heart-beats of c until it ends.
func (l *idlers) read(c *conn) {
	seen := c.scan.beats
	l.readers.Go(func() {
		err := c.run(func(*frame) {}, func() error {
			l.beatsIn.Add(c.scan.beats - seen)
			seen = c.scan.beats
			return nil
		})
		if err != nil && !l.ending.Load() {
			l.dropped.Add(1)
		}
	})
}

// hold keeps all connections alive for so long: one goroutine goes round them, each time once in the interval of
// the heart-beat, which is when stomp.js and Spring write theirs.
func (l *idlers) hold(ctx context.Context, o Options, long time.Duration) {
	const step = 20 * time.Millisecond
	round, beat := o.Beat, o.speaks().beat()
	t := time.NewTicker(step)
	defer t.Stop()
	begin := time.Now()
	for first, turn := l.turn, int64(0); ctx.Err() == nil && time.Since(begin) < long; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if round <= 0 || beat == nil {
			continue
		}
		due := int64(float64(len(l.all)) * time.Since(begin).Seconds() / round.Seconds())
		for ; turn < due; turn++ {
			// A write to a dropped connection fails; its reader counts it.
			l.turn = first + turn + 1
			if l.all[(first+turn)%int64(len(l.all))].send(beat) == nil {
				l.beatsOut++
			}
		}
	}
}

func (l *idlers) close() {
	l.ending.Store(true)
	for _, c := range l.all {
		if c != nil {
			c.close()
		}
	}
	l.readers.Wait()
}
