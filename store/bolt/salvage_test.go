package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/store"
)

// headless takes both headers off a file and recovers what is left of it.
func headless(t *testing.T, o Options) string {
	t.Helper()
	path := filepath.Join(o.Path, FileName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw[:8192])
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := Recover(o, &said); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

// browse gives the IDs of a queue's messages.
func browse(e *Engine, queue string) []string {
	ms, _ := e.Browse(queue, 0, 1_000_000)
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	return ids
}

// More than two long messages of one commit do not fit the page that its index is in: they lie in
// others, which nothing but the lost tree connects with it.
func TestRecoverLongMessagesWithoutHeaders(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			o := Options{Path: t.TempDir(), MinFree: -1, Logger: quiet()}
			e := mustOpen(t, o)
			var ms []*store.Message
			for i := range n {
				ms = append(ms, message("q", fmt.Sprint("short", i), 10), message("q", fmt.Sprint("long", i), 70_000))
			}
			if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			said := headless(t, o)
			e = mustOpen(t, o)
			if got := browse(e, "q"); len(got) != len(ms) {
				t.Errorf("%d of %d messages are left\n%s", len(got), len(ms), said)
			}
		})
	}
}

// A queue that was emptied counts its positions from 1 again: what once had them must not stand in
// for what has them now.
func TestRecoverPositionsUsedAgain(t *testing.T) {
	o := Options{Path: t.TempDir(), MinFree: -1, Logger: quiet()}
	e := mustOpen(t, o)
	const n = 60
	got := make(chan store.Delivery, n)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(n)
	for i := range n { // each in a page of its own
		if err := publish(t, e, message("q", fmt.Sprint("old", i), 2000)); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := await(t, (<-got).Ack); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	var ms []*store.Message
	for i := range n { // all in few
		ms = append(ms, message("q", fmt.Sprint("new", i), 20))
	}
	if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	said := headless(t, o)
	ids := browse(mustOpen(t, o), "q")
	next := 0
	for _, id := range ids {
		if id == fmt.Sprint("new", next) {
			next++
		}
	}
	if next != n || len(ids) == n {
		t.Errorf("%d of %d messages are in order among %d\n%s", next, n, len(ids), said)
	}
}

// A commit that a crash cut off leaves its number to the next one: neither stands in for the other.
func TestRecoverNumberUsedAgain(t *testing.T) {
	o := Options{Path: t.TempDir(), MinFree: -1, Logger: quiet()}
	path := filepath.Join(o.Path, FileName)
	e := mustOpen(t, o)
	const n = 100
	got := make(chan store.Delivery, n)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(n)
	for i := range n {
		if err := publish(t, e, message("q", fmt.Sprint("m", i), 2000)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n { // holes of a page each
		if d := <-got; i%2 == 0 {
			if err := await(t, d.Ack); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, o)
	if err := publish(t, e, message("q", "cut", 2000)); err != nil { // in a hole
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(after[:8192], before)
	if err := os.WriteFile(path, after, 0o600); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, o)
	if err := publish(t, e, message("q", "kept", 20_000)); err != nil { // behind it
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	said := headless(t, o)
	ids := browse(mustOpen(t, o), "q")
	if !slices.Contains(ids, "kept") || len(ids) < n/2+1 {
		t.Errorf("of %d messages the last is lost: %v\n%s", n/2+1, ids, said)
	}
}

// A durable subscription that was bound to another topic comes back with the latest.
func TestRecoverBindingsChanged(t *testing.T) {
	for n := 1; n < 6; n++ {
		o := Options{Path: t.TempDir(), MinFree: -1, Logger: quiet()}
		e := mustOpen(t, o)
		topic := ""
		for i := range n {
			topic = fmt.Sprint("/topic/", i)
			b := store.Binding{Queue: "sub", Topic: topic, Owner: "me"}
			if err := await(t, func(done func(error)) { e.Bind(b, done) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		said := headless(t, o)
		if bs := mustOpen(t, o).Bindings(); len(bs) != 1 || bs[0].Topic != topic {
			t.Errorf("the bindings are %v, want %s\n%s", bs, topic, said)
		}
	}
}
