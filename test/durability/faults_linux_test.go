package durability

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

// tmpfs mounts a small one.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		need(t, "root, to mount a file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		need(t, fmt.Sprintf("the right to mount a tmpfs: %v", err))
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// strace gives the command line to run a broker under it.
func strace(t *testing.T, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		need(t, "strace")
	}
	return append([]string{path, "-f", "-q", "-o", filepath.Join(t.TempDir(), "strace")}, args...)
}

// asker sends messages of which each is answered, by a RECEIPT or by an ERROR that does not end the
// connection.
type asker struct {
	w       *world
	k       *link
	p       *publisher
	answer  chan bool // whether it was stored
	refused int
}

func (w *world) asker() *asker {
	w.t.Helper()
	a := &asker{w: w, p: w.publisher("asker"), answer: make(chan bool, 1)}
	a.k = w.dialWith("gudok-errors:soft\n")
	a.k.failed = func(f *harness.Frame) {
		if f.Value("message") != "queue is full" || f.Value("receipt-id") == "" || f.Value("fatal") != "false" {
			w.l.report("ERROR of a full disk: %s", f)
		}
		a.refused++
		a.answer <- false
	}
	return a
}

// ask sends one message and tells whether it was stored.
func (a *asker) ask(queue string) bool {
	a.w.t.Helper()
	if err := a.p.one(a.k, queue, func() { a.answer <- true }); err != nil {
		a.w.t.Fatalf("%v\n%s", err, a.w.broker.Output())
	}
	select {
	case stored := <-a.answer:
		return stored
	case <-time.After(harness.Patience):
		a.w.t.Fatalf("stuck: a SEND was not answered\n%s", a.w.broker.Output())
		return false
	}
}

// fill sends messages until one is refused, and tells how many were stored.
func (w *world) fill(queues ...string) int {
	w.t.Helper()
	k := w.dialWith("gudok-errors:soft\n")
	defer k.close()
	var once sync.Once
	full := make(chan struct{})
	k.failed = func(*harness.Frame) {
		// What is on its way will be answered, and nobody listens: that is allowed.
		once.Do(func() { close(full); k.conn.Close() })
	}
	// No disk here has room for so many.
	enough := w.l.begin(60_000)
	go func() {
		select {
		case <-enough:
			once.Do(func() { close(full); k.conn.Close() })
		case <-time.After(3 * harness.Patience):
			w.l.report("stuck: the disk does not become full")
			once.Do(func() { close(full); k.conn.Close() })
		case <-full:
		}
	}()
	w.publisher("p").run(k, 200, queues, full)
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.counts.receipts
}

// resumes asks until messages are taken again.
func (a *asker) resumes(queue string) (after time.Duration) {
	a.w.t.Helper()
	began := time.Now()
	for stored := 0; stored < 20; {
		if a.ask(queue) {
			stored++
		} else if time.Since(began) > harness.Patience {
			a.w.t.Fatalf("stuck: messages are not taken again although there is room\n%s", a.w.broker.Output())
		}
	}
	return time.Since(began)
}

// Below min_free durable messages are refused, each with an ERROR; acknowledgements go on, and
// messages are taken again as soon as there is room.
func TestDiskBelowMinFree(t *testing.T) {
	rnd := seeded(t)
	disk := tmpfs(t, "size=48m")
	dir, other := filepath.Join(disk, "data"), filepath.Join(disk, "other")
	write(t, other, strings.Repeat("x", 16<<20))
	w := newWorld(t, rnd, dir)
	w.config = func() string { return strings.Replace(configFor(dir), "min_free: 0", "min_free: 8MiB", 1) }
	w.start()
	w.l.begin(0)
	filled := w.fill(qIndividual, qCumulative, qBacklog)
	a := w.asker()
	for range 20 {
		a.ask(qBacklog)
	}
	if a.refused != 20 {
		t.Errorf("%d of 20 messages refused below min_free", a.refused)
	}
	c := w.hold(qIndividual, individual)
	for _, d := range c.take(w, 100) {
		c.acknowledge([]*entry{d.e}, d.ack)
	}
	w.sync(c.k) // they are receipted
	w.restart()
	a = w.asker()
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	took := a.resumes(qBacklog)
	w.drain(qIndividual, qCumulative, qBacklog)
	w.broker.Stop()
	t.Logf("%d messages stored; taken again after %v", filled, took)
	w.verdict()
}

// A disk that somebody else fills to the last block refuses messages, each with an ERROR, and
// promises nothing it cannot keep, also after a kill; messages are delivered, and taken again as soon as
// there is room, without a restart.
func TestDiskFull(t *testing.T) {
	rnd := seeded(t)
	disk := tmpfs(t, "size=28m")
	other := filepath.Join(disk, "other")
	write(t, other, strings.Repeat("x", 4<<20))
	w := newWorld(t, rnd, filepath.Join(disk, "data"))
	w.start()
	w.l.begin(0)
	filled := w.fill(qIndividual, qCumulative, qBacklog)
	a := w.asker()
	for n := 0; a.refused < 3 && n < 10_000; n++ { // small ones may still find a place
		a.ask(qBacklog)
	}
	acknowledged := 0
	for range 2 { // the second time after a kill, on the full disk
		acknowledged += w.acknowledge(qIndividual, 100) // what finds no room has no receipt yet
		w.restart()
	}
	a = w.asker()
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	took := a.resumes(qBacklog)
	w.drain(qIndividual, qCumulative, qBacklog)
	w.broker.Stop()
	t.Logf("%d messages stored, %d refused; on the full disk %d of 200 acknowledgements were receipted; taken again after %v",
		filled, a.refused, acknowledged, took)
	w.verdict()
}

// Where a full disk has no room for acknowledgements either, they are not receipted before they are
// written; nothing else is held up.
func TestNoRoomForAcknowledgements(t *testing.T) {
	w := newWorld(t, seeded(t), filepath.Join(t.TempDir(), "data"))
	w.start()
	w.l.begin(0)
	w.send(w.publisher("p"), qIndividual, 50, false)
	w.broker.Stop()
	g := w.startGated()
	g.watch(func(c *call) error {
		if c.name == "pwrite" {
			return syscall.ENOSPC
		}
		return nil
	})
	w.l.begin(0)
	receipts := w.acknowledge(qIndividual, 50)
	w.restart()
	w.end(qIndividual)
	t.Logf("%d of 50 acknowledgements were receipted", receipts)
}

// acknowledge takes messages, acknowledges them, and tells how many receipts came in half a second.
func (w *world) acknowledge(queue string, n int) int {
	w.t.Helper()
	c := w.hold(queue, individual)
	receipts := make(chan struct{}, n)
	all := make(chan struct{})
	for _, d := range c.take(w, n) {
		c.l.acking([]*entry{d.e}, nil)
		if err := c.k.send("ACK\nid:"+d.ack+"\n", nil, func() {
			c.l.acked([]*entry{d.e})
			if receipts <- struct{}{}; len(receipts) == n {
				close(all)
			}
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-time.After(grace(mutant.AckWhenFull)):
	}
	return len(receipts)
}

// A disk that fails to sync stops the broker, with one line and the exit code 74: nobody knows what
// is on it. What was receipted is there afterwards.
func TestSyncFails(t *testing.T) {
	rnd := seeded(t)
	w := newWorld(t, rnd, filepath.Join(t.TempDir(), "data"))
	w.start() // makes the file
	w.broker.Stop()
	for round := range times(10) + 1 {
		call := []string{"fdatasync", "pwrite64"}[round%2]
		w.start(strace(t, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+", call, 4+rnd.IntN(30)))...)
		enough := w.l.begin(20_000) // so many are not stored by then
		k := w.dial("")
		k.closing.Store(true)
		w.publisher("p").run(k, 50, []string{qIndividual, qBacklog}, enough)
		select {
		case <-k.gone:
		case <-enough:
			t.Fatalf("%s: the broker did not end although its disk fails", call)
		}
		code := w.broker.Exited(harness.Patience)
		if code != 74 {
			t.Errorf("%s: the broker exited with %d, want 74\n%s", call, code, w.broker.Output())
		}
		if n := said(w.broker.Output(), "broker"); n != 1 {
			t.Errorf("%s: the broker told its end in %d lines\n%s", call, n, w.broker.Output())
		}
	}
	w.start()
	w.drain(qIndividual, qBacklog)
	w.broker.Stop()
	w.print("failed syncs", times(10)+1, w.verdict())
}

// said counts lines that begin like this.
func said(out, prefix string) int {
	n := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// What cannot be a data directory is refused at once, in one line that names it and says what to do.
func TestRefusesToStart(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	w := newWorld(t, seeded(t), good)
	w.start()
	for _, c := range []struct {
		name string
		make func(t *testing.T) string // gives the data directory
		cure string
	}{
		{"in use", func(*testing.T) string { return good }, "in use"},
		{"read-only", func(t *testing.T) string {
			dir := tmpfs(t, "size=1m")
			if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "data")
		}, "writable"},
		{"file in its place", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "data")
			write(t, path, "x")
			return path
		}, "not a directory"},
		{"directory in the file's place", func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "gudok.db"), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is a directory"},
		{"no parent", func(t *testing.T) string { return filepath.Join(t.TempDir(), "a", "b") }, "create"},
		{"empty file", func(t *testing.T) string {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "gudok.db"), "")
			return dir
		}, "restore"},
		{"another file", func(t *testing.T) string {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "gudok.db"), strings.Repeat("no store of a broker. ", 1000))
			return dir
		}, "recover"},
		{"no room", func(t *testing.T) string { return filepath.Join(tmpfs(t, "size=16k"), "data") }, "room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.make(t)
			b, err := harness.TryStart(t, configFor(dir), harness.Options{Env: environment(), Quiet: true})
			if err == nil {
				b.Stop()
				t.Fatal("the broker started")
			}
			if code := b.Exited(harness.Patience); code <= 0 || code == 2 {
				t.Errorf("exit code %d", code)
			}
			out := strings.TrimSpace(b.Output())
			if strings.Contains(out, "\n") || !strings.Contains(out, dir) || !strings.Contains(out, c.cure) {
				t.Errorf("want one line with %q and %q, got\n%s", dir, c.cure, out)
			}
		})
	}
	w.broker.Stop()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The name of a new file is as durable as what it holds: its directory, and that directory's own
// name, are synced before the broker says that it is ready. File systems mostly do so by
// themselves, so that no power cut would tell.
func TestFirstStartSyncsDirectories(t *testing.T) {
	w := newWorld(t, seeded(t), "")
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	w.config = func() string { return configFor(data) }
	g := newGate(t)
	var calls []string
	g.watch(func(c *call) error {
		calls = append(calls, c.name+" "+c.file())
		return nil
	})
	w.begin(g.options(harness.Options{}))
	g.watch(nil) // calls are those before it was ready
	w.broker.Stop()
	left := calls
	for _, want := range []string{"mkdir " + data, "fsync " + dir, "fsync " + data + "/gudok.db.new", "rename " + data + "/gudok.db", "fsync " + data} {
		i := slices.Index(left, want)
		if i < 0 {
			t.Fatalf("no directory sync: %q is not there where it should be in\n%s", want, strings.Join(calls, "\n"))
		}
		left = left[i+1:]
	}
}
