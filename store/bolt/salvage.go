package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/gudokmq/gudok/store"
	"go.etcd.io/bbolt"
)

// salvage is one run of Recover.
type salvage struct {
	out  io.Writer
	f    *os.File
	p    *pages
	to   packer
	want manifest
	// known: want is what the file says of itself.
	known bool
	lost  int

	marks   map[uint64][]byte
	commits map[uint64][]*found // of each: what the tree holds, then what was met page by page
	broken  bool                // a part of the tree could not be read
	short   bool                // commits are missing
	late    bool                // the last commit may be missing
	bound   map[string]bool
	unbound bool // bindings are missing
	roots   []root
	loose   map[string]store.Binding // met page by page
	long    map[int64]map[uint32]span

	names interner
	ids   map[string]uint32
	roll  roll
	bad   []failure
}

// found is what was found of a commit, or of something that once had its number.
type found struct {
	index, bodies span
	own           map[int]span // the bodies that have keys of their own, by record
	orphan        bool         // met page by page
	sum           uint32       // of an orphan's index
	looked, whole bool         // see isWhole
}

// failure is a message that a commit was to hold and does not.
type failure struct {
	no    uint64
	i     int
	entry int // in the roll
	queue string
	err   error
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
	s.marks, s.commits, s.long = map[uint64][]byte{}, map[uint64][]*found{}, map[int64]map[uint32]span{}
	s.bound, s.unbound, s.loose = map[string]bool{}, true, map[string]store.Binding{}
	s.names, s.ids = interner{}, map[string]uint32{}
	s.p, err = openPages(s.f, info.Size())
	if err != nil {
		s.say("%v; every page is looked at", err)
		s.broken, s.short = true, true
		s.p = &pages{f: s.f, size: info.Size(), header: header{pageSize: os.Getpagesize()}}
	} else {
		if s.p.intact != [2]bool{true, true} {
			s.say("one of the two headers is damaged: if it was not being written when the machine stopped, the last commit is missing; it is looked for")
			s.broken, s.late = true, true
		}
		if err := s.walk(); err != nil {
			return err
		}
	}
	if s.broken {
		s.scan()
		if s.unbound {
			s.rebind()
		}
	}
	live, err := s.copy()
	if err != nil {
		return err
	}
	s.tellBad()
	if s.known && uint64(live) < s.want.live {
		s.lost = int(s.want.live) - live
	}
	return s.to.finish()
}

// copy takes over what was found.
func (s *salvage) copy() (live int, err error) {
	nos := slices.SortedFunc(maps.Keys(s.commits), cmp.Compare)
	for _, no := range nos {
		for _, f := range s.commits[no] {
			c := s.open(no, f)
			for i := range c.records {
				if c.marks.isLive(i) {
					s.roll.enter(s.identify(&c.records[i]))
				}
			}
		}
	}
	s.roll.close()
	for _, orphan := range []bool{false, true} { // what the tree holds is known better
		for _, no := range nos {
			for _, f := range s.commits[no] {
				if f.orphan != orphan {
					continue
				}
				n, err := s.commit(no, f)
				if err != nil {
					return 0, err
				}
				live += n
			}
		}
	}
	return live, nil
}

// tellBad tells which messages were damaged, unless another copy was intact.
func (s *salvage) tellBad() {
	for _, b := range s.bad {
		if !s.roll.done[b.entry] {
			s.roll.done[b.entry] = true
			s.say("commit %d, message %d, queue %q: %v", b.no, b.i, b.queue, b.err)
		}
	}
}

// walk collects what the tree still holds.
func (s *salvage) walk() error {
	s.p.high = min(s.p.high, uint64(s.p.size)/uint64(s.p.pageSize))
	skip := func(err error) {
		if errors.Is(err, ErrFormat) {
			return
		}
		s.broken = true
		s.say("%v", err)
	}
	other := ""
	err := s.p.walkFile(skip, func(bucket string, commit []byte, e element) error {
		if bucket == string(bucketLog) {
			no := binary.BigEndian.Uint64(commit)
			if s.commits[no] == nil {
				s.commits[no] = []*found{{}}
			}
			s.commits[no][0].take(e)
			return nil
		}
		raw, err := e.value()
		if err != nil {
			return err
		}
		switch {
		case bucket == string(bucketAcks) && len(e.key) == 8:
			s.marks[binary.BigEndian.Uint64(e.key)] = slices.Clone(raw)
		case bucket == string(bucketMeta) && string(e.key) == string(keyManifest):
			s.want, s.known = parseManifest(raw)
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
	if !s.known {
		s.broken, s.short = true, true
		s.say("the manifest is lost: nothing tells how many messages there were")
	} else if uint64(len(s.commits)) < s.want.buckets {
		s.broken, s.short = true, true
		s.say("%d commits cannot be reached; every page is looked at", int(s.want.buckets)-len(s.commits))
	}
	if s.unbound = !s.known || s.to.manifest.binds != s.want.binds; s.unbound {
		s.broken = true
	}
	for no, f := range s.commits {
		if c := s.open(no, f[0]); c.err != nil {
			s.broken = true // there may be an older copy
		}
	}
	return err
}

// take notes where an entry of a commit is.
func (f *found) take(e element) {
	at := span{e.at, e.size}
	switch {
	case string(e.key) == string(keyIndex):
		f.index = at
	case string(e.key) == string(keyBodies):
		f.bodies = at
	case len(e.key) == len(bigKey(0)) && e.key[0] == bigKey(0)[0]:
		if f.own == nil {
			f.own = map[int]span{}
		}
		f.own[int(binary.BigEndian.Uint32(e.key[1:]))] = at
	}
}

// opened is what a commit says of itself.
type opened struct {
	index
	err      error // what is wrong with the index
	marks    *bucket
	unmarked error // what is wrong with the marks
}

// open reads a commit's index, as far as it makes sense, and what is known of its messages.
func (s *salvage) open(no uint64, f *found) opened {
	var c opened
	raw, err := s.p.load(f.index)
	if err == nil {
		c.index, err = parseIndex(raw, s.names.name)
	}
	c.err = err
	c.marks = newBucket(c.commit, len(c.records))
	if err != nil {
		c.marks.no = no
	}
	if raw, ok := s.marks[c.marks.no]; ok {
		c.unmarked = c.marks.readMarks(raw)
	}
	return c
}

// commit takes a commit's intact live records over, unless they were already, and tells how many.
func (s *salvage) commit(no uint64, f *found) (live int, err error) {
	c := s.open(no, f)
	switch {
	case c.err != nil:
		s.say("commit %d: %v", no, c.err)
	case c.commit != no:
		s.say("commit %d calls itself %d", no, c.commit)
	}
	if c.unmarked != nil && !f.orphan {
		s.say("commit %d: %v: its messages come back", no, c.unmarked)
	}
	bodies, _ := s.p.load(f.bodies) // what is missing is told by message
	again := 0
	for i := range c.records {
		r := &c.records[i]
		if !c.marks.isLive(i) {
			continue
		}
		entry, ok := s.roll.find(s.identify(r))
		if !ok {
			return live, fmt.Errorf("commit %d: %w: it is not read the same twice", no, errIndex)
		}
		if s.roll.done[entry] {
			continue
		}
		body, err := s.body(f, i, r, bodies)
		if err != nil {
			s.bad = append(s.bad, failure{no, i, entry, r.queue, err})
			continue
		}
		s.roll.done[entry] = true
		live++
		k, nacked := c.marks.nacks[i]
		if f.orphan && !nacked {
			k, nacked = nack{count: 1}, true
			again++
		}
		var mark *nack
		if nacked {
			mark = &k
		}
		if pos := s.roll.pos[entry]; pos != r.pos {
			r.pos = pos
			r.crc = crc32.Update(crc32.Checksum(r.prefix(nil), castagnoli), castagnoli, body)
		}
		if err := s.to.add(*r, body, mark); err != nil {
			return live, err
		}
	}
	if again > 0 {
		s.say("commit %d was cut off: %d of its messages come back and may have been acknowledged", no, again)
	}
	return live, nil
}

// body gives the intact body of a record.
func (s *salvage) body(f *found, i int, r *record, bodies []byte) ([]byte, error) {
	if r.off != ownKey {
		return r.body(bodies, nil)
	}
	at, ok := f.own[i]
	if !ok || at.size != int64(r.bodyLen()) {
		return s.strayed(r)
	}
	own, err := s.p.load(at)
	if err == nil {
		own, err = r.body(nil, own)
	}
	if err != nil {
		return s.strayed(r)
	}
	return own, nil
}
