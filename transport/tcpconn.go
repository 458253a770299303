package transport

import (
	"errors"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

var _ broker.Conn = (*tcpConn)(nil)

// tcpConn is a TCP connection, with or without TLS, as a session sees it.
type tcpConn struct {
	sock socket
	peer broker.Peer

	// Owned by the session's goroutine.
	dec *stompframe.Decoder
	err error // what ReadFrame ended with; final
}

// ReadFrame implements broker.Conn.
func (c *tcpConn) ReadFrame(f *stompframe.Frame) error {
	if c.err == nil {
		err := c.readFrame(f)
		if errors.Is(err, broker.ErrWait) {
			return err
		}
		c.err = err
	}
	return c.err
}

// Leaves implements broker.Waiter.
func (c *tcpConn) Leaves() { c.sock.leaves = true }

// Wait implements broker.Waiter.
func (c *tcpConn) Wait() { c.sock.wait() }

func (c *tcpConn) readFrame(f *stompframe.Frame) error {
	for {
		ok, err := c.dec.Next(f)
		if err != nil {
			return err
		}
		if ok {
			c.sock.progress()
			return nil
		}
		if c.sock.interrupted.Load() {
			return broker.ErrInterrupted
		}
		c.sock.begin(c.dec.Partial())
		p, err := c.sock.fill()
		if err != nil {
			return c.sock.fault()
		}
		c.dec.Feed(p)
	}
}

// isBeat implements beats.
func (c *tcpConn) isBeat(p []byte) bool { return len(p) == 1 && p[0] == '\n' && c.dec.Idle() }

// Accepted implements broker.Conn.
func (c *tcpConn) Accepted(v stompframe.Version, l stompframe.Limits) {
	c.dec.SetVersion(v, afterConnect(l))
}

// LastRead implements broker.Conn.
func (c *tcpConn) LastRead() int64 { return c.sock.lastRead.Load() }

// Envelope implements broker.Conn.
func (c *tcpConn) Envelope() broker.Envelope { return broker.EnvelopeNone }

// AppendFrame implements broker.Conn: TCP has no envelope.
func (c *tcpConn) AppendFrame(dst, head, tail []byte, _ bool) []byte {
	return append(append(dst, head...), tail...)
}

// Write implements broker.Conn.
func (c *tcpConn) Write(batch []byte, timeout time.Duration) error {
	return c.sock.flush(batch, timeout)
}

// TryWrite implements broker.Conn.
func (c *tcpConn) TryWrite(batch []byte) (int, error) { return c.sock.flushNow(batch) }

// OnWait implements broker.Conn.
func (c *tcpConn) OnWait(due func() bool, f func()) { c.sock.due, c.sock.onWait = due, f }

// Interrupt implements broker.Conn.
func (c *tcpConn) Interrupt() { c.sock.interrupt() }

// partingTime is how long a peer that is to close has before it is told that nothing more comes.
// Spring's relay takes the end of the stream for a failure, and may then drop the frame before it.
const partingTime = 200 * time.Millisecond

// Close implements broker.Conn; TCP has no words for code and reason.
func (c *tcpConn) Close(_ int, _ string, linger time.Duration) {
	if linger > 0 && c.sock.parted(partingTime) {
		linger = 0
	}
	c.sock.finish(linger, false)
}

// Abort implements broker.Conn.
func (c *tcpConn) Abort() { c.sock.abort() }

// Peer implements broker.Conn.
func (c *tcpConn) Peer() broker.Peer { return c.peer }

// release gives back what the connection held, after its session.
func (c *tcpConn) release() {
	c.sock.abort()
	c.sock.drop()
	c.dec.Release()
}
