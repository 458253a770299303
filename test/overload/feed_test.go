package overload

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// feed is honest clients: one publisher that sends at a rate to subscribers who each look whether every
// message comes, once and in order, and how long it took from when it was due. It goes on until stop.
type feed struct {
	t      testing.TB
	subs   int
	topic  string
	late   atomic.Pointer[delays] // since the latest measure
	sent   atomic.Int64
	got    atomic.Int64
	wrong  atomic.Int64
	quit   chan struct{}
	silent chan struct{} // closed when the publisher has stopped
	pub    *peer
	peers  []*peer
	wg     sync.WaitGroup
	closed atomic.Bool
}

// delays are counted in steps of 100 µs.
type delays struct {
	n      atomic.Int64
	counts [100_000]atomic.Int32
}

const delayStep = 100 * time.Microsecond

func (d *delays) add(took time.Duration) {
	d.n.Add(1)
	d.counts[min(max(int(took/delayStep), 0), len(d.counts)-1)].Add(1)
}

// quantile is the delay that a share of all do not exceed.
func (d *delays) quantile(share float64) time.Duration {
	left := int64(share*float64(d.n.Load()-1)) + 1
	for i := range d.counts {
		if left -= int64(d.counts[i].Load()); left <= 0 {
			return time.Duration(i+1) * delayStep
		}
	}
	return 0
}

func (d *delays) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, most %v of %d", d.quantile(0.5), d.quantile(0.99), d.quantile(1), d.n.Load())
}

// busy is the p99 that a feed beside an attack must keep. 250 ms are asked for; the attackers and the clients of
// the feed share the machine with the broker, and others may.
const busy = 2 * time.Second

// startFeed starts one: rate messages a second of size bytes. lines are header lines of CONNECT.
func startFeed(t testing.TB, to at, topic string, subs int, rate float64, size int, lines ...string) *feed {
	t.Helper()
	f := &feed{t: t, subs: subs, topic: topic, quit: make(chan struct{}), silent: make(chan struct{})}
	f.late.Store(new(delays))
	lines = append(lines, "heart-beat:0,10000")
	var err error
	if f.pub, err = open(to, lines...); err != nil {
		t.Fatalf("feed: %v", err)
	}
	for range subs {
		p, err := open(to, lines...)
		if err == nil {
			err = p.subscribe(topic)
		}
		if err != nil {
			t.Fatalf("feed: %v", err)
		}
		f.peers = append(f.peers, p)
		f.wg.Go(func() { f.listen(p) })
	}
	f.wg.Go(func() {
		defer close(f.silent)
		f.publish(rate, size)
	})
	f.wg.Go(func() { // heart-beats, and what the broker may say to the publisher
		m, err := f.pub.read(0)
		if !f.closed.Load() {
			f.fault("the publisher got %.300q, %v", m, err)
		}
	})
	t.Cleanup(f.end)
	return f
}

func (f *feed) fault(format string, args ...any) {
	if f.wrong.Add(1) < 10 {
		f.t.Errorf("feed: "+format, args...)
	}
}

// epoch is what stamps count from.
var epoch = time.Now()

func (f *feed) publish(rate float64, size int) {
	fill := strings.Repeat("x", size)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for n := int64(0); ; {
		select {
		case <-f.quit:
			return
		case <-tick.C:
		}
		var out strings.Builder
		for due := int64(time.Since(begin).Seconds() * rate); n < due && out.Len() < 64<<10; n++ {
			stamp := begin.Add(time.Duration(float64(n+1) / rate * float64(time.Second))).Sub(epoch)
			fmt.Fprintf(&out, "SEND\ndestination:%s\n\n%d %d %s\x00", f.topic, n, stamp, fill)
		}
		if out.Len() == 0 {
			continue
		}
		if err := f.pub.send(out.String()); err != nil {
			f.fault("publish: %v", err)
			return
		}
		f.sent.Store(n)
	}
}

func (f *feed) listen(p *peer) {
	for next := int64(0); ; next++ {
		m, err := p.read(0)
		if err != nil {
			if !f.closed.Load() {
				f.fault("a subscriber: %v", err)
			}
			return
		}
		var n int64
		var stamp time.Duration
		if m.command() != "MESSAGE" || !parseTwo(m.body(), &n, (*int64)(&stamp)) {
			f.fault("a subscriber got %.300q", m)
			return
		}
		f.late.Load().add(time.Since(epoch) - stamp)
		if n != next {
			f.fault("message %d came for %d", n, next)
			next = n
		}
		f.got.Add(1)
	}
}

// parseTwo reads two numbers, each with a blank behind it.
func parseTwo(b []byte, to ...*int64) bool {
	for _, v := range to {
		*v = 0
		i := 0
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			*v = *v*10 + int64(b[i]-'0')
		}
		if i == 0 || i == len(b) || b[i] != ' ' {
			return false
		}
		b = b[i+1:]
	}
	return true
}

// measure gives the delays since it was called before.
func (f *feed) measure() *delays { return f.late.Swap(new(delays)) }

// stop ends publishing, waits until all that was sent has come to everybody, and gives how many
// messages that were.
func (f *feed) stop() int64 {
	f.t.Helper()
	close(f.quit)
	<-f.silent
	end := time.Now().Add(3 * harness.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.got.Load() < f.sent.Load()*int64(f.subs) && f.wrong.Load() == 0 && time.Now().Before(end) {
		<-tick.C
	}
	f.end()
	sent, got := f.sent.Load(), f.got.Load()
	if got != sent*int64(f.subs) {
		f.t.Errorf("feed: %d messages to each of %d subscribers, %d came", sent, f.subs, got)
	}
	return sent
}

func (f *feed) end() {
	if f.closed.Swap(true) {
		return
	}
	select {
	case <-f.quit:
	default:
		close(f.quit)
	}
	f.pub.nc.Close()
	for _, p := range f.peers {
		p.nc.Close()
	}
	f.wg.Wait()
}

// timedOut tells that nothing came in time.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
