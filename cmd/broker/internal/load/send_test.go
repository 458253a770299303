package load_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

func sends(t load.Target, count int64) load.Options {
	return load.Options{Target: t, Pubs: 3, Receipts: 5, Size: 100, Count: count, Duration: time.Minute, Drain: time.Second}
}

func TestSendCountsReceiptsAndEmptiesTheQueue(t *testing.T) {
	ws, tcp := new(stub).serve(t)
	for name, target := range map[string]load.Target{"WebSocket": ws, "TCP": tcp} {
		t.Run(name, func(t *testing.T) {
			r, err := load.Send(t.Context(), sends(target, 500))
			if err != nil || !r.Sound() || r.Published != 500 || r.Delivered != 500 || r.PerSecond <= 0 {
				t.Fatalf("%v, %+v", err, r)
			}
			if r.Latency == nil || r.Latency.P50 <= 0 {
				t.Errorf("latency of receipts %+v", r.Latency)
			}
		})
	}
}

func TestSendSeesFaults(t *testing.T) {
	for name, times := range map[string]int{"a lost message": 0, "a doubled message": 2} {
		t.Run(name, func(t *testing.T) {
			_, tcp := (&stub{fault: func(n int) int {
				if n == 50 {
					return times
				}
				return 1
			}}).serve(t)
			o := sends(tcp, 100)
			o.Drain = 50 * time.Millisecond
			r, err := load.Send(t.Context(), o)
			if err != nil || r.Sound() {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

func TestDrainTakesWhatWasKept(t *testing.T) {
	_, tcp := new(stub).serve(t)
	o := sends(tcp, 300)
	o.Destination, o.Keep = "/queue/kept", true
	if r, err := load.Send(t.Context(), o); err != nil || !r.Sound() {
		t.Fatalf("%v, %+v", err, r)
	}
	o.Subs = 1
	r, err := load.Drain(t.Context(), o)
	if err != nil || !r.Sound() || r.Delivered != 300 {
		t.Errorf("%v, %+v", err, r)
	}
	o.Drain = 20 * time.Millisecond
	if r, err = load.Drain(t.Context(), o); err != nil || r.Lost != 300 {
		t.Errorf("an empty queue: %v, %+v", err, r)
	}
}

func TestDisk(t *testing.T) {
	for _, pair := range []bool{false, true} {
		dir := t.TempDir()
		o := load.Options{Pubs: 2, Receipts: 4, Size: 1024, Duration: 200 * time.Millisecond, Dir: dir, Pair: pair}
		r, err := load.Disk(t.Context(), o)
		if err != nil && strings.Contains(err.Error(), "is in memory") {
			return // rightly refused: the machine's temporary files are not on a disk
		}
		if err != nil || r.Delivered == 0 || r.PerSecond <= 0 || r.Latency == nil || r.Latency.P50 <= 0 {
			t.Fatalf("%v, %+v", err, r)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
