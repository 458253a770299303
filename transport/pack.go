package transport

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/gudokmq/gudok/broker"
)

const (
	// packFrom is how many bytes are worth compressing.
	packFrom = 1 << 10
	// packLevel is the best for JSON of some KiB: a quarter of its size at twice the speed of the
	// library's fastest, see BenchmarkPack.
	packLevel = 2

	wsRSV1    = 0x40 // marks a compressed message (RFC 7692, 6)
	maxStored = 1<<16 - 1
	// maxBlocks is more than AppendPacked adds to head and tail, for heads up to 200 KiB.
	maxBlocks = 16
)

// flushed is how a message ends that its sender has flushed, and what is not sent (RFC 7692, 7.2.1).
var flushed = []byte{0, 0, 0xFF, 0xFF}

// packer compresses one message after the other.
type packer struct {
	z   *flate.Writer
	out []byte
}

func (p *packer) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

// packers are as many as compress at a time.
var packers = sync.Pool{New: func() any {
	p := new(packer)
	p.z, _ = flate.NewWriter(p, packLevel) // fails for a level that is none
	return p
}}

var _ broker.Packer = (*wsConn)(nil)

// Packs implements broker.Packer. What is not longer than the client's window can refer to nothing
// beyond it, so one form serves all of them.
func (c *wsConn) Packs(n int) bool {
	return c.z != nil && n >= packFrom && (c.z.bits == 15 || n <= 1<<c.z.bits)
}

// Pack implements broker.Packer.
func (c *wsConn) Pack(tail []byte) []byte {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	p.out = p.out[:0]
	p.z.Reset(p)
	p.z.Write(tail) // to memory, as the next
	p.z.Flush()
	out, ok := bytes.CutSuffix(p.out, flushed)
	if cap(p.out) > 4*chunkSize {
		p.out = nil
	}
	if !ok || len(out)+maxBlocks >= len(tail) {
		return nil
	}
	return bytes.Clone(out)
}

// AppendPacked implements broker.Packer. The head goes before the packed tail as a block that is not
// compressed (RFC 1951, 3.2.4): the tail is then the same bytes for all, whatever their heads.
func (c *wsConn) AppendPacked(dst, head, packed []byte, text bool) []byte {
	first := byte(wsBinary | wsRSV1)
	if text && !c.binary.Load() {
		first = wsText | wsRSV1
	}
	blocks := (len(head) + maxStored - 1) / maxStored
	dst = appendHeader(dst, first, 5*blocks+len(head)+len(packed))
	for len(head) > 0 {
		n := min(len(head), maxStored)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))  // #nosec G115 -- maxStored at most
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n)) // #nosec G115 -- maxStored at most
		dst = append(dst, head[:n]...)
		head = head[n:]
	}
	return append(dst, packed...)
}
