package bolt

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
)

var cutSeeds = flag.Int("cutseeds", 4, "stores that TestRecoverAfterCut makes; the race detector looks at one")

// sent is a message as the test knows it.
type sent struct {
	m         *store.Message
	number    int
	receipted bool
	taken     bool // its acknowledgement was asked for, in this life or another: it may be gone
}

// cutter works on a store in several lives, and keeps what its file was like in between.
type cutter struct {
	t      *testing.T
	rnd    *rand.Rand
	e      *Engine
	number int

	consumer store.Consumer
	consumed string

	mu     sync.Mutex // guards what follows
	all    map[string]*sent
	held   []store.Delivery
	topics map[string]string // of each binding; empty while it changes
	open   sync.WaitGroup    // calls whose done has not run

	gaps   *rand.Rand
	arm    int // the transaction before which the file is looked at next, counted down
	before []byte
	must   []*sent // what must be there whatever becomes of the transaction
	bound  map[string]string
	images []image
}

// image is a transaction: the file before and after it, and what had been promised before.
type image struct {
	before, after []byte
	must          []*sent
	done          []*sent // and what was promised since
	bound         map[string]string
}

// hook looks at the file before each transaction. What was written before that was synced.
func (x *cutter) hook(path string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.before == nil {
		if x.arm--; x.arm > 0 {
			return
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		x.t.Error(err)
		return
	}
	if x.before == nil {
		x.before, x.must = raw, x.promised()
		x.bound = map[string]string{}
		for q, topic := range x.topics {
			x.bound[q] = topic
		}
		return
	}
	im := image{before: x.before, after: raw, done: x.promised(), bound: map[string]string{}}
	for _, s := range x.must {
		if !s.taken {
			im.must = append(im.must, s)
		}
	}
	for q, topic := range x.bound {
		if topic != "" && x.topics[q] == topic {
			im.bound[q] = topic
		}
	}
	x.images = append(x.images, im)
	x.before, x.must, x.arm = nil, nil, 1+x.gaps.IntN(20)
}

// promised lists what must be there. The caller holds x.mu.
func (x *cutter) promised() []*sent {
	var must []*sent
	for _, s := range x.all {
		if s.receipted && !s.taken {
			must = append(must, s)
		}
	}
	return must
}

func (x *cutter) live(dir string) {
	o := Options{Path: dir, MinFree: -1, Logger: quiet(), MaxSize: 24 << 20, cleanAfter: time.Microsecond, HotBytes: 1 << 20}
	o.hooks.update = func(int) error { x.hook(o.file()); return nil }
	x.mu.Lock()
	x.before, x.images, x.arm = nil, nil, 1+x.gaps.IntN(3) // soon: what a cut has left is there still
	x.mu.Unlock()
	e, err := Open(o)
	if err != nil {
		x.t.Fatal(err)
	}
	x.e = e
}

var cutQueues = []string{"a", "b", "c", "d"}

// work does n things at random.
func (x *cutter) work(n int) {
	for range n {
		queue := cutQueues[x.rnd.IntN(len(cutQueues))]
		switch x.rnd.IntN(12) {
		case 0, 1, 2:
			x.publish(queue, 1)
		case 3:
			x.publish(queue, 1+x.rnd.IntN(30))
		case 4:
			x.commit()
		case 5, 6, 7:
			x.settle(x.rnd.IntN(40))
		case 8:
			x.consume(queue)
		case 9:
			x.open.Wait()
		case 10:
			x.bind(queue)
		case 11:
			if x.rnd.IntN(8) == 0 {
				x.unbind(queue)
			}
		}
	}
	x.open.Wait()
}

func (x *cutter) next(queue string) *sent {
	x.number++
	n := x.rnd.IntN(300)
	switch x.rnd.IntN(20) {
	case 0:
		n = 65_000 + x.rnd.IntN(3)*5000
	case 1, 2, 3:
		n = x.rnd.IntN(9000)
	}
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(x.rnd.Uint32())
	}
	m := &store.Message{ID: fmt.Sprint("m", x.number), Queue: queue, Data: data, Persistent: true, Priority: uint8(x.number % 10)}
	s := &sent{m: m, number: x.number}
	x.mu.Lock()
	x.all[m.ID] = s
	x.mu.Unlock()
	return s
}

func (x *cutter) done(f func()) func(error) {
	x.open.Add(1)
	return func(err error) {
		defer x.open.Done()
		x.mu.Lock()
		defer x.mu.Unlock()
		if err == nil {
			f()
		}
	}
}

func (x *cutter) publish(queue string, n int) {
	for range n {
		s := x.next(queue)
		done := x.done(func() { s.receipted = true })
		x.e.Publish(s.m, func(_ bool, err error) { done(err) })
	}
}

// taking gives up to n deliveries on loan, to be settled.
func (x *cutter) taking(n int) []store.Delivery {
	x.mu.Lock()
	defer x.mu.Unlock()
	n = min(n, len(x.held))
	ds := slices.Clone(x.held[:n])
	x.held = x.held[n:]
	for _, d := range ds {
		x.all[d.Message().ID].taken = true
	}
	return ds
}

func (x *cutter) commit() {
	var ms []*store.Message
	var all []*sent
	for range x.rnd.IntN(40) {
		s := x.next(cutQueues[x.rnd.IntN(len(cutQueues))])
		ms, all = append(ms, s.m), append(all, s)
	}
	x.e.Commit(ms, x.taking(x.rnd.IntN(10)), x.done(func() {
		for _, s := range all {
			s.receipted = true
		}
	}))
}

func (x *cutter) settle(n int) {
	if x.rnd.IntN(4) == 0 {
		x.mu.Lock()
		var d store.Delivery
		if len(x.held) > 0 {
			d, x.held = x.held[0], x.held[1:]
		}
		x.mu.Unlock()
		if d != nil {
			d.Nack(0, x.done(func() {}))
		}
		return
	}
	for _, d := range x.taking(n) {
		if x.rnd.IntN(2) == 0 {
			d.Ack(nil)
		} else {
			d.Ack(x.done(func() {}))
		}
	}
}

// consume has another consumer; what the one before had comes back.
func (x *cutter) consume(queue string) {
	if x.consumer != nil {
		x.consumer.Close()
		x.mu.Lock()
		held := x.held
		x.held = nil
		x.mu.Unlock()
		for _, d := range held {
			d.Release()
		}
	}
	c, err := x.e.Consume(queue, func(d store.Delivery) {
		x.mu.Lock()
		x.held = append(x.held, d)
		x.mu.Unlock()
	})
	if err != nil {
		x.t.Fatal(err)
	}
	c.Credit(5 + x.rnd.IntN(200))
	x.consumer, x.consumed = c, queue
}

func (x *cutter) bind(queue string) {
	topic := fmt.Sprint("/topic/", x.rnd.IntN(3))
	x.open.Wait()
	x.mu.Lock()
	x.topics[queue] = ""
	x.mu.Unlock()
	x.e.Bind(store.Binding{Queue: queue, Topic: topic}, x.done(func() { x.topics[queue] = topic }))
}

func (x *cutter) unbind(queue string) {
	if x.consumed == queue {
		return
	}
	x.open.Wait()
	x.mu.Lock()
	x.topics[queue] = ""
	for _, s := range x.all {
		if s.m.Queue == queue {
			s.taken = true
		}
	}
	x.mu.Unlock()
	x.e.Unbind(queue, x.done(func() {}))
}

// end ends a life.
func (x *cutter) end() {
	x.open.Wait()
	if err := x.e.Close(); err != nil {
		x.t.Fatal(err)
	}
	x.held, x.consumer, x.consumed = nil, nil, ""
}

// torn is the file when the power failed during the transaction: of what it changes, some pages are
// on the disk.
func (x *cutter) torn(im image) []byte {
	const page = 4096
	raw := bytes.Clone(im.after)
	part := x.rnd.IntN(101)
	for at := 0; at < len(raw); at += page {
		if x.rnd.IntN(100) < part {
			continue
		}
		end := min(at+page, len(raw))
		clear(raw[at:end])
		if at < len(im.before) {
			copy(raw[at:end], im.before[at:])
		}
	}
	return raw
}

// harm takes from the file what holds no message, but is needed to find them, and tells which must be found.
func (x *cutter) harm(im image) (raw []byte, must []*sent, how string) {
	const page = 4096
	switch x.rnd.IntN(4) {
	case 0:
		n := x.rnd.IntN(2)
		raw = bytes.Clone(im.after)
		clear(raw[n*page : (n+1)*page])
		return raw, im.done, fmt.Sprintf("header %d is gone", n)
	case 1:
		raw = bytes.Clone(im.after)
		var branches []int
		for at := 2 * page; at < len(raw); at += page {
			if p := raw[at:]; binary.LittleEndian.Uint64(p) == uint64(at/page) && binary.LittleEndian.Uint16(p[8:]) == branchFlag {
				branches = append(branches, at)
			}
		}
		if len(branches) > 0 {
			at := branches[x.rnd.IntN(len(branches))]
			clear(raw[at : at+page])
			return raw, im.done, fmt.Sprintf("branch %d is gone", at/page)
		}
	}
	raw = x.torn(im)
	clear(raw[:2*page])
	return raw, im.must, "both headers are gone"
}

// there compares what a store holds with what it must; other messages may be there too, but none that is
// altered.
func (x *cutter) there(e *Engine, must []*sent) (found map[string]bool, wrong []string) {
	found = map[string]bool{}
	last := map[string]int{}
	needed := map[string]bool{}
	for _, s := range must {
		needed[s.m.ID] = true
	}
	for _, queue := range e.Queues("", 1000) {
		for after := uint64(0); ; {
			ms, end := e.Browse(queue, after, 1000)
			for _, m := range ms {
				s := x.all[m.ID]
				switch {
				case s == nil || m.Queue != s.m.Queue || !bytes.Equal(m.Data, s.m.Data) || m.Priority != s.m.Priority:
					wrong = append(wrong, "altered: "+m.ID)
				case found[m.ID]:
					wrong = append(wrong, "twice: "+m.ID)
				case needed[m.ID] && s.number < last[queue]:
					wrong = append(wrong, fmt.Sprintf("%s comes after m%d", m.ID, last[queue]))
				case needed[m.ID]:
					last[queue] = s.number
				}
				found[m.ID] = true
			}
			if end == after {
				break
			}
			after = end
		}
	}
	for _, s := range must {
		if !found[s.m.ID] {
			wrong = append(wrong, fmt.Sprintf("lost: %s of %s, %d bytes", s.m.ID, s.m.Queue, len(s.m.Data)))
		}
	}
	if n, list := e.Damage(); n > 0 {
		wrong = append(wrong, fmt.Sprint("damage: ", list))
	}
	return found, wrong
}

// recovered recovers a file and looks at it.
func (x *cutter) recovered(raw []byte, must []*sent, bound map[string]string, how string) {
	x.t.Helper()
	o := Options{Path: x.t.TempDir(), MinFree: -1, Logger: quiet()}
	if err := os.WriteFile(filepath.Join(o.Path, FileName), raw, 0o600); err != nil {
		x.t.Fatal(err)
	}
	var said strings.Builder
	if err := Recover(o, &said); err != nil {
		x.t.Errorf("%s: %v", how, err)
		return
	}
	e, err := Open(o)
	if err != nil {
		x.t.Errorf("%s: open what was recovered: %v", how, err)
		return
	}
	defer func() {
		_ = e.Close()
		_ = os.RemoveAll(o.Path)
	}()
	_, wrong := x.there(e, must)
	topics := map[string]string{}
	for _, b := range e.Bindings() {
		topics[b.Queue] = b.Topic
	}
	for q, topic := range bound {
		if topics[q] != topic {
			wrong = append(wrong, fmt.Sprintf("the binding of %s is to %q, want %q", q, topics[q], topic))
		}
	}
	if len(wrong) > 0 {
		x.t.Errorf("%s: of %d messages\n%s\n%s", how, len(must), strings.Join(wrong[:min(len(wrong), 10)], "\n"), said.String())
	}
}

// TestRecoverAfterCut cuts the power in many transactions, between any of their writes, and takes both
// headers off, or one, or a page that leads to others: Recover finds what had been promised.
func TestRecoverAfterCut(t *testing.T) {
	seeds := *cutSeeds
	if race {
		seeds = 1
	}
	first := uint64(time.Now().UnixNano())
	files, promised := 0, 0
	for seed := first; seed < first+uint64(seeds) && !t.Failed(); seed++ {
		x := &cutter{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), gaps: rand.New(rand.NewPCG(seed, 1)), all: map[string]*sent{}, topics: map[string]string{}}
		dir := t.TempDir()
		for life := 0; life < 4 && !t.Failed(); life++ {
			x.live(dir)
			x.work(60 + x.rnd.IntN(200))
			x.end()
			for n, im := range x.images {
				files++
				raw, must, how := x.harm(im)
				promised += len(must)
				x.recovered(raw, must, im.bound, fmt.Sprintf("seed %d, life %d, image %d: %s", seed, life, n, how))
				if t.Failed() {
					return
				}
			}
			if len(x.images) > 0 {
				dir = x.crash()
			}
		}
	}
	t.Logf("seeds from %d: %d files, %d promised messages", first, files, promised)
}

// crash begins the next life with the file as a cut has left it, and tells where.
func (x *cutter) crash() string {
	x.t.Helper()
	im := x.images[x.rnd.IntN(len(x.images))]
	raw := x.torn(im)
	if x.rnd.IntN(4) == 0 {
		raw = im.after
	} else {
		copy(raw[:8192], im.before)
	}
	dir := x.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), raw, 0o600); err != nil {
		x.t.Fatal(err)
	}
	e := mustOpen(x.t, Options{Path: dir})
	found, wrong := x.there(e, im.must)
	if len(wrong) > 0 {
		x.t.Errorf("after a cut: %s", wrong)
	}
	clear(x.topics)
	for _, b := range e.Bindings() {
		x.topics[b.Queue] = im.bound[b.Queue] // "" if it was on its way
	}
	for id, s := range x.all {
		s.receipted = found[id]
	}
	if err := e.Close(); err != nil {
		x.t.Fatal(err)
	}
	return dir
}
