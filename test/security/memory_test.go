package security

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// stalled connects a client that subscribes and reads nothing after that.
func stalled(t testing.TB, b *harness.Broker, destination string) net.Conn {
	t.Helper()
	// A small window, so that what it does not read waits in the broker and not in the kernel.
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}
	c, err := d.Dial("tcp", b.TCP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(harness.Patience))
	fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:h\n\n\x00SUBSCRIBE\nid:1\ndestination:%s\nreceipt:r\n\n\x00", destination)
	in := bufio.NewReader(c)
	for range 2 {
		if _, err := in.ReadString(0); err != nil {
			t.Fatal(err)
		}
	}
	c.SetDeadline(time.Time{})
	return c
}

// metric scrapes one figure.
func metric(t testing.TB, b *harness.Broker, name string) float64 {
	t.Helper()
	a := ask(t, b, "GET", "/metrics", "")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("%d: no %s", a.code, name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// rssAnon is how much memory of its own a process has.
func rssAnon(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc: memory is not known")
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// Fifty readers stall, ten of them with four times as much waiting as the others, each for messages of its
// own. Whether it is memory that becomes short or the room that all outboxes have together, those ten are
// closed before any other; who reads gets every message in order; and the process stays within bounds.
func TestStalledReadersAreShedLargestFirst(t *testing.T) {
	const (
		readers = 50
		large   = 10
		want    = 6 // of the large ones that are to be closed
		size    = 64 << 10
	)
	for _, c := range []struct {
		name, limits string
		bound        int // of RssAnon
	}{
		{"memory", "memory: 96MiB, outbox: 64MiB, outboxes: 8GiB", 192 << 20},
		{"outboxes", "outbox: 64MiB, outboxes: 48MiB", 256 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := harness.StartWith(t, "log: {level: warn}\nheartbeat: {send: 0, receive: 0}\nlimits: {"+c.limits+", send_time: 5m}\n", harness.Options{Quiet: true})
			whose := map[string]int{} // reader by address
			for i := range readers {
				whose[stalled(t, b, fmt.Sprintf("/topic/own.%d", i)).LocalAddr().String()] = i
			}
			healthy, got := b.Dial(t, harness.TCP), make(chan error, 1)
			connect(healthy)
			healthy.Expect("CONNECTED")
			healthy.Sendf("SUBSCRIBE\nid:1\ndestination:/topic/healthy\nreceipt:r\n\n\x00")
			healthy.Receipt("r")
			read := 0
			go func() {
				for {
					f, err := healthy.ReadFrame(6 * harness.Patience)
					switch {
					case err != nil:
						got <- err
						return
					case string(f.Body) == "end":
						got <- nil
						return
					case f.Command != "MESSAGE" || string(f.Body) != fmt.Sprint(read):
						got <- fmt.Errorf("%s instead of number %d", f, read)
						return
					}
					read++
				}
			}()
			sender, err := net.Dial("tcp", b.TCP)
			if err != nil {
				t.Fatal(err)
			}
			defer sender.Close()
			sender.SetDeadline(time.Now().Add(9 * harness.Patience))
			out := bufio.NewWriter(sender)
			fmt.Fprintf(out, "CONNECT\naccept-version:1.2\nhost:h\n\n\x00")
			go io.Copy(io.Discard, sender) // CONNECTED
			body := strings.Repeat("x", size)
			sent, most, short := 0, 0, false
			for round := 0; ; round++ {
				for i := range readers {
					times := 1
					if i >= readers-large {
						times = 4
					}
					for range times {
						fmt.Fprintf(out, "SEND\ndestination:/topic/own.%d\ncontent-length:%d\n\n%s\x00", i, size, body)
					}
				}
				fmt.Fprintf(out, "SEND\ndestination:/topic/healthy\n\n%d\x00", sent)
				sent++
				if err := out.Flush(); err != nil {
					t.Fatalf("the publisher: %v", err)
				}
				most = max(most, rssAnon(t, b.PID()))
				short = short || metric(t, b, "gudok_memory_short") == 1
				if n := metric(t, b, "gudok_sessions_shed_total"); n >= want {
					break
				}
				if round == 500 {
					t.Fatal("nobody is closed")
				}
			}
			fmt.Fprintf(out, "SEND\ndestination:/topic/healthy\n\nend\x00")
			if err := out.Flush(); err != nil {
				t.Fatalf("the publisher: %v", err)
			}
			if err := <-got; err != nil {
				t.Fatalf("who reads: %v", err)
			}
			if read != sent {
				t.Errorf("%d of %d messages came", read, sent)
			}
			most = max(most, rssAnon(t, b.PID()))
			// All that was closed is in the log by then.
			shed := 0
			for _, m := range regexp.MustCompile(`msg="session ended" reason="memory is short".* peer=(\S+)`).FindAllStringSubmatch(b.Output(), -1) {
				i, ok := whose[m[1]]
				if !ok {
					t.Errorf("%s was closed and did not stall", m[1])
				}
				if shed++; i < readers-large && shed <= large {
					t.Errorf("reader %d was closed before one for which more waited", i)
				}
			}
			if shed < want || shed > large {
				t.Errorf("%d were closed", shed)
			}
			// That it was short may pass between two looks; with so much room for outboxes nothing else closes anyone.
			if short && c.name != "memory" {
				t.Error("memory was short")
			}
			if most > c.bound && !harness.Race {
				t.Errorf("RssAnon reached %d MiB, the bound is %d", most>>20, c.bound>>20)
			}
			t.Logf("%d rounds, %d MiB sent; %d closed; RssAnon at most %d MiB, the bound is %d", sent, sent*(readers+3*large)*size>>20, shed, most>>20, c.bound>>20)
		})
	}
}

// The mark is what is set, also after a reload, or else what GOMEMLIMIT says, or else a share of what there is.
func TestMemoryMark(t *testing.T) {
	const name = "gudok_memory_mark_bytes"
	b := harness.Start(t, "limits: {memory: 96MiB}\n")
	if v := metric(t, b, name); v != 96<<20 {
		t.Errorf("set to 96 MiB: %v", v)
	}
	file := filepath.Join(b.Dir(), "gudok.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte("96MiB"), []byte("128MiB")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.Says("configuration reloaded")
	if v := metric(t, b, name); v != 128<<20 {
		t.Errorf("set to 128 MiB by a reload: %v", v)
	}
	b = harness.StartWith(t, "", harness.Options{Env: []string{"GOMEMLIMIT=200MiB"}})
	if v := metric(t, b, name); v != 200<<20 {
		t.Errorf("with GOMEMLIMIT: %v", v)
	}
	b = harness.Start(t, "")
	if v := metric(t, b, name); v < 16<<20 {
		t.Errorf("with nothing set: %v", v)
	}
	if v := metric(t, b, "gudok_memory_bytes"); v < 1<<20 || v > 1<<30 {
		t.Errorf("in use: %v", v)
	}
}

// While it drains the broker says that it is not ready, to who asks for that.
func TestNotReadyWhileDraining(t *testing.T) {
	b := harness.Start(t, "limits: {outbox: 64MiB}\n")
	if a := ask(t, b, "GET", "/readyz", ""); a.code != 200 || a.body != "ok\n" {
		t.Errorf("%d %q", a.code, a.body)
	}
	stuck := stalled(t, b, "/topic/x") // holds the drain up
	c := b.Dial(t, harness.TCP)
	connect(c)
	c.Expect("CONNECTED")
	for i := range 32 {
		c.Sendf("SEND\ndestination:/topic/x\nreceipt:%d\n\n%s\x00", i, strings.Repeat("x", 512<<10))
		c.Receipt(fmt.Sprint(i))
	}
	if err := b.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.Says("msg=stopping")
	if a := ask(t, b, "GET", "/readyz", ""); a.code != 503 || a.body != "not ok: draining\n" {
		t.Errorf("%d %q", a.code, a.body)
	}
	if a := ask(t, b, "GET", "/healthz", ""); a.code != 200 {
		t.Errorf("%d %q", a.code, a.body)
	}
	stuck.Close()
	if code := b.Exited(2 * harness.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A store that takes no more messages is not ready, says why, and is ready again.
func TestNotReadyWhileTheStoreIsFull(t *testing.T) {
	b := harness.Start(t, "store: {max_size: 8MiB}\n")
	c := b.Dial(t, harness.TCP)
	connect(c, "gudok-errors:soft")
	c.Expect("CONNECTED")
	stored := 0
	for {
		c.Sendf("SEND\ndestination:/queue/q\nreceipt:r\n\n%s\x00", strings.Repeat("x", 100<<10))
		f, err := c.ReadFrame(harness.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if f.Command == "ERROR" {
			break
		}
		if stored++; stored > 1000 {
			t.Fatal("it is never full")
		}
	}
	b.Says("the store takes no messages")
	if a := ask(t, b, "GET", "/readyz", ""); a.code != 503 || !strings.HasPrefix(a.body, "not ok: store is full") {
		t.Errorf("%d %q", a.code, a.body)
	}
	if metric(t, b, "gudok_store_refusing") != 1 {
		t.Error("gudok_store_refusing is 0")
	}
	c.Sendf("SUBSCRIBE\nid:1\ndestination:/queue/q\n\n\x00")
	for range stored {
		c.Expect("MESSAGE")
	}
	b.Says("the store takes messages again")
	if a := ask(t, b, "GET", "/readyz", ""); a.code != 200 {
		t.Errorf("%d %q", a.code, a.body)
	}
}
