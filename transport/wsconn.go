package transport

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// wsIdleBuffer is what a WebSocket keeps for the bytes that end its idleness.
const wsIdleBuffer = 192

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
	dec   stompframe.Decoder
	err   error   // what ReadFrame ended with; final
	ws    wsInput // what has come and is not with dec yet
	spoke bool    // a message has come
	whole bool    // what dec holds began at the start of the message
	buf   *chunk  // memory of ws.in, or nil
	hot   bool    // the last read came back full: more is there
	idle  [wsIdleBuffer]byte
}

// init makes c ready to read from nc, after the handshake.
func (c *wsConn) init(nc net.Conn, o Options) {
	c.sock.init(nc, o.FrameTime)
	c.peer.Addr = nc.RemoteAddr()
	c.dec.SetVersion(0, beforeConnect(o.BeforeConnect))
}

// ReadFrame implements broker.Conn.
func (c *wsConn) ReadFrame(f *stompframe.Frame) error {
	if c.err == nil {
		c.err = c.readFrame(f)
	}
	return c.err
}

func (c *wsConn) readFrame(f *stompframe.Frame) error {
	for {
		ok, err := c.dec.Next(f)
		if !ok && err == nil && c.ws.ended {
			c.ws.ended = false
			ok, err = c.endMessage(f)
		}
		if err != nil {
			return err
		}
		if ok {
			c.whole = false
			c.sock.progress()
			return nil
		}
		if c.sock.interrupted.Load() {
			return broker.ErrInterrupted
		}
		if len(c.ws.in) == 0 {
			if over, err := c.fill(f); over || err != nil {
				return err
			}
		}
		if err := c.take(); err != nil {
			return err
		}
	}
}

// openTime is how long a SEND without content-length and NUL may wait for the rest of it, if
// there is one: React Native's has none.
const openTime = time.Second

// fill waits for bytes. over tells that f is an open SEND that has waited long enough.
func (c *wsConn) fill(f *stompframe.Frame) (over bool, err error) {
	p := c.idle[:]
	if c.hot || c.dec.Buffered() > wsIdleBuffer {
		if c.buf == nil {
			c.buf = chunks.Get().(*chunk)
		}
		p = c.buf[:]
	} else {
		c.dropChunk()
	}
	// A message or frame that has begun has the frame time, as a frame of STOMP has.
	c.sock.begin(c.dec.Partial() || !c.ws.between())
	n := 0
	if c.dec.Open() && c.ws.between() {
		timedOut := false
		if n, timedOut = c.sock.readWithin(p, openTime); timedOut && c.dec.EndOpen(f) {
			c.sock.progress()
			return true, nil
		}
		if n == 0 && !timedOut {
			return false, c.sock.fault()
		}
	} else if n, err = c.sock.read(p); err != nil {
		return false, c.sock.fault()
	}
	c.hot = n == len(p)
	c.ws.in = p[:n]
	return false, nil
}

// take hands the next bytes of data that have come to the decoder, after any control frames before
// them, or notes the end of a message.
func (c *wsConn) take() error {
	w := &c.ws
	for {
		if !w.inFrame {
			if len(w.in) == 0 {
				return nil
			}
			if err := c.beginFrame(); err != nil || !w.inFrame {
				return err
			}
		}
		if w.isControl() {
			if err := c.control(); err != nil || w.inFrame {
				return err
			}
			continue
		}
		most := len(w.in)
		if c.dec.Open() { // what comes next must tell whether it begins with a command
			most = stompframe.CommandLine - len(w.start)
		}
		p, ok := w.data(most)
		if !ok {
			return errNotUTF8
		}
		if c.dec.Open() {
			p = w.gather(p)
		}
		if len(p) > 0 {
			c.dec.Feed(p)
		}
		if len(p) > 0 || w.ended || w.inFrame && len(w.in) == 0 {
			return nil
		}
	}
}

// beginFrame takes a frame's header, or as much of it as has come.
func (c *wsConn) beginFrame() error {
	w := &c.ws
	began, err := w.header()
	if err != nil {
		return err
	}
	if !w.quietly(c.sock.lastRead.Load(), int64(c.sock.frameTime)) {
		return errNoisy
	}
	if began {
		c.whole = !c.dec.Partial()
		if !c.spoke {
			c.spoke = true
			c.binary.Store(!w.text)
		}
	}
	return nil
}

var (
	errNoisy   = &broker.CloseError{Code: 1008, Reason: "too many control frames and empty fragments"}
	errNotUTF8 = &broker.CloseError{Code: 1007, Reason: "text message is not UTF-8"}
)

// endMessage ends a message: that means nothing for the frames in it, but where React Native cut
// the last NUL of a text.
func (c *wsConn) endMessage(f *stompframe.Frame) (bool, error) {
	if !c.ws.text {
		return false, nil
	}
	if !c.ws.utf8.end() {
		return false, errNotUTF8
	}
	return c.dec.EndOfText(f, c.whole)
}

// control takes what has come of a control frame, and obeys it when it is whole (RFC 6455, 5.5).
func (c *wsConn) control() error {
	p, whole := c.ws.controlPayload()
	if !whole {
		return nil
	}
	switch c.ws.op | 0x80 {
	case wsPing:
		p[0] = wsPong
		return c.sock.write(p, controlTime)
	case wsClose:
		return c.obeyClose(p[2:])
	}
	return nil
}

// obeyClose answers a close frame and ends reading.
func (c *wsConn) obeyClose(payload []byte) error {
	answer, err := closeAnswer(payload)
	if err != nil {
		return err
	}
	_ = c.sock.writeClose(answer, controlTime) // who closes does not wait for it
	return io.EOF
}

func (c *wsConn) dropChunk() {
	if c.buf != nil {
		chunks.Put(c.buf)
		c.buf = nil
	}
}

// Accepted implements broker.Conn.
func (c *wsConn) Accepted(v stompframe.Version, l stompframe.Limits) {
	c.offer.Store(nil)
	c.dec.SetVersion(v, l)
}

// LastRead implements broker.Conn.
func (c *wsConn) LastRead() int64 { return c.sock.lastRead.Load() }

// AppendFrame implements broker.Conn: one frame of STOMP is one message of WebSocket.
func (c *wsConn) AppendFrame(dst, head, tail []byte, text bool) []byte {
	first := byte(wsBinary)
	if text && !c.binary.Load() {
		first = wsText
	}
	dst = appendHeader(dst, first, len(head)+len(tail))
	return append(append(dst, head...), tail...)
}

// Write implements broker.Conn.
func (c *wsConn) Write(batch []byte, timeout time.Duration) error {
	return c.sock.write(batch, timeout)
}

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
	c.dropChunk()
	c.dec.Release()
}
