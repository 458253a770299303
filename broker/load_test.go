package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// Shutdown at any moment, under load of every kind: every session ends, in time, whatever was
// confirmed is in the store once or was delivered, and nothing is on loan.
func TestShutdownUnderLoad(t *testing.T) {
	rng := seed(t)
	for range 60 {
		e := memory.New(memory.Options{})
		b, err := broker.New(broker.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards what follows
		confirmed, read := make(map[string]bool), make(map[string]bool)
		var wg sync.WaitGroup
		for i := range 4 {
			c := dial(t, b, 1<<14)
			wg.Go(func() {
				c.send("CONNECT\naccept-version:1.2\n\n")
				go func() {
					for n := range 1000 {
						id := fmt.Sprintf("%d.%d", i, n)
						c.send("SEND\ndestination:/queue/q\nreceipt:"+id+"\n\n"+id,
							fmt.Sprintf("SEND\ndestination:/topic/%d\nx-delay:%d\n\n", n%3, n%2), "BEGIN\ntransaction:"+id+"\n\n",
							"SEND\ntransaction:"+id+"\ndestination:/queue/r\nreply-to:/temp-queue/r\n\n", "COMMIT\ntransaction:"+id+"\n\n")
					}
				}()
				for {
					f, ok := c.next()
					if !ok {
						return
					}
					if f.command == "RECEIPT" {
						mu.Lock()
						confirmed[f.header["receipt-id"]] = true
						mu.Unlock()
					}
				}
			})
		}
		for i := range 4 {
			c, r := dial(t, b, 1<<12), rand.New(rand.NewPCG(rng.Uint64(), 4))
			wg.Go(func() {
				c.send("CONNECT\naccept-version:1.2\n\n", "SUBSCRIBE\nid:q\ndestination:/queue/q\nack:client-individual\nprefetch-count:10\n\n",
					"SUBSCRIBE\nid:r\ndestination:/queue/r\n\n", "SUBSCRIBE\nid:t\ndestination:/topic/*\nack:client\nprefetch-count:5\n\n")
				for {
					f, ok := c.next()
					if !ok {
						return
					}
					if f.header["subscription"] == "q" {
						mu.Lock()
						read[f.body] = true
						mu.Unlock()
					}
					if id := f.header["ack"]; id != "" && (i > 0 || r.IntN(10) > 0) {
						c.send("ACK\nid:" + id + "\n\n")
					}
				}
			})
		}
		time.Sleep(time.Duration(rng.IntN(5000)) * time.Microsecond)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		wg.Wait()
		for _, q := range []string{"/queue/q", "/queue/r", "/delayed/topics"} {
			if st := e.Stat(q); st.Held != 0 || st.Consumed {
				t.Errorf("%s: %+v", q, st)
			}
		}
		kept := make(map[string]bool)
		ms, _ := e.Browse("/queue/q", 0, 10_000)
		for _, m := range ms {
			_, body, _ := strings.Cut(strings.TrimSuffix(string(m.Data), "\x00"), "\n\n")
			if kept[body] {
				t.Errorf("%s is kept twice", body)
			}
			kept[body] = true
		}
		for id := range confirmed {
			if !kept[id] && !read[id] {
				t.Errorf("%s was confirmed and is nowhere", id)
			}
		}
		e.Close()
		if t.Failed() {
			return
		}
	}
}

// Readers that do not read, by the hundred, cost the others nothing and the broker a bounded
// amount, until they are ended; what they held of a queue goes to those who read.
func TestHundredsOfSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Options{})
		defer e.Close()
		b := newBroker(t, broker.Options{Engine: e, Limits: broker.Limits{Outbox: 16 << 10}})
		const slowOnes, messages = 300, 400
		var stalled []*client
		for range slowOnes {
			c := dial(t, b, 256)
			c.send("CONNECT\naccept-version:1.2\n\n")
			c.expect("CONNECTED")
			c.send("SUBSCRIBE\nid:t\ndestination:/topic/x\n\n", "SUBSCRIBE\nid:q\ndestination:/queue/q\nack:client-individual\n\n")
			stalled = append(stalled, c)
		}
		synctest.Wait()
		good, sender := connect(t, b), connect(t, b)
		good.send("SUBSCRIBE\nid:t\ndestination:/topic/x\n\n", "SUBSCRIBE\nid:q\ndestination:/queue/q\n\n")
		good.sync()
		fill(sender, "/queue/q", 0, messages)
		body := strings.Repeat("x", 1000)
		topic, queue := 0, make(map[string]bool)
		count := func(f frameCopy) {
			if f.header["subscription"] == "t" {
				topic++
			} else {
				queue[f.body] = true
			}
		}
		for range messages {
			sender.send("SEND\ndestination:/topic/x\n\n" + body)
			sender.sync()
			good.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:r\n\n")
			for {
				f, ok := good.next()
				if !ok {
					t.Fatal("the good reader was ended")
				}
				if f.command == "RECEIPT" {
					break
				}
				count(f)
			}
		}
		if topic != messages {
			t.Errorf("the good reader got %d of %d", topic, messages)
		}
		for _, c := range stalled {
			<-c.done // ended as slow
		}
		for len(queue) < messages {
			f, ok := good.next()
			if !ok {
				t.Fatal("the good reader was ended")
			}
			count(f)
		}
		if st := e.Stat("/queue/q"); st.Held != 0 {
			synctest.Wait()
			if st := e.Stat("/queue/q"); st.Messages() != 0 {
				t.Errorf("%+v", st)
			}
		}
	})
}
