package security

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/transport"
)

// doors are the addresses of a broker; some may be empty.
type doors struct{ tcp, ws, tls string }

const opening = "CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:" + canary + "-alice\n\n\x00SUBSCRIBE\nid:0\ndestination:/topic/v31\n\n\x00SUBSCRIBE\nid:1\ndestination:/queue/v31\nack:client\n\n\x00"

// apart is opening where no flood comes in between, after which a slow reader would be told nothing.
var apart = strings.Replace(opening, "/topic/v31", "/topic/v31.apart", 1)

// deaths are ways in which a connection ends. Each leaves it to the broker to notice.
var deaths = []struct {
	name string
	die  func(d doors) error
}{
	{"silent, then closed", func(d doors) error { return over(d.tcp, "", false) }},
	{"reset while subscribed", func(d doors) error { return over(d.tcp, opening, true) }},
	{"half a CONNECT", func(d doors) error { return over(d.tcp, opening[:20], false) }},
	{"half a SEND", func(d doors) error {
		return over(d.tcp, opening+"SEND\ndestination:/queue/x\ncontent-length:100000\n\nx", false)
	}},
	{"DISCONNECT", func(d doors) error { return turnedAway(d.tcp, apart+"DISCONNECT\nreceipt:r\n\n\x00", "receipt-id:r") }},
	{"a protocol error", func(d doors) error { return turnedAway(d.tcp, apart+"NONSENSE\n\n\x00", "ERROR") }},
	{"half a handshake", func(d doors) error { return over(d.ws, harness.Upgrade(d.ws, "/ws")[:60], false) }},
	{"a handshake that is refused", func(d doors) error {
		return turnedAway(d.ws, harness.Upgrade(d.ws, "/ws", "Origin: https://evil.example", "Connection: close"), " 403 ")
	}},
	{"a WebSocket, reset", func(d doors) error { return socket(d, func(ws *harness.WS) { ws.Conn.(*net.TCPConn).SetLinger(0) }) }},
	{"half a WebSocket frame", func(d doors) error {
		return socket(d, func(ws *harness.WS) {
			ws.Conn.Write(harness.WSFrame{Op: harness.OpText, Payload: []byte("SEND\n")}.Append(nil)[:9])
		})
	}},
	{"a WebSocket's goodbye", func(d doors) error {
		return socket(d, func(ws *harness.WS) {
			ws.Write(harness.WSFrame{Op: harness.OpClose, Payload: []byte{3, 232}})
			ws.Conn.SetReadDeadline(time.Now().Add(harness.Patience))
			io.Copy(io.Discard, ws.Conn)
		})
	}},
	{"a WebSocket that does not read", func(d doors) error {
		return socket(d, func(ws *harness.WS) {
			ws.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			send := "SEND\ndestination:/topic/v31\n\n" + strings.Repeat("x", 60_000) + "\x00"
			for range 20 {
				ws.Write(harness.WSFrame{Op: harness.OpBinary, Payload: []byte(send)})
			}
		})
	}},
	{"half of TLS", func(d doors) error { return over(d.tls, "\x16\x03\x01\x02\x00\x01\x00", false) }},
	{"TLS, reset", func(d doors) error {
		if d.tls == "" {
			return nil
		}
		c, err := tls.Dial("tcp", d.tls, &tls.Config{InsecureSkipVerify: true}) // who answers does not matter
		if err != nil {
			return err
		}
		io.WriteString(c, opening)
		c.NetConn().(*net.TCPConn).SetLinger(0)
		return c.NetConn().Close()
	}},
}

// over connects, says something and goes.
func over(addr, text string, reset bool) error {
	if addr == "" {
		return nil
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	io.WriteString(c, text)
	if reset {
		c.(*net.TCPConn).SetLinger(0)
	}
	return c.Close()
}

// turnedAway connects and says something to which the broker answers and ends the connection.
func turnedAway(addr, text, want string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	io.WriteString(c, text)
	all, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(all), want) {
		return fmt.Errorf("%q, %w", all, err)
	}
	return nil
}

// socket subscribes by WebSocket, does something, and goes.
func socket(d doors, then func(*harness.WS)) error {
	ws, err := harness.Handshake(d.ws, harness.Upgrade(d.ws, "/ws"))
	if err != nil {
		return err
	}
	defer ws.Conn.Close()
	if err := ws.Write(harness.WSFrame{Op: harness.OpText, Payload: []byte(opening)}); err != nil {
		return err
	}
	then(ws)
	return nil
}

// dieAll has so many connections die in each way, several at a time.
func dieAll(t *testing.T, d doors, each int) int {
	t.Helper()
	var wg sync.WaitGroup
	const atOnce = 5
	for _, x := range deaths {
		for range atOnce {
			wg.Go(func() {
				for range each / atOnce {
					if err := x.die(d); err != nil {
						t.Errorf("%s: %v", x.name, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	return each / atOnce * atOnce * len(deaths)
}

// back waits until a number is what it was before, or five more at most.
func back(t *testing.T, what string, before int, now func() int) {
	t.Helper()
	late := time.NewTimer(2 * harness.Patience)
	defer late.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for n := now(); n > before+5; n = now() {
		select {
		case <-look.C:
		case <-late.C:
			t.Fatalf("%d %s, before it was %d", n, what, before)
		}
	}
	t.Logf("%s: %d before, %d after", what, before, now())
}

// files are the open files of a process.
func files(t *testing.T, pid any) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%v/fd", pid))
	if err != nil {
		t.Skipf("missing: %v", err)
	}
	return len(entries)
}

// V31: whichever way 2,000 connections die, no file and no goroutine is left of them (coder/websocket
// #405, #429, #445).
func TestV31NothingIsLeft(t *testing.T) {
	w := newWorld(t, "limits: {outbox: 64KiB, send_time: 1s}")
	d := doors{tcp: w.TCP, ws: w.WS, tls: w.TLS}
	dieAll(t, d, 5) // what is made once is there
	back(t, "files", 30, func() int { return files(t, w.PID()) })
	before := files(t, w.PID())
	n := dieAll(t, d, 150)
	back(t, "files", before, func() int { return files(t, w.PID()) })
	t.Logf("%d connections", n)
	c := w.dial(harness.WSText, "")
	connect(c, "login:alice", "passcode:"+canary+"-alice")
	c.Expect("CONNECTED")
	c.Sync()
}

// The same within this process, where goroutines can be counted.
func TestV31NoGoroutineIsLeft(t *testing.T) {
	b, err := broker.New(broker.Options{Limits: broker.Limits{Outbox: 64 << 10, SendTime: time.Second}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	quiet := transport.Options{Logger: slog.New(slog.DiscardHandler)}
	tcp, ws := transport.NewTCP(b, transport.TCPOptions{Logger: quiet.Logger}), transport.NewWebSocket(b, quiet)
	tcpListener, wsListener := listen(t), listen(t)
	mux := http.NewServeMux()
	mux.Handle("/ws", ws)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { tcp.Serve(tcpListener) })
	serving.Go(func() { server.Serve(ws.Front(wsListener, "/ws")) })
	d := doors{tcp: tcpListener.Addr().String(), ws: wsListener.Addr().String()}
	dieAll(t, d, 5)
	settled := func() int { http.DefaultClient.CloseIdleConnections(); return runtime.NumGoroutine() }
	first := settled()
	back(t, "goroutines", first-5, settled)
	before, beforeFiles := settled(), files(t, "self")
	n := dieAll(t, d, 150)
	back(t, "goroutines", before, settled)
	back(t, "files", beforeFiles, func() int { return files(t, "self") })
	t.Logf("%d connections", n)
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	for _, err := range []error{b.Shutdown(ctx), server.Shutdown(ctx), ws.Shutdown(ctx), tcp.Shutdown(ctx)} {
		if err != nil {
			t.Error(err)
		}
	}
	serving.Wait()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
