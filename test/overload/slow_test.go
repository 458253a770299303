package overload

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// drip is one way to hold a connection: say first, wait for an answer if there is to be one, then say
// text byte by byte, for ever.
type drip struct {
	name   string
	to     string // http, tcp, tls
	first  string
	answer bool
	text   string
}

// ever is text without end.
func ever(start, again string) string { return start + strings.Repeat(again, 4000/len(again)) }

// TestSlowloris: on every way in, bytes that come one by one, or not at all, at every stage. Each connection is
// closed within connect_time, or within frame_time once it has logged in, and honest clients notice nothing.
func TestSlowloris(t *testing.T) {
	const (
		limit = 3 * time.Second
		each  = 20
		pause = 100 * time.Millisecond
	)
	cert, key := harness.Certificate(t, "localhost")
	b := start(t, fmt.Sprintf("log: {level: error}\nlimits: {connect_time: %v, frame_time: %[1]v}\ntcp: {tls_listen: \"127.0.0.1:0\", tls: {cert: %q, key: %q}}\n",
		limit, cert, key), harness.Options{Quiet: true})
	to := map[string]string{"http": b.WS, "tcp": b.TCP, "tls": b.TLS}
	upgrade := harness.Upgrade(b.WS, b.Path, "Sec-WebSocket-Protocol: v12.stomp")
	wsFrame := func(text string, more bool) string {
		return string(harness.WSFrame{Op: harness.OpText, Payload: []byte(text), More: more}.Append(nil))
	}
	connect := "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:0,0\n\n\x00"
	hello := string(clientHello(t))
	fragments := strings.Repeat(string(harness.WSFrame{Payload: []byte("x"), More: true}.Append(nil)), 600)
	send := "SEND\ndestination:/topic/slow\n"
	drips := []drip{
		// Before CONNECT.
		{"TCP, no byte", "tcp", "", false, ""},
		{"TCP, heart-beats", "tcp", "", false, ever("", "\n")},
		{"TCP, command", "tcp", "", false, "CONNECT\n" + ever("", "x")},
		{"TCP, a header", "tcp", "", false, ever("CONNECT\naccept-version:1.2\nx:", "y")},
		{"TCP, headers", "tcp", "", false, ever("CONNECT\n", "a:b\n")},
		{"TCP, body", "tcp", "CONNECT\naccept-version:1.2\nhost:h\ncontent-length:1000\n\n", false, ever("", "y")},
		{"TLS, no byte", "tls", "", false, ""},
		{"TLS, handshake", "tls", "", false, hello},
		{"TLS, half a handshake", "tls", hello[:len(hello)/2], false, ""},
		{"HTTP, no byte", "http", "", false, ""},
		{"HTTP, request line", "http", "", false, ever("GET /", "x")},
		{"HTTP, handshake", "http", "", false, upgrade},
		{"HTTP, headers", "http", upgrade[:len(upgrade)-2], false, ever("", "a: b\r\n")},
		{"WebSocket, no byte", "http", upgrade, true, ""},
		{"WebSocket, header of a frame", "http", upgrade, true, wsFrame(strings.Repeat("x", 300), false)[:3]},
		{"WebSocket, payload", "http", upgrade, true, wsFrame(ever("CONNECT\nx:", "y"), false)},
		{"WebSocket, fragments", "http", upgrade + wsFrame("CONNECT\nx:", true), true, fragments},
		// After CONNECTED.
		{"TCP, command of SEND", "tcp", connect, true, "SEN"},
		{"TCP, headers of SEND", "tcp", connect, true, ever(send, "a:b\n")},
		{"TCP, body of SEND", "tcp", connect, true, ever(send+"\n", "y")},
		{"TCP, counted body of SEND", "tcp", connect + send + "content-length:4000\n\n", true, ever("", "y")},
		{"WebSocket, header of a frame with SEND", "http", upgrade + wsFrame(connect, false), true, wsFrame(strings.Repeat("x", 300), false)[:3]},
		{"WebSocket, payload of SEND", "http", upgrade + wsFrame(connect, false), true, wsFrame(ever(send+"\n", "y"), false)},
		{"WebSocket, fragments of SEND", "http", upgrade + wsFrame(connect+send+"\n", true), true, fragments},
		{"WebSocket, messages of a byte", "http", upgrade + wsFrame(connect+send+"\n", false), true, strings.Repeat(wsFrame("x", false), 600)},
	}
	f := startFeed(t, wsAt(b.Broker), "/topic/slow-feed", 50, 200, 128)
	pass(time.Second)
	alone := f.measure()
	var mu sync.Mutex
	longest := map[string]time.Duration{}
	var wg sync.WaitGroup
	for n, d := range drips {
		for i := range each {
			wg.Go(func() {
				took, err := d.run(to[d.to], crowdAddress(n*each+i), pause, limit+3*harness.Patience)
				mu.Lock()
				defer mu.Unlock()
				longest[d.name] = max(longest[d.name], took)
				if err != nil {
					t.Errorf("%s: %v", d.name, err)
				}
			})
		}
	}
	wg.Wait()
	during := f.measure()
	sent := f.stop()
	var most time.Duration
	for _, d := range drips {
		took := longest[d.name]
		most = max(most, took)
		if took > limit+1500*time.Millisecond {
			t.Errorf("%s: closed after %v, the limit is %v", d.name, took, limit)
		}
	}
	t.Logf("%d connections in %d ways, all closed within %v of a limit of %v; feed of %d messages to 50: alone %v; beside them %v",
		len(drips)*each, len(drips), most.Round(time.Millisecond), limit, sent, alone, during)
	if p99 := during.quantile(0.99); p99 > busy {
		t.Errorf("p99 of the feed was %v", p99)
	}
}

// run holds a connection for as long as it can, and gives how long that was from when it may not be any more.
func (d drip) run(addr, from string, pause, patience time.Duration) (time.Duration, error) {
	p, err := dial(at{Addr: addr, From: from})
	if err != nil {
		return 0, err
	}
	defer p.nc.Close()
	begin := time.Now()
	p.nc.SetDeadline(begin.Add(patience))
	if _, err := io.WriteString(p.nc, d.first); err != nil {
		return 0, err
	}
	if d.answer {
		if _, err := p.nc.Read(make([]byte, 4096)); err != nil {
			return 0, fmt.Errorf("no answer: %w", err)
		}
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := range d.text {
			if _, err := io.WriteString(p.nc, d.text[i:i+1]); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
		}
	}()
	for b := make([]byte, 4096); ; {
		if _, err = p.nc.Read(b); err != nil {
			break
		}
	}
	if timedOut(err) {
		return time.Since(begin), fmt.Errorf("not closed within %v", patience)
	}
	return time.Since(begin), nil
}

// clientHello is the first flight of a TLS client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}).Handshake() // nobody answers
	}()
	defer a.Close()
	flight := make([]byte, 4096)
	n, err := io.ReadAtLeast(b, flight, 5)
	if err != nil {
		t.Fatal(err)
	}
	return flight[:n]
}

// TestSlowHTTPTest runs slowhttptest's four attacks at once, each with a thousand connections, beside honest
// clients.
func TestSlowHTTPTest(t *testing.T) {
	program := tool(t, "slowhttptest")
	const seconds = 15
	b := start(t, "log: {level: error}\n", harness.Options{Quiet: true})
	f := startFeed(t, wsAt(b.Broker), "/topic/slow-feed", 50, 200, 128)
	pass(time.Second)
	alone, files, before := f.measure(), b.files(t), b.anonymous(t)
	peak := b.peak(t)
	var wg sync.WaitGroup
	said := make([]string, 4)
	attacks := []string{"-H", "-B", "-R", "-X"}
	begin, cpu := time.Now(), b.cpu(t)
	for i, attack := range attacks {
		wg.Go(func() {
			args := []string{attack, "-c", "1000", "-r", "500", "-i", "2", "-l", fmt.Sprint(seconds), "-p", "5", "-u", "http://" + b.WS + "/client.js"}
			if attack == "-X" {
				args = append(args, "-k", "3", "-w", "10", "-y", "20", "-n", "2", "-z", "32")
			}
			out, err := exec.Command(program, args...).CombinedOutput()
			if err != nil {
				t.Errorf("slowhttptest %s: %v\n%s", attack, err, out)
			}
			said[i] = string(out)
		})
	}
	wg.Wait()
	took, used := time.Since(begin), b.cpu(t)-cpu
	during, most := f.measure(), peak()
	get(t, "http://"+b.WS+"/healthz", "ok")
	sent := f.stop()
	if !becomes(3*harness.Patience, func() bool { return b.files(t) <= files-51 }) {
		t.Errorf("%d descriptors are left of the attack", b.files(t)-(files-51))
	}
	for i, attack := range attacks {
		t.Logf("slowhttptest %s: %s", attack, lastStatus(said[i]))
	}
	t.Logf("%v of four attacks with 1,000 connections each; CPU %v; RssAnon %d MiB before, %d at most; feed of %d messages to 50: alone %v; beside them %v",
		took.Round(time.Second), used, before/mib, most/mib, sent, alone, during)
	if p99 := during.quantile(0.99); p99 > busy {
		t.Errorf("p99 of the feed was %v", p99)
	}
}

var colour = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// lastStatus is what slowhttptest said last about its connections.
func lastStatus(out string) string {
	out = colour.ReplaceAllString(out, "")
	if i := strings.LastIndex(out, "initializing:"); i >= 0 {
		out = out[i:]
	}
	return strings.Join(strings.Fields(out), " ")
}
