package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"
)

// salvage is one run of Recover.
type salvage struct {
	out  io.Writer
	f    *os.File
	to   packer
	lost int

	marks   map[uint64][]byte
	commits map[uint64]*found
	broken  bool // a part of the tree could not be read
	bound   map[string]bool
	unbound bool // bindings are missing
	written map[spot]bool
}

// found is a commit's entries.
type found struct {
	entries map[string]func() ([]byte, error)
	orphan  bool // met page by page
}

// spot is a message's place in a queue.
type spot struct {
	queue string
	pos   uint64
}

func (s *salvage) say(format string, args ...any) {
	// That nobody reads it is no reason to stop.
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// run fills the new file.
func (s *salvage) run(db *bbolt.DB) error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	s.to = packer{db: db}
	s.marks, s.commits, s.written = map[uint64][]byte{}, map[uint64]*found{}, map[spot]bool{}
	s.bound, s.unbound = map[string]bool{}, true
	p, err := openPages(s.f, info.Size())
	if err != nil {
		s.say("%v; every page is looked at", err)
		s.broken = true
		p = &pages{f: s.f, size: info.Size(), header: header{pageSize: os.Getpagesize()}}
	} else if p.intact != [2]bool{true, true} {
		s.say("one of the two headers is damaged: if it was not being written when the machine stopped, the last commit is lost")
	}
	want, known := manifest{}, false
	if err == nil {
		if err := s.walk(p, &want, &known); err != nil {
			return err
		}
	}
	if s.broken {
		s.scan(p)
	}
	live := 0
	for _, no := range slices.SortedFunc(maps.Keys(s.commits), cmp.Compare) {
		n, err := s.commit(no, s.commits[no])
		if err != nil {
			return err
		}
		live += n
	}
	if known && uint64(live) < want.live {
		s.lost = int(want.live) - live
	}
	return s.to.finish()
}

// walk collects what the tree still holds.
func (s *salvage) walk(p *pages, want *manifest, known *bool) error {
	p.high = min(p.high, uint64(p.size)/uint64(p.pageSize))
	skip := func(err error) {
		if errors.Is(err, ErrFormat) {
			return
		}
		s.broken = true
		s.say("%v", err)
	}
	other := ""
	err := p.walkFile(skip, func(bucket string, commit []byte, e element) error {
		value := e.value
		switch bucket {
		case string(bucketLog):
			no := binary.BigEndian.Uint64(commit)
			if s.commits[no] == nil {
				s.commits[no] = &found{entries: map[string]func() ([]byte, error){}}
			}
			s.commits[no].entries[string(e.key)] = value
			return nil
		}
		raw, err := value()
		if err != nil {
			return err
		}
		switch {
		case bucket == string(bucketAcks) && len(e.key) == 8:
			s.marks[binary.BigEndian.Uint64(e.key)] = slices.Clone(raw)
		case bucket == string(bucketMeta) && string(e.key) == string(keyManifest):
			*want, *known = parseManifest(raw)
		case bucket == string(bucketMeta) && string(e.key) == string(keyFormat) && string(raw) != strconv.Itoa(format):
			other = string(raw)
		case bucket == string(bucketBinds):
			if b, ok := parseBinding(e.key, raw); ok {
				s.to.bind(b)
				s.bound[b.Queue] = true
			} else {
				s.say("the binding of queue %q is damaged", e.key)
			}
		}
		return nil
	})
	if n, e := strconv.Atoi(other); e == nil && n > 0 {
		return fmt.Errorf("%w: it has format %d, this version reads %d", ErrFormat, n, format)
	}
	if !*known {
		s.broken = true
		s.say("the manifest is lost: nothing tells how many messages there were")
	} else if uint64(len(s.commits)) < want.buckets {
		s.broken = true
		s.say("%d commits cannot be reached; every page is looked at", int(want.buckets)-len(s.commits))
	}
	if s.unbound = !*known || s.to.manifest.binds != want.binds; s.unbound {
		s.broken = true
	}
	return err
}

// scan looks at every page for commits, and bindings if some are missing, that the tree does not hold any more.
func (s *salvage) scan(p *pages) {
	p.high = uint64(p.size) / uint64(p.pageSize)
	for id := uint64(2); id < p.high; id++ {
		g, err := p.read(id)
		if err != nil || !g.leaf || g.count == 0 {
			continue
		}
		f := &found{entries: map[string]func() ([]byte, error){}, orphan: true}
		for i := range g.count {
			e, err := p.element(g, i)
			if err != nil {
				continue
			}
			if e.bucket {
				s.inline(p, e)
				continue
			}
			s.binding(e)
			f.entries[string(e.key)] = e.value
		}
		s.orphan(f)
	}
}

// binding takes a binding that was met page by page, if it is one.
func (s *salvage) binding(e element) {
	// A reach has 12 bytes, and its checksum where a binding has it.
	if !s.unbound || s.bound[string(e.key)] || e.size == 12 || e.size > 1<<17 {
		return
	}
	raw, err := e.value()
	if err != nil {
		return
	}
	if b, ok := parseBinding(e.key, raw); ok {
		s.to.bind(b)
		s.bound[b.Queue] = true
		s.say("the binding of queue %q was cut off: it comes back and may have been deleted", b.Queue)
	}
}

// inline looks at a small bucket that lies in its parent's page.
func (s *salvage) inline(p *pages, e element) {
	value, err := e.value()
	if err != nil || len(value) < bucketLen || binary.LittleEndian.Uint64(value) != 0 {
		return
	}
	f := &found{entries: map[string]func() ([]byte, error){}, orphan: true}
	err = p.walkBucket(e, nil, func(e element) error {
		s.binding(e)
		f.entries[string(e.key)] = e.value
		return nil
	})
	if err == nil {
		s.orphan(f)
	}
}

// orphan takes a commit that was met page by page, if it is one.
func (s *salvage) orphan(f *found) {
	if f.entries[string(keyIndex)] == nil {
		return
	}
	raw, err := f.entries[string(keyIndex)]()
	if err != nil {
		return
	}
	idx, err := parseIndex(raw, func(b []byte) string { return string(b) })
	if err == nil && s.commits[idx.commit] == nil {
		s.commits[idx.commit] = f
	}
}

// commit takes a commit's intact live records over, and tells how many were live.
func (s *salvage) commit(no uint64, f *found) (live int, err error) {
	get := func(key []byte) []byte {
		if f.entries[string(key)] == nil {
			return nil
		}
		raw, err := f.entries[string(key)]()
		if err != nil {
			return nil
		}
		return raw
	}
	idx, err := parseIndex(get(keyIndex), func(b []byte) string { return string(b) })
	if err != nil {
		s.say("commit %d: %v", no, err)
		if !errors.Is(err, errIndexCRC) {
			return 0, nil
		}
	} else if idx.commit != no {
		s.say("commit %d calls itself %d", no, idx.commit)
	}
	b := newBucket(idx.commit, len(idx.records))
	if err != nil {
		b.no = no
	}
	if raw, ok := s.marks[b.no]; ok {
		if err := b.readMarks(raw); err != nil {
			s.say("commit %d: %v: its messages come back", no, err)
		}
	}
	bodies := get(keyBodies)
	again := 0
	for i := range idx.records {
		if !b.isLive(i) {
			continue
		}
		r := &idx.records[i]
		var own []byte
		if r.off == ownKey {
			own = get(bigKey(i))
		}
		body, err := r.body(bodies, own)
		if err != nil {
			s.say("commit %d, message %d, queue %q: %v", no, i, r.queue, err)
			continue
		}
		at := spot{r.queue, r.pos}
		if s.written[at] {
			continue
		}
		s.written[at] = true
		live++
		k, nacked := b.nacks[i]
		if f.orphan && !nacked {
			k, nacked = nack{count: 1}, true
			again++
		}
		var mark *nack
		if nacked {
			mark = &k
		}
		if err := s.to.add(*r, slices.Clone(body), mark); err != nil {
			return live, err
		}
	}
	if again > 0 {
		s.say("commit %d was cut off: %d of its messages come back and may have been acknowledged", no, again)
	}
	return live, nil
}
