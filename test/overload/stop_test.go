package overload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// book is what clients of all lives of a broker know of messages, by their number.
type book struct {
	mu      sync.Mutex
	life    int // of the broker, from 1
	next    int64
	sent    map[int64]*note
	wrong   []string
	again   int // deliveries of what was delivered before
	strange int // stored without a RECEIPT that came
}

type note struct {
	promised  bool // there was a RECEIPT for the SEND
	delivered int
	life      int  // in which it was delivered last
	settled   bool // there was a RECEIPT for the ACK
}

func (k *book) fault(format string, args ...any) {
	if len(k.wrong) < 20 {
		k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
	}
}

// publish sends to a queue, so many at a time without a RECEIPT, until the connection ends.
func (k *book) publish(p *peer, queue string, window int) {
	credit := make(chan struct{}, window)
	go func() {
		defer close(credit)
		for {
			m, err := p.read(0)
			if err != nil {
				return
			}
			var n int64
			if _, err := fmt.Sscan(m.header("receipt-id"), &n); err != nil || m.command() != "RECEIPT" {
				k.mu.Lock()
				k.fault("a publisher got %.200q", m)
				k.mu.Unlock()
				return
			}
			k.mu.Lock()
			k.sent[n].promised = true
			k.mu.Unlock()
			credit <- struct{}{}
		}
	}()
	for flying := 0; ; {
		k.mu.Lock()
		n := k.next
		k.next++
		k.sent[n] = new(note)
		k.mu.Unlock()
		if p.sendf("SEND\ndestination:%s\nreceipt:%d\n\n%d 0 \x00", queue, n, n) != nil {
			for range credit { // to the last RECEIPT
			}
			return
		}
		for flying++; flying == window; flying-- {
			if _, ok := <-credit; !ok {
				return
			}
		}
	}
}

// consume takes messages and acknowledges each with a RECEIPT, until the connection ends, or until one
// that says so.
func (k *book) consume(p *peer) error {
	for {
		m, err := p.read(0)
		if err != nil {
			return err
		}
		var n int64
		switch m.command() {
		case "MESSAGE":
			if string(m.body()) == "end" {
				return nil
			}
			if !parseTwo(m.body(), &n, new(int64)) {
				return fmt.Errorf("%.200q", m)
			}
			k.mu.Lock()
			e := k.sent[n]
			switch {
			case e == nil:
				k.fault("message %d was never sent", n)
			case e.settled:
				k.fault("message %d came again after the RECEIPT for its ACK", n)
			case e.delivered > 0 && m.header("redelivered") != "true":
				k.fault("message %d came again without a mark", n)
			case e.delivered > 0 && e.life == k.life:
				k.fault("message %d, given back as its consumer ended, came to the other, which ended too", n)
			}
			if e != nil {
				e.life = k.life
				if e.delivered++; e.delivered > 1 {
					k.again++
				}
			}
			k.mu.Unlock()
			if err := p.sendf("ACK\nid:%s\nreceipt:%d\n\n\x00", m.header("ack"), n); err != nil {
				continue // what is left to be read
			}
		case "RECEIPT":
			if _, err := fmt.Sscan(m.header("receipt-id"), &n); err != nil {
				return fmt.Errorf("%.200q", m)
			}
			k.mu.Lock()
			k.sent[n].settled = true
			k.mu.Unlock()
		default:
			return fmt.Errorf("%.200q", m)
		}
	}
}

// TestStopUnderLoad: SIGTERM, twenty times, at a moment of chance, while clients publish and acknowledge with
// receipts. The broker ends well and soon each time, tells WebSockets to come back (1012), sends the
// receipts of all that it has stored, and over all lives what had a receipt is there, and
// what was acknowledged with one never comes again.
func TestStopUnderLoad(t *testing.T) {
	const lives = 20
	rnd := rand.New(rand.NewPCG(seeded(t), 1))
	dir := t.TempDir()
	config := "log: {level: warn}\nstore: {path: data, min_free: 0}\n"
	k := &book{sent: map[int64]*note{}}
	queues := []string{"/queue/stop.a", "/queue/stop.b"}
	var slowest time.Duration
	var told atomic.Int64
	for range lives {
		b := start(t, config, harness.Options{Dir: dir})
		k.life++ // nobody reads yet
		var wg sync.WaitGroup
		for i := range 4 {
			to := [...]at{tcpAt(b.Broker), wsAt(b.Broker)}[i%2]
			pub, err := open(to, "heart-beat:0,0")
			if err != nil {
				t.Fatal(err)
			}
			sub, err := open(to, "heart-beat:0,0")
			if err == nil {
				err = sub.subscribe(queues[i/2], "ack:client-individual", "prefetch-count:20")
			}
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { defer pub.nc.Close(); k.publish(pub, queues[i/2], 32) })
			wg.Go(func() {
				defer sub.nc.Close()
				err := k.consume(sub)
				var end closed
				if !errors.As(err, &end) {
					t.Errorf("a consumer ended by %v", err)
				}
				if end.code == 1012 {
					told.Add(1)
				} else if sub.ws {
					t.Errorf("a WebSocket was closed with %d", end.code)
				}
			})
		}
		pass(time.Duration(100+rnd.IntN(200)) * time.Millisecond)
		begin := time.Now()
		if err := b.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		code := b.Exited(3 * harness.Patience)
		took := time.Since(begin)
		slowest = max(slowest, took)
		if code != 0 || took > 10*time.Second {
			t.Errorf("the broker ended with %d after %v\n%s", code, took, b.Output())
		}
		wg.Wait()
	}
	// What is left comes now.
	k.life++
	b := start(t, config, harness.Options{Dir: dir})
	for _, q := range queues {
		p, err := open(tcpAt(b.Broker), "heart-beat:0,0")
		if err == nil {
			err = p.call("end", "SEND\ndestination:%s\nreceipt:end\n\nend\x00", q)
		}
		if err == nil {
			err = p.subscribe(q, "ack:client-individual", "prefetch-count:500")
		}
		if err == nil {
			err = k.consume(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.nc.Close()
	}
	var promised, settled int
	for n, e := range k.sent {
		switch {
		case e.promised && e.delivered == 0:
			k.fault("message %d had a RECEIPT and is lost", n)
		case !e.promised && e.delivered > 0:
			k.strange++
		}
		if e.promised {
			promised++
		}
		if e.settled {
			settled++
		}
	}
	for _, f := range k.wrong {
		t.Error(f)
	}
	t.Logf("%d times SIGTERM: exit 0 within %v each; %d messages sent, %d with a RECEIPT, %d stored whose RECEIPT did not come; %d acknowledged with a RECEIPT, %d came twice; %d of %d WebSocket consumers closed with 1012",
		lives, slowest.Round(time.Millisecond), len(k.sent), promised, k.strange, settled, k.again, told.Load(), lives*2)
	if k.strange > promised/1000 { // a client that the machine lets wait for longer than the broker lingers
		t.Errorf("%d messages were stored whose RECEIPT did not come", k.strange)
	}
	if promised < lives*100 {
		t.Errorf("only %d messages had a RECEIPT: that is no load", promised)
	}
}
