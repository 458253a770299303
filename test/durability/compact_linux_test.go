package durability

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCompactionIsAllOrNothing kills broker compact, or cuts the power, at any moment: the store
// is as it was, but for its size.
func TestCompactionIsAllOrNothing(t *testing.T) {
	for _, kind := range []string{"kill", "ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
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
			queues := []string{qIndividual, qBacklog}
			w.send(w.publisher("p"), qBacklog, 700, false)
			w.send(w.publisher("p"), qIndividual, 700, false)
			c := w.hold(qIndividual, individual)
			for _, d := range c.take(w, 100) {
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
			rounds := times(20) + 2
			took, whole := time.Duration(0), 0
			for n := range rounds {
				if err := restoreFile(file, raw); err != nil {
					t.Fatal(err)
				}
				compact := subcommand(t, "compact", "-config", filepath.Join(w.dir, "gudok.yaml"))
				var told bytes.Buffer
				compact.Stderr = &told
				began := time.Now()
				if err := compact.Start(); err != nil {
					t.Fatal(err)
				}
				// The first goes to its end, and so do some others where the power is cut then.
				if n > 0 && (d == nil || n%2 == 0) {
					time.Sleep(time.Duration(rnd.Int64N(int64(took))))
					if d != nil {
						d.cut()
					}
					_ = compact.Process.Kill()
				}
				err := compact.Wait()
				switch {
				case err == nil:
					whole++
				case n == 0 || d != nil && n%2 == 1:
					t.Fatalf("compact: %v: %s", err, &told)
				}
				if n == 0 {
					took = time.Since(began)
				}
				if d != nil {
					if !d.broken {
						d.cut()
					}
					d.restore()
				}
				w.l = known.clone()
				w.pubs = map[string]*publisher{}
				w.start()
				w.drain(queues...)
				w.broker.Stop()
				w.verdict()
				for _, leftover := range []string{".compact", ".new"} {
					if _, err := os.Stat(file + leftover); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s is there after the start: %v", leftover, err)
					}
				}
			}
			t.Logf("%d compactions of %v, of which %d came to their end", rounds, took, whole)
		})
	}
}

// restoreFile puts the contents back, durably.
func restoreFile(path string, raw []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Sync(), f.Close())
}
