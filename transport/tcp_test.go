package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

func TestTCPFrames(t *testing.T) {
	big := strings.Repeat("0123456789", 50_000)
	in := "\n\r\nSEND\n\none\x00SEND\ncontent-length:3\n\ntwo\x00\n\nSEND\n\n" + big + "\x00ACK\nid:1\n\n\x00\n"
	want := []string{`SEND "one"`, `SEND content-length:3 "two"`, show(&stompframe.Frame{Command: "SEND", Body: []byte(big)}), "ACK id:1"}
	r := newRecorder()
	addr := serveTCP(t, r, transport.TCPOptions{})
	for _, size := range []int{len(in), 100_000, 4096, 513, 512, 511, 100} {
		c := dial(t, addr)
		for chunk := range slices.Chunk([]byte(in), size) {
			c.send(chunk)
		}
		c.closeWrite()
		if err := r.wait(t); err != io.EOF {
			t.Errorf("chunks of %d: %v", size, err)
		}
		if got := r.frames(); !slices.Equal(got, want) {
			t.Errorf("chunks of %d: frames %q", size, got)
		}
		if p := (<-r.conns).Peer(); p.Transport != "tcp" || p.Addr.String() != c.LocalAddr().String() || p.TLS != nil {
			t.Errorf("peer %+v", p)
		}
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("chunks of %d: server said %q, %v", size, b, err)
		}
	}
}

func TestTCPCutAnywhere(t *testing.T) {
	const in = "SEND\n\none\x00\nSEND\ncontent-length:3\n\nt\x00o\x00SEND\nx:y\n\n\x00ACK\nid:1\n\n\x00"
	want := []string{`SEND "one"`, `SEND content-length:3 "t\x00o"`, "SEND x:y", "ACK id:1"}
	ends := []int{10, 10 + 1 + 5 + 17 + 1 + 4, 38 + 11, len(in)}
	r := newRecorder()
	addr := serveTCP(t, r, transport.TCPOptions{})
	for cut := range len(in) + 1 {
		c := dial(t, addr)
		c.send([]byte(in[:cut]))
		c.closeWrite()
		if err := r.wait(t); err != io.EOF {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		<-r.conns
		whole := 0
		for _, end := range ends {
			if end <= cut {
				whole++
			}
		}
		if got := r.frames(); !slices.Equal(got, want[:whole]) {
			t.Fatalf("cut at %d: frames %q", cut, got)
		}
		c.Close()
	}
}

// Before Accepted the limits are those of before CONNECT, after it those of the session.
func TestLimitsBeforeConnect(t *testing.T) {
	frame := "CONNECT\nx:y\n\n\x00"
	long := "SEND\n\n" + strings.Repeat("x", 20_000) + "\x00"
	run := func(t *testing.T, o stompframe.Limits, accept bool, in string, want string) {
		end := make(chan error, 2)
		s := serverFunc(func(_ context.Context, c broker.Conn) {
			var f stompframe.Frame
			var err error
			for err == nil {
				if err = c.ReadFrame(&f); err == nil && accept {
					c.Accepted(stompframe.V12, stompframe.Limits{})
				}
			}
			end <- err
			c.Close(1000, "", 0)
		})
		tc := dial(t, serveTCP(t, s, transport.TCPOptions{BeforeConnect: o}))
		tc.send([]byte(in))
		tc.closeWrite()
		wc := dialWS(t, serveWS(t, s, transport.Options{BeforeConnect: o}), ws(bin, in))
		wc.closeWrite()
		for range 2 {
			if err := receive(t, end); kindOf(err) != want {
				t.Errorf("limits %+v, accept %v, %d bytes: %v, want %s", o, accept, len(in), err, want)
			}
		}
	}
	run(t, stompframe.Limits{}, true, frame+long, "EOF")
	run(t, stompframe.Limits{}, false, frame+long, "frame too large")
	run(t, stompframe.Limits{}, false, long, "frame too large")
	run(t, stompframe.Limits{Frame: 10}, false, frame, "frame too large")
	run(t, stompframe.Limits{Frame: 30_000}, false, frame+long, "EOF")
}

// Close: the peer sees all that was written and the end of it at once, whatever it still sends.
func TestTCPCloseLingers(t *testing.T) {
	took := make(chan time.Duration, 1)
	addr := serveTCP(t, serverFunc(func(_ context.Context, c broker.Conn) {
		batch := c.AppendFrame(nil, []byte("ERROR\n"), []byte("\nbye\x00"), true)
		if err := c.Write(batch, patience); err != nil {
			t.Error(err)
		}
		start := time.Now()
		c.Close(1002, "x", patience)
		took <- time.Since(start)
	}), transport.TCPOptions{})
	c := dial(t, addr)
	if b, err := io.ReadAll(c); err != nil || string(b) != "ERROR\n\nbye\x00" {
		t.Errorf("read %q, %v", b, err)
	}
	for range 100 {
		c.send([]byte(strings.Repeat("x", 10_000)))
	}
	select {
	case <-took:
		t.Error("closed before the peer did")
	default:
	}
	c.Close()
	if d := receive(t, took); d >= patience {
		t.Errorf("close took %v", d)
	}

	// Too much is not waited for.
	c = dial(t, addr)
	flood := []byte(strings.Repeat("x", 1<<20))
	for range 1000 {
		if _, err := c.Write(flood); err != nil {
			break
		}
	}
	if d := receive(t, took); d >= patience {
		t.Errorf("close in a flood took %v", d)
	}
}

// Abort frees a connection whose peer reads nothing, and ends what waits on it.
func TestAbort(t *testing.T) {
	failed := make(chan error, 2)
	s := serverFunc(func(_ context.Context, c broker.Conn) {
		var wg sync.WaitGroup
		wrote := make(chan struct{})
		wg.Go(func() {
			batch := c.AppendFrame(nil, make([]byte, 64<<10), nil, false)
			close(wrote)
			for {
				if err := c.Write(batch, 0); err != nil {
					failed <- err
					return
				}
			}
		})
		wg.Go(func() { <-wrote; c.Abort() })
		var f stompframe.Frame
		if err := c.ReadFrame(&f); err == nil {
			t.Error("read after abort")
		}
		wg.Wait()
		c.Close(1000, "", patience)
		c.Abort()
	})
	dial(t, serveTCP(t, s, transport.TCPOptions{}))
	dialWS(t, serveWS(t, s, transport.Options{}), nil)
	for range 2 {
		if err := receive(t, failed); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// A write to a peer that reads nothing ends with its timeout, and is the last.
func TestWriteTimeout(t *testing.T) {
	done := make(chan error, 2)
	s := serverFunc(func(_ context.Context, c broker.Conn) {
		batch := c.AppendFrame(nil, make([]byte, 1<<20), nil, false)
		var err error
		for err == nil {
			err = c.Write(batch, 20*time.Millisecond)
		}
		if again := c.Write([]byte("x"), patience); again == nil {
			t.Error("write after half a batch")
		}
		c.Close(1008, "too slow", 0)
		done <- err
	})
	dial(t, serveTCP(t, s, transport.TCPOptions{}))
	dialWS(t, serveWS(t, s, transport.Options{}), nil)
	for range 2 {
		var ne net.Error
		if err := receive(t, done); !errors.As(err, &ne) || !ne.Timeout() {
			t.Error(err)
		}
	}
}

// Sessions that do not end are torn when Shutdown has no more time, TLS or not.
func TestTCPShutdownTears(t *testing.T) {
	for _, config := range []*tls.Config{nil, certificates(t)} {
		r := newRecorder()
		h := transport.NewTCP(r, transport.TCPOptions{Logger: logTo(new(lockedBuffer)), TLS: config})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(ln) }()
		c := net.Conn(dial(t, ln.Addr().String()))
		if config != nil {
			tc := tls.Client(c, trusting)
			if err := tc.Handshake(); err != nil {
				t.Fatal(err)
			}
			c = tc
		}
		receive(t, r.conns)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := h.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connections") {
			t.Errorf("Shutdown with a session left: %v", err)
		}
		if err := receive(t, served); err != nil {
			t.Error(err)
		}
		r.wait(t)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("connection lives")
		}
		if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			t.Error("listener lives")
		}
	}
}

// An Interrupt just when a frame begins is not lost to that frame's deadline.
func TestInterruptRace(t *testing.T) {
	r := newRecorder()
	addr := serveTCP(t, r, transport.TCPOptions{FrameTime: 2 * patience})
	for i := range 300 {
		c := dial(t, addr)
		conn := receive(t, r.conns)
		c.send([]byte("SEND\n"))
		for range i * 10 {
			runtime.Gosched()
		}
		conn.Interrupt()
		if err := r.wait(t); !errors.Is(err, broker.ErrInterrupted) {
			t.Fatal(err)
		}
		c.Close()
	}
}

// A session may end its own connection, and others, before it waits for the network: whoever writes for
// it and finds that the client is gone does.
func TestAbortBeforeWaiting(t *testing.T) {
	end := make(chan error, 1)
	server := serverFunc(func(_ context.Context, c broker.Conn) {
		due := true
		c.OnWait(func() bool { return due }, func() { due = false; c.Abort() })
		var f stompframe.Frame
		err := c.ReadFrame(&f)
		c.Close(1000, "", 0)
		end <- err
	})
	dial(t, serveTCP(t, server, transport.TCPOptions{}))
	if err := receive(t, end); err == nil {
		t.Error("it goes on")
	}
	dialWS(t, serveWS(t, server, transport.Options{}), nil)
	if err := receive(t, end); err == nil {
		t.Error("it goes on")
	}
}
