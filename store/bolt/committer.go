package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// committer is the one goroutine that writes. All fields are its own, but for what the others
// share by its methods.
type committer struct {
	// Static after construction.
	j      *journal
	db     *bbolt.DB
	file   *os.File // bbolt's
	opts   *Options
	table  *queues.Table
	answer *answerer
	done   chan struct{} // closed when it has ended

	buckets  map[uint64]*bucket
	bound    map[string]uint64 // the sum of each binding
	manifest manifest
	written  manifest   // as it is in the file
	failed   uint64     // the number of the latest commit that failed, which is not used again
	dirty    []*bucket  // marks to be written
	binds    []*binding // to be written
	reaches  []reach    // to be written
	noted    time.Time  // when reaches were last written
	owed     []op       // acknowledged in memory, not on the disk: it is full
	tried    time.Time  // when they were last tried to be written
	room     room
	stuck    bool // bbolt has panicked in a transaction, and may keep its locks
	bufs     buffers
	looked   time.Time // when the room on the disk was last looked at
	cleaner  cleaner

	pulse atomic.Uint64 // counts steps; odd while one is under way

	mu    sync.Mutex // guards what follows
	usage Usage
	tally tally
}

// run writes whatever waits, as long as something does, until the journal has ended.
func (c *committer) run() {
	defer close(c.done)
	defer c.rest()
	debug.SetPanicOnFault(true) // a page that the disk cannot give is an error
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.step()
		if b := c.j.seal(max(c.manifest.last, c.failed) + 1); b != nil {
			c.commit(b)
			continue
		}
		if len(c.owed) > 0 {
			c.retry()
		}
		c.j.mu.Lock()
		ended := c.j.closing && len(c.j.input)+len(c.j.acks) == 0
		c.j.mu.Unlock()
		if ended {
			c.giveUp(c.j.Err())
			c.forget()
			return
		}
		var nap <-chan time.Time
		if wait, ok := c.noteDue(); ok && wait <= 0 {
			c.commit(&batch{no: c.manifest.last + 1})
			continue
		} else if ok {
			timer.Reset(wait)
			nap = timer.C
		}
		if len(c.owed) > 0 || c.j.full.Load() {
			timer.Reset(c.opts.fullNap)
			nap = timer.C
		}
		c.rest()
		select {
		case <-c.j.wake:
		case <-nap:
			c.step()
			c.lookAround()
		}
	}
}

// giveUp answers what could not be written before the end.
func (c *committer) giveUp(err error) {
	if err == nil && len(c.owed) > 0 {
		err = fmt.Errorf("%w: the disk had no room to the end", store.ErrFull)
	}
	for i := range c.owed {
		c.owed[i].err = err
	}
	c.answer.put(c.owed)
	c.owed = nil
}

// commit writes a batch and sees to all that follows.
func (c *committer) commit(b *batch) {
	if err := c.j.Err(); err != nil {
		c.refuse(b, err)
		return
	}
	c.lookAround()
	if len(c.owed) > 0 {
		c.retry()
	}
	b.encode(&c.bufs)
	struck := c.strike(b)
	c.note()
	err := error(nil)
	if mutant.Is(mutant.ReceiptFirst) {
		c.answer.put(b.ops)
	}
	if len(b.records) > 0 || len(c.dirty) > 0 || len(c.binds) > 0 || len(c.reaches) > 0 || hasDamage(b) {
		b.index = appendIndex(c.bufs.index[:0], b.no, b.records)
		if len(c.owed) > 0 {
			err = errNoRoom // it would only fail again
		} else if err = c.admit(b); err == nil {
			began := time.Now()
			if err = c.update(b); err == nil {
				c.took(time.Since(began), len(b.records))
			}
		}
	}
	switch {
	case err == nil:
		if len(b.records) > 0 {
			c.manifest.last = b.no
			c.room.fits()
		}
		c.clean()
		c.settle(b)
		if fresh := c.buckets[b.no]; fresh != nil {
			c.cleaner.fresh(fresh)
		}
		c.choose()
		c.sealed()
		if !mutant.Is(mutant.ReceiptFirst) {
			c.answer.put(b.ops)
		}
	case errors.Is(err, store.ErrFull):
		c.tooFull(err)
		c.failed = b.no
		c.withdraw(b, struck, err)
	default:
		c.fail(err)
		c.refuse(b, c.j.Err())
	}
	c.sealed()
	c.j.recycleAcks(b.acks)
	c.bufs.keep(b)
}

// sealed tells that no ledger gives pending places any more.
func (c *committer) sealed() {
	c.j.mu.Lock()
	c.j.writing = nil
	c.j.mu.Unlock()
}

func hasDamage(b *batch) bool {
	return slices.ContainsFunc(b.ops, func(o op) bool { return o.kind == opDamage })
}

// strike adds the batch's records to what memory knows and takes out what it acknowledges. It
// gives what its transactions have acknowledged, for the case that they fail.
func (c *committer) strike(b *batch) (struck []queues.Place) {
	note := func(o *op) {
		if bk := c.buckets[commitOf(o.at)]; o.at&pending == 0 && bk != nil && bk.isLive(indexOf(o.at)) {
			if mutant.Is(mutant.CountForgotten) {
				return
			}
			bk.nack(indexOf(o.at), nack{o.count, o.until})
			c.mark(bk)
		}
	}
	if !mutant.Is(mutant.AckForgotten) {
		for _, at := range b.acks {
			c.ack(at)
		}
	}
	for i := range b.ops {
		switch o := &b.ops[i]; o.kind {
		case opAck, opDamage:
			if mutant.Is(mutant.AckForgotten) {
				continue
			}
			c.ack(o.at)
		case opRemove:
			for _, at := range o.places {
				c.ack(at)
			}
			if o.bind != nil {
				c.binds = append(c.binds, o.bind)
			}
		case opBind:
			if mutant.Is(mutant.BindingForgotten) {
				continue
			}
			c.binds = append(c.binds, o.bind)
		case opCommit:
			for _, at := range o.tx.Acks {
				if c.ack(at) {
					struck = append(struck, at)
				}
			}
		case opNack:
			if commitOf(o.at) != b.no {
				note(o)
			}
		}
	}
	// Only now is it known which of the moved records are live, and what was said of them.
	for i := range b.ops {
		if o := &b.ops[i]; o.kind == opMove {
			struck = append(struck, c.move(b, o.moves)...)
		}
	}
	if len(b.records) == 0 {
		return struck
	}
	fresh := newBucket(b.no, len(b.records))
	fresh.nacks = b.nacks
	c.buckets[b.no] = fresh
	c.manifest.add(fresh, 1)
	if len(b.nacks) > 0 {
		c.mark(fresh)
	}
	for i := range b.ops {
		if o := &b.ops[i]; o.kind == opNack && commitOf(o.at) == b.no {
			note(o)
		}
	}
	return struck
}

// ack strikes one record out; false if it is gone.
func (c *committer) ack(at queues.Place) bool {
	b := c.buckets[commitOf(at)]
	if at&pending != 0 || b == nil || !b.strike(indexOf(at)) {
		return false
	}
	c.manifest.xor ^= mix(at)
	c.manifest.live--
	if b.live == 0 {
		c.manifest.buckets--
	}
	c.mark(b)
	return true
}

// unack undoes ack.
func (c *committer) unack(at queues.Place) {
	b := c.buckets[commitOf(at)]
	if b.live == 0 {
		c.manifest.buckets++
	}
	b.unstrike(indexOf(at))
	c.manifest.xor ^= mix(at)
	c.manifest.live++
	c.mark(b)
}

func (c *committer) mark(b *bucket) {
	if !b.dirty {
		b.dirty = true
		c.dirty = append(c.dirty, b)
	}
}

// clean forgets that marks were to be written, for they were.
func (c *committer) clean() {
	c.cleaned(c.dirty)
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	c.bindsWritten()
	c.reaches = nil
}

func (c *committer) cleaned(some []*bucket) {
	for _, b := range some {
		b.dirty = false
		if b.live == 0 {
			delete(c.buckets, b.no)
		} else {
			c.cleaner.look(b)
		}
	}
}

// update writes a batch, and what is dirty, in one transaction of the file.
func (c *committer) update(b *batch) error {
	if mutant.Is(mutant.AcksSecond) && len(b.records) > 0 && len(c.dirty) > 0 {
		dirty := c.dirty
		c.dirty = nil
		if err := c.update(b); err != nil {
			return err
		}
		c.dirty, b = dirty, &batch{no: b.no}
	}
	m := c.manifest
	m.binds = c.bindSum()
	if len(b.records) > 0 {
		m.last = b.no
	}
	return c.transact(len(b.records)+len(c.dirty), func(tx *bbolt.Tx) error {
		log, acks := tx.Bucket(bucketLog), tx.Bucket(bucketAcks)
		if len(b.records) > 0 {
			if err := b.write(log); err != nil {
				return err
			}
		}
		for _, bk := range c.dirty {
			if err := writeMarks(log, acks, bk); err != nil {
				return err
			}
		}
		for _, bind := range c.binds {
			if err := bind.write(tx); err != nil {
				return err
			}
		}
		if err := writeReaches(tx, c.reaches); err != nil {
			return err
		}
		for i := range b.ops {
			if o := &b.ops[i]; o.kind == opDamage {
				if err := o.damage.write(tx); err != nil {
					return err
				}
			}
		}
		return m.write(tx)
	}, &m)
}

// transact runs a transaction of the file, of so many records and marks, which writes m.
func (c *committer) transact(n int, f func(*bbolt.Tx) error, m *manifest) (err error) {
	c.step()
	defer func() {
		if p := recover(); p != nil { // bbolt does so where its pages are damaged
			c.stuck = true
			err = classify(panicked(c.db, c.room.size, p))
		}
	}()
	if c.opts.hooks.update != nil {
		if err := c.opts.hooks.update(n); err != nil {
			return classify(err)
		}
	}
	// Not db.Update: after a panic it would undo the transaction, for which it looks through the file
	// on a goroutine of its own, where the next page that cannot be read ends the process.
	tx, err := c.db.Begin(true)
	if err != nil {
		return classify(err)
	}
	if err := f(tx); err != nil {
		return classify(errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return classify(err)
	}
	c.written = *m
	return classify(c.measure())
}

// write puts the batch's records into a bucket of their own.
func (b *batch) write(log *bbolt.Bucket) error {
	log.FillPercent = 0.95 // keys ascend
	bk, err := log.CreateBucket(commitKey(b.no))
	if err != nil {
		return err
	}
	bk.FillPercent = 1
	if err := bk.Put(keyIndex, b.index); err != nil {
		return err
	}
	if len(b.bodies) > 0 {
		if err := bk.Put(keyBodies, b.bodies); err != nil {
			return err
		}
	}
	for _, g := range b.big {
		if err := bk.Put(bigKey(g.i), append([]byte(g.id), g.data...)); err != nil {
			return err
		}
	}
	return nil
}

// writeMarks writes what of a commit is acknowledged, or the whole commit off.
func writeMarks(log, acks *bbolt.Bucket, b *bucket) error {
	key := commitKey(b.no)
	if b.live > 0 && !(mutant.Is(mutant.CommitGoesEarly) && b.live*2 < b.n) {
		return acks.Put(key, b.appendMarks(nil))
	}
	// One that was made and acknowledged while the disk was full is not there.
	if err := log.DeleteBucket(key); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
		return err
	}
	return acks.Delete(key)
}

// settle tells the queues where their messages are now.
func (c *committer) settle(b *batch) {
	var run []queues.Body
	for i := 0; i < len(b.owners); {
		w := b.owners[i]
		if w.q == nil || w.old != 0 {
			if w.q != nil {
				w.q.Replace(w.pos, w.old, place(b.no, i))
			}
			i++
			continue
		}
		run = run[:0]
		for ; i < len(b.owners) && b.owners[i].q == w.q && b.owners[i].old == 0; i++ {
			run = append(run, queues.Body{Pos: b.owners[i].pos, Item: queues.Item{At: place(b.no, i)}})
		}
		w.q.Settled(run)
	}
	c.forward(b)
}

// refuse fails a whole batch.
func (c *committer) refuse(b *batch, err error) {
	for i := range b.ops {
		b.ops[i].err = err
	}
	c.sealed()
	c.answer.put(b.ops)
}

// fail stops the store for good: after a failed sync nobody knows what is on the disk. Any goroutine
// may call it.
func (c *committer) fail(err error) {
	err = fmt.Errorf("%w: %w", errFailed, err)
	if !c.j.failed.CompareAndSwap(nil, &err) {
		return
	}
	c.table.Halt()
	c.j.mu.Lock()
	c.j.room.Broadcast()
	c.j.mu.Unlock()
	c.opts.Logger.Error("the store stops", "path", c.opts.file(), "error", err)
	c.answer.fatal(err)
}

func commitKey(no uint64) []byte { return binary.BigEndian.AppendUint64(nil, no) }

func bigKey(i int) []byte {
	return binary.BigEndian.AppendUint32([]byte("b"), uint32(i))
}
