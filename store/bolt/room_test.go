package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store"
	"go.etcd.io/bbolt"
)

var errDiskFull = &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}

// On a disk with room for next to nothing acknowledgements are written one after the other; whenever
// the machine stops, the file is whole, and what is acknowledged with a done is.
func TestAcknowledgedInParts(t *testing.T) {
	var tokens atomic.Int64 // so many transactions find room, of one mark each
	tokens.Store(1 << 40)
	o := Options{Path: t.TempDir(), fullNap: time.Millisecond, hooks: hooks{update: func(n int) error {
		if tokens.Load() < 1<<20 && (n > 1 || tokens.Add(-1) < 0) {
			return errDiskFull
		}
		return nil
	}}}
	e := mustOpen(t, o)
	const commits, each = 6, 4
	for i := range commits {
		var ms []*store.Message
		for k := range each {
			ms = append(ms, message("q", fmt.Sprintf("m%d-%d", i, k), 100))
		}
		if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan store.Delivery, commits*each)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(commits * each)
	tokens.Store(0)
	acked := make(chan error, commits*each)
	for i := range commits * each {
		// Of three commits one message stays.
		if d := <-got; i%each > 0 || i/each%2 > 0 {
			d.Ack(func(err error) { acked <- err })
		} else {
			acked <- nil
		}
	}
	eventually(t, "the disk is full", e.Full)
	sizes := map[int]bool{}
	for len(acked) < commits*each {
		copied := filepath.Join(t.TempDir(), FileName)
		if err := e.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }); err != nil {
			t.Fatal(err)
		}
		crashed := mustOpen(t, Options{Path: filepath.Dir(copied)})
		if n, list := crashed.Damage(); n > 0 {
			t.Fatalf("after %d parts: %v", len(sizes), list)
		}
		left := crashed.Stat("q").Messages()
		if err := crashed.Close(); err != nil {
			t.Fatal(err)
		}
		sizes[left] = true
		if answered := len(acked); answered > commits/2 && left > commits/2 {
			t.Fatalf("%d acknowledgements were answered, and %d messages are left", answered, left)
		}
		tokens.Store(1)
		eventually(t, "a part is written", func() bool { return tokens.Load() <= 0 || len(acked) == commits*each })
	}
	for range commits * each {
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
	}
	if len(sizes) < commits/2 {
		t.Errorf("only %d states were seen", len(sizes))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, Options{Path: o.Path})
	if n := e.Stat("q").Messages(); n != commits/2 {
		t.Errorf("%d messages are left, want %d", n, commits/2)
	}
}

// A disk that has less than MinFree takes no message from the start on, and not the first one either.
func TestStartBelowMinFree(t *testing.T) {
	o := Options{Path: t.TempDir()}
	e := mustOpen(t, o)
	if err := publish(t, e, message("q", "m", 10)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	o.MinFree = 1 << 60
	e = mustOpen(t, o)
	if !e.Full() {
		t.Error("the store takes messages")
	}
	if err := publish(t, e, message("q", "refused", 10)); !errors.Is(err, store.ErrFull) {
		t.Errorf("publish: %v", err)
	}
	got := make(chan store.Delivery, 1)
	c, err := e.Consume("q", func(d store.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	c.Credit(1)
	if err := await(t, (<-got).Ack); err != nil {
		t.Errorf("ack: %v", err)
	}
}

// Below MinFree messages find room where drained ones were, and the file does not grow.
func TestDrainedBelowMinFree(t *testing.T) {
	o := Options{Path: t.TempDir(), HotBytes: 1}
	e := mustOpen(t, o)
	batch := func(queue string, n int) {
		t.Helper()
		var ms []*store.Message
		for i := range n {
			ms = append(ms, message([]string{queue, "stays"}[i%2], fmt.Sprint("m", i), 1000))
		}
		if err := await(t, func(done func(error)) { e.Commit(ms, nil, done) }); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		batch("goes", 1000)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(o.file())
	if err != nil {
		t.Fatal(err)
	}
	o.MinFree = 1 << 60
	e = mustOpen(t, o)
	if !e.Full() {
		t.Fatal("the store takes messages")
	}
	if err := await(t, func(done func(error)) { e.Drop("goes", done) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "messages are taken again", func() bool { return !e.Full() })
	for range 4 {
		batch("more", 1000)
	}
	after, err := os.Stat(o.file())
	if err != nil {
		t.Fatal(err)
	}
	if after.Size() > before.Size() {
		t.Errorf("the file has grown from %d to %d bytes", before.Size(), after.Size())
	}
	if n := e.Stat("stays").Messages(); n != 12_000 {
		t.Errorf("%d messages stay, want 12000", n)
	}
}

// A disk that has less than it says, for a quota say, refuses messages like a full one, and is asked
// again.
func TestDiskRefusesToGrow(t *testing.T) {
	var quota atomic.Bool
	o := Options{Path: t.TempDir(), hooks: hooks{grow: func() error {
		if quota.Load() {
			return syscall.EDQUOT
		}
		return nil
	}}}
	e := mustOpen(t, o)
	quota.Store(true)
	var err error
	stored := 0
	for ; err == nil && stored < 1000; stored++ {
		err = publish(t, e, message("q", fmt.Sprint("m", stored), 100_000))
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v", stored, err)
	}
	eventually(t, "messages are refused", e.Full)
	quota.Store(false)
	eventually(t, "messages are taken again", func() bool { return publish(t, e, message("q", "again", 100_000)) == nil })
}
