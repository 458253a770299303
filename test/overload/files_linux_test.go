package overload

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
	"golang.org/x/sys/unix"
)

// TestNoFilesLeft: the broker may have 256 files. Clients come until there is no room, and go on coming:
// they are told so, on each way in; the broker does not spin, who is there stays, what is
// durable is stored, the file of the configuration is read again, health answers, and admins see their page; and
// there is room as soon as somebody goes.
func TestNoFilesLeft(t *testing.T) {
	const files, knocking = 256, 200
	b := start(t, "log: {level: warn}\nadmin: {listen: \"127.0.0.1:0\"}\n", harness.Options{Under: []string{tool(t, "prlimit"), fmt.Sprintf("--nofile=%d:%d", files, files)}})
	honest, err := open(wsAt(b.Broker))
	if err != nil {
		t.Fatal(err)
	}
	defer honest.nc.Close()
	if err := honest.subscribe("/queue/files", "ack:auto"); err != nil {
		t.Fatal(err)
	}
	trip := func(n int) time.Duration {
		t.Helper()
		begin := time.Now()
		if err := honest.call(fmt.Sprint(n), "SEND\ndestination:/queue/other\nreceipt:%d\n\n%d\x00", n, n); err != nil {
			t.Fatal(err)
		}
		if err := honest.sendf("SEND\ndestination:/queue/files\n\n%d\x00", n); err != nil {
			t.Fatal(err)
		}
		if m, err := honest.expect("MESSAGE"); err != nil || string(m.body()) != fmt.Sprint(n) {
			t.Fatalf("%q, %v", m, err)
		}
		return time.Since(begin)
	}
	trip(0)
	var there []*peer
	defer func() {
		for _, p := range there {
			p.nc.Close()
		}
	}()
	for {
		to := tcpAt(b.Broker)
		if len(there)%2 == 1 {
			to = wsAt(b.Broker)
		}
		p, err := open(to)
		if err != nil {
			if !full(err) {
				t.Errorf("connection %d: %v", len(there), err)
			}
			break
		}
		if there = append(there, p); len(there) > files {
			t.Fatalf("%d connections, but only %d files", len(there), files)
		}
	}
	if len(there) < files/2 {
		t.Errorf("only %d connections of %d files", len(there), files)
	}
	// Clients that knock and say nothing wait for their turn to be told, and who asks for health does not wait for
	// all of them; then nothing moves.
	var silent []*peer
	for i := range 2 * knocking {
		to := at{Addr: b.TCP}
		if i%2 == 1 {
			to.Addr = b.WS
		}
		p, err := dial(to)
		if err != nil {
			t.Fatal(err)
		}
		defer p.nc.Close()
		silent = append(silent, p)
	}
	healthy := get(t, "http://"+b.WS+"/healthz", "ok")
	if healthy > 5*time.Second {
		t.Errorf("health answers after %v behind %d silent connections", healthy, knocking)
	}
	b.Says("Admin ")
	get(t, adminLine.FindStringSubmatch(b.Output())[1], "<!doctype html>")
	for i, p := range silent {
		m, err := p.read(2 * harness.Patience)
		if i%2 == 0 && m.command() != "ERROR" || i%2 == 1 && err == nil {
			t.Errorf("a silent connection got %q, %v", m, err)
		}
		p.nc.Close()
	}
	cpu := b.cpu(t)
	pass(2 * time.Second)
	used := b.cpu(t) - cpu
	if used > 400*time.Millisecond {
		t.Errorf("the broker used %v of CPU in two seconds in which nothing happened", used)
	}
	before := turnedAway(t, b)
	for i, to := range []at{tcpAt(b.Broker), wsAt(b.Broker), tcpAt(b.Broker), wsAt(b.Broker)} {
		if p, err := open(to); err == nil {
			t.Errorf("knock %d was let in", i)
			p.nc.Close()
		} else if !full(err) {
			t.Errorf("knock %d: %v", i, err)
		}
	}
	if n := turnedAway(t, b) - before; n != 4 {
		t.Errorf("of four who were told that there are too many %d are counted", n)
	}
	took := trip(1)
	if err := b.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	open1 := b.files(t)
	for _, p := range there[:10] {
		p.nc.Close()
	}
	begin := time.Now()
	if !becomes(10*time.Second, func() bool {
		p, err := open(tcpAt(b.Broker))
		if err == nil {
			there = append(there, p)
		}
		return err == nil
	}) {
		t.Error("nobody is let in after ten have gone")
	}
	again := time.Since(begin)
	if again > 2*time.Second {
		t.Errorf("the first is let in %v after ten have gone", again)
	}
	trip(2)
	t.Logf("%d files, %d of them open: %d connections; health answered in %v behind %d that are silent, a durable message in %v; CPU in 2 s at the limit %v; first one in %v after ten went",
		files, open1, len(there)+1, healthy, knocking, took, used, again)
	if said := b.Output(); strings.Contains(said, "too many open files") || strings.Contains(said, "not reloaded") {
		t.Errorf("the broker had no file for something:\n%s", said)
	}
}

// turnedAway is how many connections were refused because there are too many.
func turnedAway(t *testing.T, b *broker) int {
	t.Helper()
	res, err := http.Get(adminLine.FindStringSubmatch(b.Output())[1] + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	_, rest, ok := strings.Cut(string(text), "\ngudok_refused_total{reason=\"too many connections\"} ")
	value, _, _ := strings.Cut(rest, "\n")
	n, bad := strconv.Atoi(value)
	if err != nil || !ok || bad != nil {
		t.Fatalf("%v, %.100q", err, value)
	}
	return n
}

// full tells whether a client was told that there are too many.
func full(err error) bool {
	return strings.Contains(err.Error(), "message:too many connections") || strings.Contains(err.Error(), "503 ")
}

var adminLine = regexp.MustCompile(`Admin +(http://\S+)`)

// TestFilesTakenAway: others take files from a broker that runs, all but a few: it accepts nothing, does not
// spin and promises no less; then it gets them back, and lets in who waits.
func TestFilesTakenAway(t *testing.T) {
	b := start(t, "log: {level: warn}\n", harness.Options{})
	honest, err := open(tcpAt(b.Broker))
	if err != nil {
		t.Fatal(err)
	}
	defer honest.nc.Close()
	var before unix.Rlimit
	if err := unix.Prlimit(b.pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 3, Max: before.Max}
	if err := unix.Prlimit(b.pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	var waiting []*peer
	for range 20 {
		for _, to := range []string{b.TCP, b.WS} {
			p, err := dial(at{Addr: to})
			if err != nil {
				t.Fatal(err)
			}
			defer p.nc.Close()
			waiting = append(waiting, p)
		}
	}
	cpu := b.cpu(t)
	for i := range 4 {
		if err := honest.call(fmt.Sprint(i), "SEND\ndestination:/queue/away\nreceipt:%d\n\nx\x00", i); err != nil {
			t.Error(err)
		}
		pass(500 * time.Millisecond)
	}
	used := b.cpu(t) - cpu
	if used > 400*time.Millisecond {
		t.Errorf("the broker used %v of CPU in two seconds without a file", used)
	}
	if err := unix.Prlimit(b.pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := waiting[0].connect(); err != nil {
		t.Error(err)
	}
	get(t, "http://"+b.WS+"/healthz", "ok")
	again := time.Since(begin)
	if again > 4*time.Second { // both pauses of up to a second, and a busy machine
		t.Errorf("the first is let in %v after there are files again", again)
	}
	t.Logf("CPU in 2 s without a file: %v; let in, and healthy, %v after there are files", used, again)
}
