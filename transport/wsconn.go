package transport

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// maxQuiet bounds the bytes of control frames and empty fragments within one frame time and without
// a byte of data between them.
const maxQuiet = 256 << 10

var _ broker.Conn = (*wsConn)(nil)

// wsConn is a WebSocket as a session sees it.
type wsConn struct {
	sock socket
	peer broker.Peer
	// binary tells that the client's first message was a binary one: so are all of ours.
	binary atomic.Bool
	// offer is what the handshake offered as credentials, until CONNECT is accepted.
	offer atomic.Pointer[broker.Offer]

	// Owned by the session's goroutine.
	dec        *stompframe.Decoder
	ws         wsReader
	z          *deflate  // nil: no compression was agreed on
	err        error     // what ReadFrame ended with; final
	spoke      bool      // a message has come
	text       bool      // the message that ended last was text
	utf8       utf8Check // of the message begun
	whole      bool      // what dec holds began at the start of the message begun
	ended      bool      // a message is over, its last bytes are in dec
	start      []byte    // of a message, gathered while dec is open
	quiet      int       // bytes since quietSince without data
	quietSince int64
}

// ReadFrame implements broker.Conn.
func (c *wsConn) ReadFrame(f *stompframe.Frame) error {
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
func (c *wsConn) Leaves() { c.sock.leaves = true }

// Wait implements broker.Waiter.
func (c *wsConn) Wait() { c.sock.wait() }

func (c *wsConn) readFrame(f *stompframe.Frame) error {
	for {
		ok, err := c.dec.Next(f)
		if !ok && err == nil && c.ended {
			c.ended = false
			ok, err = c.endMessage(f)
		}
		if err != nil {
			return err
		}
		if ok {
			c.whole = false
			c.progress()
			return nil
		}
		if c.sock.interrupted.Load() {
			return broker.ErrInterrupted
		}
		if c.dec.Open() && c.silent() && c.dec.EndOpen(f) {
			c.progress()
			return nil
		}
		if c.z != nil && c.z.blank > maxBlank && !c.dec.Partial() && !mutant.Is(mutant.BlankFree) {
			return &broker.CloseError{Code: 1008, Reason: "too many compressed heart-beats"}
		}
		if err := c.advance(); err != nil {
			return err
		}
	}
}

// progress notes that a frame was finished.
func (c *wsConn) progress() {
	c.sock.progress()
	if c.z != nil {
		c.z.blank = 0
	}
}

// inflating tells that there is something to inflate, now that what was inflated last is used up.
func (c *wsConn) inflating() bool {
	if c.z == nil {
		return false
	}
	c.z.dropOut()
	return c.z.msg != nil && c.z.msg.z != nil
}

// openTime is how long a SEND without content-length and NUL may wait for the rest of it, if
// there is one: React Native's has none.
const openTime = time.Second

// silent waits whether more comes within openTime, where nothing is begun.
func (c *wsConn) silent() bool {
	if !c.ws.between() || len(c.ws.in) > 0 {
		return false
	}
	p, timedOut := c.sock.fillWithin(openTime)
	c.ws.in = p
	return timedOut
}

var errNotUTF8 = &broker.CloseError{Code: 1007, Reason: "text message is not UTF-8"}

// endMessage ends a message: that means nothing for the frames in it, but where React Native cut
// the last NUL of a text.
func (c *wsConn) endMessage(f *stompframe.Frame) (bool, error) {
	if !c.text {
		return false, nil
	}
	if !c.utf8.end() {
		return false, errNotUTF8
	}
	return c.dec.EndOfText(f, c.whole)
}

// Accepted implements broker.Conn.
func (c *wsConn) Accepted(v stompframe.Version, l stompframe.Limits) {
	c.offer.Store(nil)
	c.dec.SetVersion(v, afterConnect(l))
	if c.z != nil {
		c.z.limit = 0
	}
}

// LastRead implements broker.Conn.
func (c *wsConn) LastRead() int64 { return c.sock.lastRead.Load() }

// Envelope implements broker.Conn.
func (c *wsConn) Envelope() broker.Envelope {
	e := broker.EnvelopeMessages
	if c.binary.Load() {
		e = broker.EnvelopeBinary
	}
	if c.z != nil {
		e |= broker.Envelope(c.z.bits) << 4 // #nosec G115 -- 15 at most
	}
	return e
}

// AppendFrame implements broker.Conn: one frame of STOMP is one message of WebSocket.
func (c *wsConn) AppendFrame(dst, head, tail []byte, text bool) []byte {
	if mutant.Is(mutant.PackedEarly) && c.z != nil {
		return c.AppendPacked(dst, append(bytes.Clone(head), tail...), []byte{0}, text)
	}
	first := byte(wsBinary)
	if text && !c.binary.Load() {
		first = wsText
	}
	dst = appendHeader(dst, first, len(head)+len(tail))
	return append(append(dst, head...), tail...)
}

// Write implements broker.Conn.
func (c *wsConn) Write(batch []byte, timeout time.Duration) error {
	return c.sock.flush(batch, timeout)
}

// TryWrite implements broker.Conn.
func (c *wsConn) TryWrite(batch []byte) (int, error) { return c.sock.flushNow(batch) }

// OnWait implements broker.Conn.
func (c *wsConn) OnWait(due func() bool, f func()) { c.sock.due, c.sock.onWait = due, f }

// Interrupt implements broker.Conn.
func (c *wsConn) Interrupt() { c.sock.interrupt() }

// Close implements broker.Conn.
func (c *wsConn) Close(code int, reason string, linger time.Duration) {
	var frame [2 + 2 + maxReason]byte
	err := c.sock.writeClose(appendClose(frame[:0], code, reason), max(linger, farewellTime))
	c.sock.finish(linger, err == nil || errors.Is(err, errClosing))
}

// Abort implements broker.Conn.
func (c *wsConn) Abort() { c.sock.abort() }

// Peer implements broker.Conn.
func (c *wsConn) Peer() broker.Peer {
	p := c.peer
	p.Offer = c.offer.Load()
	return p
}

// release gives back what the connection held, after its session.
func (c *wsConn) release() {
	c.sock.abort()
	c.sock.drop()
	if c.z != nil {
		c.z.release()
	}
	c.dec.Release()
}
