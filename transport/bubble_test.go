package transport_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// pipeWriter is a ResponseWriter whose connection is a pipe.
type pipeWriter struct {
	header http.Header
	nc     net.Conn
}

func (w *pipeWriter) Header() http.Header         { return w.header }
func (w *pipeWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *pipeWriter) WriteHeader(int)             {}
func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, bufio.NewReadWriter(bufio.NewReader(w.nc), bufio.NewWriter(w.nc)), nil
}

// pipeListener hands out what it is sent: connections and errors.
type pipeListener struct {
	c    chan any
	once sync.Once
	done chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{c: make(chan any), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case v := <-l.c:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// onPipes runs f in a bubble for both transports; envelope makes of bytes what one message is.
// The client's end reads in the background what the server says.
func onPipes(t *testing.T, f func(t *testing.T, r *recorder, client net.Conn, envelope func(string) []byte)) {
	drain := func(nc net.Conn) {
		b := make([]byte, 1024)
		for {
			if _, err := nc.Read(b); err != nil {
				return
			}
		}
	}
	for name, envelope := range map[string]func(string) []byte{
		"websocket":  func(s string) []byte { return ws(text, s) },
		"compressed": func(s string) []byte { return ws(text|rsv1, deflated(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				r.linger = time.Second
				h := transport.NewWebSocket(r, quietly(transport.Options{Compression: true}))
				server, client := net.Pipe()
				req := request("/ws", "localhost", "")
				if name == "compressed" {
					req.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
				}
				h.ServeHTTP(&pipeWriter{http.Header{}, server}, req)
				go drain(client)
				f(t, r, client, envelope)
				client.Close()
				if err := h.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("tcp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder()
			r.linger = time.Second
			h := transport.NewTCP(r, transport.TCPOptions{Logger: logTo(new(lockedBuffer))})
			ln := newPipeListener()
			go h.Serve(ln)
			server, client := net.Pipe()
			ln.c <- server
			go drain(client)
			f(t, r, client, func(s string) []byte { return []byte(s) })
			client.Close()
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	})
}

// step sends bytes, then time passes.
type step struct {
	send []byte
	wait time.Duration
}

// play sends the steps and returns when reading ended, and with what; "" if it did not.
func play(r *recorder, client net.Conn, steps ...step) (time.Duration, string) {
	start := time.Now()
	for _, s := range steps {
		if _, err := client.Write(s.send); err != nil {
			break
		}
		time.Sleep(s.wait)
	}
	synctest.Wait()
	select {
	case err := <-r.end:
		return r.ended.Sub(start), kindOf(err)
	default:
		return 0, ""
	}
}

func repeat(n int, s ...step) []step { return slices.Repeat(s, n) }

func TestFrameTime(t *testing.T) {
	const sec = time.Second
	rows := []struct {
		name   string
		steps  func(m func(string) []byte) []step
		frames int
		at     time.Duration
		end    string
	}{
		{"idle", func(m func(string) []byte) []step { return []step{{nil, 10 * time.Hour}} }, 0, 0, ""},
		{"idle after a frame", func(m func(string) []byte) []step { return []step{{m("SEND\n\n\x00"), 10 * time.Hour}} }, 1, 0, ""},
		{"EOLs for hours", func(m func(string) []byte) []step { return repeat(1000, step{m("\n"), 10 * sec}) }, 0, 0, ""},
		{"half a frame", func(m func(string) []byte) []step { return []step{{m("SEND\n\nab"), 100 * sec}} }, 0, 30 * sec, "frame time"},
		{"half a command", func(m func(string) []byte) []step { return []step{{m("S"), 100 * sec}} }, 0, 30 * sec, "frame time"},
		{"half a frame after a whole one", func(m func(string) []byte) []step {
			return []step{{m("SEND\n\n\x00"), 100 * sec}, {m("SEND\n\n\x00SEND\n"), 100 * sec}}
		}, 2, 130 * sec, "frame time"},
		{"drip", func(m func(string) []byte) []step {
			return append([]step{{m("SEND\n\n"), 5 * sec}}, repeat(100, step{m("x"), 5 * sec})...)
		}, 0, 30 * sec, "frame time"},
		{"just in time", func(m func(string) []byte) []step {
			return append(repeat(5, step{m("SEND\n\nx"), 29 * sec}, step{m("\x00"), 29 * sec}), step{nil, time.Hour})
		}, 5, 0, ""},
		{"each frame has its own time", func(m func(string) []byte) []step {
			return append(repeat(20, step{m("SEND\n\nx"), 20 * sec}, step{m("\x00SEND\n\nx"), 20 * sec}, step{m("\x00"), sec}), step{nil, time.Hour})
		}, 40, 0, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
				binary := m
				if len(m("")) > 0 { // as text, React Native's rule would end frames early
					binary = func(s string) []byte {
						p := m(s)
						p[0] ^= text ^ bin
						return p
					}
				}
				at, end := play(r, client, row.steps(binary)...)
				if n := len(r.frames()); n != row.frames || at != row.at || end != row.end {
					t.Errorf("%d frames, ended %q at %v; want %d, %q, %v", n, end, at, row.frames, row.end, row.at)
				}
			})
		})
	}
}

// A message that stays open has the frame time too, whether or not a frame has begun.
func TestMessageTime(t *testing.T) {
	const sec = time.Second
	for _, row := range []struct {
		name  string
		steps []step
		at    time.Duration
		end   string
	}{
		{"open and empty", []step{{ws(textPart, ""), time.Hour}}, 30 * sec, "frame time"},
		{"empty fragments", append(repeat(1, step{ws(textPart, ""), sec}), repeat(100, step{ws(contPart, ""), sec})...), 30 * sec, "frame time"},
		{"EOLs", append(repeat(1, step{ws(textPart, "\n"), sec}), repeat(100, step{ws(contPart, "\n"), sec})...), 30 * sec, "frame time"},
		{"pings do not help", append(repeat(1, step{ws(textPart, "SEND\n"), sec}), repeat(100, step{ws(ping, ""), sec})...), 30 * sec, "frame time"},
		{"frames do", append(repeat(1, step{ws(textPart, ""), sec}), repeat(100, step{ws(contPart, "SEND\n\n\x00"), 20 * sec})...), 0, ""},
		{"payload announced, not sent", []step{{ws(bin, strings.Repeat("\n", 100))[:50], time.Hour}}, 30 * sec, "frame time"},
		{"pings while idle", repeat(1000, step{ws(ping, ""), 10 * sec}), 0, ""},
		{"pongs while idle", repeat(1000, step{ws(pong, ""), 10 * sec}), 0, ""},
		{"half a ping", []step{{ws(ping, "0123456789")[:10], time.Hour}}, 5 * sec, "frame time"},
	} {
		t.Run(row.name, func(t *testing.T) {
			onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
				if len(m("")) == 0 {
					return // TCP knows no messages
				}
				if at, end := play(r, client, row.steps...); at != row.at || end != row.end {
					t.Errorf("ended %q at %v, want %q at %v", end, at, row.end, row.at)
				}
			})
		})
	}
}

// LastRead is the time of the last byte, whatever it was.
func TestLastRead(t *testing.T) {
	onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
		c := <-r.conns
		inputs := [][]byte{nil, m("\n"), m("SEND\n\n\x00"), m("SE")}
		if len(m("")) > 0 {
			inputs = append(inputs, ws(ping, ""), ws(pong, ""))
		}
		for _, in := range inputs {
			want := time.Now()
			client.Write(in)
			synctest.Wait()
			if got := time.Unix(0, c.LastRead()); !got.Equal(want) {
				t.Errorf("after %q: %v, want %v", in, got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// Interrupt ends a read that waits, within a frame or not, and every later one.
func TestInterrupt(t *testing.T) {
	for _, before := range []string{"", "SEND\n\n\x00", "SEND\n\nab", "\n"} {
		onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
			c := <-r.conns
			client.Write(m(before)[:max(len(m(before))-1, 0)]) // a WebSocket message stays open
			time.Sleep(time.Second)
			c.Interrupt()
			synctest.Wait()
			if err := <-r.end; !errors.Is(err, broker.ErrInterrupted) {
				t.Errorf("after %q: %v", before, err)
			}
			c.Interrupt()
			var f stompframe.Frame
			synctest.Wait()
			time.Sleep(time.Minute)
			if err := c.ReadFrame(&f); !errors.Is(err, broker.ErrInterrupted) {
				t.Errorf("after %q, later read: %v", before, err)
			}
		})
	}
}

// An idle connection holds no buffer, whatever it has carried.
func TestIdleHoldsNothing(t *testing.T) {
	onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
		c := <-r.conns
		for _, n := range []int{0, 10, 300, 5000, 100_000, 1 << 20} {
			for range 3 {
				client.Write(m("SEND\n\n" + strings.Repeat("x", n) + "\x00"))
			}
			client.Write(m("\n"))
			synctest.Wait()
			if got := len(r.frames()); got != 3 {
				t.Errorf("%d frames of %d bytes", got, n)
			}
			if held := transport.Held(c); held != 0 {
				t.Errorf("after frames of %d bytes: %d bytes held", n, held)
			}
		}
	})
}

// A peer that does not close is waited for no longer than linger.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, linger := range []time.Duration{0, time.Second, 2 * time.Second} {
			took := make(chan time.Duration, 1)
			h := transport.NewWebSocket(serverFunc(func(_ context.Context, c broker.Conn) {
				start := time.Now()
				c.Close(1000, "", linger)
				took <- time.Since(start)
			}), quietly(transport.Options{}))
			server, client := net.Pipe()
			h.ServeHTTP(&pipeWriter{http.Header{}, server}, request("/ws", "localhost", ""))
			var frame [4]byte
			client.Read(frame[:])
			if got := <-took; got != linger || frame != [4]byte{0x88, 2, 3, 0xE8} {
				t.Errorf("linger %v: %v, %x", linger, got, frame)
			}
			h.Shutdown(context.Background())
		}
	})
}

// temporary is an error of Accept that passes.
type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		h := transport.NewTCP(r, transport.TCPOptions{Logger: logTo(new(lockedBuffer))})
		ln, served := newPipeListener(), make(chan error, 1)
		go func() { served <- h.Serve(ln) }()
		start := time.Now()
		for range 12 {
			ln.c <- temporary{errors.New("too many open files")}
		}
		server, client := net.Pipe()
		ln.c <- server
		if d := time.Since(start); d < 3*time.Second || d > 10*time.Second {
			t.Errorf("12 errors took %v", d)
		}
		<-r.conns
		ln.c <- errors.New("broken")
		if err := <-served; err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("Serve: %v", err)
		}
		client.Close()
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := h.Serve(newPipeListener()); err != nil {
			t.Errorf("Serve after Shutdown: %v", err)
		}
	})
}

// A text SEND without content-length and NUL is React Native's if nothing follows it for a second;
// what follows sooner belongs to it, and an end in between drops it.
func TestSilenceEndsOpenText(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"silence", []step{{ws(text, "SEND\n\nab"), 1001 * ms}}, []string{`SEND "ab"`}},
		{"silence, then more", []step{{ws(text, "SEND\n\nab"), 1001 * ms}, {ws(text, "ACK\n\n\x00"), ms}}, []string{`SEND "ab"`, "ACK"}},
		{"the rest in time", []step{{ws(text, "SEND\n\nab"), 999 * ms}, {ws(text, "cd\x00"), ms}}, []string{`SEND "abcd"`}},
		{"the rest in pieces", []step{{ws(text, "SEND\n\nab"), 999 * ms}, {ws(text, "c"), 5000 * ms}, {ws(text, "d\x00"), ms}}, []string{`SEND "abcd"`}},
		{"half a message", []step{{ws(textPart, "SEND\n\nab"), 5000 * ms}}, nil},
		{"binary", []step{{ws(bin, "SEND\n\nab"), 5000 * ms}}, nil},
		{"the end", []step{{ws(text, "SEND\n\nab"), 999 * ms}}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			onPipes(t, func(t *testing.T, r *recorder, client net.Conn, m func(string) []byte) {
				if len(m("")) == 0 {
					return // TCP has no messages
				}
				for _, s := range row.steps {
					client.Write(s.send)
					time.Sleep(s.wait)
				}
				client.Close()
				synctest.Wait()
				if got := r.frames(); !slices.Equal(got, row.want) {
					t.Errorf("%q, want %q", got, row.want)
				}
			})
		})
	}
}
