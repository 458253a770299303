package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
	"go.etcd.io/bbolt"
)

func mustOpen(t testing.TB, o Options) *Engine {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.MinFree == 0 {
		o.MinFree = -1
	}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func message(queue, id string, size int) *store.Message {
	return &store.Message{ID: id, Queue: queue, Data: make([]byte, size), Persistent: true}
}

// await gives what a done is told.
func await(t testing.TB, f func(done func(error))) error {
	t.Helper()
	c := make(chan error, 1)
	f(func(err error) { c <- err })
	select {
	case err := <-c:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("done was not called")
		return nil
	}
}

func publish(t testing.TB, e *Engine, m *store.Message) error {
	t.Helper()
	return await(t, func(done func(error)) { e.Publish(m, func(_ bool, err error) { done(err) }) })
}

// eventually waits until cond tells so.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// A file at its limit refuses messages and nothing else, and takes them again once there is room.
func TestFileIsFull(t *testing.T) {
	o := Options{Path: t.TempDir(), MaxSize: 8 << 20}
	e := mustOpen(t, o)
	var stored []string
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		m := message("q", fmt.Sprintf("m%d", i), 10_000)
		if err = publish(t, e, m); err == nil {
			stored = append(stored, m.ID)
		}
	}
	if !errors.Is(err, store.ErrFull) || len(stored) < 100 {
		t.Fatalf("after %d messages: %v", len(stored), err)
	}
	info, err := os.Stat(o.file())
	if err != nil || info.Size() > o.MaxSize {
		t.Fatalf("the file is %d bytes long (%v), bound %d", info.Size(), err, o.MaxSize)
	}
	got := make(chan store.Delivery, len(stored))
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(len(stored))
	for i, id := range stored {
		d := <-got
		if d.Message().ID != id {
			t.Fatalf("number %d is %s, want %s", i, d.Message().ID, id)
		}
		if i < len(stored)/2 {
			if err := await(t, d.Ack); err != nil {
				t.Fatalf("ack while the file is full: %v", err)
			}
		}
	}
	eventually(t, "messages are taken again", func() bool { return publish(t, e, message("q", "last", 10_000)) == nil })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, o)
	if n := e.Stat("q").Messages(); n != len(stored)-len(stored)/2+1 {
		t.Errorf("%d messages after a restart, want %d", n, len(stored)-len(stored)/2+1)
	}
}

// A disk without room fails what is to be published, as a whole and at once; acknowledgements wait
// for it and are not lost.
func TestDiskIsFull(t *testing.T) {
	var full atomic.Bool
	o := Options{Path: t.TempDir(), hooks: hooks{update: func(int) error {
		if full.Load() {
			return &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
		}
		return nil
	}}}
	e := mustOpen(t, o)
	for i := range 4 {
		if err := publish(t, e, message("q", fmt.Sprint("m", i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan store.Delivery, 10)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(3)
	first, second, third := <-got, <-got, <-got
	full.Store(true)
	if err := publish(t, e, message("q", "refused", 10)); !errors.Is(err, store.ErrFull) {
		t.Fatalf("publish without room: %v", err)
	}
	acked := make(chan error, 1)
	first.Ack(func(err error) { acked <- err })
	if err := await(t, func(done func(error)) {
		e.Commit([]*store.Message{message("r", "x", 10)}, []store.Delivery{second}, done)
	}); !errors.Is(err, store.ErrFull) {
		t.Fatalf("commit without room: %v", err)
	}
	if st := e.Stat("q"); st.Held != 2 || st.Ready != 1 {
		t.Errorf("after the refusals: %+v", st)
	}
	third.Release()
	select {
	case err := <-acked:
		t.Fatalf("an ack that is not on the disk was answered: %v", err)
	default:
	}
	full.Store(false)
	if err := <-acked; err != nil {
		t.Fatal(err)
	}
	eventually(t, "messages are taken again", func() bool { return publish(t, e, message("q", "last", 10)) == nil })
	if err := await(t, func(done func(error)) {
		e.Commit([]*store.Message{message("r", "x", 10)}, []store.Delivery{second}, done)
	}); err != nil {
		t.Fatalf("the same commit with room: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	full.Store(false)
	e = mustOpen(t, o)
	var ids []string
	ms, _ := e.Browse("q", 0, 10)
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	if fmt.Sprint(ids) != "[m2 m3 last]" || e.Stat("r").Ready != 1 {
		t.Errorf("after a restart: %v, %+v", ids, e.Stat("r"))
	}
	if n, list := e.Damage(); n != 0 {
		t.Errorf("damage: %v", list)
	}
}

// A sync that failed is the end: nothing is answered as done, nothing is taken, Fatal is told once.
func TestSyncFails(t *testing.T) {
	var broken atomic.Bool
	var told atomic.Int32
	o := Options{
		Path: t.TempDir(), Fatal: func(error) { told.Add(1) },
		hooks: hooks{update: func(int) error {
			if broken.Load() {
				return syscall.EIO
			}
			return nil
		}},
	}
	e := mustOpen(t, o)
	if err := publish(t, e, message("q", "m0", 10)); err != nil {
		t.Fatal(err)
	}
	got := make(chan store.Delivery, 10)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(1)
	d := <-got
	broken.Store(true)
	if err := publish(t, e, message("q", "m1", 10)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("publish: %v", err)
	}
	broken.Store(false) // what was broken stays broken
	for what, err := range map[string]error{
		"publish": publish(t, e, message("q", "m2", 10)),
		"ack":     await(t, d.Ack),
		"nack":    await(t, func(done func(error)) { d.Nack(0, done) }),
		"commit":  await(t, func(done func(error)) { e.Commit(nil, []store.Delivery{d}, done) }),
		"purge":   await(t, func(done func(error)) { e.Purge("q", func(_ int, err error) { done(err) }) }),
		"bind":    await(t, func(done func(error)) { e.Bind(store.Binding{Queue: "b"}, done) }),
	} {
		if !errors.Is(err, errFailed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if told.Load() != 1 {
		t.Errorf("Fatal was called %d times", told.Load())
	}
}

// A disk that does not give a page is the end as well, and no damage to the file.
func TestReadFails(t *testing.T) {
	told := make(chan error, 2)
	o := Options{Path: t.TempDir(), HotBytes: 1, Fatal: func(err error) { told <- err }}
	e := mustOpen(t, o)
	var ms []*store.Message
	for i := range 500 {
		ms = append(ms, message("q", fmt.Sprint("m", i), 1000))
	}
	if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{}, 500)
	c, err := e.Consume("q", func(store.Delivery) { came <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	// One message is in memory. That it was delivered is written down, and nothing more is from then on:
	// a write would make the file longer again.
	c.Credit(1)
	<-came
	if err := publish(t, e, message("other", "x", 10)); err != nil {
		t.Fatal(err)
	}
	// What lies behind the end of a mapped file faults like a page that the disk has lost.
	if err := os.Truncate(o.file(), 20<<10); err != nil {
		t.Fatal(err)
	}
	c.Credit(499)
	if err := <-told; !errors.Is(err, errUnreadable) || !strings.Contains(err.Error(), "the disk cannot be read") {
		t.Errorf("Fatal was told: %v", err)
	}
	if err := publish(t, e, message("q", "refused", 10)); !errors.Is(err, errFailed) {
		t.Errorf("publish: %v", err)
	}
	if n, list := e.Damage(); n > 0 {
		t.Errorf("damage: %v", list)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(told) > 0 {
		t.Errorf("Fatal was told again: %v", <-told)
	}
}

// Pages that make no sense any more lose their commit's messages, each of which is reported; what other
// commits have is delivered, and nothing runs in circles.
func TestBrokenPages(t *testing.T) {
	o := Options{Path: t.TempDir(), HotBytes: 1}
	e := mustOpen(t, o)
	commit := func(from, to int) {
		var ms []*store.Message
		for i := from; i < to; i++ {
			ms = append(ms, message("q", fmt.Sprint("m", i), 1000))
		}
		if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
			t.Fatal(err)
		}
	}
	commit(0, 1) // stays in memory
	commit(1, 301)
	commit(301, 311)
	first, page, most := uint64(0), int64(0), 0
	if err := view(e.db, func(tx *bbolt.Tx) error {
		log := tx.Bucket(bucketLog)
		return log.ForEach(func(key, _ []byte) error {
			if b := log.Bucket(key); len(b.Get(keyIndex)) > most { // that of the 300
				first, page, most = binary.BigEndian.Uint64(key), int64(b.Root()), len(b.Get(keyIndex))
			}
			return nil
		})
	}); err != nil || page == 0 {
		t.Fatal("no commit with a page of its own: ", err)
	}
	f, err := os.OpenFile(o.file(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), page*int64(e.db.Info().PageSize)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	came := make(chan string, 400)
	c, err := e.Consume("q", func(d store.Delivery) { came <- d.Message().ID })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(400)
	want := []string{"m0"}
	for i := 301; i < 311; i++ {
		want = append(want, fmt.Sprint("m", i))
	}
	for _, id := range want {
		select {
		case got := <-came:
			if got != id {
				t.Fatalf("%s came, want %s", got, id)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not come", id)
		}
	}
	n, list := e.Damage()
	if n != 300 || list[0].Commit != first || list[0].Queue != "q" || !strings.Contains(list[0].Reason, "damaged") {
		t.Errorf("%d damages, the first %+v", n, list[0])
	}
}

// What stands in the way of opening is told in one line with the path and a cure.
func TestOpenRefuses(t *testing.T) {
	cases := map[string]struct {
		make func(t *testing.T, dir string) string
		want []string
	}{
		"missing parent": {func(_ *testing.T, dir string) string { return filepath.Join(dir, "a", "b") }, []string{"parent", "create"}},
		"a file is in the directory's place": {func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "data")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, []string{"not a directory", "move it away"}},
		"a directory is in the file's place": {func(t *testing.T, dir string) string {
			if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{FileName, "is a directory", "move it away"}},
		"empty file": {func(t *testing.T, dir string) string { return put(t, dir, nil) }, []string{FileName, "is empty", "remove"}},
		"not ours":   {func(t *testing.T, dir string) string { return put(t, dir, make([]byte, 1<<16)) }, []string{FileName, "damaged", "broker recover"}},
		"in use": {func(t *testing.T, dir string) string {
			mustOpen(t, Options{Path: dir})
			return dir
		}, []string{FileName, "in use by another process", "stop that"}},
	}
	if os.Getuid() != 0 { // root may write everywhere
		cases["read-only directory"] = struct {
			make func(t *testing.T, dir string) string
			want []string
		}{func(t *testing.T, dir string) string {
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{FileName, "permission denied", "writable"}}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := c.make(t, t.TempDir())
			start := time.Now()
			_, err := Open(Options{Path: dir, Logger: quiet(), LockTimeout: 50 * time.Millisecond})
			if err == nil {
				t.Fatal("opened")
			}
			if time.Since(start) > 3*time.Second {
				t.Errorf("it took %v", time.Since(start))
			}
			for _, w := range append(c.want, dir) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not mention %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func put(t *testing.T, dir string, raw []byte) string {
	if err := os.WriteFile(filepath.Join(dir, FileName), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Wherever the making, or the compacting, of a file stops, the next start goes well.
func TestStopWhileMaking(t *testing.T) {
	stop := errors.New("stop")
	for _, step := range []string{"create", "fill", "sync", "rename", "directory"} {
		for _, compact := range []bool{false, true} {
			dir, crashed := t.TempDir(), t.TempDir()
			o := Options{Path: dir}
			if compact {
				e := mustOpen(t, o)
				if err := publish(t, e, message("q", "m", 10)); err != nil {
					t.Fatal(err)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
			broken := o
			broken.Logger, broken.hooks.step = quiet(), func(at string) error {
				if at != step {
					return nil
				}
				// As if the machine had stopped here.
				if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
					t.Error(err)
				}
				return stop
			}
			var err error
			if compact {
				err = Compact(broken)
			} else {
				_, err = Open(broken)
			}
			if !errors.Is(err, stop) {
				t.Fatalf("step %s: %v", step, err)
			}
			for _, d := range []string{dir, crashed} {
				e := mustOpen(t, Options{Path: d})
				if n := e.Stat("q").Ready; compact && n != 1 {
					t.Errorf("step %s: %d messages", step, n)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				names, err := os.ReadDir(d)
				if err != nil || len(names) != 1 {
					t.Errorf("step %s: the directory holds %v", step, names)
				}
			}
		}
	}
}

// The cleaner gives the room of commits back that one message pins.
func TestCleaner(t *testing.T) {
	o := Options{Path: t.TempDir(), cleanAfter: time.Nanosecond}
	e := mustOpen(t, o)
	keep := 0
	got := make(chan store.Delivery, 1000)
	for _, queue := range []string{"a", "b"} {
		c, err := e.Consume(queue, func(d store.Delivery) { got <- d })
		if err != nil {
			t.Fatal(err)
		}
		c.Credit(1 << 30)
	}
	for round := range 40 {
		for i := range 50 {
			m := message([]string{"a", "b"}[i%2], fmt.Sprintf("m%d-%d", round, i), 1000)
			if err := await(t, func(done func(error)) { e.Commit([]*store.Message{m}, nil, done) }); err != nil {
				t.Fatal(err)
			}
			if d := <-got; i == 7 {
				keep++
			} else if err := await(t, d.Ack); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "few commits are left", func() bool {
		if err := publish(t, e, message("c", "x", 1)); err != nil {
			t.Fatal(err)
		}
		if err := await(t, func(done func(error)) { e.Drop("c", done) }); err != nil {
			t.Fatal(err)
		}
		return e.Usage().Commits <= 70
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, o)
	if n := e.Stat("b").Messages(); n != keep {
		t.Errorf("%d messages, want %d", n, keep)
	}
	if n, list := e.Damage(); n > 0 {
		t.Error(list)
	}
}

// A file that was big and is mostly empty is small after the next start; what is in it stays.
func TestDrainedFileShrinks(t *testing.T) {
	o := Options{Path: t.TempDir(), HotBytes: 1 << 20}
	e := mustOpen(t, o)
	const n = 60
	var ms []*store.Message
	for i := range 1000 {
		ms = append(ms, message("big", fmt.Sprint("m", i), 1000))
	}
	for range n { // by Commit, whose messages must not stay in memory either
		if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
			t.Fatal(err)
		}
	}
	if hot := e.table.Hot(); hot > 2<<20 {
		t.Errorf("%d bytes of bodies in memory, bound %d", hot, o.HotBytes)
	}
	if err := publish(t, e, message("small", "stays", 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, func(done func(error)) { e.Drop("big", done) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, o)
		if got, _ := e.Browse("small", 0, 9); len(got) != 1 || len(got[0].Data) != 100_000 {
			t.Fatalf("%d messages are left, want 1", len(got))
		}
	}
	if u := e.Usage(); u.File > 4<<20 || u.Live != 1 {
		t.Errorf("after a restart: %+v", u)
	}
}
