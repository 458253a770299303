//go:build !race

package broker_test

import (
	"runtime"
	"testing"
)

// Neither a message to a topic nor its delivery allocates anything: all its memory is used again. The race detector makes
// pools forget, so it has no say here; the collector does, too, now and then.
func TestDeliveryAllocatesNothing(t *testing.T) {
	allocations := func(sessions int) float64 {
		c := newCrowd(t, sessions, func(int) string { return "SUBSCRIBE\nid:0\ndestination:/topic/t\n\n\x00" })
		frames := messages(func(int) string { return "/topic/t" })
		for range 10 {
			c.send(frames)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const rounds = 100
		for range rounds {
			c.send(frames)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / (rounds * together)
	}
	few, many := allocations(10), allocations(1000)
	t.Logf("allocations for a message: %.3f to 10 subscribers, %.3f to 1,000", few, many)
	if few > 0.1 || many > 0.1 {
		t.Error("more than one allocation for ten messages")
	}
	if each := (many - few) / 990; each > 0.001 {
		t.Errorf("%.4f allocations for each delivery", each)
	}
}
