package bolt

import (
	"errors"
	"slices"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
)

// What is acknowledged on a full disk goes into the file in parts of so many commits: for each a few
// pages are enough, and it gives back what the next one needs.
var owedParts = [...]int{64, 1}

// retry writes what is acknowledged in memory only; at most once in a while if it does not work, since
// bbolt looks through the whole file then.
func (c *committer) retry() {
	if c.j.Err() != nil || time.Since(c.tried) < c.opts.fullNap {
		return
	}
	err := error(nil)
	if len(c.dirty) > 0 || len(c.binds) > 0 {
		err = c.update(&batch{})
		for _, n := range owedParts {
			if !errors.Is(err, store.ErrFull) {
				break
			}
			err = c.updateInParts(n)
		}
	}
	switch {
	case err == nil:
		c.clean()
		c.answer.put(c.owed)
		c.owed, c.tried = nil, time.Time{}
	case errors.Is(err, store.ErrFull):
		c.tried = time.Now()
	default:
		c.fail(err)
		c.giveUp(c.j.Err())
	}
}

// updateInParts is update of nothing but what is dirty, of n commits at a time: first of those that go
// as a whole. What has been written is not dirty any more, whatever comes of the rest.
func (c *committer) updateInParts(n int) error {
	slices.SortStableFunc(c.dirty, func(a, b *bucket) int { return min(a.live, 1) - min(b.live, 1) })
	for len(c.dirty) > 0 {
		some := c.dirty[:min(n, len(c.dirty))]
		if err := c.updatePart(some); err != nil {
			return err
		}
		c.cleaned(some)
		c.dirty = slices.Delete(c.dirty, 0, len(some))
	}
	return c.update(&batch{})
}

// updatePart writes the marks of some commits. The manifest is that of what is in the file then.
func (c *committer) updatePart(some []*bucket) error {
	m := c.written
	return c.transact(len(some), func(tx *bbolt.Tx) error {
		log, acks := tx.Bucket(bucketLog), tx.Bucket(bucketAcks)
		for _, b := range some {
			was := newBucket(b.no, b.n)
			if raw := acks.Get(commitKey(b.no)); raw != nil {
				// Damaged ones were reported at the start, and the whole commit taken for live.
				_ = was.readMarks(raw)
			}
			m.strike(was, b)
			if err := writeMarks(log, acks, b); err != nil {
				return err
			}
		}
		return m.write(tx)
	}, &m)
}

// withdraw fails what the batch was to publish, for the disk is full; what it acknowledges stays
// acknowledged, and is written now or as soon as there is room.
func (c *committer) withdraw(b *batch, struck []queues.Place, err error) {
	for _, at := range struck {
		c.unack(at)
	}
	if fresh := c.buckets[b.no]; fresh != nil {
		c.manifest.add(fresh, -1)
		if fresh.live == 0 {
			c.manifest.buckets++ // it had been counted out
		}
		delete(c.buckets, b.no)
		c.dirty = slices.DeleteFunc(c.dirty, func(d *bucket) bool { return d == fresh })
	}
	c.reaches = nil // not worth to be tried again
	var failed []op
	for i := range b.ops {
		switch o := &b.ops[i]; {
		case o.kind == opPublish && (o.at != 0 || o.elided):
			o.q.Failed(o.pos)
			if !mutant.Is(mutant.DropWhenFull) {
				o.err = err
			}
			failed = append(failed, *o)
		case o.kind == opCommit || o.kind == opBind:
			o.err = err
			failed = append(failed, *o)
			c.binds = slices.DeleteFunc(c.binds, func(bind *binding) bool { return bind == o.bind })
		case o.kind == opMove:
			c.release(o.moves)
			c.cleaner.struck, c.cleaner.rest = true, time.Now().Add(restAfter)
		case o.kind == opDamage: // it is met again after the next start
		case mutant.Is(mutant.AckWhenFull):
			failed = append(failed, *o)
		default:
			c.owed = append(c.owed, *o)
		}
	}
	if len(b.acks) > 0 && len(c.owed) == 0 {
		c.owed = append(c.owed, op{}) // nobody waits for them, but they are owed all the same
	}
	c.answer.put(failed)
	c.retry()
}
