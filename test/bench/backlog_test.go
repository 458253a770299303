package bench_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// The figures of a backlog are those of ten million messages:
//
//	go test ./test/bench -run Backlog -v -timeout 20m -backlog 10000000 -cold
var (
	backlog = flag.Int("backlog", 200_000, "messages of 200 B that wait over a restart")
	cold    = flag.Bool("cold", false, "empty the machine's page cache before the restart (Linux, as root)")
)

const (
	backlogMemory = 1 << 30         // anonymous, whatever the backlog
	backlogReady  = 5 * time.Second // from the start of the process to its addresses
	drainedFile   = 64 << 20
)

// TestBacklog fills a queue, restarts the broker, empties the queue in order, and compacts the file.
func TestBacklog(t *testing.T) {
	dir := t.TempDir()
	start := func() (*harness.Broker, *peak) {
		b := harness.StartWith(t, "", harness.Options{Dir: dir})
		return b, watch(t, b.PID())
	}
	count, loads := strconv.Itoa(*backlog), []string{"-destination", "/queue/backlog", "-size", "200", "-count", strconv.Itoa(*backlog)}

	b, memory := start()
	r := benchBacklog(t, b, append([]string{"send", "-keep", "-duration", "9m"}, loads...))
	t.Logf("filled with %s messages: %.0f/s, anonymous memory %d MiB at most, file %d MiB",
		count, r.PerSecond, memory.most()>>20, fileSize(t, dir)>>20)
	memory.within(t)
	b.Stop()

	if *cold {
		syscall.Sync()
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			t.Fatalf("empty the page cache: %v", err)
		}
	}
	begun := time.Now()
	b, memory = start()
	ready := time.Since(begun)
	t.Logf("ready %v after its start, anonymous memory %d MiB", ready.Round(time.Millisecond), memory.most()>>20)
	if ready > backlogReady {
		t.Errorf("ready after %v, want %v at most", ready, backlogReady)
	}
	r = benchBacklog(t, b, append([]string{"drain", "-drain", "30s"}, loads...))
	t.Logf("emptied in order: %.0f/s, anonymous memory %d MiB at most, file %d MiB", r.PerSecond, memory.most()>>20, fileSize(t, dir)>>20)
	memory.within(t)
	b.Stop()

	begun = time.Now()
	cmd := exec.Command(harness.Build(t), "compact")
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GUDOK_") })
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("broker compact: %v\n%s", err, out)
	}
	size := fileSize(t, dir)
	t.Logf("compacted in %v: file %d KiB", time.Since(begun).Round(time.Millisecond), size>>10)
	if size > drainedFile {
		t.Errorf("the drained file has %d bytes after broker compact, want %d at most", size, drainedFile)
	}
}

type backlogReport struct {
	PerSecond  float64 `json:"per_second"`
	Delivered  int64   `json:"delivered"`
	Lost       int64   `json:"lost"`
	Duplicates int64   `json:"duplicates"`
	Misordered int64   `json:"misordered"`
}

// benchBacklog runs one load, of which nothing may be missing or out of order.
func benchBacklog(t *testing.T, b *harness.Broker, args []string) (r backlogReport) {
	t.Helper()
	var out, faults bytes.Buffer
	cmd := exec.Command(harness.Build(t), append([]string{"bench"}, append(args, "-json", "-url", "stomp://"+b.TCP)...)...)
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		t.Fatalf("broker bench %s: %v\n%s%s", args[0], err, out.String(), faults.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("read report: %v\n%s", err, out.String())
	}
	if r.Delivered == 0 || r.Lost+r.Duplicates+r.Misordered != 0 {
		t.Errorf("broker bench %s: %+v", args[0], r)
	}
	return r
}

// peak is the most anonymous memory a process was seen with.
type peak struct{ bytes atomic.Int64 }

func watch(t *testing.T, pid int) *peak {
	p := &peak{}
	p.look(pid)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.look(pid)
			case <-stop:
				return
			}
		}
	}()
	return p
}

func (p *peak) look(pid int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return // it has ended, or the system does not tell
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			p.bytes.Store(max(p.bytes.Load(), kib<<10))
		}
	}
}

func (p *peak) most() int64 { return p.bytes.Load() }

func (p *peak) within(t *testing.T) {
	t.Helper()
	if p.most() > backlogMemory {
		t.Errorf("anonymous memory of %d MiB, want %d at most", p.most()>>20, backlogMemory>>20)
	}
}

func fileSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "data", "gudok.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
