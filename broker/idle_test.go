package broker_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// A session that was busy and is idle now keeps little, with heart-beats or without.
func TestIdleSessionIsSmall(t *testing.T) {
	for name, beats := range map[string]string{"beats": "heart-beat:0,10000\n", "none": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := memory.New(memory.Options{})
				defer e.Close()
				b := newBroker(t, broker.Options{Engine: e})
				heap := func() int64 {
					for range 3 { // twice empties the pools
						runtime.GC()
					}
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return int64(m.HeapAlloc) + int64(m.StackInuse)
				}
				const sessions = 20
				var cs []*client
				for range sessions {
					cs = append(cs, login(t, b, beats))
				}
				synctest.Wait()
				before := heap()
				for i, c := range cs {
					c.send(fmt.Sprintf("SUBSCRIBE\nid:q\ndestination:/queue/%d\nack:client-individual\nprefetch-count:1000\n\n", i),
						fmt.Sprintf("SUBSCRIBE\nid:t\ndestination:/topic/%d\n\n", i))
					for n := range 100 {
						c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/other.%d\n\n", n, n), "BEGIN\ntransaction:"+fmt.Sprint(n)+"\n\n",
							"ABORT\ntransaction:"+fmt.Sprint(n)+"\nreceipt:a\n\n")
						c.expect("RECEIPT")
					}
					var acks []string
					for range 2 {
						acks = acks[:0]
						for n := range 900 {
							c.send(fmt.Sprintf("SEND\ndestination:/queue/%d\nreceipt:%d\n\nx", i, n), fmt.Sprintf("SEND\ndestination:/topic/%d\n\nx", i))
						}
						synctest.Wait()
						for got := 0; got < 2700; got++ {
							f, _ := c.next()
							if id := f.header["ack"]; id != "" {
								acks = append(acks, id)
							}
						}
						for _, id := range acks {
							c.send("ACK\nid:" + id + "\n\n")
						}
						c.sync()
					}
					for n := range 100 {
						c.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\n\n", n))
					}
					c.sync()
				}
				time.Sleep(25 * time.Second)
				for _, c := range cs {
					c.p.out.mu.Lock()
					c.p.out.b = nil
					c.p.out.mu.Unlock()
					c.p.in.mu.Lock()
					c.p.in.b = nil
					c.p.in.mu.Unlock()
				}
				synctest.Wait()
				if n := (heap() - before) / sessions; n > 20<<10 {
					t.Errorf("%d bytes a session", n)
				} else {
					t.Logf("%d bytes a session", n)
				}
			})
		})
	}
}
