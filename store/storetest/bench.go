package storetest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/gudokmq/gudok/store"
)

// Bench measures an engine: what one message costs from Publish through deliver to Ack.
func Bench(b *testing.B, open func(testing.TB, Setup) store.Engine) {
	engine := func(b *testing.B) store.Engine {
		e := open(b, Setup{})
		b.Cleanup(func() {
			if err := e.Close(); err != nil {
				b.Error(err)
			}
		})
		return e
	}
	// ackAll consumes a queue, acknowledging at once.
	ackAll := func(b *testing.B, e store.Engine, queue string) {
		var c store.Consumer
		c, err := e.Consume(queue, func(d store.Delivery) {
			d.Ack(nil)
			c.Credit(1)
		})
		if err != nil {
			b.Fatal(err)
		}
		c.Credit(100)
	}
	b.Run("PublishDeliverAck", func(b *testing.B) {
		e := engine(b)
		ackAll(b, e, "q")
		m := message("q", "m")
		b.ReportAllocs()
		for b.Loop() {
			e.Publish(m, nil)
		}
	})
	b.Run("PublishDeliverAckExpiring", func(b *testing.B) {
		e := engine(b)
		ackAll(b, e, "q")
		m := message("q", "m")
		m.Expires = 1 << 42
		b.ReportAllocs()
		for b.Loop() {
			e.Publish(m, nil)
		}
	})
	b.Run("PublishDeliverAckParallel", func(b *testing.B) {
		e := engine(b)
		var number atomic.Int64
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			queue := fmt.Sprintf("q%d", number.Add(1))
			ackAll(b, e, queue)
			m := message(queue, "m")
			for pb.Next() {
				e.Publish(m, nil)
			}
		})
	})
	b.Run("OneQueueParallel", func(b *testing.B) {
		e := engine(b)
		ackAll(b, e, "q")
		m := message("q", "m")
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for n := 0; pb.Next(); n++ {
				e.Publish(m, nil)
				for n%100 == 0 && e.Stat("q").Ready > 1000 {
					runtime.Gosched() // the pump is the bottle-neck, not the memory
				}
			}
		})
	})
	b.Run("QueueComesAndGoes", func(b *testing.B) {
		e := engine(b)
		m := message("q", "m")
		b.ReportAllocs()
		for b.Loop() {
			e.Publish(m, nil)
			e.Purge("q", nil)
		}
	})
	b.Run("Commit", func(b *testing.B) {
		e := engine(b)
		ackAll(b, e, "a")
		ackAll(b, e, "b")
		ms := []*store.Message{message("a", "m"), message("b", "m")}
		b.ReportAllocs()
		for b.Loop() {
			e.Commit(ms, nil, nil)
		}
	})
}
