package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
)

var concurrencyCases = []testCase{
	{name: "Concurrency/EachMessageOnceInOrder", run: eachMessageOnce},
	{name: "Concurrency/CommitsAcrossQueues", run: commitsAcrossQueues},
	{name: "Concurrency/QueuesComeAndGo", run: queuesComeAndGo},
	{name: "Concurrency/CloseUnderLoad", run: closeUnderLoad},
}

// eachMessageOnce has publishers and consumers on several queues at once; consumers give some
// messages back, close and come again. Each message is acknowledged once, and the first
// deliveries of one publisher's messages come in its order.
func eachMessageOnce(s *suite) {
	const publishers, queues, each = 6, 3, 1500
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				for q := range queues {
					m := message(fmt.Sprintf("q%d", q), fmt.Sprintf("%d-%d", p, i))
					_, done := s.newDone("Publish " + m.ID)
					s.e.Publish(m, func(_ bool, err error) {
						if err != nil {
							s.Errorf("Publish: %v", err)
						}
						done(err)
					})
				}
			}
		})
	}
	for q := range queues {
		wg.Go(func() { drainQueue(s, fmt.Sprintf("q%d", q), publishers, each) })
	}
	wg.Wait()
	for q := range queues {
		name := fmt.Sprintf("q%d", q)
		s.eventually(name+" is empty", func() bool { return s.e.Stat(name) == store.Stat{} })
	}
}

func drainQueue(s *suite, queue string, publishers, each int) {
	seen := map[string]bool{}
	acked := map[string]bool{}
	last := make([]int, publishers)
	for i := range last {
		last[i] = -1
	}
	random := rand.New(rand.NewPCG(1, uint64(len(queue))))
	for len(acked) < publishers*each {
		var running atomic.Int32
		got := make(chan store.Delivery, 1000)
		c, err := s.e.Consume(queue, func(d store.Delivery) {
			if running.Add(1) != 1 {
				s.Error("deliver is called while it runs")
			}
			got <- d
			running.Add(-1)
		})
		if err != nil {
			s.Errorf("Consume: %v", err)
			return
		}
		c.Credit(50)
		for range min(900, publishers*each-len(acked)) {
			d := <-got
			id := d.Message().ID
			var p, i int
			if _, err := fmt.Sscanf(id, "%d-%d", &p, &i); err != nil {
				s.Errorf("message %q: %v", id, err)
			}
			if acked[id] {
				s.Errorf("%s %s came after its ack", queue, id)
			}
			if !seen[id] {
				if seen[id] = true; i != last[p]+1 {
					s.Errorf("%s: publisher %d: number %d came first after %d", queue, p, i, last[p])
				}
				last[p] = i
			}
			switch random.IntN(10) {
			case 0:
				d.Nack(0, nil)
			case 1:
				d.Release()
			default:
				acked[id] = true
				d.Ack(nil)
				d.Ack(nil) // a second one must do no harm
			}
			c.Credit(1)
			if c := d.Count(); c < 1 {
				s.Errorf("count %d", c)
			}
		}
		c.Close()
		for len(got) > 0 {
			// First deliveries that nobody looked at: what is given back comes in order again.
			(<-got).Release()
		}
	}
}

// commitsAcrossQueues moves tokens between queues by commits whose queues overlap in every order:
// no deadlock, no token lost or doubled.
func commitsAcrossQueues(s *suite) {
	const queues, tokens, moves = 5, 40, 4000
	names := ids("q", queues)
	var left atomic.Int64
	left.Store(moves)
	finished := make(chan struct{})
	takers := make([]store.Consumer, queues)
	var commits sync.WaitGroup
	var number atomic.Int64
	for i, name := range names {
		random := rand.New(rand.NewPCG(7, uint64(i)))
		var mu sync.Mutex
		var waiting []store.Delivery
		c, err := s.e.Consume(name, func(d store.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			if waiting = append(waiting, d); len(waiting) < 2 {
				return
			}
			pair := waiting
			waiting = nil
			var ms []*store.Message
			for range pair {
				ms = append(ms, message(names[random.IntN(queues)], fmt.Sprintf("t%d", number.Add(1))))
			}
			commits.Go(func() {
				s.e.Commit(ms, pair, func(err error) {
					if err != nil {
						s.Errorf("Commit: %v", err)
					}
					if left.Add(-1) == 0 {
						close(finished)
					}
				})
			})
		})
		if err != nil {
			s.Fatal(err)
		}
		takers[i] = c
	}
	for i := range tokens {
		s.publish(names[i%queues], fmt.Sprintf("s%d", i))
	}
	for _, c := range takers {
		c.Credit(1_000_000)
	}
	select {
	case <-finished:
	case <-time.After(patience):
		s.Fatalf("%d commits to go", left.Load())
	}
	for _, c := range takers {
		c.Close()
	}
	commits.Wait()
	s.eventually("every token is there once", func() bool {
		n := 0
		for _, name := range names {
			n += s.e.Stat(name).Messages()
		}
		return n == tokens && left.Load() <= 0
	})
}

// queuesComeAndGo publishes into a queue that vanishes after each message.
func queuesComeAndGo(s *suite) {
	const workers, rounds = 4, 2000
	var acked atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				s.e.Publish(message("q", "m"), func(_ bool, err error) {
					if err != nil {
						s.Errorf("Publish: %v", err)
					}
				})
			}
		})
	}
	stop := make(chan struct{})
	var consumers sync.WaitGroup
	consumers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c, err := s.e.Consume("q", func(d store.Delivery) {
				d.Ack(func(error) { acked.Add(1) })
			})
			if err != nil {
				s.Errorf("Consume: %v", err)
				return
			}
			c.Credit(10)
			c.Close()
		}
	})
	wg.Wait()
	s.eventually("every message is acknowledged", func() bool { return acked.Load() == workers*rounds })
	close(stop)
	consumers.Wait()
	if names := s.e.Queues("", 9); len(names) != 0 {
		s.Errorf("queues: %q", names)
	}
}

// closeUnderLoad closes the engine while everything runs; each done is still called once.
func closeUnderLoad(s *suite) {
	var closed atomic.Bool
	var wg sync.WaitGroup
	for i := range 4 {
		queue := fmt.Sprintf("q%d", i%2)
		wg.Go(func() {
			for !closed.Load() {
				_, done := s.newDone("Publish")
				s.e.Publish(message(queue, "m"), func(_ bool, err error) { done(err) })
			}
		})
	}
	for i := range 2 {
		var c store.Consumer
		ready := make(chan struct{})
		c, err := s.e.Consume(fmt.Sprintf("q%d", i), func(d store.Delivery) {
			<-ready
			if closed.Load() {
				s.Error("deliver is called after Close")
			}
			_, done := s.newDone("Ack")
			d.Ack(done)
			c.Credit(1)
		})
		if err != nil {
			s.Fatal(err)
		}
		close(ready)
		c.Credit(100)
	}
	time.Sleep(20 * time.Millisecond) // load for a while
	if err := s.e.Close(); err != nil {
		s.Error(err)
	}
	closed.Store(true)
	wg.Wait()
}
