package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"github.com/gudokmq/gudok/store/mutant"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is where a record is: a commit and the record's number in it.
func place(commit uint64, i int) queues.Place { return queues.Place(commit<<indexBits | uint64(i)) }

// indexBits is how many bits of a place number the records of one commit.
const indexBits = 20

// maxRecords is how many records one commit can hold: as many as there can be names of queues.
const maxRecords = 1<<16 - 1

// pending marks the place of a message that is not in a commit yet; the rest is its number in the
// journal's input.
const pending = queues.Pending

func commitOf(p queues.Place) uint64 { return uint64(p) >> indexBits }
func indexOf(p queues.Place) int     { return int(p & (1<<indexBits - 1)) }

// mix spreads a place over 64 bits; the xor of all live places is the manifest's check of which
// records are live.
func mix(p queues.Place) uint64 {
	hi, lo := bits.Mul64(uint64(p)^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return bits.RotateLeft64(hi^lo, 29) * 0x94d049bb133111eb
}

// record is one message in a commit's index.
type record struct {
	queue     string
	pos       uint64
	off       uint32 // of ID and data in the commit's bodies; ownKey for one with a key of its own
	dataLen   uint32
	idLen     uint16
	flags     uint8
	priority  uint8
	expires   int64
	notBefore int64
	crc       uint32
}

const (
	ownKey     = 1<<32 - 1
	recordLen  = 32
	timesLen   = 16
	headerLen  = 20
	indexMagic = 0x31786447 // "Gdx1"
	noTimes    = 1<<32 - 1
	// bigBody is from which length on a body has a key of its own, so that it is read alone.
	bigBody = 64 << 10
)

// size is the message's store.Message.Size.
func (r *record) size() int64 { return int64(r.dataLen) + int64(r.idLen) + int64(len(r.queue)) + 64 }

// bodyLen is how long the record's ID and data are together.
func (r *record) bodyLen() int { return int(r.idLen) + int(r.dataLen) }

// describe makes the record of m at pos, but for off and crc.
func describe(m *store.Message, pos uint64) record {
	return record{
		queue: m.Queue, pos: pos, dataLen: uint32(len(m.Data)), idLen: uint16(len(m.ID)),
		flags: m.Flags, priority: m.Priority, expires: m.Expires, notBefore: m.NotBefore,
	}
}

// message makes the message whose ID and data body is; it keeps body.
func (r *record) message(body []byte) *store.Message {
	return &store.Message{
		ID: string(body[:r.idLen]), Queue: r.queue, Data: body[r.idLen:len(body):len(body)], Flags: r.flags,
		Priority: r.priority, Persistent: true, Expires: r.expires, NotBefore: r.notBefore,
	}
}

// prefix appends what the checksum covers in front of ID and data: all of the message but those.
func (r *record) prefix(buf []byte) []byte {
	b := binary.LittleEndian
	buf = b.AppendUint64(buf, r.pos)
	buf = b.AppendUint32(buf, r.dataLen)
	buf = b.AppendUint16(buf, r.idLen)
	buf = b.AppendUint16(buf, uint16(len(r.queue)))
	buf = append(buf, r.flags, r.priority)
	buf = b.AppendUint64(buf, uint64(r.expires))
	buf = b.AppendUint64(buf, uint64(r.notBefore))
	return append(buf, r.queue...)
}

// index is what the key "0" of a commit holds.
type index struct {
	commit  uint64
	records []record
}

// appendIndex encodes the index of a commit; see the package's comment.
func appendIndex(buf []byte, commit uint64, records []record) []byte {
	b := binary.LittleEndian
	start := len(buf)
	buf = b.AppendUint32(buf, indexMagic)
	buf = b.AppendUint64(buf, commit)
	buf = b.AppendUint32(buf, uint32(len(records)))
	buf = b.AppendUint32(buf, 0) // the number of names, below
	names := make(map[string]uint16, 8)
	last, lastNumber := "", uint16(0)
	for i := range records {
		name := records[i].queue
		if name == last && i > 0 {
			continue
		}
		if _, ok := names[name]; !ok {
			names[name] = uint16(len(names))
			buf = b.AppendUint16(buf, uint16(len(name)))
			buf = append(buf, name...)
		}
		last = name
	}
	b.PutUint32(buf[start+16:], uint32(len(names)))
	last = ""
	times := uint32(0)
	for i := range records {
		r := &records[i]
		if r.queue != last || i == 0 {
			last, lastNumber = r.queue, names[r.queue]
		}
		buf = b.AppendUint64(buf, r.pos)
		buf = b.AppendUint32(buf, r.off)
		buf = b.AppendUint32(buf, r.dataLen)
		buf = b.AppendUint32(buf, r.crc)
		buf = b.AppendUint16(buf, r.idLen)
		buf = b.AppendUint16(buf, lastNumber)
		buf = append(buf, r.flags, r.priority, 0, 0)
		if r.expires == 0 && r.notBefore == 0 {
			buf = b.AppendUint32(buf, noTimes)
		} else {
			buf = b.AppendUint32(buf, times)
			times++
		}
	}
	for i := range records {
		if r := &records[i]; r.expires != 0 || r.notBefore != 0 {
			buf = b.AppendUint64(buf, uint64(r.expires))
			buf = b.AppendUint64(buf, uint64(r.notBefore))
		}
	}
	return b.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
}

var (
	errIndexCRC = errors.New("the checksum of the index is wrong")
	errIndex    = errors.New("the index makes no sense")
)

// parseIndex decodes an index, copying what it keeps. With errIndexCRC it gives what it could make
// out, of which each record must be checked by its own checksum; with any other error nothing.
// names gives each name as one string, however many commits mention it.
func parseIndex(raw []byte, names func([]byte) string) (index, error) {
	b := binary.LittleEndian
	if len(raw) < headerLen+4 || b.Uint32(raw) != indexMagic {
		return index{}, errIndex
	}
	end := len(raw) - 4
	intact := b.Uint32(raw[end:]) == crc32.Checksum(raw[:end], castagnoli)
	idx := index{commit: b.Uint64(raw[4:])}
	n, k := int(b.Uint32(raw[12:])), int(b.Uint32(raw[16:]))
	if n > maxRecords || k > n {
		return index{}, errIndex
	}
	queue := make([]string, k)
	at := headerLen
	for i := range queue {
		if at+2 > end || at+2+int(b.Uint16(raw[at:])) > end {
			return index{}, errIndex
		}
		l := int(b.Uint16(raw[at:]))
		queue[i] = names(raw[at+2 : at+2+l])
		at += 2 + l
	}
	if at+n*recordLen > end {
		return index{}, errIndex
	}
	times := raw[at+n*recordLen : end]
	idx.records = make([]record, n)
	for i := range idx.records {
		r, f := &idx.records[i], raw[at+i*recordLen:][:recordLen]
		r.pos, r.off, r.dataLen, r.crc = b.Uint64(f), b.Uint32(f[8:]), b.Uint32(f[12:]), b.Uint32(f[16:])
		r.idLen, r.flags, r.priority = b.Uint16(f[20:]), f[24], f[25]
		if q := int(b.Uint16(f[22:])); q < k {
			r.queue = queue[q]
		}
		if t := b.Uint32(f[28:]); t != noTimes {
			if int(t) >= len(times)/timesLen {
				if intact {
					return index{}, errIndex
				}
				continue // its own checksum will tell
			}
			r.expires = int64(b.Uint64(times[int(t)*timesLen:]))
			r.notBefore = int64(b.Uint64(times[int(t)*timesLen+8:]))
		}
	}
	if !intact {
		return idx, errIndexCRC
	}
	return idx, nil
}

// errBody tells that a record's ID and data are not what was written.
var errBody = errors.New("the checksum of the message is wrong")

// body finds and checks the ID and data of a record. The result is part of bodies or own.
func (r *record) body(bodies, own []byte) ([]byte, error) {
	raw := own
	if r.off != ownKey {
		if uint64(r.off)+uint64(r.bodyLen()) > uint64(len(bodies)) {
			return nil, fmt.Errorf("%w: it ends beyond its commit", errBody)
		}
		raw = bodies[r.off:][:r.bodyLen()]
	}
	if len(raw) != r.bodyLen() {
		return nil, fmt.Errorf("%w: %d bytes, want %d", errBody, len(raw), r.bodyLen())
	}
	if crc32.Update(crc32.Checksum(r.prefix(nil), castagnoli), castagnoli, raw) != r.crc && !mutant.Is(mutant.ChecksumIgnored) {
		return nil, errBody
	}
	return raw, nil
}
