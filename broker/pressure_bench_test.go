package broker_test

import (
	"fmt"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// BenchmarkSample is one look at what waits for so many idle sessions; it comes ten times a second at
// most, and never takes more than half a percent of the time.
func BenchmarkSample(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			br := newBroker(b, broker.Options{Limits: broker.Limits{Connections: n, Memory: 1 << 40}})
			for range n {
				connect(b, br)
			}
			sample := br.Sampler()
			sample()
			b.ReportAllocs()
			for b.Loop() {
				sample()
			}
		})
	}
}
