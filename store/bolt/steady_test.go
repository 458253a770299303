package bolt

import (
	"fmt"
	"testing"

	"github.com/gudokmq/gudok/store"
)

// BenchmarkSteady publishes with receipts, delivers within a prefetch of 100 and acknowledges with
// receipts: the acknowledgements of some messages come before they would have been written.
func BenchmarkSteady(b *testing.B) {
	for _, queues := range []int{2, 100} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			e := mustOpen(b, Options{Path: b.TempDir()})
			acked := make(chan struct{}, b.N+1)
			for q := range queues {
				var c store.Consumer
				c, err := e.Consume(fmt.Sprint("q", q), func(d store.Delivery) {
					d.Ack(func(error) {
						c.Credit(1)
						acked <- struct{}{}
					})
				})
				if err != nil {
					b.Fatal(err)
				}
				c.Credit(100)
			}
			n := 0
			b.ReportAllocs()
			closed(b, 256, func(done func()) {
				n++
				e.Publish(message(fmt.Sprint("q", n%queues), "0123456789", 128), func(bool, error) { done() })
			})
			for range n {
				<-acked
			}
		})
	}
}
