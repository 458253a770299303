package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// ledger is the reference of TestModel: what has been sent, read and acknowledged.
type modelLedger struct {
	t      *testing.T
	mu     sync.Mutex              // guards what follows
	read   map[string]map[int]bool // by body, "queue sender number", and delivery count
	acked  map[string]int          // the delivery count by which it was acknowledged
	open   int                     // sent and not acknowledged
	failed bool
}

func (l *modelLedger) errorf(format string, args ...any) {
	l.failed = true
	l.t.Errorf(format, args...)
}

func (l *modelLedger) sent() {
	l.mu.Lock()
	l.open++
	l.mu.Unlock()
}

// got notes a message read. Sessions read at their leisure: a later delivery may be read first.
func (l *modelLedger) got(f frameCopy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := count(f)
	switch by, done := l.acked[f.body]; {
	case done && n > by:
		l.errorf("%q was delivered again after it was acknowledged", f.body)
	case l.read[f.body][n]:
		l.errorf("%q came twice as delivery %d", f.body, n)
	case (n > 1) != (f.header["redelivered"] == "true"):
		l.errorf("%q: redelivered and delivery-count do not agree: %v", f.body, f.header)
	}
	if l.read[f.body] == nil {
		l.read[f.body] = make(map[int]bool)
	}
	l.read[f.body][n] = true
}

// count is which delivery of its message f is.
func count(f frameCopy) int {
	n := 1
	fmt.Sscan(f.header["delivery-count"], &n)
	return n
}

func (l *modelLedger) ack(f frameCopy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, done := l.acked[f.body]; done {
		l.errorf("%q was acknowledged twice", f.body)
	}
	l.acked[f.body] = count(f)
	l.open--
}

func (l *modelLedger) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open == 0 || l.failed
}

// modelWorker is a session that consumes as it likes.
type modelWorker struct {
	*client
	l    *modelLedger
	b    *broker.Broker
	r    *rand.Rand
	calm bool // it never leaves a queue, so first deliveries are in order
	subs map[string]*modelSub
	n    int
}

type modelSub struct {
	queue, mode string
	held        []frameCopy
	last        map[string]int // by sender
}

func (w *modelWorker) start() {
	w.client = dial(w.l.t, w.b, 1<<(8+w.r.IntN(8)))
	w.subs = make(map[string]*modelSub)
	w.send("CONNECT\naccept-version:1.2\n\n")
	w.expect("CONNECTED")
}

// do sends frames and reads until the receipt of the last, noting what comes meanwhile.
func (w *modelWorker) do(frames ...string) {
	w.n++
	id := fmt.Sprint("r", w.n)
	last := len(frames) - 1
	head, rest, _ := strings.Cut(frames[last], "\n")
	frames[last] = head + "\nreceipt:" + id + "\n" + rest
	w.send(frames...)
	for {
		f, ok := w.next()
		switch {
		case !ok:
			w.l.t.Errorf("session ended by itself, waiting for the receipt of %q", frames)
			return
		case f.command == "RECEIPT" && f.header["receipt-id"] == id:
			return
		case f.command == "MESSAGE":
			w.note(f)
		default:
			w.l.t.Errorf("got %s %v %q", f.command, f.header, f.body)
			return
		}
	}
}

func (w *modelWorker) note(f frameCopy) {
	sub := w.subs[f.header["subscription"]]
	if sub == nil || !strings.HasPrefix(f.body, sub.queue+" ") {
		w.l.t.Errorf("got %q for subscription %q, which this session does not have", f.body, f.header["subscription"])
		return
	}
	var queue, sender string
	var n int
	fmt.Sscan(f.body, &queue, &sender, &n)
	if w.calm && f.header["redelivered"] == "" {
		if last, ok := sub.last[sender]; ok && n <= last {
			w.l.t.Errorf("%q came after number %d", f.body, last)
		}
		sub.last[sender] = n
	}
	w.l.got(f)
	if sub.mode == "auto" {
		w.l.ack(f)
		return
	}
	sub.held = append(sub.held, f)
}

// claim takes from a subscription what an ACK or NACK of one of its messages means.
func (w *modelWorker) claim(sub *modelSub) (id string, claimed []frameCopy) {
	i := w.r.IntN(len(sub.held))
	id = sub.held[i].header["ack"]
	if sub.mode == "client" {
		claimed = append(claimed, sub.held[:i+1]...)
		sub.held = append([]frameCopy(nil), sub.held[i+1:]...)
		return id, claimed
	}
	claimed = append(claimed, sub.held[i])
	sub.held = append(append([]frameCopy(nil), sub.held[:i]...), sub.held[i+1:]...)
	return id, claimed
}

func (w *modelWorker) pick() (string, *modelSub) {
	for id, sub := range w.subs {
		return id, sub
	}
	return "", nil
}

func (w *modelWorker) step(queues []string) {
	id, sub := w.pick()
	switch op := w.r.IntN(20); {
	case sub == nil || op == 0 && len(w.subs) < 3:
		w.n++
		id := fmt.Sprint(w.n)
		sub := &modelSub{queue: queues[w.r.IntN(len(queues))], last: make(map[string]int),
			mode: []string{"auto", "client", "client-individual"}[w.r.IntN(3)]}
		w.subs[id] = sub
		w.do(fmt.Sprintf("SUBSCRIBE\nid:%s\ndestination:%s\nack:%s\nprefetch-count:%d\n\n", id, sub.queue, sub.mode, 1+w.r.IntN(30)))
	case op == 1 && !w.calm:
		w.do("UNSUBSCRIBE\nid:" + id + "\n\n")
		delete(w.subs, id)
	case op == 2 && !w.calm: // in order
		w.do("DISCONNECT\n\n")
		w.ended()
		w.start()
	case op == 3 && !w.calm: // not in order; what went out in mode auto would be lost
		for _, sub := range w.subs {
			if sub.mode == "auto" {
				return
			}
		}
		w.drop()
		w.start()
	case op <= 5 && len(sub.held) > 0:
		ack, _ := w.claim(sub)
		w.do("NACK\nid:" + ack + "\n\n")
	case op <= 9 && len(sub.held) > 0:
		frames := []string{"BEGIN\ntransaction:t\n\n"}
		before := append([]frameCopy(nil), sub.held...)
		var all []frameCopy
		for len(sub.held) > 0 && w.r.IntN(3) > 0 {
			ack, claimed := w.claim(sub)
			if w.r.IntN(4) > 0 {
				frames = append(frames, "ACK\ntransaction:t\nid:"+ack+"\n\n")
				all = append(all, claimed...)
			} else {
				frames = append(frames, "NACK\ntransaction:t\nid:"+ack+"\n\n")
			}
		}
		if w.r.IntN(3) == 0 {
			n := len(sub.held)
			w.do(append(frames, "ABORT\ntransaction:t\n\n")...)
			sub.held = append(before, sub.held[n:]...)
			return
		}
		w.do(append(frames, "COMMIT\ntransaction:t\n\n")...)
		for _, f := range all {
			w.l.ack(f)
		}
	case len(sub.held) > 0:
		ack, claimed := w.claim(sub)
		w.do("ACK\nid:" + ack + "\n\n")
		for _, f := range claimed {
			w.l.ack(f)
		}
	default:
		w.do("BEGIN\ntransaction:p\n\n", "ABORT\ntransaction:p\n\n")
		time.Sleep(time.Duration(w.r.IntN(500)) * time.Microsecond)
	}
}

// Many sessions subscribe, leave, acknowledge, refuse, commit, abort and break at random; each
// message is acknowledged once in the end, and nothing is left.
func TestModel(t *testing.T) {
	rng := seed(t)
	for _, calm := range []bool{false, true} {
		t.Run(fmt.Sprintf("calm=%v", calm), func(t *testing.T) { runModel(t, rng, calm) })
	}
}

func runModel(t *testing.T, rng *rand.Rand, calm bool) {
	const senders, each, workers = 3, 400, 6
	queues := []string{"/queue/a", "/queue/b", "/queue/c"}
	e := memory.New(memory.Options{})
	defer e.Close()
	b := newBroker(t, broker.Options{
		Engine: e,
		Limits: broker.Limits{Unacked: 20, Outbox: 4 << 10},
		Policies: policies(t, broker.Policy{Match: "/queue/**",
			Redelivery: broker.Redelivery{Limit: 1 << 20, Delay: time.Millisecond, MaxDelay: time.Millisecond}}),
	})
	l := &modelLedger{t: t, read: make(map[string]map[int]bool), acked: make(map[string]int), open: 1}
	deadline := time.Now().Add(30 * time.Second)
	var sending, wg sync.WaitGroup
	for i := range senders {
		c, r := connect(t, b), rand.New(rand.NewPCG(rng.Uint64(), 2))
		sending.Go(func() {
			for n := range each {
				q := queues[r.IntN(len(queues))]
				l.sent()
				c.send(fmt.Sprintf("SEND\ndestination:%s\n\n%s s%d %d %s", q, q, i, n, strings.Repeat(".", r.IntN(300))))
				if r.IntN(10) == 0 {
					c.sync()
				}
			}
			c.sync()
			c.drop()
		})
	}
	for range workers {
		w := &modelWorker{l: l, b: b, r: rand.New(rand.NewPCG(rng.Uint64(), 3)), calm: calm}
		wg.Go(func() {
			w.start()
			for !l.over() && !t.Failed() {
				w.step(queues)
				if time.Now().After(deadline) {
					t.Error("not over in time")
					break
				}
			}
			w.do("DISCONNECT\n\n")
			w.ended()
		})
	}
	sending.Wait()
	l.mu.Lock()
	l.open--
	l.mu.Unlock()
	wg.Wait()
	for _, q := range queues {
		if st := e.Stat(q); st.Messages() != 0 || st.Consumed {
			t.Errorf("%s: %+v", q, st)
		}
	}
	if n := b.Queues(); n != 0 {
		t.Errorf("%d queues have a consumer", n)
	}
}
