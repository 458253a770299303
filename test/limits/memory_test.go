package limits

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/transport"
)

// Memory, in bytes. No process can be held at a byte of its own memory, so these brokers are in the test's,
// behind sockets as ever, and are told what is in use; TestMemoryOfTheBinary drives the real one.
var memory = group{
	name: "memory",
	open: openMemory,
	rows: []row{{limit: "memory", at: memoryMark, reason: "memory is short", code: 1013, run: runMemory}},
}

const (
	memoryMark = 64 << 20
	memoryEase = memoryMark - memoryMark/16 // below which it is not short any more
	held       = time.Second                // how long a publisher is, at a time
	freely     = 100                        // SENDs, which would take six times that if they were held up
)

// gauge is how much memory is in use.
type gauge struct {
	mu    sync.Mutex
	more  sync.Cond
	bytes int64
	looks int // at it
}

func (g *gauge) inUse() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looks++
	g.more.Broadcast()
	return g.bytes
}

// set returns when the broker has looked, and done what is needed: it is looking again.
func (g *gauge) set(bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes = bytes
	for seen := g.looks; g.looks < seen+2; {
		g.more.Wait()
	}
}

// openMemory starts a broker that is told how much memory is in use.
func openMemory(t *testing.T, secure bool) *world {
	t.Helper()
	w := emptyWorld(secure)
	w.memory = new(gauge)
	w.memory.more.L = &w.memory.mu
	quiet := slog.New(slog.DiscardHandler)
	b, err := broker.New(broker.Options{Limits: broker.Limits{Memory: memoryMark}, MemoryInUse: w.memory.inUse, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var config *tls.Config
	if secure {
		pair, err := tls.LoadX509KeyPair(harness.Certificate(t, "localhost"))
		if err != nil {
			t.Fatal(err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	tcp, web := listen(), listen()
	w.Broker = &harness.Broker{WS: web.Addr().String(), Path: "/ws", TCP: tcp.Addr().String(), TLS: tcp.Addr().String()}
	stomp := transport.NewTCP(b, transport.TCPOptions{TLS: config, Logger: quiet})
	ws := transport.NewWebSocket(b, transport.Options{Loopback: true, Compression: true, Logger: quiet})
	mux := http.NewServeMux()
	mux.Handle(w.Path, ws)
	mux.Handle("/", admin.New(admin.Options{Snapshot: b.Snapshot, Logger: quiet}))
	s := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelDebug)}
	if secure {
		web = tls.NewListener(web, config)
	}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(web) })
	served.Go(func() { stomp.Serve(tcp) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		for _, err := range []error{b.Shutdown(ctx), stomp.Shutdown(ctx), ws.Shutdown(ctx), s.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
		served.Wait()
	})
	w.welcome(t)
	return w
}

// runMemory has n bytes in use when somebody connects; or when somebody who is there says CONNECT, and
// publishes; or when somebody publishes.
func runMemory(c *cell, n int) {
	g, short := c.w.memory, n > c.row.at
	defer g.set(0)
	var x *harness.Client
	switch c.phase {
	case before:
		g.set(int64(n))
		if !short {
			c.leave(c.connect())
			return
		}
		refused := func() {
			c.Helper()
			x := c.dial()
			x.Sendf("%s", c.connectFrame(""))
			c.refused(x, c.row.reason, c.row.code, "")
		}
		refused()
		g.set(memoryEase)
		refused()
		g.set(memoryEase - 1)
		c.leave(c.connect())
		return
	case within:
		x = c.dial()
		x.Sendf("\n")
		c.counted(1)
		g.set(int64(n))
		x.Sendf("%s", c.connectFrame(""))
		x.Expect("CONNECTED")
	case after:
		x = c.connect()
		g.set(int64(n))
	}
	begin := time.Now()
	if short {
		x.Sendf("%s%s", send("/topic/m", "receipt:1\n", ""), send("/topic/m", "receipt:2\n", ""))
		x.Receipt("1")
		x.Receipt("2")
		if took := time.Since(begin); took < held {
			c.Errorf("a publisher is held up for %v", took)
		}
	}
	for i := range freely {
		x.Sendf("%s", send("/topic/m", fmt.Sprintf("receipt:%d\n", i), ""))
	}
	x.Flush()
	if short {
		g.set(memoryEase - 1)
	}
	for i := range freely {
		x.Receipt(fmt.Sprint(i))
	}
	if took := time.Since(begin); took > 4*held {
		c.Errorf("%d SENDs took %v", freely, took)
	}
	c.leave(x)
}

// The binary's memory is filled with messages that nobody takes: whoever connects by any way in is told that
// it is short, who is there stays, publishers are held up, and it counts what it refused; once somebody has taken
// the messages it eases.
func TestMemoryOfTheBinary(t *testing.T) {
	t.Parallel()
	const mark = 48 << 20
	cert, key := harness.Certificate(t, "localhost")
	pair := fmt.Sprintf("tls: {cert: %q, key: %q}", cert, key)
	for name, secure := range map[string]bool{"plain": false, "secure": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := fmt.Sprintf("limits: {memory: 48MiB}\ntcp: {tls_listen: \"127.0.0.1:0\", %s}\n", pair)
			ways := []harness.Transport{harness.TCP, harness.TCPTLS, harness.WSText, harness.WSBinary}
			if secure {
				config += "http: {" + pair + "}\n"
				ways = []harness.Transport{harness.TCP, harness.TCPTLS, harness.WSSText}
			}
			w := emptyWorld(secure)
			w.Broker = harness.StartWith(t, config, harness.Options{Quiet: true})
			connect := func(tr harness.Transport) *harness.Client {
				t.Helper()
				c := w.Dial(t, tr)
				c.Sendf("CONNECT\naccept-version:1.2\n\n\x00")
				return c
			}
			var there []*harness.Client
			for _, tr := range ways {
				c := connect(tr)
				c.Expect("CONNECTED")
				there = append(there, c)
			}
			w.expectFigure(t, "gudok_memory_short", "0")
			filler, full := there[0], strings.Repeat("x", 1<<20-1000)
			sent := 0
			for ; w.figure(t, "gudok_memory_short") == "0"; sent++ {
				if sent > 2*mark>>20 {
					t.Fatalf("%d MiB are stored, and memory is not short", sent)
				}
				filler.Sendf("%s", send("/queue/full", "persistent:false\nreceipt:f\n", full))
				filler.Receipt("f")
			}
			w.Says(`msg="memory is short`)

			begin := time.Now()
			for _, c := range there { // they are held up at the same time
				for i := range 18 { // the first, and the 17th after that, whatever came before
					c.Sendf("%s", send("/topic/m", fmt.Sprintf("receipt:%d\n", i), ""))
				}
				c.Flush()
			}
			for _, tr := range ways {
				c := connect(tr)
				c.Expect("ERROR", "message:memory is short")
				if end := c.ExpectClose(); tr.WebSocket() && (end.Code != 1013 || end.Reason != "memory is short") {
					t.Errorf("%s: closed with %d %q", tr, end.Code, end.Reason)
				}
			}
			for _, c := range there {
				for i := range 18 {
					c.Receipt(fmt.Sprint(i))
				}
			}
			if took := time.Since(begin); took < held {
				t.Errorf("publishers are held up for %v", took)
			}
			w.expectFigure(t, "gudok_memory_short", "1")
			w.expectFigure(t, "gudok_memory_mark_bytes", fmt.Sprint(float64(mark)))
			if got := w.refused(t); len(got) != 1 || got["memory is short"] != len(ways) {
				t.Errorf("refused: %v", got)
			}

			filler.Sendf("SUBSCRIBE\nid:0\ndestination:/queue/full\n\n\x00")
			for range sent {
				filler.Message(full)
			}
			w.Says(`msg="memory is no longer short"`)
			w.expectFigure(t, "gudok_memory_short", "0")
			for i, tr := range ways {
				c := connect(tr)
				c.Expect("CONNECTED")
				c.Sync()
				there[i].Sync()
			}
		})
	}
}

// figure is a line of the metrics.
func (w *world) figure(t *testing.T, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(w.ask(t, "/metrics"), "\n"+name+" ")
	if !ok {
		t.Fatalf("no %s", name)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

func (w *world) expectFigure(t *testing.T, name, want string) {
	t.Helper()
	if got := w.figure(t, name); got != want {
		t.Errorf("%s is %s, want %s", name, got, want)
	}
}
