package bolt

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
)

// want is what a file made by fixture holds, in order.
type want struct {
	queues   map[string][]*store.Message
	gone     map[string]bool // IDs that were acknowledged
	bindings []store.Binding
}

// fixture makes a store with a bit of everything and gives its directory.
func fixture(t *testing.T) (string, want) {
	t.Helper()
	dir := t.TempDir()
	e, err := Open(Options{Path: dir, MinFree: -1, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	w := want{queues: map[string][]*store.Message{}, gone: map[string]bool{}}
	random := rand.New(rand.NewPCG(1, 2))
	wait := make(chan error, 1)
	done := func(err error) { wait <- err }
	ok := func() {
		t.Helper()
		if err := <-wait; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		queue := fmt.Sprintf("/queue/q%d", i%4)
		var ms []*store.Message
		for k := range 1 + i%17 {
			size := random.IntN(600)
			if i == 20 && k < 2 {
				size = 100_000
			}
			data := make([]byte, size)
			for b := range data {
				data[b] = byte(random.Uint32())
			}
			m := &store.Message{ID: fmt.Sprintf("m%d-%d", i, k), Queue: queue, Data: data, Persistent: true, Priority: 4}
			if k == 3 {
				m.Expires = 1 << 42
			}
			ms = append(ms, m)
		}
		e.Commit(ms, nil, done)
		ok()
		w.queues[queue] = append(w.queues[queue], ms...)
	}
	for queue := range w.queues {
		got := make(chan store.Delivery, 1000)
		c, err := e.Consume(queue, func(d store.Delivery) { got <- d })
		if err != nil {
			t.Fatal(err)
		}
		var kept []*store.Message
		c.Credit(50)
		for i := range 50 {
			switch d := <-got; {
			case i%3 != 0:
				d.Ack(done)
				ok()
				w.gone[d.Message().ID] = true
			case i%2 == 0:
				d.Nack(time.Millisecond, done)
				ok()
				kept = append(kept, d.Message())
			default:
				kept = append(kept, d.Message())
			}
		}
		w.queues[queue] = append(kept, w.queues[queue][50:]...)
		c.Close()
	}
	for i := range 5 {
		b := store.Binding{Queue: fmt.Sprintf("sub%d", i), Topic: "/topic/x", Owner: "me"}
		e.Bind(b, done)
		ok()
		w.bindings = append(w.bindings, b)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, w
}

// used is how much of a file is in use.
func used(t *testing.T, path string) int64 {
	t.Helper()
	p, err := checkPages(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(p.high) * int64(p.pageSize)
}

// drain reads a store to the end and compares: no message may differ from what was written. It tells
// how many are lost or came back from the dead.
func drain(t *testing.T, e *Engine, w want) (lost, risen int) {
	t.Helper()
	sent := map[string]*store.Message{}
	for _, ms := range w.queues {
		for _, m := range ms {
			sent[m.ID] = m
		}
	}
	for _, queue := range e.Queues("", 100) {
		var after uint64
		for {
			ms, last := e.Browse(queue, after, 500)
			for _, m := range ms {
				was := sent[m.ID]
				switch {
				case was == nil && w.gone[m.ID]:
					risen++
				case was == nil || m.Queue != was.Queue || !bytes.Equal(m.Data, was.Data) || m.Expires != was.Expires ||
					m.Priority != was.Priority || m.Flags != was.Flags:
					t.Errorf("%s of %s was altered and delivered", m.ID, queue)
				default:
					delete(sent, m.ID)
				}
			}
			if last == after {
				break
			}
			after = last
		}
	}
	return len(sent), risen
}

// harm changes a file and says how.
func harm(random *rand.Rand, raw []byte, used int64) ([]byte, string) {
	const page = 4096
	switch random.IntN(10) {
	case 0:
		at := random.Int64N(used/page) * page
		clear(raw[at : at+page])
		return raw, fmt.Sprintf("page %d is zero", at/page)
	case 1:
		at := random.Int64N(used)
		return raw[:at], fmt.Sprintf("cut off at %d", at)
	case 2: // a write that went to the wrong place
		from, to := random.Int64N(used/page)*page, random.Int64N(used/page)*page
		copy(raw[to:to+page], raw[from:from+page])
		return raw, fmt.Sprintf("page %d is a copy of page %d", to/page, from/page)
	default:
		at, bit := random.Int64N(used), random.IntN(8)
		raw[at] ^= 1 << bit
		return raw, fmt.Sprintf("bit %d of byte %d of page %d is flipped", bit, at%page, at/page)
	}
}

var harmed = flag.Int("harmed", 600, "files that TestDamage harms; the race detector looks at 60")

// Whatever happens to the file, what is delivered is what was written, and whatever is missing or came
// back is reported; Recover keeps what is intact.
func TestDamage(t *testing.T) {
	dir, w := fixture(t)
	whole, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	inUse := used(t, filepath.Join(dir, FileName))
	whole = whole[:inUse+4096]
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := *harmed
	if race {
		rounds = 60
	}
	var refused, reported, harmless, recovered, lostInAll int
	root := t.TempDir()
	for round := range rounds {
		dir := filepath.Join(root, fmt.Sprint(round))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		raw, how := harm(random, bytes.Clone(whole), inUse)
		if err := os.WriteFile(filepath.Join(dir, FileName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{Path: dir, MinFree: -1, Logger: quiet()}
		e, err := Open(o)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %v", how, err)
			}
			refused++
			var report strings.Builder
			if err := Recover(o, &report); err != nil {
				if len(raw) >= 2*4096 {
					t.Errorf("%s: recover: %v", how, err)
				}
				continue
			}
			if e, err = Open(o); err != nil {
				t.Errorf("%s: open what was recovered: %v", how, err)
				continue
			}
			recovered++
			lost, _ := drain(t, e, w)
			lostInAll += lost
			if lost > 40 && how[0] == 'b' {
				t.Errorf("%s: %d messages lost by Recover:\n%s", how, lost, report.String())
			}
		} else {
			lost, risen := drain(t, e, w)
			lostInAll += lost
			count, list := e.Damage()
			switch {
			case count > 0:
				reported++
			case lost+risen > 0:
				t.Errorf("%s: %d lost and %d risen without a report", how, lost, risen)
			case len(e.Bindings()) != len(w.bindings):
				t.Errorf("%s: a binding is lost without a report", how)
			default:
				harmless++
			}
			if lost > 100 {
				t.Logf("%s: %d lost: %v", how, lost, list)
			}
		}
		if err := e.Close(); err != nil {
			t.Errorf("%s: close: %v", how, err)
		}
		if t.Failed() {
			t.Logf("round %d of seed %d", round, seed)
			return
		}
		_ = os.RemoveAll(dir)
	}
	t.Logf("seed %d, %d files: %d harmless, %d opened with a report, %d refused of which %d were recovered; %d messages lost",
		seed, rounds, harmless, reported, refused, recovered, lostInAll)
	if reported == 0 || refused == 0 {
		t.Error("the damage was not worth the name")
	}
}

// A damaged message is reported, kept aside and stays out of the way; the others are served.
func TestQuarantine(t *testing.T) {
	dir, w := fixture(t)
	path := filepath.Join(dir, FileName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	victim := w.queues["/queue/q1"][60]
	at := bytes.Index(raw, victim.Data[:64])
	if at < 0 {
		t.Fatal("the message is not in the file")
	}
	raw[at] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Path: dir, MinFree: -1, Logger: quiet()}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan store.Delivery, 1000)
	c, err := e.Consume("/queue/q1", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(1000)
	for _, m := range w.queues["/queue/q1"] {
		if m == victim {
			continue
		}
		if d := <-got; d.Message().ID != m.ID || !bytes.Equal(d.Message().Data, m.Data) {
			t.Fatalf("got %s, want %s", d.Message().ID, m.ID)
		}
	}
	n, list := e.Damage()
	if n != 1 || list[0].Queue != victim.Queue || list[0].ID != victim.ID {
		t.Fatalf("damage: %d, %+v", n, list)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if n, list := e.Damage(); n != 0 {
		t.Errorf("reported again: %+v", list)
	}
	if lost, risen := drain(t, e, w); lost != 1 || risen != 0 {
		t.Errorf("%d lost, %d risen", lost, risen)
	}
}

// What Recover says of a whole file.
func TestRecoverOfAWholeFile(t *testing.T) {
	dir, w := fixture(t)
	o := Options{Path: dir, MinFree: -1, Logger: quiet(), LockTimeout: 50 * time.Millisecond}
	if err := Recover(o, io.Discard); err != nil {
		t.Fatal(err)
	}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if lost, risen := drain(t, e, w); lost+risen != 0 {
		t.Errorf("%d lost, %d risen", lost, risen)
	}
	if n := len(e.Bindings()); n != len(w.bindings) {
		t.Errorf("%d bindings, want %d", n, len(w.bindings))
	}
	if err := Recover(o, io.Discard); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Recover while it is open: %v", err)
	}
}
