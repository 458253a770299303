package overload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestSlowDisk: every sync of the disk takes 20 ms longer, and publishers send as fast as their sockets take
// it: some without a receipt, and so without a bound of their own, some with. The broker keeps its memory,
// takes no more than it can store, puts more into each commit, sends no receipt before its commit, and takes
// nobody for dead whom it did not read.
func TestSlowDisk(t *testing.T) {
	const (
		sync1 = 20 * time.Millisecond
		last  = 8 * time.Second // more than the silence that ends a session
		size  = 1024
	)
	log := filepath.Join(t.TempDir(), "strace")
	b := start(t, "log: {level: info}\nheartbeat: {min: 1s}\nstore: {path: data, min_free: 0}\n", harness.Options{Quiet: true,
		Under: []string{tool(t, "strace"), "-f", "--seccomp-bpf", "-q", "-o", log, "-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d", sync1.Microseconds())}})
	fill := strings.Repeat("x", size)
	// Before: one message at a time.
	quiet, err := open(tcpAt(b.Broker), "heart-beat:0,0")
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.nc.Close()
	one := func() time.Duration {
		begin := time.Now()
		if err := quiet.call("1", "SEND\ndestination:/queue/disk.quiet\nreceipt:1\n\nx\x00"); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	for range 5 {
		one()
	}
	before, peak := b.anonymous(t), b.peak(t)
	syncs := func() int {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "fdatasync(")
	}
	had := syncs()
	var sent, receipts, early atomic.Int64
	var fastest, slowest atomic.Int64
	fastest.Store(int64(time.Hour))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	fault := func(p *peer, err error) {
		select {
		case <-stop:
		default:
			t.Errorf("a publisher on WebSocket %v: %v", p.ws, err)
		}
	}
	for i := range 16 {
		to := [...]at{tcpAt(b.Broker), wsAt(b.Broker)}[i%2]
		p, err := open(to, "heart-beat:1000,1000")
		if err != nil {
			t.Fatal(err)
		}
		defer p.nc.Close()
		queue := fmt.Sprintf("/queue/disk.%d", i%4)
		if i < 8 { // no receipts, whole writes of a hundred
			wg.Go(func() {
				batch := strings.Repeat(fmt.Sprintf("SEND\ndestination:%s\n\n%s\x00", queue, fill), 100)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := p.send(batch); err != nil {
						fault(p, err)
						return
					}
					sent.Add(100)
				}
			})
			wg.Go(func() {
				m, err := p.read(0)
				fault(p, fmt.Errorf("%q, %w", m, errors.Join(err)))
			})
			continue
		}
		const window = 64
		times := make(chan time.Time, window)
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case times <- time.Now():
				}
				if err := p.sendf("SEND\ndestination:%s\nreceipt:%d\n\n%s\x00", queue, n, fill); err != nil {
					fault(p, err)
					return
				}
				sent.Add(1)
			}
		})
		wg.Go(func() {
			for n := 0; ; n++ {
				m, err := p.read(0)
				if err != nil || m.header("receipt-id") != fmt.Sprint(n) {
					fault(p, fmt.Errorf("expected RECEIPT %d: %q, %w", n, m, errors.Join(err)))
					return
				}
				took := time.Since(<-times)
				if took < sync1 {
					early.Add(1)
				}
				fastest.Store(min(fastest.Load(), int64(took)))
				slowest.Store(max(slowest.Load(), int64(took)))
				receipts.Add(1)
			}
		})
	}
	begin := time.Now()
	for time.Since(begin) < last {
		one() // somebody who sends a little is not shut out by those who send much
	}
	close(stop)
	commits := syncs() - had
	most := peak()
	for _, line := range []string{"heart-beat missed", "level=ERROR"} {
		if strings.Contains(b.Output(), line) {
			t.Errorf("the broker said %s:\n%s", line, b.Output())
		}
	}
	each := float64(sent.Load()) / float64(max(commits, 1))
	t.Logf("%v with 20 ms more for each sync: %d messages of 1 KiB taken of 16 publishers in %d commits, %.0f in each; %d receipts, %d of them before a sync can have ended, fastest %v, slowest %v; RssAnon %d MiB before, %d at most",
		time.Since(begin).Round(time.Second), sent.Load(), commits, each, receipts.Load(), early.Load(),
		time.Duration(fastest.Load()).Round(time.Millisecond), time.Duration(slowest.Load()).Round(time.Millisecond), before/mib, most/mib)
	if early.Load() > 0 {
		t.Errorf("%d receipts came before a sync can have ended", early.Load())
	}
	if receipts.Load() < 200 {
		t.Errorf("only %d receipts", receipts.Load())
	}
	if grown := most - before; grown > 256*mib {
		t.Errorf("RssAnon grew by %d MiB", grown/mib)
	}
	if each < 50 {
		t.Errorf("%.1f messages in each commit", each)
	}
	b.Kill() // what waits in sockets is of no use, and a drain takes its time with such a disk
	wg.Wait()
}
