package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// bucket is what memory knows of one commit: which of its records are live.
type bucket struct {
	no     uint64
	n      int      // records
	live   int      // of them, not acknowledged
	acked  []uint64 // a bit each
	nacks  map[int]nack
	dirty  bool // its marks are to be written
	chosen bool // the cleaner has it
}

// nack is what a record's deliveries left behind.
type nack struct {
	count uint16
	until int64
}

func newBucket(no uint64, n int) *bucket {
	return &bucket{no: no, n: n, live: n, acked: make([]uint64, (n+63)/64)}
}

func (b *bucket) isLive(i int) bool { return i < b.n && b.acked[i/64]&(1<<(i%64)) == 0 }

// strike marks record i acknowledged; false if it was already.
func (b *bucket) strike(i int) bool {
	if !b.isLive(i) {
		return false
	}
	b.acked[i/64] |= 1 << (i % 64)
	b.live--
	return true
}

// unstrike undoes strike.
func (b *bucket) unstrike(i int) {
	b.acked[i/64] &^= 1 << (i % 64)
	b.live++
}

// appendMarks encodes the bits and the nacks of live records.
func (b *bucket) appendMarks(buf []byte) []byte {
	le := binary.LittleEndian
	start := len(buf)
	buf = le.AppendUint64(buf, b.no)
	buf = le.AppendUint32(buf, uint32(b.n))
	for i, w := range b.acked {
		var word [8]byte
		le.PutUint64(word[:], w)
		buf = append(buf, word[:min(8, (b.n-64*i+7)/8)]...)
	}
	for _, i := range slices.SortedFunc(maps.Keys(b.nacks), cmp.Compare) {
		if k := b.nacks[i]; b.isLive(i) {
			buf = le.AppendUint32(buf, uint32(i))
			buf = le.AppendUint16(buf, k.count)
			buf = le.AppendUint64(buf, uint64(k.until))
		}
	}
	return le.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
}

var errMarks = errors.New("the list of what was acknowledged is damaged")

// readMarks is the reverse of appendMarks, for a bucket as newBucket made it.
func (b *bucket) readMarks(raw []byte) error {
	le := binary.LittleEndian
	bits := (b.n + 7) / 8
	end := len(raw) - 4
	if end < 12+bits || (end-12-bits)%14 != 0 || le.Uint64(raw) != b.no || int(le.Uint32(raw[8:])) != b.n ||
		le.Uint32(raw[end:]) != crc32.Checksum(raw[:end], castagnoli) {
		return errMarks
	}
	for i := range b.n {
		if raw[12+i/8]&(1<<(i%8)) != 0 {
			b.strike(i)
		}
	}
	for at := 12 + bits; at < end; at += 14 {
		b.nack(int(le.Uint32(raw[at:])), nack{le.Uint16(raw[at+4:]), int64(le.Uint64(raw[at+6:]))})
	}
	return nil
}

func (b *bucket) nack(i int, k nack) {
	if b.nacks == nil {
		b.nacks = map[int]nack{}
	}
	b.nacks[i] = k
}

// manifest says what the whole file holds, so that a part that went missing is missed.
type manifest struct {
	last    uint64 // the highest commit so far
	buckets uint64 // commits with live records
	live    uint64 // live records
	xor     uint64 // of mix of the places of all live records
	binds   uint64 // xor of the sums of all bindings
}

const manifestLen = 44

func (m manifest) encode() []byte {
	le := binary.LittleEndian
	buf := make([]byte, 0, manifestLen)
	for _, v := range [...]uint64{m.last, m.buckets, m.live, m.xor, m.binds} {
		buf = le.AppendUint64(buf, v)
	}
	return le.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
}

// write puts the manifest into the file, and the turn: without headers nothing else tells which of
// several roots of the tree is the latest.
func (m manifest) write(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	turn := max(parseTurn(meta.Get(keyTurn))+1, uint64(time.Now().UnixNano()))
	if err := meta.Put(keyTurn, binary.LittleEndian.AppendUint64(nil, turn)); err != nil {
		return err
	}
	return meta.Put(keyManifest, m.encode())
}

// parseTurn gives 0 where there is none.
func parseTurn(raw []byte) uint64 {
	if len(raw) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(raw)
}

func parseManifest(raw []byte) (m manifest, ok bool) {
	le := binary.LittleEndian
	if len(raw) != manifestLen || le.Uint32(raw[manifestLen-4:]) != crc32.Checksum(raw[:manifestLen-4], castagnoli) {
		return m, false
	}
	return manifest{le.Uint64(raw), le.Uint64(raw[8:]), le.Uint64(raw[16:]), le.Uint64(raw[24:]), le.Uint64(raw[32:])}, true
}

// add counts a commit's live records in, or out if they are in already: xor is its own reverse, the
// numbers are corrected by sign.
func (m *manifest) add(b *bucket, sign int) {
	for i := range b.n {
		if b.isLive(i) {
			m.xor ^= mix(place(b.no, i))
		}
	}
	m.live += uint64(sign * b.live)
	m.buckets += uint64(sign)
}

// strike counts out what is live in was, but not in b, of the same commit.
func (m *manifest) strike(was, b *bucket) {
	for i := range b.n {
		if was.isLive(i) && !b.isLive(i) {
			m.xor ^= mix(place(b.no, i))
			m.live--
		}
	}
	if was.live > 0 && b.live == 0 {
		m.buckets--
	}
}
