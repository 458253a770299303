package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"os"
)

// The layout of bbolt's pages, as far as it must be known to look at a file without trusting it.
const (
	pageHeader  = 16
	elementLen  = 16
	bucketLen   = 16
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSum     = 56 // of the meta's bytes, the checksum after
	metaLen     = 64

	branchFlag = 0x01
	leafFlag   = 0x02
	bucketFlag = 0x01 // of a leaf's element

	firstRead = 16 << 10 // of each page: a commit's index, mostly
)

// header is one of the file's two headers.
type header struct {
	pageSize int
	root     uint64
	high     uint64 // pages in use end here
	tx       uint64
}

// pages reads a file of bbolt's without bbolt, and never trusts what it reads.
type pages struct {
	f    io.ReaderAt
	size int64
	header
	intact [2]bool // the headers
	seen   []uint64
}

// parseHeader checks a header and decodes it.
func parseHeader(raw []byte) (header, bool) {
	if len(raw) < pageHeader+metaLen {
		return header{}, false
	}
	m, le := raw[pageHeader:], binary.LittleEndian
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSum]) // it never fails
	if le.Uint32(m) != metaMagic || le.Uint32(m[4:]) != metaVersion || le.Uint64(m[metaSum:]) != sum.Sum64() {
		return header{}, false
	}
	h := header{pageSize: int(le.Uint32(m[8:])), root: le.Uint64(m[16:]), high: le.Uint64(m[40:]), tx: le.Uint64(m[48:])}
	return h, h.pageSize >= 1024 && h.pageSize <= 1<<24 && h.pageSize&(h.pageSize-1) == 0
}

// openPages reads the headers.
func openPages(f io.ReaderAt, size int64) (*pages, error) {
	p := &pages{f: f, size: size}
	first := make([]byte, pageHeader+metaLen)
	if _, err := f.ReadAt(first, 0); err != nil {
		return nil, fmt.Errorf("%w: it is too short: %w", ErrDamaged, err)
	}
	a, okA := parseHeader(first)
	var b header
	okB := false
	for step := 1024; step <= 1<<24 && !okB; step *= 2 {
		if okA && step != a.pageSize {
			continue
		}
		second := make([]byte, pageHeader+metaLen)
		if _, err := f.ReadAt(second, int64(step)); err != nil {
			break
		}
		b, okB = parseHeader(second)
		okB = okB && b.pageSize == step
	}
	p.intact = [2]bool{okA, okB}
	switch {
	case !okA && !okB:
		return nil, fmt.Errorf("%w: neither of its two headers is intact", ErrDamaged)
	case okA && (!okB || a.tx > b.tx):
		p.header = a
	default:
		p.header = b
	}
	if p.high > math.MaxInt64/uint64(p.pageSize) {
		return nil, fmt.Errorf("%w: its header makes no sense", ErrDamaged)
	}
	return p, nil
}

// page is one page with its overflow.
type page struct {
	id     uint64
	leaf   bool
	count  int
	length int64 // with its overflow
	at     int64 // in the file
	buf    []byte
}

var errPage = errors.New("it makes no sense")

// read gives a page, checked for itself.
func (p *pages) read(id uint64) (*page, error) {
	if id < 2 || id >= p.high || int64(id+1)*int64(p.pageSize) > p.size {
		return nil, fmt.Errorf("page %d: %w: it is outside of the file", id, errPage)
	}
	at := int64(id) * int64(p.pageSize)
	g := &page{id: id, at: at, buf: make([]byte, min(max(firstRead, int64(p.pageSize)), p.size-at))}
	if _, err := p.f.ReadAt(g.buf, g.at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	le := binary.LittleEndian
	overflow := uint64(le.Uint32(g.buf[12:]))
	if le.Uint64(g.buf) != id || id+overflow >= p.high || int64(id+overflow+1)*int64(p.pageSize) > p.size {
		return nil, fmt.Errorf("page %d: %w", id, errPage)
	}
	g.length = int64(overflow+1) * int64(p.pageSize)
	g.buf = g.buf[:min(g.length, int64(len(g.buf)))]
	return g, g.check()
}

// check looks at what the page says of itself.
func (g *page) check() error {
	le := binary.LittleEndian
	flags := le.Uint16(g.buf[8:])
	g.leaf, g.count = flags == leafFlag, int(le.Uint16(g.buf[10:]))
	if flags != leafFlag && flags != branchFlag || int64(pageHeader+g.count*elementLen) > g.length ||
		!g.leaf && g.count == 0 {
		return fmt.Errorf("page %d: %w", g.id, errPage)
	}
	return nil
}

// bytes gives n bytes of the page from an offset.
func (p *pages) bytes(g *page, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off+n > g.length {
		return nil, fmt.Errorf("page %d: %w: it points outside of itself", g.id, errPage)
	}
	if off+n <= int64(len(g.buf)) {
		return g.buf[off : off+n], nil
	}
	b := make([]byte, n)
	if _, err := p.f.ReadAt(b, g.at+off); err != nil {
		return nil, fmt.Errorf("page %d: %w", g.id, err)
	}
	return b, nil
}

// element is one entry of a page.
type element struct {
	key    []byte
	child  uint64 // of a branch
	bucket bool   // of a leaf
	value  func() ([]byte, error)
	size   int64 // of the value
	at     int64 // of the value in the file
}

// span is a part of the file.
type span struct{ at, size int64 }

// load reads a part of the file.
func (p *pages) load(s span) ([]byte, error) {
	b := make([]byte, s.size)
	_, err := p.f.ReadAt(b, s.at)
	return b, err
}

// element gives the entry i.
func (p *pages) element(g *page, i int) (element, error) {
	at := int64(pageHeader + i*elementLen)
	raw, err := p.bytes(g, at, elementLen)
	if err != nil {
		return element{}, err
	}
	le := binary.LittleEndian
	if !g.leaf {
		e := element{child: le.Uint64(raw[8:])}
		e.key, err = p.bytes(g, at+int64(le.Uint32(raw)), int64(le.Uint32(raw[4:])))
		return e, err
	}
	flags, pos := le.Uint32(raw), at+int64(le.Uint32(raw[4:]))
	k, v := int64(le.Uint32(raw[8:])), int64(le.Uint32(raw[12:]))
	if flags > bucketFlag || pos+k+v > g.length || pos < pageHeader+int64(g.count)*elementLen {
		return element{}, fmt.Errorf("page %d: %w", g.id, errPage)
	}
	e := element{bucket: flags == bucketFlag, size: v, at: g.at + pos + k}
	e.value = func() ([]byte, error) { return p.bytes(g, pos+k, v) }
	e.key, err = p.bytes(g, pos, k)
	return e, err
}

// take notes that a page is in use; false if it was already.
func (p *pages) take(g *page) bool {
	if p.seen == nil {
		p.seen = make([]uint64, uint64(p.size)/uint64(p.pageSize)/64+1) // read refuses what lies beyond
	}
	for id := g.id; id < g.id+uint64(g.length/int64(p.pageSize)); id++ {
		if p.seen[id/64]&(1<<(id%64)) != 0 {
			return false
		}
		p.seen[id/64] |= 1 << (id % 64)
	}
	return true
}

// walk calls visit for the entries of the tree under page id, in order of keys, which lie from low up
// to but not including high. It stops at the first error, unless skip is set: that is told of what is
// wrong, and the walk goes on with the rest.
func (p *pages) walk(id uint64, low, high []byte, depth int, skip func(error), visit func(element) error) error {
	g, err := p.read(id)
	switch {
	case err == nil && !p.take(g):
		err = fmt.Errorf("page %d: %w: it is in use twice", id, errPage)
	case err == nil && depth > 32:
		err = fmt.Errorf("page %d: %w: it is too deep", id, errPage)
	}
	if err != nil {
		return skipped(skip, err)
	}
	return p.entries(g, low, high, depth, skip, visit)
}

func skipped(skip func(error), err error) error {
	if skip == nil || err == nil {
		return err
	}
	skip(err)
	return nil
}

func (p *pages) entries(g *page, low, high []byte, depth int, skip func(error), visit func(element) error) error {
	last := low
	for i := range g.count {
		e, err := p.element(g, i)
		if err == nil && (bytes.Compare(e.key, last) < 0 || i > 0 && bytes.Equal(e.key, last) || high != nil && bytes.Compare(e.key, high) >= 0) {
			err = fmt.Errorf("page %d: %w: its keys are not in order", g.id, errPage)
		}
		if err != nil {
			if err := skipped(skip, err); err != nil {
				return err
			}
			continue
		}
		last = e.key
		if g.leaf {
			if err := skipped(skip, visit(e)); err != nil {
				return err
			}
			continue
		}
		next := high
		if i+1 < g.count {
			if n, err := p.element(g, i+1); err == nil {
				next = n.key
			}
		}
		if err := p.walk(e.child, e.key, next, depth+1, skip, visit); err != nil {
			return err
		}
	}
	return nil
}

// walkBucket is walk for the bucket that a value holds.
func (p *pages) walkBucket(e element, skip func(error), visit func(element) error) error {
	value, err := e.value()
	if err != nil {
		return skipped(skip, err)
	}
	if len(value) < bucketLen {
		return skipped(skip, fmt.Errorf("bucket %q: %w", e.key, errPage))
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return p.walk(root, nil, nil, 0, skip, visit)
	}
	g := &page{buf: value[bucketLen:], length: int64(len(value) - bucketLen), at: e.at + bucketLen}
	if g.length < pageHeader {
		return skipped(skip, fmt.Errorf("bucket %q: %w", e.key, errPage))
	}
	if err := g.check(); err != nil || !g.leaf {
		return skipped(skip, fmt.Errorf("bucket %q: %w", e.key, errPage))
	}
	return p.entries(g, nil, nil, 0, skip, visit)
}

// walkFile walks over the buckets of a store; visit is told of each commit's entries.
func (p *pages) walkFile(skip func(error), visit func(bucket string, path []byte, e element) error) error {
	return p.walk(p.root, nil, nil, 0, skip, func(top element) error {
		if !top.bucket {
			return fmt.Errorf("key %q: %w", top.key, errPage)
		}
		name := string(top.key)
		return p.walkBucket(top, skip, func(e element) error {
			if name != string(bucketLog) {
				if e.bucket {
					return fmt.Errorf("bucket %s: %w", name, errPage)
				}
				return visit(name, nil, e)
			}
			if !e.bucket || len(e.key) != 8 {
				return fmt.Errorf("commit %x: %w", e.key, errPage)
			}
			return p.walkBucket(e, skip, func(inner element) error {
				if inner.bucket {
					return fmt.Errorf("commit %x: %w", e.key, errPage)
				}
				return visit(name, e.key, inner)
			})
		})
	})
}

// checkPages looks whether a file's structure is whole, so that bbolt can be trusted with it. It
// reads the indexes too, so that they are in memory when they are parsed.
func checkPages(path string) (*pages, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	adviseRandom(f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p, err := openPages(f, info.Size())
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	err = p.walkFile(nil, func(bucket string, commit []byte, e element) error {
		found[bucket] = true
		switch {
		case bucket == string(bucketLog):
			name := string(e.key)
			if name != string(keyIndex) && name != string(keyBodies) && (len(name) != 5 || name[0] != 'b') {
				return fmt.Errorf("commit %x, key %q: %w", commit, name, errPage)
			}
			if name == string(keyIndex) && e.size > int64(p.pageSize) {
				if _, err := e.value(); err != nil {
					return err
				}
			}
		case bucket == string(bucketAcks) && len(e.key) != 8:
			return fmt.Errorf("acknowledgements %x: %w", e.key, errPage)
		}
		return nil
	})
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return nil, err // the disk's trouble, not the file's
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !found[string(bucketMeta)] {
		return nil, ErrFormat
	}
	return p, nil
}

// bothHeaders tells whether both headers of a file are intact.
func bothHeaders(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	p, err := openPages(f, info.Size())
	if err != nil {
		return false, err
	}
	return p.intact[0] && p.intact[1], nil
}
