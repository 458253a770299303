package bolt

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/store"
)

// What the engine tells of itself: its queues, the deepest first, its commits, its disk.
func TestGauges(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for q := range 5 {
		for i := range q + 1 {
			done := make(chan error)
			e.Publish(&store.Message{ID: fmt.Sprintf("%d-%d", q, i), Queue: fmt.Sprint("/queue/", q), Data: []byte("x"), Persistent: true},
				func(_ bool, err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	g := e.Gauges(3)
	if g.Queues != 5 || g.Messages != 15 || g.Bytes == 0 || len(g.Deepest) != 3 {
		t.Fatalf("%+v", g)
	}
	for i, d := range g.Deepest {
		if d.Queue != fmt.Sprint("/queue/", 4-i) || d.Ready != 5-i {
			t.Errorf("%d: %+v", i, d)
		}
	}
	if none := e.Gauges(0); len(none.Deepest) != 0 || none.Messages != 15 {
		t.Errorf("%+v", none)
	}
	n := uint64(0)
	for _, c := range g.Disk.Commits.Counts {
		n += c
	}
	if d := g.Disk; n != 15 || d.Records != 15 || d.Commits.Sum <= 0 || d.File == 0 || d.Used == 0 || d.Free <= 0 || len(d.Commits.Counts) != len(d.Commits.Bounds)+1 {
		t.Errorf("%+v, %d commits", d, n)
	}
	if err := e.Probe(); err != nil {
		t.Error(err)
	}
	e.journal.full.Store(true)
	if err := e.Probe(); !errors.Is(err, store.ErrFull) {
		t.Errorf("%v", err)
	}
}

// A commit that does not end shows: the engine is at work, and the number of the step stays.
func TestPulse(t *testing.T) {
	held, let := make(chan struct{}), make(chan struct{})
	hold := false
	o := Options{Path: t.TempDir()}
	o.hooks.update = func(int) error {
		if hold {
			held <- struct{}{}
			<-let
		}
		return nil
	}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	stored := make(chan error, 1)
	publish := func() {
		e.Publish(&store.Message{ID: "1", Queue: "/queue/q", Data: []byte(strings.Repeat("x", 100)), Persistent: true},
			func(_ bool, err error) { stored <- err })
	}
	hold = true
	publish()
	<-held
	step, busy := e.Pulse()
	if again, still := e.Pulse(); !busy || !still || again != step {
		t.Errorf("%d %v, then %d %v", step, busy, again, still)
	}
	hold = false
	close(let)
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if now, busy := e.Pulse(); now == step || busy {
		t.Errorf("after the end: step %d, busy %v", now, busy)
	}
}
