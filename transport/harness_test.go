package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// patience bounds every wait on a real socket.
const patience = 20 * time.Second

// serverFunc is a Server.
type serverFunc func(context.Context, broker.Conn)

func (f serverFunc) Serve(ctx context.Context, c broker.Conn) { f(ctx, c) }

// recorder is a Server that accepts whatever comes as STOMP 1.2, writes down the frames, and
// closes as a session would when reading ends.
type recorder struct {
	linger time.Duration
	got    chan string // frames, one line each
	end    chan error  // what ReadFrame ended with
	ended  time.Time   // when; to be read after end
	conns  chan broker.Conn
}

func newRecorder() *recorder {
	return &recorder{linger: patience, got: make(chan string, 1000), end: make(chan error, 10), conns: make(chan broker.Conn, 10)}
}

func (r *recorder) Serve(_ context.Context, c broker.Conn) {
	c.Accepted(stompframe.V12, stompframe.Limits{})
	r.conns <- c
	var f stompframe.Frame
	for {
		err := c.ReadFrame(&f)
		if err == nil {
			r.got <- show(&f)
			continue
		}
		code, reason := 1000, ""
		var ce *broker.CloseError
		if errors.As(err, &ce) {
			code, reason = ce.Code, ce.Reason
		}
		r.ended = time.Now()
		r.end <- err
		c.Close(code, reason, r.linger)
		return
	}
}

// frames returns what was written down so far.
func (r *recorder) frames() []string {
	var all []string
	for {
		select {
		case f := <-r.got:
			all = append(all, f)
		default:
			return all
		}
	}
}

func (r *recorder) wait(t *testing.T) error {
	t.Helper()
	return receive(t, r.end)
}

func receive[T any](t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// show is a frame on one line.
func show(f *stompframe.Frame) string {
	var b strings.Builder
	b.WriteString(f.Command)
	for _, h := range f.Header {
		fmt.Fprintf(&b, " %s:%s", h.Name, h.Value)
	}
	if len(f.Body) > 100 {
		fmt.Fprintf(&b, " %d bytes %x", len(f.Body), sum(f.Body))
	} else if f.Body != nil {
		fmt.Fprintf(&b, " %q", f.Body)
	}
	return b.String()
}

func sum(p []byte) (n uint32) {
	for _, c := range p {
		n = n*31 + uint32(c)
	}
	return n
}

// kindOf is the name of an end of ReadFrame.
func kindOf(err error) string {
	var ce *broker.CloseError
	var fe *stompframe.Error
	switch {
	case errors.As(err, &ce):
		return fmt.Sprint(ce.Code)
	case errors.As(err, &fe):
		return fe.Kind.String()
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, broker.ErrFrameTime):
		return "frame time"
	case errors.Is(err, broker.ErrInterrupted):
		return "interrupted"
	case err == nil:
		return "nil"
	}
	return err.Error()
}

// logTo is a logger that writes to b.
func logTo(b *lockedBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serveWS serves s by WebSocket on loopback and returns the address.
func serveWS(t *testing.T, s transport.Server, o transport.Options) string {
	t.Helper()
	if o.Logger == nil {
		o.Logger = logTo(new(lockedBuffer))
	}
	h := transport.NewWebSocket(s, o)
	srv := httptest.NewUnstartedServer(h)
	srv.Listener = h.Front(srv.Listener, "/ws")
	srv.Start()
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return addr
}

func serveHandler(t *testing.T, h http.Handler) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// serveTCP serves s by TCP on loopback and returns the address.
func serveTCP(t *testing.T, s transport.Server, o transport.TCPOptions) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.Logger == nil {
		o.Logger = logTo(new(lockedBuffer))
	}
	h := transport.NewTCP(s, o)
	served := make(chan error, 1)
	go func() { served <- h.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := receive(t, served); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// client is a raw connection.
type client struct {
	t *testing.T
	net.Conn
	r    *bufio.Reader
	resp *http.Response
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &client{t: t, Conn: nc, r: bufio.NewReader(nc)}
}

// handshake is a request for a WebSocket; each header is a whole line.
func handshake(host string, headers ...string) string {
	return "GET /ws HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		strings.Join(append(headers, "", ""), "\r\n")
}

// dialWS does the handshake, with early sent in the same write.
func dialWS(t *testing.T, addr string, early []byte, headers ...string) *client {
	t.Helper()
	c := dial(t, addr)
	c.send(append([]byte(handshake(addr, headers...)), early...))
	c.answer()
	if c.resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %s", c.resp.Status)
	}
	return c
}

func (c *client) answer() {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.resp = resp
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) closeWrite() { c.Conn.(*net.TCPConn).CloseWrite() }

// message is a WebSocket frame of the server.
type message struct {
	first   byte
	payload string
}

func (m message) String() string {
	p := m.payload
	if len(p) > 60 {
		p = fmt.Sprintf("%d bytes", len(p))
	}
	return fmt.Sprintf("%02x %q", m.first, p)
}

// next reads a frame; a server's are never masked (RFC 6455, 5.1).
func (c *client) next() (m message, err error) {
	var h [8]byte
	if _, err = io.ReadFull(c.r, h[:2]); err != nil {
		return m, err
	}
	m.first = h[0]
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(c.r, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		_, err = io.ReadFull(c.r, h[:8])
		n = binary.BigEndian.Uint64(h[:])
	}
	if err != nil || n > 1<<24 {
		return m, fmt.Errorf("bad frame of %d bytes: %w", n, err)
	}
	p := make([]byte, n)
	_, err = io.ReadFull(c.r, p)
	m.payload = string(p)
	return m, err
}

func (c *client) mustNext() message {
	c.t.Helper()
	m, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// rest reads all frames until the server ends the stream.
func (c *client) rest() (all []message, err error) {
	for {
		m, err := c.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

// Opcodes with FIN, and fragments without.
const (
	text, bin, cont             = 0x81, 0x82, 0x80
	textPart, binPart, contPart = 0x01, 0x02, 0x00
	closing, ping, pong         = 0x88, 0x89, 0x8A
)

// ws is a masked frame in the shortest encoding of its length.
func ws(first byte, payload string) []byte {
	n := len(payload)
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return mask(b, payload)
}

func mask(b []byte, payload string) []byte {
	key := [4]byte{0x12, 0xFE, 0x00, 0x99}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// closeFrame is the payload of one.
func closeFrame(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }
