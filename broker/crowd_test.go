package broker_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// A client that asks for more and more answers and reads none is not read any more: what waits
// for it is bounded. When it reads, it gets every answer, in order.
func TestAnswersNotRead(t *testing.T) {
	for name, frame := range map[string]string{
		"receipts": "BEGIN\ntransaction:t\n\n\x00ABORT\ntransaction:t\nreceipt:%d-" + strings.Repeat("r", 4000) + "\n\n",
		"errors":   "ACK\nmessage-id:1\nreceipt:%d-" + strings.Repeat("r", 4000) + "\n\n\x00SEND\ndestination:nowhere\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, broker.Options{})
				c := dial(t, b, 1<<10)
				c.send("CONNECT\naccept-version:1.2\ngudok-errors:soft\nheart-beat:0,1000\n\n")
				c.expect("CONNECTED")
				const frames = 2000
				var written atomic.Int64
				go func() {
					for i := range frames {
						c.send(fmt.Sprintf(frame, i))
						written.Add(1)
					}
				}()
				time.Sleep(100 * time.Second) // no reading, no heart-beat either: not the client's fault
				synctest.Wait()
				if n := written.Load() * 4000; n > 3<<20 {
					t.Errorf("%d bytes were read from a client that reads nothing", n)
				}
				for i := range frames {
					for {
						f, ok := c.next()
						if !ok {
							t.Fatalf("session ended at answer %d", i)
						}
						if id, ok := f.header["receipt-id"]; ok {
							if !strings.HasPrefix(id, fmt.Sprint(i)+"-") {
								t.Fatalf("answer %d is %.20s", i, id)
							}
							break
						}
					}
				}
				c.drop()
			})
		})
	}
}

// What waits behind a write that fails never reached the client: it comes again unmarked.
func TestUnsentStaysUnmarked(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close()
	b := newBroker(t, broker.Options{Engine: e})
	body := strings.Repeat("x", 40<<10)
	sender := connect(t, b)
	for round := range 40 {
		c := dial(t, b, 1<<10)
		c.send("CONNECT\naccept-version:1.2\n\n")
		c.expect("CONNECTED")
		c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client-individual\nreceipt:1\n\n")
		c.expect("RECEIPT")
		for range 8 {
			sender.send("SEND\ndestination:/queue/q\n\n" + body)
		}
		sender.sync()
		c.drop()
		d := connect(t, b)
		d.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n\n")
		last := ""
		for i := range 8 {
			f := d.expect("MESSAGE")
			if i > 1 && f.header["redelivered"] == "true" { // a batch is one or two of them
				t.Fatalf("round %d: message %d is marked redelivered and was never sent", round, i)
			}
			last = f.header["ack"]
		}
		d.send("ACK\nid:" + last + "\n\n")
		d.send("DISCONNECT\n\n")
		d.ended()
	}
}
