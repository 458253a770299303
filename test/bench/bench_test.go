package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// TestBenchLosesNothing runs the whole series, short, against a real broker.
func TestBenchLosesNothing(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	var out, faults bytes.Buffer
	cmd := exec.Command(harness.Build(t), "bench", "all", "-duration", "300ms", "-json", "-url", "ws://"+b.WS+b.Path)
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		t.Errorf("broker bench: %v\n%s", err, faults.String())
	}
	loads := map[string]int{}
	for d := json.NewDecoder(&out); ; {
		var r struct {
			Bench      string  `json:"bench"`
			Delivered  int64   `json:"delivered"`
			PerSecond  float64 `json:"per_second"`
			BrokerCPU  float64 `json:"broker_cpu_us"`
			Conns      int     `json:"connections"`
			Connects   float64 `json:"connects_per_second"`
			Lost       int64   `json:"lost"`
			Duplicates int64   `json:"duplicates"`
			Misordered int64   `json:"misordered"`
			Dropped    int64   `json:"dropped_connections"`
			Latency    struct {
				P50 float64 `json:"p50_us"`
			} `json:"latency"`
		}
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read report: %v\n%s", err, out.String())
		}
		loads[r.Bench]++
		if r.Lost+r.Duplicates+r.Misordered+r.Dropped != 0 {
			t.Errorf("%s: %+v", r.Bench, r)
		}
		if r.Latency.P50 <= 0 || r.BrokerCPU <= 0 {
			t.Errorf("%s measured nothing: %+v", r.Bench, r)
		}
		if r.Bench == "idle" && (r.Conns == 0 || r.Connects <= 0) || r.Bench != "idle" && (r.Delivered == 0 || r.PerSecond <= 0) {
			t.Errorf("%s did nothing: %+v", r.Bench, r)
		}
	}
	for _, name := range []string{"fanout", "latency", "queue", "idle"} {
		if loads[name] == 0 {
			t.Errorf("no report of %s", name)
		}
	}
}

// What is compressed loses nothing either, and is fewer bytes; a broker that does not compress is named.
func TestBenchCompressed(t *testing.T) {
	t.Parallel()
	on, off := harness.Start(t, "http: {compression: on}"), harness.Start(t, "http: {compression: off}")
	run := func(b *harness.Broker, args ...string) (bytesEach float64, faults string) {
		var out, errs bytes.Buffer
		cmd := exec.Command(harness.Build(t), append([]string{"bench", "fanout", "-subs", "5", "-rate", "200", "-size", "4096", "-duration", "300ms", "-json", "-url", "ws://" + b.WS + b.Path}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if cmd.Run() != nil {
			return 0, errs.String()
		}
		var r struct {
			Delivered int64   `json:"delivered"`
			Took      float64 `json:"bytes_received"`
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Delivered == 0 {
			t.Errorf("%v: %+v", err, r)
		}
		return r.Took, ""
	}
	if each, faults := run(on); each < 4096 {
		t.Errorf("not asked for: %v bytes each, %s", each, faults)
	}
	if each, faults := run(on, "-compress"); each == 0 || each > 2048 {
		t.Errorf("compressed: %v bytes each, %s", each, faults)
	}
	if _, faults := run(off, "-compress"); !strings.Contains(faults, "http.compression") {
		t.Errorf("a broker without: %q", faults)
	}
}
