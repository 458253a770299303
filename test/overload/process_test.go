package overload

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

const mib = 1 << 20

// broker is a broker whose process can be looked at, be it that it runs under another one.
type broker struct {
	*harness.Broker
	pid int
}

// start starts one that logs warnings alone.
func start(t testing.TB, config string, o harness.Options) *broker {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		need(t, "/proc")
	}
	b := harness.StartWith(t, config, o)
	return &broker{b, program(t, b.PID())}
}

// program is a process, or the child that it runs the broker in.
func program(t testing.TB, pid int) int {
	t.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	if name == harness.Build(t) {
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil || len(strings.Fields(string(children))) == 0 {
		t.Fatalf("no broker in process %d: %v", pid, err)
	}
	child, err := strconv.Atoi(strings.Fields(string(children))[0])
	if err != nil {
		t.Fatal(err)
	}
	return program(t, child)
}

// anonymous is the broker's RssAnon in bytes: not the pages of its file.
func (b *broker) anonymous(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatal("no RssAnon")
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// cpu is the CPU time that the broker has used.
func (b *broker) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+2:])
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// files is how many descriptors the broker has.
func (b *broker) files(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

var runtimeLine = regexp.MustCompile(`msg=runtime goroutines=(\d+) heap_live=(\d+)`)

// collect has the broker collect its garbage, and gives its goroutines and what is alive.
func (b *broker) collect(t testing.TB) (goroutines, live int64) {
	t.Helper()
	before := len(runtimeLine.FindAllString(b.Output(), -1))
	if err := syscall.Kill(b.pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * harness.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		all := runtimeLine.FindAllStringSubmatch(b.Output(), -1)
		if len(all) > before {
			g, _ := strconv.ParseInt(all[len(all)-1][1], 10, 64)
			l, _ := strconv.ParseInt(all[len(all)-1][2], 10, 64)
			return g, l
		}
		if time.Now().After(end) {
			t.Fatal("the broker does not tell its figures")
		}
		<-tick.C
	}
}

// freed waits until RssAnon is what it was before, but for a tenth and 64 MiB, which a heap of a few has as room, and gives it and how long that
// took.
func (b *broker) freed(t testing.TB, before int64) (anonymous int64, took time.Duration) {
	t.Helper()
	begin := time.Now()
	if !becomes(30*time.Second, func() bool {
		anonymous = b.anonymous(t)
		return anonymous < before+before/10+64*mib
	}) {
		t.Errorf("RssAnon is %d MiB half a minute later, and was %d MiB", anonymous/mib, before/mib)
	}
	return anonymous, time.Since(begin)
}

// pass lets time pass in which something is measured; nothing is waited for.
func pass(d time.Duration) { <-time.After(d) }

// becomes waits until something holds, and tells whether it did in time.
func becomes(within time.Duration, holds func() bool) bool {
	end := time.Now().Add(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
	return true
}

// peak is the most RssAnon that the broker has while something runs; stop ends that.
func (b *broker) peak(t testing.TB) (stop func() int64) {
	quit, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		var max int64
		for {
			select {
			case <-quit:
				most <- max
				return
			case <-tick.C:
				if now := b.anonymous(t); now > max {
					max = now
				}
			}
		}
	}()
	return func() int64 { close(quit); return <-most }
}

// get asks for a page that begins so and gives how long the answer took.
func get(t *testing.T, url, begins string) time.Duration {
	t.Helper()
	begin := time.Now()
	client := http.Client{Timeout: 2 * harness.Patience, Transport: harness.Pages(&http.Transport{DisableKeepAlives: true})}
	res, err := client.Get(url)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), begins) {
		t.Errorf("%s: %d %.300q", url, res.StatusCode, body)
	}
	return time.Since(begin)
}
