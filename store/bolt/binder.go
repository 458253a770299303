package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
)

// bindings are the engine's [store.Binder] part: what is bound and durable.
type bindings struct {
	mu      sync.Mutex // guards what follows
	byQueue map[string]store.Binding
}

// binding is a change of a binding on its way to the file.
type binding struct {
	store.Binding
	ends bool
}

var _ store.Binder = (*Engine)(nil)

var errNoQueue = errors.New("a binding must name its queue, in at most 65535 bytes")

// Bind implements [store.Binder].
func (e *Engine) Bind(b store.Binding, done func(error)) {
	err := errNoQueue
	if b.Queue != "" && max(len(b.Queue), len(b.Topic), len(b.Owner)) < 1<<16 {
		err = e.journal.bind(&binding{Binding: b}, func(err error) {
			if err == nil {
				e.bound.set(b)
			}
			if done != nil {
				done(err)
			}
		})
	}
	if err != nil && done != nil {
		done(err)
	}
}

// Unbind implements [store.Binder].
func (e *Engine) Unbind(queue string, done func(error)) {
	finish := func(err error) {
		if err == nil {
			e.bound.mu.Lock()
			delete(e.bound.byQueue, queue)
			e.bound.mu.Unlock()
		}
		if done != nil {
			done(err)
		}
	}
	e.table.DropBy(queue, func(places []queues.Place) (bool, error) {
		if mutant.Is(mutant.UnbindLeaves) {
			places = nil
		}
		return true, e.journal.remove(places, &binding{Binding: store.Binding{Queue: queue}, ends: true}, finish)
	}, done)
}

// Bindings implements [store.Binder].
func (e *Engine) Bindings() []store.Binding {
	e.bound.mu.Lock()
	all := make([]store.Binding, 0, len(e.bound.byQueue))
	for _, b := range e.bound.byQueue {
		all = append(all, b)
	}
	e.bound.mu.Unlock()
	slices.SortFunc(all, func(a, b store.Binding) int { return cmp.Compare(a.Queue, b.Queue) })
	return all
}

func (b *bindings) set(to store.Binding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byQueue == nil {
		b.byQueue = map[string]store.Binding{}
	}
	b.byQueue[to.Queue] = to
}

// bind has a binding written.
func (j *journal) bind(b *binding, done func(error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	j.put(op{kind: opBind, bind: b, done: done})
	return nil
}

// write puts the binding into the file, or takes it out.
func (b *binding) write(tx *bbolt.Tx) error {
	all, err := tx.CreateBucketIfNotExists(bucketBinds)
	if err != nil {
		return err
	}
	if b.ends {
		return all.Delete([]byte(b.Queue))
	}
	return all.Put([]byte(b.Queue), encodeBinding(b.Binding))
}

// sum stands for a binding in the manifest.
func (b *binding) sum() uint64 {
	raw := encodeBinding(b.Binding)
	return mix(queues.Place(binary.LittleEndian.Uint32(raw[len(raw)-4:])))
}

// bindSum is what the manifest will say of the bindings once c.binds are written.
func (c *committer) bindSum() uint64 {
	sum := c.manifest.binds
	changed := map[string]uint64{}
	for _, b := range c.binds {
		old, ok := changed[b.Queue]
		if !ok {
			old = c.bound[b.Queue]
		}
		now := uint64(0)
		if !b.ends {
			now = b.sum()
		}
		sum ^= old ^ now
		changed[b.Queue] = now
	}
	return sum
}

// bindsWritten takes c.binds for written.
func (c *committer) bindsWritten() {
	if len(c.binds) == 0 {
		return
	}
	c.manifest.binds = c.bindSum()
	for _, b := range c.binds {
		if b.ends {
			delete(c.bound, b.Queue)
		} else {
			c.bound[b.Queue] = b.sum()
		}
	}
	c.binds = nil
}

func encodeBinding(b store.Binding) []byte {
	le := binary.LittleEndian
	buf := le.AppendUint16(nil, uint16(len(b.Topic)))
	buf = append(append(buf, b.Topic...), b.Owner...)
	return le.AppendUint32(buf, crc32.Update(crc32.Checksum([]byte(b.Queue), castagnoli), castagnoli, buf))
}

func parseBinding(queue, raw []byte) (store.Binding, bool) {
	le := binary.LittleEndian
	end := len(raw) - 4
	if end < 2 || int(le.Uint16(raw))+2 > end ||
		le.Uint32(raw[end:]) != crc32.Update(crc32.Checksum(queue, castagnoli), castagnoli, raw[:end]) {
		return store.Binding{}, false
	}
	n := int(le.Uint16(raw))
	return store.Binding{Queue: string(queue), Topic: string(raw[2 : 2+n]), Owner: string(raw[2+n : end])}, true
}

// restoreBindings reads what is bound.
func (e *Engine) restoreBindings(tx *bbolt.Tx) error {
	all := tx.Bucket(bucketBinds)
	if all == nil {
		return nil
	}
	return all.ForEach(func(queue, raw []byte) error {
		if b, ok := parseBinding(queue, raw); ok {
			e.bound.set(b)
			sum := (&binding{Binding: b}).sum()
			e.committer.bound[b.Queue] = sum
			e.committer.manifest.binds ^= sum
		} else {
			e.damage.report(e.opts.Logger, Damage{Queue: string(queue), Record: -1, Reason: "the binding of this queue is damaged"})
		}
		return nil
	})
}
