package queues

import (
	"cmp"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// Gauges implements [store.Gauger], but for the disk.
func (t *Table) Gauges(deepest int) store.Gauges {
	g := store.Gauges{Bytes: t.bytes.Load()}
	var few []store.Depth // the deepest so far, and up to as many more
	byDepth := func(a, b store.Depth) int {
		if c := cmp.Compare(b.Messages(), a.Messages()); c != 0 {
			return c
		}
		return cmp.Compare(a.Queue, b.Queue)
	}
	cut := func() {
		slices.SortFunc(few, byDepth)
		few = few[:min(len(few), deepest)]
	}
	var all []*Queue
	for i := range t.shards {
		sh := &t.shards[i]
		all = all[:0]
		sh.mu.RLock()
		for _, q := range sh.queues {
			all = append(all, q)
		}
		sh.mu.RUnlock()
		for _, q := range all {
			q.mu.Lock()
			dead, stat := q.dead, q.stat()
			q.mu.Unlock()
			if dead {
				continue
			}
			g.Queues++
			g.Messages += stat.Messages()
			if deepest > 0 {
				few = append(few, store.Depth{Queue: q.name, Stat: stat})
			}
			if len(few) >= 2*deepest+64 {
				cut()
			}
		}
	}
	cut()
	g.Deepest = few
	return g
}
