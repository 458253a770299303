package overload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestMany: ten thousand queues, a hundred thousand subscriptions and a thousand patterns. What is sent to a
// topic is with its subscribers as fast as ever, a subscription takes little memory, and it is
// free when they have gone.
func TestMany(t *testing.T) {
	const (
		queues   = 10_000
		sessions = 500
		each     = 200 // subscriptions
		patterns = 1_000
		probes   = 2_000
	)
	b := start(t, "log: {level: info}\nstore: {path: data, min_free: 0}\n", harness.Options{Quiet: true})
	pub, err := open(tcpAt(b.Broker), "heart-beat:0,0")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.nc.Close()
	begin := time.Now()
	for q := 0; q < queues; q += 100 {
		var all strings.Builder
		for i := range 100 {
			receipt := ""
			if i == 99 {
				receipt = "receipt:q\n"
			}
			fmt.Fprintf(&all, "SEND\ndestination:/queue/many.%d\n%s\nfirst\x00", q+i, receipt)
		}
		if err := pub.call("q", "%s", all.String()); err != nil {
			t.Fatal(err)
		}
	}
	stored := time.Since(begin)
	_, live := b.collect(t)
	anonymous := b.anonymous(t)

	begin = time.Now()
	crowd := make([]*peer, sessions)
	defer func() {
		for _, p := range crowd {
			if p != nil {
				p.nc.Close()
			}
		}
	}()
	var wg sync.WaitGroup
	turn := make(chan struct{}, 20)
	for s := range sessions {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			p, err := open(tcpAt(b.Broker), "heart-beat:0,0")
			if err != nil {
				t.Error(err)
				return
			}
			crowd[s] = p
			var all strings.Builder
			for i := range each {
				receipt := ""
				if i == each-1 {
					receipt = "receipt:s\n"
				}
				fmt.Fprintf(&all, "SUBSCRIBE\nid:%d\ndestination:/topic/many.%d.t%d\n%s\n\x00", i, s*each+i, (s*each+i)%97, receipt)
			}
			if err := p.call("s", "%s", all.String()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	made := time.Since(begin)
	_, with := b.collect(t)
	rss := b.anonymous(t)
	per := (with - live) / (sessions * each)

	// Patterns: each of twenty clients has a part of them; "*" in front, in the middle, and at the end.
	watchers := make([]*peer, 20)
	for w := range watchers {
		p, err := open(tcpAt(b.Broker), "heart-beat:0,0")
		if err != nil {
			t.Fatal(err)
		}
		defer p.nc.Close()
		watchers[w] = p
		var all strings.Builder
		for i := range patterns / len(watchers) {
			n := w*patterns/len(watchers) + i
			pattern := [...]string{"many.%d.*", "many.*.x%d", "many.%d.#", "*.%d.t1"}[n%4]
			receipt := ""
			if i == patterns/len(watchers)-1 {
				receipt = "receipt:s\n"
			}
			fmt.Fprintf(&all, "SUBSCRIBE\nid:%d\ndestination:/topic/"+pattern+"\n%s\n\x00", i, n, receipt)
		}
		if err := p.call("s", "%s", all.String()); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { // reads what comes
			for {
				if _, err := p.read(0); err != nil {
					return
				}
			}
		})
	}

	// Each message goes to one subscriber, and perhaps to some patterns; from before it is sent until he has it.
	rnd := rand.New(rand.NewPCG(seeded(t), 1))
	late := new(delays)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := range probes {
		<-tick.C
		i := rnd.IntN(sessions * each)
		sent := time.Now()
		if err := pub.sendf("SEND\ndestination:/topic/many.%d.t%d\n\n%d\x00", i, i%97, n); err != nil {
			t.Fatal(err)
		}
		m, err := crowd[i/each].expect("MESSAGE", fmt.Sprintf("subscription:%d", i%each))
		if err != nil || string(m.body()) != fmt.Sprint(n) {
			t.Fatalf("message %d to /topic/many.%d: %q, %v", n, i, m, err)
		}
		late.add(time.Since(sent))
	}
	stores := new(delays)
	for n := range 200 {
		sent := time.Now()
		if err := pub.call("q", "SEND\ndestination:/queue/many.%d\nreceipt:q\n\nsecond\x00", n*queues/200); err != nil {
			t.Fatal(err)
		}
		stores.add(time.Since(sent))
	}
	for n := range 20 { // both messages are in their queue
		q, err := open(tcpAt(b.Broker), "heart-beat:0,0")
		if err != nil {
			t.Fatal(err)
		}
		if err := q.subscribe(fmt.Sprintf("/queue/many.%d", n*queues/20)); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{"first", "second"} {
			if m, err := q.expect("MESSAGE"); err != nil || string(m.body()) != body {
				t.Errorf("queue %d: %q, %v", n, m, err)
			}
		}
		q.nc.Close()
	}
	begin = time.Now()
	for _, p := range append(crowd, watchers...) {
		p.nc.Close()
	}
	wg.Wait()
	var left int64
	// The snapshot of a topic's subscribers, maps and pools keep a little.
	if !becomes(3*harness.Patience, func() bool {
		_, left = b.collect(t)
		return left < live+(with-live)/5
	}) {
		t.Errorf("%d KiB are alive after all have gone, %d with them and %d before", left>>10, with>>10, live>>10)
	}
	t.Logf("%d queues made in %v, %d subscriptions in %v: %d bytes alive for each, RssAnon %d MiB before and %d with them; %d KiB alive before, %d with them, %d %v after they left",
		queues, stored.Round(time.Millisecond), sessions*each, made.Round(time.Millisecond), per, anonymous/mib, rss/mib, live>>10, with>>10, left>>10, time.Since(begin).Round(time.Millisecond))
	t.Logf("%d patterns beside them; from SEND to MESSAGE %v; a durable SEND to its RECEIPT %v", patterns, late, stores)
	if per > 3<<10 { // 2 KiB are asked for
		t.Errorf("%d bytes for each subscription", per)
	}
	if p99 := late.quantile(0.99); p99 > 50*time.Millisecond { // 5 ms are asked for
		t.Errorf("p99 from SEND to MESSAGE was %v", p99)
	}
}
