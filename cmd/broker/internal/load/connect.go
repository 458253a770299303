package load

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sources is how many loopback addresses connections come from in turn: one address has no more than
// 28,000 ports, and each rests for a minute after its connection.
const sources = 16

// Connect measures how many connections a second the broker takes, each with one subscription, while
// o.Rate messages a second go to o.Subs subscribers, and how long those messages take, compared with
// before. The latest o.Conns connections are open at a time. o.Connects is how many a second are tried;
// 0: as many as 64 can make that do one after the other. The report is of use even with an error; ctx
// ending early is none.
func Connect(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "connect", URL: o.URL}
	if o.Conns < connectors || o.Connects < 0 {
		return rep, fmt.Errorf("at least %d connections at a time", connectors)
	}
	feed := o
	feed.Conns = 0
	quiet, err := Fanout(ctx, feed)
	rep.take(quiet)
	rep.Quiet, rep.Latency = rep.Latency, nil
	if err != nil || ctx.Err() != nil {
		return rep, err
	}
	o, err = o.check("/topic/")
	if err != nil {
		return rep, err
	}
	churned, stop := context.WithCancelCause(ctx)
	c := &churn{o: o, ring: make([]atomic.Pointer[conn], o.Conns)}
	var fault error
	var wg sync.WaitGroup
	begin := clock()
	wg.Go(func() { fault = c.run(churned) })
	busy, err := Fanout(ctx, feed)
	took := time.Duration(clock() - begin)
	stop(nil)
	wg.Wait()
	c.close()
	rep.take(busy)
	rep.Conns = int(c.made.Load())
	rep.Connects = float64(rep.Conns) / took.Seconds()
	if err == nil && ctx.Err() == nil {
		err = fault
	}
	return rep, err
}

// take adds what a feed has seen.
func (r *Report) take(feed Report) {
	r.Server, r.Subs, r.Pubs, r.Size, r.Rate = feed.Server, feed.Subs, feed.Pubs, feed.Size, feed.Rate
	r.Seconds, r.Delivered, r.PerSecond, r.Latency = feed.Seconds, feed.Delivered, feed.PerSecond, feed.Latency
	r.Published += feed.Published
	r.Lost += feed.Lost
	r.Duplicates += feed.Duplicates
	r.Misordered += feed.Misordered
	r.Cycles, r.Pauses, r.HeapLive, r.BrokerPeak, r.Interrupted = feed.Cycles, feed.Pauses, feed.HeapLive, feed.BrokerPeak, feed.Interrupted
}

// churn makes connections and closes the oldest.
type churn struct {
	o    Options
	made atomic.Int64
	ring []atomic.Pointer[conn]
}

// run makes connections until ctx ends; the error is the first fault.
func (c *churn) run(ctx context.Context) error {
	d := c.o.dialing(c.o.Conns)
	d.buffer, d.beat, d.spread = 1024, 0, true
	begin := clock()
	err := parallel(ctx, 1<<30, connectors, func(i int) error {
		if c.o.Connects > 0 {
			timer := time.NewTimer(time.Hour)
			defer timer.Stop()
			if !until(ctx, timer, begin+int64(float64(i)*float64(time.Second)/c.o.Connects)) {
				return nil
			}
		}
		d := d
		d.source = i
		nc, err := dial(ctx, d)
		if err == nil {
			err = nc.subscribe(ctx, fmt.Sprintf("%s.%d", c.o.Destination, i), "auto", "")
		}
		if err != nil {
			if ctx.Err() != nil {
				err = nil
			}
			return err
		}
		c.made.Add(1)
		if old := c.ring[i%len(c.ring)].Swap(nc); old != nil {
			old.hangUp()
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *churn) close() {
	for i := range c.ring {
		if nc := c.ring[i].Load(); nc != nil {
			nc.close()
		}
	}
}

// dialer makes the TCP connections of a load.
func (o dialOptions) dialer() *net.Dialer {
	d := &net.Dialer{}
	if host, _, _ := net.SplitHostPort(o.Addr); o.spread && net.ParseIP(host).To4() != nil && net.ParseIP(host).IsLoopback() {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+o.source%sources))}
	}
	return d
}
