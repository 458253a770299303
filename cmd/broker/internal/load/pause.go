package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// What Pause keeps the broker's collector busy with: 64 MB a second that one consumer takes.
const (
	garbageRate = 4000
	garbageSize = 16 << 10
	garbageHeld = 32 // messages in flight: the consumer's outbox is not to overflow
)

// Pause measures what a subscriber sees of the broker's garbage collector: o.Rate messages a second go
// to o.Subs subscribers, first with nothing else in the broker, then beside idle sessions with
// o.Topics subscriptions each, made until the broker's memory has grown by o.Live bytes. Both times
// 64 MB a second pass through a queue in the broker's memory, so that it has something to collect; a
// broker without queues gets them to a topic. The report is of use even with an error; ctx ending
// early is none.
func Pause(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "pause", URL: o.URL}
	if o.PID == 0 || o.Live < 1 || o.Topics < 1 || o.Conns < 1 {
		return rep, errors.New("the broker's process has to be known, and sessions to be made")
	}
	feed := o
	feed.Conns, feed.Topics, feed.Destination = 0, 0, ""
	quiet, err := besideGarbage(ctx, feed)
	rep.take(quiet)
	rep.Quiet, rep.Latency = rep.Latency, nil
	if err != nil || ctx.Err() != nil {
		return rep, err
	}
	l := &live{o: o, all: make([]*conn, o.Conns)}
	defer l.close()
	if err := l.make(ctx); err != nil {
		return rep, err
	}
	rep.Conns, rep.Topics = int(l.made.Load()), o.Topics
	if ctx.Err() == nil {
		var busy Report
		busy, err = besideGarbage(ctx, feed)
		rep.take(busy)
	}
	return rep, err
}

// besideGarbage is Fanout while messages of garbageSize pass. A queue's: a topic's leave a Gudok nothing
// to collect.
func besideGarbage(ctx context.Context, feed Options) (Report, error) {
	o, through := feed, Queue
	o.Subs, o.Pubs, o.Rate, o.Size, o.Log = 1, 1, garbageRate, garbageSize, ""
	o.Window, o.Ack, o.Persistent = garbageHeld, "auto", "false"
	o.Duration, o.Warmup = feed.Duration+feed.Warmup, 0
	if o.Protocol != "" {
		through, o.Ack, o.Persistent = Fanout, "", ""
	}
	var wg sync.WaitGroup
	var other Report
	var fault error
	wg.Go(func() { other, fault = through(ctx, o) })
	rep, err := Fanout(ctx, feed)
	wg.Wait()
	rep.Lost, rep.Misordered = rep.Lost+other.Lost, rep.Misordered+other.Misordered
	rep.Duplicates += other.Duplicates
	if err == nil {
		err = fault
	}
	return rep, err
}

// live are sessions with many subscriptions.
type live struct {
	o    Options
	all  []*conn
	made atomic.Int64
}

// make makes sessions until the broker has grown by o.Live.
func (l *live) make(ctx context.Context) error {
	before, err := measure(l.o.PID)
	if err != nil {
		return err
	}
	d := l.o.dialing(l.o.Conns)
	d.beat = 0
	const step = 50
	for at := 0; at < l.o.Conns && ctx.Err() == nil; at += step {
		err := parallel(ctx, min(step, l.o.Conns-at), 8, func(i int) error {
			c, err := dial(ctx, d)
			if err != nil {
				return err
			}
			l.all[at+i] = c
			l.made.Add(1)
			names := make([]string, l.o.Topics)
			for n := range names {
				names[n] = fmt.Sprintf("%s-live.%d.%d", l.o.liveName(), at+i, n)
			}
			return c.subscribeAll(ctx, names)
		})
		if err != nil {
			return fmt.Errorf("make session number %d: %w", at, err)
		}
		if now, err := measure(l.o.PID); err != nil || now.rssAnon-before.rssAnon >= l.o.Live {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%d sessions were not enough to make the broker grow by %d MiB", l.o.Conns, l.o.Live>>20)
}

// liveName is where the sessions of Pause subscribe; nothing is sent there.
func (o Options) liveName() string {
	if o.Protocol != "" {
		return "bench"
	}
	return "/topic/bench"
}

func (l *live) close() {
	for _, c := range l.all {
		if c != nil {
			c.nc.SetDeadline(time.Now().Add(leaveTime))
			c.close()
		}
	}
}
