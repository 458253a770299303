package bolt

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
)

// What one commit takes at most, and what may wait for the next ones. One Commit of the store is
// never split, so it may be more.
const (
	batchMessages  = 1024
	batchBytes     = 1 << 20
	batchTight     = 64 << 10 // for batchBytes
	batchOps       = 16384
	windowMessages = 8192
	windowBytes    = 16 << 20
)

// op is one thing that the next commits have to do.
type op struct {
	kind   opKind
	skip   bool // opPublish: acknowledged before it was written, so it is not written
	elided bool // the same, by a transaction of the same batch, which may yet fail
	count  uint16
	until  int64
	pos    uint64
	q      *queues.Queue
	m      *store.Message
	at     queues.Place // opPublish: where it was put, once its batch is sealed
	places []queues.Place
	tx     *queues.Commit
	moves  *moves
	damage *damaged
	bind   *binding

	published func(bool, error)
	done      func(error)
	err       error
}

type opKind uint8

const (
	opAnswer  opKind = iota // nothing but its done, in its turn
	opPublish               // m at pos of q
	opAck                   // at
	opNack                  // at, count, until
	opRemove                // places
	opCommit                // tx; places are those of its messages once its batch is sealed
	opMove                  // moves
	opDamage                // damage
	opBind                  // bind; its removal goes with places
)

// journal is the input of the committer, a [queues.Journal].
type journal struct {
	failed atomic.Pointer[error] // why everything is refused
	full   atomic.Bool           // publishing is refused
	tight  atomic.Bool           // the free pages of the file may lie apart: batches are to be small
	dense  atomic.Bool           // the window has no room, or the journal has ended; written under mu

	mu       sync.Mutex
	room     sync.Cond // the window has room, or the journal has ended
	input    []op
	base     uint64         // the number of input[0]
	spare    []op           // for the next input
	acks     []queues.Place // acknowledged, and nobody waits to be told: apart, since a slow disk leaves many
	gone     []queues.Place // for the next acks
	messages int            // in input, likewise bytes
	bytes    int
	writing  *batch // sealed; the ledgers still give its messages pending places
	closing  bool
	reached  []*queues.Queue // whose reach is to be asked for

	wake   chan struct{} // holds one: there is input, or closing is set
	reader *reader
}

var _ queues.Journal = (*journal)(nil)

func newJournal() *journal {
	j := &journal{wake: make(chan struct{}, 1), base: 1}
	j.room.L = &j.mu
	return j
}

// errFailed is wrapped by every error of an engine whose disk has failed.
var errFailed = errors.New("the store has stopped because its disk failed")

// Err implements [queues.Journal].
func (j *journal) Err() error {
	if err := j.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Admit implements [queues.Journal].
func (j *journal) Admit(size int) error {
	if j.full.Load() {
		return fmt.Errorf("%w: no room on the disk", store.ErrFull)
	}
	if !j.dense.Load() {
		return j.Err()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for !j.closing && j.failed.Load() == nil && j.isDense() {
		j.room.Wait()
	}
	return j.refusal()
}

func (j *journal) isDense() bool { return j.messages >= windowMessages || j.bytes >= windowBytes }

// refusal tells why nothing is taken any more. The caller holds j.mu.
func (j *journal) refusal() error {
	if err := j.Err(); err != nil {
		return err
	}
	if j.closing {
		return store.ErrClosed
	}
	return nil
}

// put appends an op. The caller holds j.mu.
func (j *journal) put(o op) {
	j.input = append(j.input, o)
	if len(j.input) == 1 {
		j.kick()
	}
}

func (j *journal) kick() {
	select {
	case j.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Publish implements [queues.Journal].
func (j *journal) Publish(q *queues.Queue, pos uint64, m *store.Message, done func(bool, error)) (queues.Place, error) {
	if len(m.ID) > 1<<16-1 || len(m.Queue) > 1<<16-1 {
		return 0, errTooLong
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return 0, err
	}
	j.messages++
	j.bytes += m.Size()
	if j.isDense() {
		j.dense.Store(true)
	}
	j.put(op{kind: opPublish, q: q, pos: pos, m: m, published: done})
	return pending | queues.Place(j.base+uint64(len(j.input))-1), nil
}

var errTooLong = errors.New("message-id or name of the queue too long")

// queued gives the op of a message that is not sealed yet, nil otherwise. The caller holds j.mu.
func (j *journal) queued(at queues.Place) *op {
	if seq := uint64(at &^ pending); at&pending != 0 && seq >= j.base {
		return &j.input[seq-j.base]
	}
	return nil
}

// settle gives the place of a message that is sealed; 0 if it was given up. The caller holds j.mu.
func (j *journal) settle(at queues.Place) queues.Place {
	if at&pending == 0 {
		return at
	}
	if j.writing == nil {
		return 0
	}
	return j.writing.settle(at)
}

// Ack implements [queues.Journal]. What is not sealed yet will not be written.
func (j *journal) Ack(at queues.Place, done func(error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	o := j.queued(at)
	if o != nil {
		o.skip = true
	} else {
		at = j.settle(at)
	}
	switch {
	case o == nil && done == nil:
		if j.acks = append(j.acks, at); len(j.acks) == 1 {
			j.kick()
		}
	case o == nil:
		j.put(op{kind: opAck, at: at, done: done})
	case done != nil:
		j.put(op{kind: opAnswer, done: done})
	}
	return nil
}

// Nack implements [queues.Journal].
func (j *journal) Nack(at queues.Place, count int, until int64, done func(error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	if j.queued(at) == nil {
		at = j.settle(at)
	}
	j.put(op{kind: opNack, at: at, count: uint16(min(count, 1<<16-1)), until: until, done: done})
	return nil
}

// Remove implements [queues.Journal]. It takes the slice over.
func (j *journal) Remove(at []queues.Place, done func(error)) error { return j.remove(at, nil, done) }

// remove is Remove, and ends a binding in the same commit.
func (j *journal) remove(at []queues.Place, bind *binding, done func(error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	kept := at[:0]
	for _, p := range at {
		if o := j.queued(p); o != nil {
			o.skip = true
		} else {
			kept = append(kept, j.settle(p))
		}
	}
	j.put(op{kind: opRemove, places: kept, bind: bind, done: done})
	return nil
}

// Commit implements [queues.Journal].
func (j *journal) Commit(c *queues.Commit) error {
	if len(c.Messages) > maxRecords {
		return fmt.Errorf("%w: %d messages in one transaction, at most %d", store.ErrFull, len(c.Messages), maxRecords)
	}
	size := 0
	for i, m := range c.Messages {
		if len(m.ID) > 1<<16-1 || len(m.Queue) > 1<<16-1 {
			return errTooLong
		}
		if c.Durable[i] {
			size += m.Size()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	for i, at := range c.Acks {
		if j.queued(at) == nil {
			c.Acks[i] = j.settle(at)
		}
	}
	j.messages += len(c.Messages)
	j.bytes += size
	if j.isDense() {
		j.dense.Store(true)
	}
	j.put(op{kind: opCommit, tx: c})
	return nil
}

// Fetch implements [queues.Journal].
func (j *journal) Fetch(q *queues.Queue, pos uint64, at queues.Place) { j.reader.fetch(q, pos, at) }

// Read implements [queues.Journal].
func (j *journal) Read(q *queues.Queue, bodies []queues.Body) { j.reader.read(q, bodies) }

// end has the committer finish what was put and stop.
func (j *journal) end() {
	j.mu.Lock()
	j.closing = true
	j.dense.Store(true)
	j.room.Broadcast()
	j.kick()
	j.mu.Unlock()
}
