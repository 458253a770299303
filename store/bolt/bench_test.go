//go:build linux

package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/gudokmq/gudok/store"
)

// BenchmarkReceipts publishes durably in a closed loop, each sender waiting for its receipt, beside a
// loop that appends the same bytes to a file, with one fdatasync for all that waits.
func BenchmarkReceipts(b *testing.B) {
	for _, size := range []int{128, 1024} {
		for _, senders := range []int{1, 16, 128, 1024} {
			b.Run(fmt.Sprintf("size=%d/senders=%d/raw", size, senders), func(b *testing.B) {
				raw(b, size, senders)
			})
			b.Run(fmt.Sprintf("size=%d/senders=%d/bolt", size, senders), func(b *testing.B) {
				e := mustOpen(b, Options{Path: b.TempDir()})
				closed(b, senders, func(done func()) {
					e.Publish(message("/queue/bench", "0123456789-0123456789", size), func(_ bool, err error) {
						if err != nil {
							b.Error(err)
						}
						done()
					})
				})
			})
		}
	}
}

// closed keeps n calls under way until b.N are done.
func closed(b *testing.B, n int, call func(done func())) {
	slots := make(chan struct{}, n)
	b.ResetTimer()
	for range b.N {
		slots <- struct{}{}
		call(func() { <-slots })
	}
	for range n {
		slots <- struct{}{}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func raw(b *testing.B, size, senders int) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	type item struct {
		data []byte
		done func()
	}
	var mu sync.Mutex
	var waiting []item
	wake := make(chan struct{}, 1)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		var buf []byte
		for {
			mu.Lock()
			batch := waiting
			waiting = nil
			mu.Unlock()
			if len(batch) == 0 {
				select {
				case <-wake:
					continue
				case <-stop:
					return
				}
			}
			buf = buf[:0]
			for _, i := range batch {
				buf = append(buf, i.data...)
			}
			if _, err := f.Write(buf); err != nil {
				b.Error(err)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Error(err)
			}
			for _, i := range batch {
				i.done()
			}
		}
	})
	data := make([]byte, size)
	closed(b, senders, func(done func()) {
		mu.Lock()
		waiting = append(waiting, item{data, done})
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	close(stop)
	writer.Wait()
}

// BenchmarkDrain reads a backlog back from the disk.
func BenchmarkDrain(b *testing.B) {
	e := mustOpen(b, Options{Path: b.TempDir(), HotBytes: 1})
	var published sync.WaitGroup
	for i := range b.N {
		published.Add(1)
		e.Publish(message("q", fmt.Sprintf("m%09d", i), 200), func(bool, error) { published.Done() })
	}
	published.Wait()
	var drained sync.WaitGroup
	drained.Add(b.N)
	var c store.Consumer
	c, err := e.Consume("q", func(d store.Delivery) {
		d.Ack(nil)
		c.Credit(1)
		drained.Done()
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	b.ReportAllocs()
	c.Credit(1000)
	drained.Wait()
}

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
