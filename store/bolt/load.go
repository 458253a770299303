package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"github.com/gudokmq/gudok/store/ledger"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
)

// restore builds the queues and the committer's account from the file.
func (e *Engine) restore() error {
	c := e.committer
	var want manifest
	var reaches map[string]uint64
	err := view(e.db, func(tx *bbolt.Tx) error {
		var err error
		if want, err = readMeta(tx); err != nil {
			return err
		}
		if err := e.restoreBindings(tx); err != nil {
			return err
		}
		reaches = readReaches(tx)
		log, acks := tx.Bucket(bucketLog), tx.Bucket(bucketAcks)
		if log == nil || acks == nil {
			return fmt.Errorf("%w: a part of it is missing", ErrDamaged)
		}
		names := interner{}
		return log.ForEach(func(key, value []byte) error {
			if len(key) != 8 || value != nil {
				return fmt.Errorf("%w: a key of the journal makes no sense", ErrDamaged)
			}
			return e.restoreCommit(log.Bucket(key), binary.BigEndian.Uint64(key), acks, names, reaches)
		})
	})
	if err != nil {
		return err
	}
	if err := e.checkAcks(); err != nil {
		return err
	}
	for queue, pos := range reaches {
		if !e.table.Resume(queue, pos) {
			c.reaches = append(c.reaches, reach{queue: queue}) // it has ended
		}
	}
	got := c.manifest
	got.last = max(got.last, want.last)
	bindings := got.binds
	if got.binds != want.binds {
		e.damage.report(e.opts.Logger, Damage{Record: -1, Reason: "the list of bindings is not the one that was written"})
		got.binds = want.binds
	}
	if got != want {
		e.damage.report(e.opts.Logger, Damage{Record: -1, Reason: fmt.Sprintf(
			"the journal holds %d messages in %d commits up to %d, but its manifest says %d in %d up to %d",
			got.live, got.buckets, c.manifest.last, want.live, want.buckets, want.last)})
	}
	got.binds = bindings
	c.manifest = got
	if both, err := bothHeaders(e.opts.file()); err == nil && !both {
		e.damage.report(e.opts.Logger, Damage{Record: -1, Reason: "one of the file's two headers is damaged: " +
			"if it was not being written when the machine stopped, the last commit is lost"})
	}
	c.written = got
	return nil
}

// readMeta checks the format and gives the manifest.
func readMeta(tx *bbolt.Tx) (manifest, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return manifest{}, fmt.Errorf("%w: it is no store of this broker", ErrFormat)
	}
	if v := string(meta.Get(keyFormat)); v != fmt.Sprint(format) {
		return manifest{}, fmt.Errorf("%w: it has format %q, this version reads %d", ErrFormat, v, format)
	}
	m, ok := parseManifest(meta.Get(keyManifest))
	if !ok {
		return manifest{}, fmt.Errorf("%w: its manifest is", ErrDamaged)
	}
	return m, nil
}

// restoreCommit adds one commit's live records to their queues.
func (e *Engine) restoreCommit(raw *bbolt.Bucket, no uint64, acks *bbolt.Bucket, names interner, reaches map[string]uint64) error {
	c := e.committer
	c.manifest.last = max(c.manifest.last, no)
	idx, err := parseIndex(raw.Get(keyIndex), names.name)
	lenient := errors.Is(err, errIndexCRC)
	if err != nil && !lenient || !lenient && idx.commit != no {
		if err == nil {
			err = fmt.Errorf("it is that of commit %d", idx.commit)
		}
		e.damage.report(e.opts.Logger, Damage{Commit: no, Record: -1, Reason: "a whole commit is lost: " + err.Error()})
		return nil
	}
	b := newBucket(no, len(idx.records))
	if marks := acks.Get(commitKey(no)); marks != nil {
		if err := b.readMarks(marks); err != nil {
			e.damage.report(e.opts.Logger, Damage{Commit: no, Record: -1, Reason: err.Error() +
				": messages of this commit may be delivered again"})
		}
	}
	own := commit{no: no, bucket: raw, index: idx, bodies: raw.Get(keyBodies)}
	for i := range idx.records {
		if !b.isLive(i) {
			continue
		}
		r := &idx.records[i]
		if lenient {
			if _, err := own.body(i); err != nil {
				// Not acknowledged, so that nothing is deleted.
				e.damage.report(e.opts.Logger, Damage{Queue: r.queue, Commit: no, Record: i, Reason: "the index of its commit is damaged"})
				continue
			}
		}
		k := b.nacks[i]
		notBefore := r.notBefore
		if _, nacked := b.nacks[i]; nacked {
			notBefore = k.until
		}
		if r.pos <= reaches[r.queue] && !mutant.Is(mutant.ReachForgotten) {
			k.count = max(k.count, 1) // it was delivered, very likely
		}
		if mutant.Is(mutant.RecoveryOrder) {
			r.pos = (r.pos + 2) ^ 1
		}
		if mutant.Is(mutant.ExpiryForgotten) {
			r.expires = 0
		}
		if mutant.Is(mutant.DelayForgotten) {
			notBefore = 0
		}
		e.table.Restore(r.queue, ledger.Entry[queues.Place, store.Message]{
			Pos: r.pos, Value: place(no, i), Size: uint32(r.size()), Count: int(k.count),
			Expires: r.expires, NotBefore: notBefore,
		})
	}
	c.buckets[no] = b
	c.manifest.add(b, 1)
	return nil
}

// checkAcks reports marks of commits that are not there.
func (e *Engine) checkAcks() error {
	return view(e.db, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketAcks).ForEach(func(key, _ []byte) error {
			if len(key) != 8 {
				return fmt.Errorf("%w: a key of its acknowledgements makes no sense", ErrDamaged)
			}
			if no := binary.BigEndian.Uint64(key); e.committer.buckets[no] == nil {
				e.damage.report(e.opts.Logger, Damage{Commit: no, Record: -1, Reason: "the commit is missing of which this acknowledges messages"})
			}
			return nil
		})
	})
}

// interner keeps one string for each name.
type interner map[string]string

func (n interner) name(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	n[s] = s
	return s
}
