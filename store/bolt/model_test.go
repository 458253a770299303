package bolt

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// modelled is a message as the model knows it.
type modelled struct {
	m       *store.Message
	added   *change
	removed *change // nil: nobody has tried
	count   int     // deliveries that count, as far as they were given back
	nacked  *change
	held    store.Delivery
	hinted  bool // count is what a crash has left to believe
}

// machine is the engine under test beside the model of it.
type machine struct {
	t         *rapid.T
	dir       func() string
	opts      Options
	e         *Engine
	queues    map[string][]*modelled
	consumers map[string]*modelConsumer
	full      atomic.Bool  // the disk
	fits      atomic.Int64 // so many records and marks nevertheless
	pending   []*change
	number    int
	crashes   int
}

type modelConsumer struct {
	store.Consumer
	got chan store.Delivery
}

var modelQueues = []string{"a", "b", "c"}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (x *machine) open(dir string) {
	x.opts.Path = dir
	e, err := Open(x.opts)
	if err != nil {
		x.t.Fatal(err)
	}
	x.e = e
	x.consumers = map[string]*modelConsumer{}
}

func (x *machine) change() *change {
	c := newChange()
	x.pending = append(x.pending, c)
	return c
}

func (x *machine) message(t *rapid.T, queue string) *store.Message {
	x.number++
	size := rapid.SampledFrom([]int{0, 10, 200, 3000, 70_000}).Draw(t, "size")
	return &store.Message{
		ID: fmt.Sprintf("m%d", x.number), Queue: queue, Persistent: true, Priority: uint8(x.number % 10),
		Flags: uint8(x.number), Data: bytes.Repeat([]byte{byte(x.number), byte(x.number >> 8)}, size/2),
	}
}

func (x *machine) publish(t *rapid.T) {
	queue := rapid.SampledFrom(modelQueues).Draw(t, "queue")
	for range rapid.IntRange(1, 20).Draw(t, "n") {
		m := &modelled{m: x.message(t, queue), added: x.change()}
		x.queues[queue] = append(x.queues[queue], m)
		x.e.Publish(m.m, func(_ bool, err error) { m.added.done(err) })
	}
}

// consume takes some messages on loan, checking which come.
func (x *machine) consume(t *rapid.T) {
	queue := rapid.SampledFrom(modelQueues).Draw(t, "queue")
	k := x.consumers[queue]
	if k == nil {
		k = &modelConsumer{got: make(chan store.Delivery, 10_000)}
		c, err := x.e.Consume(queue, func(d store.Delivery) { k.got <- d })
		if err != nil {
			t.Fatal(err)
		}
		k.Consumer = c
		x.consumers[queue] = k
	}
	if rapid.Bool().Draw(t, "settle") {
		x.settle() // else what is not on the disk yet is delivered, and may be acknowledged
	}
	for range rapid.IntRange(1, 10).Draw(t, "n") {
		want := x.ready(queue)
		if want == nil {
			return
		}
		k.Credit(1)
		select {
		case d := <-k.got:
			x.same(t, d.Message(), want.m)
			want.count++
			if d.Count() != want.count {
				t.Fatalf("%s: count %d, want %d", want.m.ID, d.Count(), want.count)
			}
			want.held = d
		case <-time.After(10 * time.Second):
			t.Fatalf("queue %s: %s did not come; %+v", queue, want.m.ID, x.e.Stat(queue))
		}
	}
}

func (x *machine) same(t *rapid.T, got, want *store.Message) {
	if got.ID != want.ID || got.Queue != want.Queue || !bytes.Equal(got.Data, want.Data) || got.Flags != want.Flags ||
		got.Priority != want.Priority || !got.Persistent {
		t.Fatalf("queue %s: got %s of %d bytes, want %s of %d", want.Queue, got.ID, len(got.Data), want.ID, len(want.Data))
	}
}

// ready is the first message that is neither removed nor on loan.
func (x *machine) ready(queue string) *modelled {
	for _, m := range x.queues[queue] {
		if m.held == nil && m.removed == nil {
			return m
		}
	}
	return nil
}

// held gives some messages on loan.
func (x *machine) held(t *rapid.T, most int) []*modelled {
	var all []*modelled
	for _, q := range modelQueues {
		for _, m := range x.queues[q] {
			if m.held != nil && m.removed == nil {
				all = append(all, m)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	from := rapid.IntRange(0, len(all)-1).Draw(t, "from")
	return all[from:min(len(all), from+rapid.IntRange(1, most).Draw(t, "n"))]
}

func (x *machine) ack(t *rapid.T) {
	for _, m := range x.held(t, 10) {
		m.removed = x.change()
		m.held.Ack(m.removed.done)
	}
}

func (x *machine) nack(t *rapid.T) {
	for _, m := range x.held(t, 5) {
		m.nacked, m.hinted = x.change(), false
		m.held.Nack(0, m.nacked.done)
		m.held = nil
	}
}

func (x *machine) release(t *rapid.T) {
	for _, m := range x.held(t, 5) {
		m.count--
		m.held.Release()
		m.held = nil
	}
}

// commit publishes to several queues and acknowledges; Move is a small one.
func (x *machine) commit(t *rapid.T) {
	c := x.change()
	var ms []*store.Message
	var acks []store.Delivery
	for _, m := range x.held(t, 6) {
		m.removed = c
		acks = append(acks, m.held)
	}
	for range rapid.IntRange(0, 5).Draw(t, "messages") {
		queue := rapid.SampledFrom(modelQueues).Draw(t, "queue")
		m := &modelled{m: x.message(t, queue), added: c}
		x.queues[queue] = append(x.queues[queue], m)
		ms = append(ms, m.m)
	}
	if len(ms) == 1 && len(acks) == 1 {
		acks[0].Move(ms[0], c.done)
		return
	}
	x.e.Commit(ms, acks, c.done)
}

func (x *machine) purge(t *rapid.T) {
	x.settle()
	x.purgeNow(t)
}

func (x *machine) purgeNow(t *rapid.T) {
	queue := rapid.SampledFrom(modelQueues).Draw(t, "queue")
	var all []*change // a crash may leave some of them
	for _, m := range x.queues[queue] {
		if m.held == nil && m.removed == nil {
			m.removed = x.change()
			all = append(all, m.removed)
		}
	}
	x.e.Purge(queue, func(_ int, err error) {
		for _, c := range all {
			c.done(err)
		}
	})
}

// settle waits for all that was begun.
func (x *machine) settle() {
	for _, c := range x.pending {
		select {
		case <-c.ran:
		case <-time.After(20 * time.Second):
			x.t.Fatal("a done did not run")
		}
	}
	x.pending = nil
	for name, q := range x.queues {
		for _, m := range q {
			if m.removed.now() == never {
				m.removed = nil // it is on loan as before
			}
		}
		x.queues[name] = slices.DeleteFunc(q, func(m *modelled) bool {
			return m.added.now() == never || m.removed.now() == sure
		})
	}
}

// check compares what the queues hold.
func (x *machine) check(t *rapid.T) {
	x.settle()
	for _, queue := range modelQueues {
		got, _ := x.e.Browse(queue, 0, 1_000_000)
		if len(got) != len(x.queues[queue]) {
			var ids, want []string
			for _, m := range got {
				ids = append(ids, m.ID)
			}
			for _, m := range x.queues[queue] {
				want = append(want, m.m.ID)
			}
			t.Fatalf("queue %s holds %v, want %v", queue, ids, want)
		}
		for i, m := range x.queues[queue] {
			x.same(t, got[i], m.m)
		}
	}
}

// fill has the disk full for a while, or for most of what is written, and maybe crashes then.
func (x *machine) fill(t *rapid.T) {
	x.settle()
	x.fits.Store(rapid.Int64Range(-1, 3).Draw(t, "fits"))
	x.full.Store(true)
	if rapid.Bool().Draw(t, "purges") {
		x.purgeNow(t)
	}
	for range 3 {
		x.commit(t)
		x.publish(t)
		x.ack(t)
		x.nack(t)
	}
	if rapid.Bool().Draw(t, "crashes") {
		x.crash(t)
		return
	}
	x.full.Store(false)
	x.settle()
	for x.e.Full() {
		time.Sleep(time.Millisecond)
	}
	x.check(t)
}

// write tells whether the disk has room for so much.
func (x *machine) write(n int) error {
	if x.full.Load() && int64(n) > x.fits.Load() {
		return &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return nil
}

// restart closes the engine and opens it again.
func (x *machine) restart(t *rapid.T) {
	x.settle()
	if err := x.e.Close(); err != nil {
		t.Fatal(err)
	}
	x.open(x.opts.Path)
	x.forget()
	x.check(t)
	x.learnCounts(t)
}

// forget is what a restart does to loans.
func (x *machine) forget() {
	for _, q := range x.queues {
		for _, m := range q {
			if m.held != nil {
				m.held, m.count = nil, m.count-1
			}
			if m.hinted {
				m.count, m.hinted = -1, false
			}
		}
	}
}

// crash goes on with what the disk holds after some commit.
func (x *machine) crash(t *rapid.T) {
	x.crashes++
	type known struct{ added, removed, nacked fate }
	before := map[*modelled]known{}
	for _, q := range x.queues {
		for _, m := range q {
			before[m] = known{m.added.now(), m.removed.now(), m.nacked.now()}
		}
	}
	dir := x.dir()
	if err := x.e.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(dir, FileName), 0o600) }); err != nil {
		t.Fatal(err)
	}
	if err := x.e.Close(); err != nil {
		t.Fatal(err)
	}
	x.full.Store(false)
	x.open(dir)
	if n, list := x.e.Damage(); n > 0 {
		t.Fatalf("damage after a crash: %v", list)
	}
	happened := map[*change]bool{} // each change as a whole
	decide := func(c *change, what string, yes bool) {
		if was, ok := happened[c]; ok && was != yes {
			t.Fatalf("%s: half of a change happened", what)
		}
		happened[c] = yes
	}
	x.pending = nil
	for _, queue := range modelQueues {
		got, _ := x.e.Browse(queue, 0, 1_000_000)
		at := 0
		var kept []*modelled
		for _, m := range x.queues[queue] {
			k := before[m]
			there := at < len(got) && got[at].ID == m.m.ID
			if there {
				x.same(t, got[at], m.m)
				at++
			}
			removing := m.removed != nil
			switch {
			case there && (k.added == never || k.removed == sure):
				t.Fatalf("%s is there, added %v, removed %v", m.m.ID, k.added, k.removed)
			case !there && k.added == sure && (!removing || k.removed == never):
				t.Fatalf("queue %s: %s is lost; the queue holds %d", queue, m.m.ID, len(got))
			}
			if k.added == open && there {
				decide(m.added, m.m.ID, true)
			} else if k.added == open && !removing {
				decide(m.added, m.m.ID, false)
			}
			if removing && k.removed == open && k.added == sure {
				decide(m.removed, m.m.ID, !there)
			}
			if there {
				m.added, m.removed = newChange(), nil
				m.added.done(nil)
				kept = append(kept, m)
			}
		}
		if at != len(got) {
			t.Fatalf("queue %s: %s is there, out of order or from nowhere", queue, got[at].ID)
		}
		x.queues[queue] = kept
	}
	x.forget()
	for _, q := range x.queues {
		for _, m := range q {
			if before[m].nacked == open {
				m.count = -1 // any
			}
			m.nacked = nil
		}
	}
	x.learnCounts(t)
}

// learnCounts delivers and releases what may count or not.
func (x *machine) learnCounts(t *rapid.T) {
	for _, queue := range modelQueues {
		got := make(chan store.Delivery, 10_000)
		c, err := x.e.Consume(queue, func(d store.Delivery) { got <- d })
		if err != nil {
			t.Fatal(err)
		}
		c.Credit(len(x.queues[queue]))
		var all []store.Delivery
		for _, m := range x.queues[queue] {
			d := <-got
			x.same(t, d.Message(), m.m)
			if m.count <= 0 && d.Count() == 2 {
				m.hinted = true // it, or one after it, was delivered, if it was not given back
			} else if m.count >= 0 && d.Count() != m.count+1 {
				t.Fatalf("%s: count %d after a restart, want %d", m.m.ID, d.Count(), m.count+1)
			}
			m.count = d.Count() - 1
			all = append(all, d)
		}
		c.Close()
		for _, d := range all {
			d.Release()
		}
	}
}

// Random calls with restarts and crashes against a plain model: what a done has told is so after a
// crash, each change happened as a whole or not at all, in order, byte for byte.
func TestModel(t *testing.T) {
	root := t.TempDir()
	dirs := 0
	rapid.Check(t, func(t *rapid.T) {
		x := &machine{t: t, queues: map[string][]*modelled{}, opts: Options{
			MinFree: -1, Logger: quiet(), cleanAfter: time.Nanosecond, fullNap: time.Millisecond,
			HotBytes: rapid.SampledFrom([]int64{1, 10_000, 0}).Draw(t, "hot"),
		}}
		var used []string
		x.dir = func() string {
			dirs++
			dir := filepath.Join(root, fmt.Sprint(dirs))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			used = append(used, dir)
			return dir
		}
		x.opts.hooks.update = x.write
		x.open(x.dir())
		defer func() {
			if err := x.e.Close(); err != nil {
				t.Error(err)
			}
			for _, dir := range used {
				_ = os.RemoveAll(dir)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"publish": x.publish, "publishMore": x.publish, "consume": x.consume, "consumeMore": x.consume, "ack": x.ack,
			"nack": x.nack, "release": x.release, "commit": x.commit, "purge": x.purge, "check": x.check,
			"restart": x.restart, "fill": x.fill, "crash": x.crash, "compact": x.compact,
		})
		x.check(t)
	})
}

// compact is a restart with a new file.
func (x *machine) compact(t *rapid.T) {
	x.settle()
	if err := x.e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Compact(x.opts); err != nil {
		t.Fatal(err)
	}
	x.open(x.opts.Path)
	x.forget()
	x.check(t)
	x.learnCounts(t)
}
