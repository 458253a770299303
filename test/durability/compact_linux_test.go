package durability

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCompactionIsAllOrNothing kills broker compact, or cuts the power, before each call in turn by which
// it changes files or has them synced, and after the last: the store is as it was, but for its size.
func TestCompactionIsAllOrNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rnd := seeded(t)
			var d *disk
			dir := filepath.Join(t.TempDir(), "data")
			if kind != "kill" {
				d = newDisk(t, kind)
				dir = filepath.Join(d.mount, "data")
			}
			file := filepath.Join(dir, "gudok.db")
			w := newWorld(t, rnd, dir)
			w.start()
			w.l.begin(0)
			w.subscribe(subAlways, individual).leave(w)
			w.spread(1030, subAlways) // more than one commit of the new file takes
			queues := []string{qIndividual, qBacklog, subAlways}
			w.send(w.publisher("p"), qBacklog, 100, false)
			w.send(w.publisher("p"), qIndividual, 100, false)
			c := w.hold(qIndividual, individual)
			for _, d := range c.take(w, 50) {
				c.acknowledge([]*entry{d.e}, d.ack)
			}
			w.sync(c.k)
			c.leave(w)
			w.broker.Stop()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			known := w.l
			calls := -1
			for n := -1; n < max(calls, 0) && !t.Failed(); n++ {
				if err := restoreFile(file, raw); err != nil {
					t.Fatal(err)
				}
				if made := w.compact(d, n); n < 0 {
					calls = made
				}
				w.goOn(known)
				w.start()
				w.spread(1, subAlways) // the subscription is there, before anybody asks for it
				w.drain(queues...)
				w.broker.Kill()
				w.verdict()
				for _, leftover := range []string{".compact", ".new"} {
					if _, err := os.Stat(file + leftover); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s is there after the start: %v", leftover, err)
					}
				}
			}
			t.Logf("stopped at each of %d steps, and after them", calls)
			if calls < 10 {
				t.Errorf("there were %d steps only", calls)
			}
		})
	}
}

// compact runs broker compact to its end, or stops it before its call n, counted from 0. Then the power
// is cut, too. It gives the number of calls that were made.
func (w *world) compact(d *disk, n int) (calls int) {
	w.t.Helper()
	g := newGate(w.t)
	g.watch(func(*call) error {
		if calls != n {
			calls++
			return nil
		}
		if d != nil {
			d.cut()
		}
		return errLast
	})
	compact := subcommand(w.t, "compact", "-config", filepath.Join(w.dir, "gudok.yaml"))
	g.put(compact)
	var told bytes.Buffer
	compact.Stderr = &told
	err := compact.Run()
	g.watch(nil)
	if n < 0 && err != nil {
		w.t.Fatalf("compact: %v: %s", err, &told)
	}
	if d != nil {
		if !d.broken {
			d.cut()
		}
		d.restore()
	}
	return calls
}

// restoreFile puts the contents back, durably, and removes others of its directory.
func restoreFile(path string, raw []byte, others ...string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	for _, other := range others {
		err = errors.Join(err, os.RemoveAll(other))
	}
	d, e := os.Open(filepath.Dir(path))
	if e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, d.Sync(), d.Close())
}
