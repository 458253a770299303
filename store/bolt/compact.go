package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
)

// compactPays tells that a file is big and mostly empty.
func compactPays(db *bbolt.DB) bool {
	const worth = 48 << 20
	s := db.Stats()
	free := int64(s.FreePageN+s.PendingPageN) * int64(db.Info().PageSize)
	size := int64(0)
	err := view(db, func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	return err == nil && size > worth && free > size/4*3
}

// Compact writes what is live of the store in o.Path into a new file, which then takes the old one's
// place; the file is no bigger afterwards than it must be. No broker may have it open. The old file
// stays whole until the new one is, whenever the machine stops. A file with damaged parts is left as
// it is: see Recover.
func Compact(o Options) error {
	o = o.withDefaults()
	free, err := lockDir(o.Path, o.LockTimeout)
	if err != nil {
		return openError(o.file(), err)
	}
	defer free()
	return compact(o)
}

// compact is Compact in a directory that is locked.
func compact(o Options) error {
	path := o.file()
	db, _, err := openFile(&o, path)
	if err != nil {
		return err
	}
	e := assemble(o, db)
	err = e.restore()
	if count, list := e.Damage(); err == nil && count > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, list[0].Reason)
	}
	temp := path + compactSuffix
	if mutant.Is(mutant.CompactInPlace) {
		temp = path
	}
	if err == nil {
		err = errors.Join(removeIfThere(temp), build(&o, temp, e.pack))
	}
	if err == nil {
		err = install(&o, temp, path) // under the old file's lock
	}
	if cause := db.Close(); err == nil {
		err = cause
	}
	if err != nil {
		_ = removeIfThere(temp) // Open does so as well
		return openError(path, fmt.Errorf("compact: %w", err))
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pack copies what is live, and what is in quarantine, into a new file.
func (e *Engine) pack(to *bbolt.DB) error {
	to.AllocSize = allocSize(e.opts.MaxSize)
	p := &packer{db: to}
	err := view(e.db, func(tx *bbolt.Tx) error {
		for _, b := range e.Bindings() {
			p.bind(b)
		}
		if err := p.copyDamaged(tx); err != nil {
			return err
		}
		log := tx.Bucket(bucketLog)
		return log.ForEach(func(key, _ []byte) error {
			no := binary.BigEndian.Uint64(key)
			known := e.committer.buckets[no]
			c, err := openCommit(log, no)
			if err != nil {
				return fmt.Errorf("commit %d: %w", no, err)
			}
			for i := range c.n() {
				if !known.isLive(i) {
					continue
				}
				body, err := c.body(i)
				if err != nil {
					return fmt.Errorf("commit %d: %w", no, err)
				}
				var k *nack
				if n, ok := known.nacks[i]; ok {
					k = &n
				}
				if err := p.add(*c.record(i), body, k); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return p.finish()
}

// packer writes records into an empty file, in commits as full as they may be.
type packer struct {
	db       *bbolt.DB
	manifest manifest
	batch    batch
	count    int
}

// add takes a record over; body may be of a transaction of another file.
func (p *packer) add(r record, body []byte, k *nack) error {
	b := &p.batch
	if len(b.records) >= batchMessages || len(b.bodies) >= batchBytes || len(b.big) >= 16 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if k != nil {
		if b.nacks == nil {
			b.nacks = map[int]nack{}
		}
		b.nacks[len(b.records)] = *k
	}
	if len(body) > bigBody {
		body = append([]byte(nil), body...) // kept until flush
	}
	b.addWhole(r, body[:r.idLen], body[r.idLen:], owner{})
	p.count++
	return nil
}

// flush writes a commit.
func (p *packer) flush() error {
	b := &p.batch
	if len(b.records) == 0 {
		return nil
	}
	p.manifest.last++
	b.no = p.manifest.last
	b.index = appendIndex(nil, b.no, b.records)
	known := newBucket(b.no, len(b.records))
	known.nacks = b.nacks
	p.manifest.add(known, 1)
	err := classify(p.db.Update(func(tx *bbolt.Tx) error {
		if err := b.write(tx.Bucket(bucketLog)); err != nil {
			return err
		}
		if len(b.nacks) > 0 {
			if err := tx.Bucket(bucketAcks).Put(commitKey(b.no), known.appendMarks(nil)); err != nil {
				return err
			}
		}
		return p.manifest.write(tx)
	}))
	// The bindings wait in ops for the end.
	p.batch = batch{records: b.records[:0], owners: b.owners[:0], bodies: b.bodies[:0], ops: b.ops}
	if mutant.Is(mutant.CompactForgets) {
		p.batch.ops = nil
	}
	return err
}

// bind takes a binding over.
func (p *packer) bind(b store.Binding) {
	one := &binding{Binding: b}
	p.batch.ops = append(p.batch.ops, op{kind: opBind, bind: one})
	p.manifest.binds ^= one.sum()
}

// finish writes what is left.
func (p *packer) finish() error {
	binds := p.batch.ops
	if err := p.flush(); err != nil {
		return err
	}
	return classify(p.db.Update(func(tx *bbolt.Tx) error {
		for i := range binds {
			if err := binds[i].bind.write(tx); err != nil {
				return err
			}
		}
		return p.manifest.write(tx)
	}))
}

// copyDamaged takes over what is in quarantine, a few hundred at a time.
func (p *packer) copyDamaged(from *bbolt.Tx) error {
	old := from.Bucket(bucketDamaged)
	if old == nil {
		return nil
	}
	cursor := old.Cursor()
	for k, v := cursor.First(); k != nil; {
		err := p.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketDamaged)
			for n := 0; err == nil && k != nil && n < 256; n++ {
				err = b.Put(k, v)
				k, v = cursor.Next()
			}
			return err
		})
		if err != nil {
			return classify(err)
		}
	}
	return nil
}

// Recover reads what it can of the store in o.Path, however damaged, into a new file, which then takes
// the old one's place; the old one stays beside it under the name with ".damaged" added. It tells out
// what it found, a line each. No broker may have the file open.
//
// What was acknowledged stays so as far as the file still tells. Messages of commits that the damage
// has cut off are looked for page by page; of those nobody knows any more whether they were
// acknowledged, so that they come back, counted as delivered once, and with them bindings, of each queue
// the latest.
func Recover(o Options, out io.Writer) error {
	o = o.withDefaults()
	path := o.file()
	freeDir, err := lockDir(o.Path, o.LockTimeout)
	if err != nil {
		return openError(path, err)
	}
	defer freeDir()
	free, err := lockFile(path, o.LockTimeout)
	if err != nil {
		return openError(path, err)
	}
	defer free()
	f, err := os.Open(path)
	if err != nil {
		return openError(path, err)
	}
	defer f.Close()
	temp := path + newSuffix
	r := &salvage{out: out, f: f}
	err = errors.Join(removeIfThere(temp), build(&o, temp, r.run))
	if err == nil {
		err = keepAside(path)
	}
	if err == nil {
		err = install(&o, temp, path)
	}
	if err != nil {
		_ = removeIfThere(temp) // Open does so as well
		return openError(path, fmt.Errorf("recover: %w", err))
	}
	lost := fmt.Sprint(r.lost, " were lost")
	if !r.known {
		lost = "nothing tells how many were lost"
	}
	r.say("%d messages are in the new file; %s; the old file is %s", r.to.count, lost, path+damagedSuffix)
	return nil
}

// damagedSuffix is added to the name of a file that was recovered.
const damagedSuffix = ".damaged"

// keepAside gives the damaged file a second name, which no earlier one has; it may have it already, from
// a recovery that was cut short.
func keepAside(path string) error {
	err := os.Link(path, path+damagedSuffix)
	if errors.Is(err, os.ErrExist) {
		one, e1 := os.Stat(path)
		two, e2 := os.Stat(path + damagedSuffix)
		if e1 == nil && e2 == nil && os.SameFile(one, two) {
			return nil
		}
		return fmt.Errorf("%s is there already, from an earlier recovery; move it away", path+damagedSuffix)
	}
	return err
}
