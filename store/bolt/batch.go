package bolt

import (
	"hash/crc32"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
)

// batch is what one commit does.
type batch struct {
	no   uint64
	base uint64 // the number of ops[0]
	ops  []op
	acks []queues.Place // as journal.acks

	// The commit's records, and what they are about.
	records []record
	index   []byte
	bodies  []byte
	big     []bigOne
	nacks   map[int]nack // of moved records
	owners  []owner
}

// owner tells which queue a record's place is to be told to.
type owner struct {
	q   *queues.Queue
	pos uint64
	old queues.Place // of a moved record
}

// bigOne is a body with a key of its own.
type bigOne struct {
	i    int
	id   string
	data []byte
}

// settle gives the place of a message of this batch whose pending place is at; 0 if it is none, or
// was not written.
func (b *batch) settle(at queues.Place) queues.Place {
	if seq := uint64(at &^ pending); seq >= b.base && seq-b.base < uint64(len(b.ops)) {
		return b.ops[seq-b.base].at
	}
	return 0
}

// resolve puts the places that this batch has given for those that an op names.
func (b *batch) resolve(o *op) {
	switch o.kind {
	case opNack:
		if o.at&pending != 0 && uint64(o.at&^pending) < b.base+uint64(len(b.ops)) {
			o.at = b.settle(o.at)
		}
	case opCommit:
		for i, at := range o.tx.Acks {
			if at&pending != 0 && uint64(at&^pending) < b.base+uint64(len(b.ops)) {
				o.tx.Acks[i] = b.settle(at)
			}
		}
	}
}

// seal takes the next batch off the input and gives each of its messages a place in commit no; nil
// if there is nothing to do.
func (j *journal) seal(no uint64) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.input)+len(j.acks) == 0 {
		return nil
	}
	n, messages, bytes, most := 0, 0, 0, batchBytes
	if j.tight.Load() {
		most = batchTight
	}
	for n < len(j.input) && n < batchOps && messages < batchMessages && bytes < most {
		o := &j.input[n]
		added := 0
		switch o.kind {
		case opPublish:
			j.messages--
			j.bytes -= o.m.Size()
			if !o.skip {
				added = 1
				bytes += o.m.Size()
			}
		case opCommit:
			j.messages -= len(o.tx.Messages)
			added = len(o.tx.Messages)
			for i, m := range o.tx.Messages {
				if o.tx.Durable[i] {
					j.bytes -= m.Size()
					bytes += m.Size()
				}
			}
		case opMove:
			added = len(o.moves.records)
		}
		if messages > 0 && messages+added > maxRecords {
			j.back(o)
			break
		}
		messages += added
		n++
	}
	b := &batch{no: no, base: j.base, ops: j.input[:n], acks: j.acks}
	j.acks, j.gone = j.gone[:0], nil
	if n > 0 {
		rest := append(j.spare[:0], j.input[n:]...)
		clear(j.input[n:])
		j.input, j.spare = rest, nil
	}
	j.base += uint64(n)
	b.number()
	for i := range j.input {
		b.resolve(&j.input[i])
	}
	j.writing = b
	j.dense.Store(j.closing || j.isDense())
	j.room.Broadcast()
	return b
}

// recycle takes a slice of ops that are done with, for the input to come.
func (j *journal) recycle(ops []op) {
	clear(ops)
	j.mu.Lock()
	if cap(ops) > cap(j.spare) && cap(ops) <= 4*batchOps {
		j.spare = ops[:0]
	}
	j.mu.Unlock()
}

// recycleAcks is recycle for a batch's acks.
func (j *journal) recycleAcks(acks []queues.Place) {
	if cap(acks) > 4*batchOps {
		return
	}
	j.mu.Lock()
	if cap(acks) > cap(j.gone) {
		j.gone = acks[:0]
	}
	j.mu.Unlock()
}

// back undoes what seal counted of an op that the batch has no number for.
func (j *journal) back(o *op) {
	if o.kind == opCommit {
		j.messages += len(o.tx.Messages)
		for i, m := range o.tx.Messages {
			if o.tx.Durable[i] {
				j.bytes += m.Size()
			}
		}
	}
}

// number gives the places of the batch's records.
func (b *batch) number() {
	// A message that a transaction of the same batch acknowledges is not written either.
	for i := range b.ops {
		if o := &b.ops[i]; o.kind == opCommit {
			for _, at := range o.tx.Acks {
				if seq := uint64(at &^ pending); at&pending != 0 && seq >= b.base && seq < b.base+uint64(i) {
					p := &b.ops[seq-b.base]
					p.elided = !p.skip
					p.skip = true
				}
			}
		}
	}
	n := 0
	for i := range b.ops {
		o := &b.ops[i]
		switch o.kind {
		case opPublish:
			if !o.skip {
				o.at = place(b.no, n)
				n++
			}
		case opCommit:
			o.places = make([]queues.Place, len(o.tx.Messages))
			for k := range o.tx.Messages {
				if o.tx.Durable[k] {
					o.places[k] = place(b.no, n)
					n++
				}
			}
		}
	}
	for i := range b.ops {
		b.resolve(&b.ops[i])
	}
}

// encode makes the commit's index and bodies in the buffers given. Moved records come last: only the
// committer knows which of them are still live.
func (b *batch) encode(bufs *buffers) {
	b.records, b.owners = bufs.records[:0], bufs.owners[:0]
	b.bodies = bufs.bodies[:0]
	for i := range b.ops {
		o := &b.ops[i]
		switch o.kind {
		case opPublish:
			if !o.skip {
				b.add(bufs, o.m, o.pos, owner{q: o.q, pos: o.pos})
			}
		case opCommit:
			for k, m := range o.tx.Messages {
				if o.tx.Durable[k] {
					// Finish will tell its queue.
					b.add(bufs, m, o.tx.Pos[k], owner{})
				}
			}
		}
	}
}

// add appends the record of a message.
func (b *batch) add(bufs *buffers, m *store.Message, pos uint64, w owner) {
	r := describe(m, pos)
	bufs.prefix = append(r.prefix(bufs.prefix[:0]), m.ID...)
	id := bufs.prefix[len(bufs.prefix)-len(m.ID):]
	r.crc = crc32.Update(crc32.Checksum(bufs.prefix, castagnoli), castagnoli, m.Data)
	b.addWhole(r, id, m.Data, w)
}

// addWhole appends a record whose checksum is made. Of a body with a key of its own it keeps data.
func (b *batch) addWhole(r record, id, data []byte, w owner) {
	if r.bodyLen() > bigBody {
		r.off = ownKey
		b.big = append(b.big, bigOne{len(b.records), string(id), data})
	} else {
		r.off = uint32(len(b.bodies))
		b.bodies = append(b.bodies, id...)
		b.bodies = append(b.bodies, data...)
	}
	b.records = append(b.records, r)
	b.owners = append(b.owners, w)
}

// buffers are used by one batch after the other.
type buffers struct {
	records []record
	owners  []owner
	index   []byte
	bodies  []byte
	prefix  []byte
}

// keep takes the batch's buffers back, unless they have grown beyond the usual.
func (f *buffers) keep(b *batch) {
	if cap(b.bodies) > 4*batchBytes {
		b.bodies = nil
	}
	if cap(b.records) > 4*batchMessages {
		b.records, b.owners, b.index = nil, nil, nil
	}
	clear(b.records[:len(b.records)])
	clear(b.owners[:len(b.owners)])
	f.records, f.owners, f.bodies, f.index = b.records, b.owners, b.bodies, b.index
}
