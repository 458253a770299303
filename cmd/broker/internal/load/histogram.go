package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Each power of two is cut into 2^subBits buckets: a quantile is right to about 1.6 %.
const (
	subBits = 5
	buckets = (64 - subBits) << subBits
)

// histogram counts durations; it may be added to from many goroutines at once.
type histogram struct{ n [buckets]atomic.Int64 }

func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	e := bits.Len64(v) - subBits - 1
	return e<<subBits + int(v>>e)
}

// lower is the smallest value of bucket i, width how many values it holds.
func lower(i int) (low, width uint64) {
	if i < 2<<subBits {
		return uint64(i), 1
	}
	e := i>>subBits - 1
	return uint64(i-e<<subBits) << e, 1 << e
}

func (h *histogram) add(ns int64) { h.n[bucket(uint64(max(ns, 0)))].Add(1) }

// Latency is quantiles in microseconds.
type Latency struct {
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
}

// quantiles sums the histograms; nil if they are empty.
func quantiles(hs []histogram) *Latency {
	var sum [buckets]int64
	var total int64
	for i := range hs {
		for b := range sum {
			n := hs[i].n[b].Load()
			sum[b] += n
			total += n
		}
	}
	if total == 0 {
		return nil
	}
	at := func(q float64) float64 {
		want, seen := int64(q*float64(total-1))+1, int64(0)
		for b, n := range sum {
			if seen += n; seen >= want {
				low, width := lower(b)
				return float64(low+width/2) / float64(time.Microsecond)
			}
		}
		return 0
	}
	return &Latency{P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}
}
