package bolt

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

// childDir names the variable that makes the test's program publish until it is killed.
const childDir = "GUDOK_BOLT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child publishes, consumes and acknowledges, and says what it was promised.
func child(dir string) {
	e, err := Open(Options{Path: dir, MinFree: -1, Logger: quiet()})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first, _ := strconv.Atoi(os.Getenv(childDir + "_FIRST"))
	out := make(chan string, 1000)
	go func() {
		var c store.Consumer
		c, err = e.Consume("q", func(d store.Delivery) {
			id := d.Message().ID
			if strings.HasSuffix(id, "7") { // stays on loan
				c.Credit(1)
				return
			}
			d.Ack(func(err error) {
				if err == nil {
					out <- "acked " + id
				}
				c.Credit(1)
			})
		})
		if err == nil {
			c.Credit(100)
		}
		window := make(chan bool, 64)
		for i := first; ; i++ {
			window <- true
			id := fmt.Sprint("m", i)
			e.Publish(message("q", id, 100+i%500), func(_ bool, err error) {
				if err == nil {
					out <- "sent " + id
				}
				<-window
			})
		}
	}()
	for line := range out {
		fmt.Println(line)
	}
}

// Killed at any moment, the store has what it promised.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	sent, acked := map[string]bool{}, map[string]bool{}
	next, promises := 0, 0
	const cycles = 12
	for cycle := range cycles {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FIRST="+fmt.Sprint(next))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := time.AfterFunc(time.Duration(30+17*cycle)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		read(t, out, sent, acked)
		_ = cmd.Wait() // it was killed
		killed.Stop()
		next += 1_000_000
		promises = len(sent) + len(acked)
		e := mustOpen(t, Options{Path: dir})
		if n, list := e.Damage(); n > 0 {
			t.Fatal(list)
		}
		there := map[string]bool{}
		last := -1
		ms, _ := e.Browse("q", 0, 1_000_000)
		for _, m := range ms {
			there[m.ID] = true
			if acked[m.ID] {
				t.Errorf("cycle %d: %s came back", cycle, m.ID)
			}
			n, err := strconv.Atoi(m.ID[1:])
			if err != nil || n <= last {
				t.Errorf("cycle %d: %s after m%d", cycle, m.ID, last)
			}
			last = n
		}
		for id := range sent {
			if !there[id] && !acked[id] {
				// Its ack may have been durable without a word.
				if strings.HasSuffix(id, "7") {
					t.Errorf("cycle %d: %s is lost", cycle, id)
				}
				acked[id] = true
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d promises", cycles, promises)
	if promises < 1000 {
		t.Errorf("only %d promises were made", promises)
	}
}

func read(t *testing.T, out io.Reader, sent, acked map[string]bool) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch what, id, _ := strings.Cut(lines.Text(), " "); what {
		case "sent":
			sent[id] = true
		case "acked":
			acked[id] = true
		default:
			t.Errorf("the child says %q", lines.Text())
		}
	}
}

// After a crash what was delivered is known to have been; after Close it is as if it had not.
func TestDeliveredBeforeACrash(t *testing.T) {
	o, crashed := Options{Path: t.TempDir()}, Options{Path: t.TempDir()}
	e := mustOpen(t, o)
	for i := range 4 {
		if err := publish(t, e, message("q", fmt.Sprint("m", i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan store.Delivery, 4)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(2)
	<-got
	<-got
	// The first may be written before the second is delivered.
	eventually(t, "that is on the disk", func() bool {
		var reached uint64
		if err := e.db.View(func(tx *bbolt.Tx) error { reached = readReaches(tx)["q"]; return nil }); err != nil {
			t.Fatal(err)
		}
		return reached == 2
	})
	err = e.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(crashed.file(), 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []struct {
		Options
		want []int
	}{{crashed, []int{2, 2, 1, 1}}, {o, []int{1, 1, 1, 1}}} {
		e := mustOpen(t, to.Options)
		if c, err = e.Consume("q", func(d store.Delivery) { got <- d }); err != nil {
			t.Fatal(err)
		}
		c.Credit(4)
		for i, want := range to.want {
			if n := (<-got).Count(); n != want {
				t.Errorf("message %d: count %d, want %d", i, n, want)
			}
		}
	}
}

// A file of another version is refused, not reset.
func TestOtherFormat(t *testing.T) {
	o := Options{Path: t.TempDir()}
	e := mustOpen(t, o)
	if err := e.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte("2")) }); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"open":    func() error { _, err := Open(o); return err }(),
		"compact": Compact(o),
		"recover": Recover(o, io.Discard),
	} {
		if err == nil || !strings.Contains(err.Error(), o.file()) || !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Nothing that is read makes the parsers panic.
func FuzzParse(f *testing.F) {
	m := message("q", "id", 10)
	r := describe(m, 7)
	r.expires = 1
	f.Add(appendIndex(nil, 3, []record{r, describe(m, 8)}))
	b := newBucket(3, 70)
	b.nack(5, nack{1, 2})
	f.Add(b.appendMarks(nil))
	f.Add(encodeBinding(store.Binding{Queue: "q", Topic: "t", Owner: "o"}))
	f.Add(manifest{}.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		idx, err := parseIndex(raw, interner{}.name)
		for i := range idx.records {
			if body, e := idx.records[i].body(raw, raw); e == nil && err == nil {
				idx.records[i].message(body)
			}
		}
		_ = newBucket(3, 70).readMarks(raw)
		_, _ = parseBinding([]byte("q"), raw)
		_, _ = parseManifest(raw)
		if p, err := openPages(strings.NewReader(string(raw)), int64(len(raw))); err == nil {
			_ = p.walkFile(nil, func(string, []byte, element) error { return nil })
		}
	})
}
