package broker_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// pipe is a Conn in memory: what the client writes the session reads, and the other way round.
// Writing to the client blocks while it does not read and its buffer is full.
type pipe struct {
	in, out *buffer
	dec     *stompframe.Decoder
	onWait  func()
	leaves  bool
	evil    bool // Wait panics

	mu     sync.Mutex
	code   int
	reason string
	last   int64
	stop   bool
}

func newPipe(window int) *pipe {
	return &pipe{in: newBuffer(1 << 20), out: newBuffer(window), dec: stompframe.NewDecoder(0, stompframe.Limits{}),
		last: time.Now().UnixNano()}
}

func (p *pipe) ReadFrame(f *stompframe.Frame) error {
	for {
		p.mu.Lock()
		stop := p.stop
		p.mu.Unlock()
		if stop {
			return broker.ErrInterrupted
		}
		ok, err := p.dec.Next(f)
		if ok || err != nil {
			return err
		}
		p.onWait()
		if p.leaves && !p.in.await(false) {
			return broker.ErrWait
		}
		b, err := p.in.take()
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.last = time.Now().UnixNano()
		p.mu.Unlock()
		p.dec.Feed(b)
	}
}

func (p *pipe) Leaves() { p.leaves = true }
func (p *pipe) Wait() {
	if p.evil && !p.in.await(false) {
		panic("planted")
	}
	p.in.await(true)
}
func (p *pipe) Accepted(v stompframe.Version, l stompframe.Limits) { p.dec.SetVersion(v, l) }
func (p *pipe) LastRead() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
func (p *pipe) AppendFrame(dst, head, tail []byte, _ bool) []byte {
	return append(append(dst, head...), tail...)
}
func (p *pipe) Write(b []byte, _ time.Duration) error { return p.out.write(b) }
func (p *pipe) TryWrite(b []byte) (int, error)        { return p.out.tryWrite(b) }
func (p *pipe) OnWait(_ func() bool, f func())        { p.onWait = f }
func (p *pipe) Envelope() broker.Envelope             { return broker.EnvelopeNone }
func (p *pipe) Interrupt() {
	p.mu.Lock()
	p.stop = true
	p.mu.Unlock()
	p.in.close()
}
func (p *pipe) Close(code int, reason string, _ time.Duration) {
	p.mu.Lock()
	p.code, p.reason = code, reason
	p.mu.Unlock()
	p.Abort()
}
func (p *pipe) Abort()            { p.in.close(); p.out.close() }
func (p *pipe) Peer() broker.Peer { return broker.Peer{Transport: "pipe", Addr: &net.TCPAddr{}} }

// buffer is a bounded queue of bytes.
type buffer struct {
	mu     sync.Mutex
	cond   *sync.Cond
	b      []byte
	max    int
	closed bool
}

func newBuffer(max int) *buffer {
	b := &buffer{max: max}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *buffer) write(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		for len(b.b) >= b.max && !b.closed {
			b.cond.Wait()
		}
		if b.closed {
			return io.ErrClosedPipe
		}
		n := min(len(p), b.max-len(b.b))
		b.b, p = append(b.b, p[:n]...), p[n:]
		b.cond.Broadcast()
	}
	return nil
}

// tryWrite writes what there is room for.
func (b *buffer) tryWrite(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, io.ErrClosedPipe
	}
	n := max(0, min(len(p), b.max-len(b.b)))
	b.b = append(b.b, p[:n]...)
	b.cond.Broadcast()
	return n, nil
}

// await tells whether there is something to take, or the end, and may wait for that.
func (b *buffer) await(wait bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for wait && len(b.b) == 0 && !b.closed {
		b.cond.Wait()
	}
	return len(b.b) > 0 || b.closed
}

// take returns all that is there, waiting for something.
func (b *buffer) take() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.b) == 0 && !b.closed {
		b.cond.Wait()
	}
	if len(b.b) == 0 {
		return nil, io.EOF
	}
	p := b.b
	b.b = nil
	b.cond.Broadcast()
	return p, nil
}

func (b *buffer) close() {
	b.mu.Lock()
	b.closed = true
	b.cond.Broadcast()
	b.mu.Unlock()
}

// planted tells that the broker has a planted bug (test/mutants): a frame may then never come, and the test
// has to say so.
var planted = os.Getenv("MUTANT") != ""

// client speaks to a broker over a pipe.
type client struct {
	t    testing.TB
	p    *pipe
	dec  *stompframe.Decoder
	done chan struct{}
}

// frameCopy is a received frame, kept.
type frameCopy struct {
	command string
	header  map[string]string
	body    string
}

func newBroker(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// dial opens a connection with a receive window of so many bytes.
func dial(t testing.TB, b *broker.Broker, window int) *client {
	c := &client{t: t, p: newPipe(window), dec: newClientDecoder(), done: make(chan struct{})}
	go b.Begin(context.Background(), c.p, func() { close(c.done) })
	return c
}

// connect opens a session of STOMP 1.2.
func connect(t testing.TB, b *broker.Broker) *client {
	t.Helper()
	c := dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:1.2\n\n")
	c.expect("CONNECTED")
	return c
}

// send writes frames; each is given without its NUL.
func (c *client) send(frames ...string) {
	for _, f := range frames {
		c.p.in.write([]byte(f + "\x00"))
	}
}

// next reads the next frame; ok is false at the end.
func (c *client) next() (frameCopy, bool) {
	if planted {
		end := time.AfterFunc(10*time.Second, c.p.out.close)
		defer end.Stop()
	}
	var f stompframe.Frame
	for {
		ok, err := c.dec.Next(&f)
		if err != nil {
			c.t.Fatalf("malformed frame from the broker: %v", err)
		}
		if ok {
			break
		}
		b, err := c.p.out.take()
		if err != nil {
			return frameCopy{}, false
		}
		c.dec.Feed(bytes.Clone(b))
	}
	g := frameCopy{command: f.Command, header: make(map[string]string), body: string(f.Body)}
	for i := len(f.Header) - 1; i >= 0; i-- {
		g.header[string(f.Header[i].Name)] = string(f.Header[i].Value)
	}
	return g, true
}

// expect reads the next frame, which must have this command and these headers (name:value).
func (c *client) expect(command string, headers ...string) frameCopy {
	c.t.Helper()
	f, ok := c.next()
	if !ok {
		c.t.Fatalf("connection ended, want %s %q", command, headers)
	}
	if f.command != command {
		c.t.Fatalf("got %s %v %q, want %s %q", f.command, f.header, f.body, command, headers)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ":")
		if got, ok := f.header[k]; !ok || got != v {
			c.t.Fatalf("%s has %s:%q, want %q (%v)", command, k, got, v, f.header)
		}
	}
	return f
}

// sync proves that nothing else is under way: the next frame is the receipt of a frame sent now.
func (c *client) sync() {
	c.t.Helper()
	c.send("BEGIN\ntransaction:sync\n\n", "ABORT\ntransaction:sync\nreceipt:sync\n\n")
	c.expect("RECEIPT", "receipt-id:sync")
}

// ended waits for the session to end and returns its close code.
func (c *client) ended() int {
	c.t.Helper()
	for {
		if _, ok := c.next(); !ok {
			break
		}
	}
	<-c.done
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	return c.p.code
}

// drop breaks the connection, as a dead network does.
func (c *client) drop() {
	c.p.Abort()
	<-c.done
}

func newClientDecoder() *stompframe.Decoder {
	return stompframe.NewDecoder(stompframe.V12, stompframe.Limits{})
}
