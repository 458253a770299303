package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connectTime bounds one dial with handshake and CONNECT.
const connectTime = 15 * time.Second

// leaveTime bounds the good-bye of one connection.
const leaveTime = 2 * time.Second

// conn is one client connection.
type conn struct {
	nc       net.Conn
	ws       bool
	speaks   dialect
	opcode   byte   // of our WebSocket messages
	inflates bool   // compressed messages were agreed on
	server   string // what the broker calls itself

	// Owned by the goroutine in run, and before it by dial.
	buf    []byte // read buffer; buf[:have] is not yet scanned
	have   int
	scan   scanner
	now    int64  // clock at the latest read
	pong   bool   // a ping has to be answered
	cursor []byte // where a client that polls begins

	took, wrote atomic.Int64 // bytes at the socket

	// Guarded by mu: the writing side.
	mu   sync.Mutex
	wbuf []byte
	key  uint32
}

// dialOptions are what connections of a load have in common.
type dialOptions struct {
	Target
	beat   time.Duration // heart-beat both ways; 0: none
	buffer int           // read buffer in bytes
	spread bool          // connections come from several loopback addresses, by source
	source int
}

// dial connects, upgrades, and logs in.
func dial(ctx context.Context, o dialOptions) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	nc, err := o.dialer().DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	c := &conn{nc: nc, ws: o.WebSocket, speaks: o.speaks(), buf: make([]byte, o.buffer), key: rand.Uint32()}
	c.opcode, c.scan.one = c.speaks.opcode(), c.speaks.one
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	if err := c.login(o); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *conn) login(o dialOptions) error {
	if c.ws {
		if err := c.handshake(o.Target); err != nil {
			return err
		}
	}
	if err := c.speaks.login(c, o); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// subscribe subscribes and waits until it counts. It comes before run; extra is header lines.
func (c *conn) subscribe(ctx context.Context, destination, ack, extra string) error {
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer stop()
	if err := c.send(c.speaks.subscribe(0, destination, ack, extra, true)); err != nil {
		return fmt.Errorf("write subscription: %w", err)
	}
	f, err := c.await('R')
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", destination, err)
	}
	c.cursor = field1(f.head, "\r\nCursor: ")
	return nil
}

// subscribeBlind subscribes without an answer, for a queue that may hold messages already.
func (c *conn) subscribeBlind(destination, ack, extra string) error {
	return c.send(c.speaks.subscribe(0, destination, ack, extra, false))
}

// await reads until one frame of that kind has come and returns a copy of it; frames that were
// packed behind it are an error, because they would be lost.
func (c *conn) await(kind byte) (first frame, err error) {
	return first, c.awaitEach(kind, 1, func(f *frame) {
		first = frame{f.kind, append([]byte(nil), f.head...), append([]byte(nil), f.body...)}
	})
}

// awaitAll reads until n frames of that kind have come.
func (c *conn) awaitAll(kind byte, n int) error { return c.awaitEach(kind, n, func(*frame) {}) }

func (c *conn) awaitEach(kind byte, n int, on func(*frame)) error {
	var fault error
	c.scan.on = func(f *frame) {
		switch {
		case f.kind == 'P':
			c.pong = true
		case f.kind == 'E':
			fault = c.speaks.fault(f)
		case f.kind != kind || n == 0:
			fault = fmt.Errorf("unexpected frame %.40q", f.head)
		default:
			n--
			on(f)
		}
	}
	c.nc.SetReadDeadline(time.Now().Add(connectTime))
	defer c.nc.SetReadDeadline(time.Time{})
	for {
		if err := c.drain(); err != nil {
			return err
		}
		if fault != nil {
			return fault
		}
		if n == 0 {
			return c.answer()
		}
		if err := c.read(); err != nil {
			return err
		}
	}
}

// answer answers the pings of the latest read.
func (c *conn) answer() error {
	if !c.pong {
		return nil
	}
	c.pong = false
	return c.send(c.speaks.pong())
}

// run reads until the connection ends: on gets each frame, after is called once per read.
func (c *conn) run(on func(*frame), after func() error) error {
	var broker error
	c.scan.on = func(f *frame) {
		switch f.kind {
		case 'E':
			broker = c.speaks.fault(f)
		case 'P':
			c.pong = true
			c.scan.beats++
		default:
			on(f)
		}
	}
	for {
		err := c.drain()
		if err == nil && broker == nil {
			err = after()
		}
		if err == nil {
			err = c.answer()
		}
		if broker != nil {
			return broker
		}
		if err != nil {
			return err
		}
		if err := c.read(); err != nil {
			return err
		}
	}
}

// read reads once, making room first.
func (c *conn) read() error {
	if c.have == len(c.buf) {
		if len(c.buf) > maxFrame {
			return errTooLarge
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.nc.Read(c.buf[c.have:])
	c.have += n
	c.took.Add(int64(n))
	c.now = clock()
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return errors.New("broker closed the connection")
	}
	return err
}

// drain scans what has been read and keeps the unfinished rest at the front of the buffer.
func (c *conn) drain() error {
	used := 0
	if !c.ws {
		n, err := c.scan.scan(c.buf[:c.have])
		if err != nil {
			return err
		}
		used = n
	}
	for c.ws {
		op, payload, n, err := wsFrame(c.buf[used:c.have])
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		used += n
		if err := c.message(op, payload); err != nil {
			return err
		}
	}
	c.have = copy(c.buf, c.buf[used:c.have])
	return nil
}

// message handles one WebSocket frame.
func (c *conn) message(op byte, payload []byte) error {
	switch op {
	case opClose:
		if len(payload) >= 2 {
			return fmt.Errorf("broker closed the WebSocket: %d %s", binary.BigEndian.Uint16(payload), payload[2:])
		}
		return errors.New("broker closed the WebSocket")
	case opPing:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.wbuf = appendMasked(c.wbuf[:0], opPong, c.key, payload)
		return c.flush()
	case opPong:
		return nil
	}
	if op&opPacked != 0 {
		if !c.inflates {
			return errors.New("a compressed message from the broker, which nobody asked for")
		}
		return c.inflate(payload)
	}
	return c.scan.feed(payload)
}

// send writes one frame, or a heart-beat.
func (c *conn) send(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wbuf = c.append(c.wbuf[:0], p)
	return c.flush()
}

// append puts a frame into its envelope. Callers hold mu.
func (c *conn) append(dst, p []byte) []byte {
	c.key, dst = c.envelop(c.key, dst, p)
	return dst
}

// envelop is append for a writer that has a mask of its own; it returns the next one.
func (c *conn) envelop(key uint32, dst, p []byte) (uint32, []byte) {
	if !c.ws {
		return key, append(dst, p...)
	}
	key = key*1664525 + 1013904223
	return key, appendMasked(dst, c.opcode, key, p)
}

// flush writes wbuf. Callers hold mu; the writer of a load client may wait for its broker.
func (c *conn) flush() error {
	c.wrote.Add(int64(len(c.wbuf)))
	_, err := c.nc.Write(c.wbuf)
	return err
}

// leave tells the broker good-bye; what has not ended in leaveTime is cut off. Its acknowledgements
// are then settled, so that nothing is given back to a queue.
func (c *conn) leave() {
	c.nc.SetDeadline(time.Now().Add(leaveTime))
	if bye := c.speaks.bye(); bye == nil || c.send(bye) != nil { // a broken connection has no good-bye
		c.nc.SetReadDeadline(time.Now())
	}
}

// hangUp closes as a browser does that leaves a page: with a close frame, waiting for nothing.
func (c *conn) hangUp() {
	if c.ws {
		c.mu.Lock()
		c.wbuf = appendMasked(c.wbuf[:0], opClose, c.key, []byte{1001 >> 8, 1001 & 0xff})
		_ = c.flush() // it is closed in any case
		c.mu.Unlock()
	}
	c.close()
}

func (c *conn) close() { c.nc.Close() }
