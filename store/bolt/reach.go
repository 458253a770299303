package bolt

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/gudokmq/gudok/store/internal/queues"
	"go.etcd.io/bbolt"
)

// reach says how far a queue's messages were delivered, so that after a crash they are known to have
// been; pos is 0 for a queue that has ended.
type reach struct {
	queue string
	pos   uint64
}

// noteEvery is how often reaches are written at most.
const noteEvery = 50 * time.Millisecond

// Reached implements [queues.Journal].
func (j *journal) Reached(q *queues.Queue) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.reached = append(j.reached, q); len(j.reached) == 1 {
		j.kick()
	}
}

// noteDue tells that reaches are to be written, and when.
func (c *committer) noteDue() (time.Duration, bool) {
	c.j.mu.Lock()
	n := len(c.j.reached)
	c.j.mu.Unlock()
	if n == 0 || c.j.full.Load() || c.j.Err() != nil {
		return 0, false
	}
	return noteEvery - time.Since(c.noted), true
}

// note collects the reaches for the next transaction, if it is time.
func (c *committer) note() {
	if wait, ok := c.noteDue(); !ok || wait > 0 {
		return
	}
	c.noted = time.Now()
	c.j.mu.Lock()
	asked := c.j.reached
	c.j.reached = nil
	c.j.mu.Unlock()
	for _, q := range asked {
		pos, alive := q.Reach()
		if !alive {
			pos = 0
		}
		c.reaches = append(c.reaches, reach{q.Name(), pos})
	}
}

// forget removes all reaches at a regular end, for loans end with it.
func (c *committer) forget() {
	if c.j.Err() != nil {
		return
	}
	err := view(c.db, func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketReach) == nil {
			return errGone
		}
		return nil
	})
	if err != nil {
		return
	}
	err = c.transact(0, func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketReach) }, &c.written)
	if err != nil { // then some messages count as delivered once more
		c.opts.Logger.Warn("close the journal", "path", c.opts.file(), "error", err)
	}
}

func writeReaches(tx *bbolt.Tx, reaches []reach) error {
	if len(reaches) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(bucketReach)
	if err != nil {
		return err
	}
	for _, r := range reaches {
		key := []byte(r.queue)
		if r.pos == 0 {
			err = b.Delete(key)
		} else {
			value := binary.LittleEndian.AppendUint64(nil, r.pos)
			sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
			err = b.Put(key, binary.LittleEndian.AppendUint32(value, sum))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readReaches gives the reaches of a file that was not closed; damaged ones are left out.
func readReaches(tx *bbolt.Tx) map[string]uint64 {
	all := map[string]uint64{}
	b := tx.Bucket(bucketReach)
	if b == nil {
		return all
	}
	// The function never fails.
	_ = b.ForEach(func(key, raw []byte) error {
		if len(raw) == 12 && binary.LittleEndian.Uint32(raw[8:]) == crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, raw[:8]) {
			all[string(key)] = binary.LittleEndian.Uint64(raw)
		}
		return nil
	})
	return all
}
