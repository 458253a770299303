package overload

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

var stalledFor = flag.Duration("stalled", 5*time.Second, "for how long TestStalledReaders goes on from when its readers begin to connect; figures are of 60s")

var endedLine = regexp.MustCompile(`msg="session ended" reason="([^"]*)"`)

// endings counts how sessions ended, by what the broker said.
func (b *broker) endings() map[string]int {
	n := map[string]int{}
	for _, m := range endedLine.FindAllStringSubmatch(b.Output(), -1) {
		n[m[1]]++
	}
	return n
}

// TestStalledReaders: readers of a topic that never read, with hardly any room in their sockets, beside 50 who
// do. The stalled ones are ended, be it that too much waits for them or that a write to them takes too
// long; the others get every message in order as if nothing were; and the memory is free again.
func TestStalledReaders(t *testing.T) {
	for _, c := range []struct {
		name, limits string
		stalled      int
		rate         float64
		size         int
		within       time.Duration // from when all are there
		reason       string
	}{
		{"more waits than may", "limits: {send_time: 10s}", 1000, 5000, 512, 11 * time.Second, "slow consumer"},
		{"a write takes too long", "limits: {send_time: 2s, outbox: 256MiB}", 200, 20, 64 << 10, 4 * time.Second, "connection lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, "log: {level: info}\n"+c.limits, harness.Options{Quiet: true})
			f := startFeed(t, wsAt(b.Broker), "/topic/stalled", 50, c.rate, c.size)
			pass(3 * time.Second)
			files := b.files(t)
			_, live := b.collect(t)
			sockets := socketMemory(t)
			before, peak, alone := b.anonymous(t), b.peak(t), f.measure()
			over := time.Now().Add(*stalledFor)
			var mu sync.Mutex
			var stalled []*peer
			defer func() {
				for _, p := range stalled {
					p.nc.Close()
				}
			}()
			var wg sync.WaitGroup
			turn := make(chan struct{}, 50)
			for i := range c.stalled {
				turn <- struct{}{}
				wg.Go(func() {
					defer func() { <-turn }()
					to := tcpAt(b.Broker)
					to.From, to.Rcv = crowdAddress(i), 4096
					p, err := open(to, "heart-beat:0,0")
					if err == nil {
						err = p.subscribe("/topic/stalled")
					}
					if err != nil {
						t.Errorf("stalled reader %d: %v", i, err)
						return
					}
					mu.Lock()
					stalled = append(stalled, p)
					mu.Unlock()
				})
			}
			wg.Wait()
			begin := time.Now()
			kernel := socketMemory(t)
			if !becomes(c.within+2*harness.Patience, func() bool {
				kernel = max(kernel, socketMemory(t))
				return b.files(t) <= files
			}) {
				t.Errorf("%d of %d stalled readers are still there", b.files(t)-files, c.stalled)
			}
			took := time.Since(begin)
			most := peak()
			pass(time.Until(over))
			during := f.measure()
			if took > c.within {
				t.Errorf("the last stalled reader was ended after %v, not %v", took, c.within)
			}
			sent := f.stop()
			_, left := b.collect(t)
			anonymous, back := b.freed(t, before)
			ends := b.endings()
			t.Logf("%d stalled readers ended %v after the last came: %v; feed of %d messages to 50: alone %v; beside them %v",
				c.stalled, took.Round(time.Millisecond), ends, sent, alone, during)
			t.Logf("RssAnon %d MiB before, %d at most, %d after %v; alive %d KiB before, %d after; sockets of the machine %d MiB before, %d at most",
				before/mib, most/mib, anonymous/mib, back.Round(time.Millisecond), live>>10, left>>10, sockets/mib, kernel/mib)
			if grown := (kernel - sockets) / int64(c.stalled); grown > 512<<10 {
				t.Errorf("the kernel held %d KiB for each stalled reader", grown>>10)
			}
			// What all outboxes hold together has a bound, too: the fullest may be ended for that.
			if n := ends[c.reason] + ends["memory is short"]; n != c.stalled || ends[c.reason] == 0 {
				t.Errorf("%d of %d ended as %q or for want of memory", n, c.stalled, c.reason)
			}
			if most-before > 600*mib {
				t.Errorf("RssAnon grew by %d MiB", (most-before)/mib)
			}
			// 2 times the baseline is asked for, over a minute; a machine that is busy with others has spikes in either.
			if p99, base := during.quantile(0.99), alone.quantile(0.99); p99 > max(10*base, busy) {
				t.Errorf("p99 of the feed was %v, and %v before", p99, base)
			}
		})
	}
}

// socketMemory is what the machine's TCP sockets hold.
func socketMemory(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		need(t, err.Error())
	}
	_, rest, _ := strings.Cut(string(text), "TCP: ")
	_, rest, _ = strings.Cut(rest, " mem ")
	pages, err := strconv.ParseInt(strings.Fields(rest + " ?")[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
