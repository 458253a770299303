package durability

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestPowerCut cuts the power of the disk under load, half of the times of an ext4, half of an XFS
// file system: whatever was receipted is there afterwards. Killing alone cannot see a missing sync.
func TestPowerCut(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			rnd := seeded(t)
			d := newDisk(t, kind)
			w := newWorld(t, rnd, filepath.Join(d.mount, "data"))
			w.mayStop = true
			cuts := (times(*cutFlag) + 1) / 2
			for range cuts {
				w.cycle(minimum+rnd.IntN(800), func() {
					d.cut()
					w.broker.Kill()
					d.restore()
				})
				if len(w.l.faults()) > 0 {
					break
				}
			}
			w.mayStop = false
			o := w.finish("power cuts of "+kind, cuts)
			// Nothing missing at all would mean that the cuts came too late.
			if len(o.missing)*10 < cuts*3 {
				t.Errorf("only in %d of %d lives something that was not receipted is missing", len(o.missing), cuts)
			}
		})
	}
}

// TestPowerCutAtFirst cuts the power while the broker starts for the first time, or just after: it
// starts again, and what it has receipted by then is there.
func TestPowerCutAtFirst(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			rnd := seeded(t)
			d := newDisk(t, kind)
			cuts := times(20)
			receipts, unready := 0, 0
			for i := range cuts {
				w := newWorld(t, rnd, filepath.Join(d.mount, fmt.Sprint("data", i)))
				cut := make(chan struct{})
				early := i%2 == 0 // or after some receipts
				delay := time.Duration(rnd.IntN(25)) * time.Millisecond
				if early {
					go func() {
						defer close(cut)
						time.Sleep(delay)
						d.cut()
					}()
				}
				b, err := harness.TryStart(t, w.config(), harness.Options{Dir: w.dir, Env: environment(), Quiet: true})
				w.broker = b
				if err != nil {
					unready++
				}
				if !early {
					if err != nil {
						t.Fatal(err)
					}
					k := w.dial("")
					for range 3 {
						done := make(chan struct{})
						err := w.publisher("p").one(k, qBacklog, func() { close(done) })
						w.await(done, "a receipt", err)
						receipts++
					}
					d.cut()
				} else {
					<-cut
				}
				b.Kill()
				d.restore()
				w.start()
				w.drain(qBacklog)
				w.broker.Stop()
				w.verdict()
			}
			t.Logf("%d cuts, %d before the broker was ready, %d receipts", cuts, unready, receipts)
		})
	}
}
