package broker_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// A consumer that breaks while another works does not mix up what nobody has had yet.
func TestOrderWhenAConsumerBreaks(t *testing.T) {
	for round := range 30 {
		e := memory.New(memory.Options{})
		b := newBroker(t, broker.Options{Engine: e, Limits: broker.Limits{Outbox: 4 << 10}})
		stuck := dial(t, b, 64)
		stuck.send("CONNECT\naccept-version:1.2\n\n")
		stuck.expect("CONNECTED")
		stuck.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\nprefetch-count:100\nreceipt:r\n\n")
		stuck.expect("RECEIPT")
		sender, works := connect(t, b), connect(t, b)
		const messages = 200
		for n := range messages {
			sender.send("SEND\ndestination:/queue/q\n\n" + strconv.Itoa(n) + strings.Repeat(" ", 500))
		}
		sender.sync()
		works.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client-individual\nprefetch-count:2\n\n")
		last := 0
		for got := range messages {
			f := works.expect("MESSAGE")
			n, _ := strconv.Atoi(strings.TrimSpace(f.body))
			if n >= 20 { // the other, stuck early, has some of those before
				if n < last {
					t.Fatalf("round %d: %d came after %d", round, n, last)
				}
				last = n
			}
			works.send("ACK\nid:" + f.header["ack"] + "\n\n")
			if got == 3 {
				go stuck.p.Abort()
			}
		}
		works.drop()
		<-stuck.done
		e.Close()
	}
}
