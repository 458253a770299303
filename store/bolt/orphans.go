package bolt

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/gudokmq/gudok/store"
)

// scan looks at every page for what the tree does not hold any more: commits, the long bodies that
// lie in pages apart from their commit's, and bindings if some are missing. Pages that are not in use
// any more, or not yet, look the same: what they hold comes along.
func (s *salvage) scan() {
	p := s.p
	p.high = uint64(p.size) / uint64(p.pageSize)
	for id := uint64(2); id < p.high; id++ {
		g, err := p.read(id)
		if err != nil || !g.leaf || g.count == 0 {
			continue
		}
		f := &found{orphan: true}
		for i := range g.count {
			e, err := p.element(g, i)
			if err != nil {
				continue
			}
			if e.bucket {
				s.inline(e)
				continue
			}
			s.binding(e)
			s.stray(e)
			f.take(e)
		}
		s.orphan(f)
		s.root(g)
	}
}

// binding takes a binding that was met page by page, if it is one.
func (s *salvage) binding(e element) {
	// A reach has 12 bytes, and its checksum where a binding has it.
	if !s.unbound || e.size == 12 || e.size > 1<<17 {
		return
	}
	raw, err := e.value()
	if err != nil {
		return
	}
	if b, ok := parseBinding(e.key, raw); ok {
		s.loose[b.Queue] = b
	}
}

// root is a page that was the root of the tree once, maybe the latest.
type root struct {
	id   uint64
	turn uint64
	manifest
}

// root notes a page that is one.
func (s *salvage) root(g *page) {
	r := root{id: g.id}
	found := false
	s.inBucket(g, bucketMeta, func(e element) error {
		raw, err := e.value()
		switch {
		case err != nil:
		case string(e.key) == string(keyManifest):
			r.manifest, found = parseManifest(raw)
		case string(e.key) == string(keyTurn):
			r.turn = parseTurn(raw)
		}
		return err
	})
	if found {
		s.roots = append(s.roots, r)
	}
}

// inBucket visits what a bucket in a page holds, as far as it can be read.
func (s *salvage) inBucket(g *page, name []byte, visit func(element) error) {
	p := *s.p
	p.seen = nil // the pages of several trees may be the same
	for i := range g.count {
		if e, err := p.element(g, i); err == nil && e.bucket && string(e.key) == string(name) {
			// Nothing is left to stop for.
			_ = p.walkBucket(e, func(error) {}, visit)
		}
	}
}

// rebind finds the bindings that the tree does not hold any more. Of several of a queue the latest counts:
// that of the latest root whose manifest they match, if there is one.
func (s *salvage) rebind() {
	slices.SortFunc(s.roots, func(a, b root) int { return cmp.Or(cmp.Compare(b.turn, a.turn), cmp.Compare(b.last, a.last)) })
	for _, r := range s.roots {
		if all, sum := s.bindings(r); sum == r.binds {
			s.comeBack(all)
			break
		}
	}
	s.comeBack(slices.Collect(maps.Values(s.loose)))
}

// bindings gives those of a root, and the sum of them that is in its manifest.
func (s *salvage) bindings(r root) (all []store.Binding, sum uint64) {
	g, err := s.p.read(r.id)
	if err != nil {
		return nil, 0
	}
	s.inBucket(g, bucketBinds, func(e element) error {
		raw, err := e.value()
		if err != nil {
			return err
		}
		if b, ok := parseBinding(e.key, raw); ok {
			all = append(all, b)
			sum ^= (&binding{Binding: b}).sum()
		}
		return nil
	})
	return all, sum
}

// comeBack takes over bindings of queues that have none.
func (s *salvage) comeBack(all []store.Binding) {
	slices.SortFunc(all, func(a, b store.Binding) int { return cmp.Compare(a.Queue, b.Queue) })
	for _, b := range all {
		if !s.bound[b.Queue] {
			s.to.bind(b)
			s.bound[b.Queue] = true
			s.say("the binding of queue %q was cut off: it comes back and may have been deleted", b.Queue)
		}
	}
}

// inline looks at a small bucket that lies in its parent's page.
func (s *salvage) inline(e element) {
	value, err := e.value()
	if err != nil || len(value) < bucketLen || binary.LittleEndian.Uint64(value) != 0 {
		return
	}
	f := &found{orphan: true}
	err = s.p.walkBucket(e, nil, func(e element) error {
		s.binding(e)
		f.take(e)
		return nil
	})
	if err == nil {
		s.orphan(f)
	}
}

// stray notes a body with a key of its own. Nothing in its page tells which commit's it is.
func (s *salvage) stray(e element) {
	if e.size <= bigBody || len(e.key) != len(bigKey(0)) || e.key[0] != bigKey(0)[0] {
		return
	}
	raw, err := e.value()
	if err != nil {
		return
	}
	if s.long[e.size] == nil {
		s.long[e.size] = map[uint32]span{}
	}
	s.long[e.size][crc32.Checksum(raw, castagnoli)] = span{e.at, e.size}
}

// strayed finds the body of a record among those that were met page by page. The record's checksum
// covers other things in front of the body. What these do to it depends on the body's length only, so
// that zeros tell the checksum of the body alone.
func (s *salvage) strayed(r *record) ([]byte, error) {
	bySum := s.long[int64(r.bodyLen())]
	if bySum == nil {
		return nil, errBody
	}
	zeros := make([]byte, r.bodyLen())
	front := crc32.Checksum(r.prefix(nil), castagnoli)
	sum := r.crc ^ crc32.Update(front, castagnoli, zeros) ^ crc32.Checksum(zeros, castagnoli)
	at, ok := bySum[sum]
	if !ok {
		return nil, errBody
	}
	raw, err := s.p.load(at)
	if err != nil {
		return nil, err
	}
	return r.body(nil, raw)
}

// orphan takes a commit that was met page by page, if it is one, and none that is known already as a
// whole. Different ones may have the same number: it is used again if the machine stopped before the
// commit was complete.
func (s *salvage) orphan(f *found) {
	if f.index.size < headerLen+4 {
		return
	}
	raw, err := s.p.load(f.index)
	if err != nil {
		return
	}
	idx, err := parseIndex(raw, s.names.name)
	if err != nil {
		return
	}
	known := s.commits[idx.commit]
	if !s.short && len(known) == 0 && !(s.late && idx.commit > s.want.last) {
		return // it was deleted
	}
	f.sum = binary.LittleEndian.Uint32(raw[len(raw)-4:])
	for _, k := range known {
		if (!k.orphan || k.sum == f.sum) && s.isWhole(k) {
			return
		}
	}
	s.commits[idx.commit] = append(known, f)
}

// isWhole tells whether a commit's index is intact, and all that is with it.
func (s *salvage) isWhole(f *found) bool {
	if f.looked {
		return f.whole
	}
	f.looked = true
	raw, err := s.p.load(f.index)
	if err != nil {
		return false
	}
	idx, err := parseIndex(raw, s.names.name)
	if err != nil {
		return false
	}
	bodies, err := s.p.load(f.bodies)
	if err != nil {
		return false
	}
	for i := range idx.records {
		if r := &idx.records[i]; r.off != ownKey {
			if _, err := r.body(bodies, nil); err != nil {
				return false
			}
		}
	}
	f.whole = true
	return true
}
