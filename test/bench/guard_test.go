package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// guards are what the broker may spend, counted rather than timed, so that a busy machine makes no
// difference. Each bound is at most a third above what was measured when it was set: half as much again
// fails, and one allocation for each message, be it sent to 50. Whoever makes the broker spend less lowers the bound.
var guards = []struct {
	load    string // of broker bench
	figure  string // of its report
	what    string
	bound   float64
	atLeast float64 // less means that nothing was measured
}{
	{"idle -n 1000 -duration 100ms", "goroutines_per_connection", "goroutines per idle connection", 1.05, 0},
	{"idle -n 1000 -duration 100ms", "go_bytes_per_connection", "bytes alive per idle connection", 9500, 1000},
	{"idle -n 1000 -duration 100ms", "broker_allocs", "allocations per connect and subscribe", 170, 20},

	// A message at a time, the next when all 50 have it: nothing can share a write.
	{"fanout -window 1 -batch 1 -count 1000", "broker_allocs", "allocations per delivery, a message at a time", 0.01, 0},
	{"fanout -window 1 -batch 1 -count 1000", "broker_writes", "writes per delivery, a message at a time", 1.05, 0.5},
	// 64 at a time in one write: they have to share.
	{"fanout -window 64 -batch 64 -count 10000", "broker_allocs", "allocations per delivery, 64 at a time", 0.01, 0},
	{"fanout -window 64 -batch 64 -count 10000", "broker_writes", "writes per delivery, 64 at a time", 0.021, 0.005},
	// Whatever the window lets.
	{"fanout -count 10000", "broker_allocs", "allocations per delivery, saturated", 0.01, 0},
	{"queue -persistent=false -count 20000", "broker_allocs", "allocations per message through a queue, acknowledged", 7, 1},
}

// TestNothingCostsMore holds the broker to guards. Each load runs three times; the median counts.
func TestNothingCostsMore(t *testing.T) {
	dir := t.TempDir()
	b := harness.StartWith(t, "", harness.Options{Dir: dir, Under: []string{"sh", "-c", `exec "$@" 2>log`, "sh"}})
	reports := map[string][]map[string]any{}
	for _, g := range guards {
		if reports[g.load] != nil {
			continue
		}
		runs := 3
		if strings.HasPrefix(g.load, "idle") {
			runs = 1 // connections meet a broker that was just started
		}
		for range runs {
			args := append([]string{"bench"}, strings.Fields(g.load)...)
			cmd := exec.Command(harness.Build(t), append(args, "-json", "-log", filepath.Join(dir, "log"), "-url", "ws://"+b.WS+b.Path)...)
			var out, faults bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &faults
			err := cmd.Run()
			r := map[string]any{}
			if err != nil || json.Unmarshal(out.Bytes(), &r) != nil {
				t.Fatalf("broker bench %s: %v\n%s%s", g.load, err, out.String(), faults.String())
			}
			reports[g.load] = append(reports[g.load], r)
		}
	}
	for _, g := range guards {
		var got []float64
		for _, r := range reports[g.load] {
			v, ok := r[g.figure].(float64)
			if !ok {
				t.Fatalf("broker bench %s: no %s in %v", g.load, g.figure, r)
			}
			got = append(got, v)
		}
		slices.Sort(got)
		mid := got[len(got)/2]
		line := fmt.Sprintf("%s: %.4g, at most %.4g", g.what, mid, g.bound)
		if mid > g.bound || mid < g.atLeast {
			t.Errorf("%s (%v)", line, got)
			continue
		}
		t.Log(line)
	}
}
