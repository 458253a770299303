package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

const (
	wsReadBuffer = 256
	// wsWriteBuffer holds any control frame (at most 127 bytes), so that each is one Write.
	wsWriteBuffer = 144
	// maxQuiet bounds the bytes of control frames and empty fragments within one frame time
	// and without a byte of data between them.
	maxQuiet = 256 << 10
)

var (
	_ broker.Conn = (*wsConn)(nil)
	_ net.Conn    = wsLink{}
)

// wsConn is a WebSocket as a session sees it.
type wsConn struct {
	sock socket
	peer broker.Peer
	// binary tells that the client's first message was a binary one: so are all of ours.
	binary atomic.Bool
	// offer is what the handshake offered as credentials, until CONNECT is accepted.
	offer atomic.Pointer[broker.Offer]

	// Owned by the session's goroutine.
	ws    *websocket.Conn
	br    *bufio.Reader // the library's reader, for what it holds unread
	dec   *stompframe.Decoder
	err   error     // what ReadFrame ended with; final
	spoke bool      // a message has come
	msg   io.Reader // message being read, or nil
	text  bool      // msg is text
	utf8  utf8Check // of msg
	whole bool      // what dec holds began at the start of msg
	ended bool      // msg is over, its last bytes are in dec
	buf   *chunk    // bytes fed to dec, or nil
	one   [1]byte   // instead of buf while there is nothing to read

	// Owned by the reader below the library (wsLink.Read), which is the same goroutine.
	early      []byte // read, not yet handed on
	earlyBuf   *chunk // memory of early, or nil
	hot        bool   // the last read came back full: more is there
	quiet      int    // bytes since quietSince without data
	quietSince int64
	violation  *broker.CloseError
}

// wsLink is what the WebSocket library takes for the network: reads pass through it, control
// frames are written under the mutex of our data frames, and its Close only ends reading.
type wsLink struct {
	net.Conn
	c *wsConn
}

func (l wsLink) Read(p []byte) (int, error) {
	c := l.c
	if len(c.early) == 0 {
		c.dropEarly()
		if !c.hot || len(p) >= chunkSize {
			n, err := c.sock.read(p)
			c.hot = n == len(p)
			return n, l.count(n, err)
		}
		c.earlyBuf = chunks.Get().(*chunk)
		n, err := c.sock.read(c.earlyBuf[:])
		c.hot = n == chunkSize
		c.early = c.earlyBuf[:n]
		if err = l.count(n, err); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// count bounds what a client may send without sending data: the library answers pings and skips
// empty fragments without end.
func (l wsLink) count(n int, err error) error {
	c := l.c
	if now := c.sock.lastRead.Load(); now-c.quietSince > int64(c.sock.frameTime) {
		c.quiet, c.quietSince = 0, now
	}
	if c.quiet += n; c.quiet > maxQuiet {
		c.violation = &broker.CloseError{Code: 1008, Reason: "too many control frames and empty fragments"}
		return c.violation
	}
	return err
}

// Write writes one control frame.
func (l wsLink) Write(p []byte) (int, error) {
	if len(p) == 0 || p[0] != wsClose {
		if err := l.c.sock.write(p, controlTime); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	frame := p
	// The answer to a close frame repeats its reason, which must be UTF-8 (RFC 6455, 5.5.1).
	if len(p) > 4 && !utf8.Valid(p[4:]) {
		frame = appendClose(nil, 1007, "")
	}
	if err := l.c.sock.writeClose(frame, controlTime); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l wsLink) Close() error {
	l.c.sock.stop()
	return nil
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
		if !ok && err == nil && c.ended {
			c.ended = false
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
		c.dropChunk()
		if c.msg == nil && c.dec.Open() && c.silent() && c.dec.EndOpen(f) {
			c.sock.progress()
			return nil
		}
		if c.msg == nil {
			if err := c.nextMessage(); err != nil {
				return err
			}
		}
		if err := c.readMessage(); err != nil {
			return err
		}
	}
}

// openTime is how long a SEND without content-length and NUL may wait for the rest of it, if
// there is one: React Native's has none.
const openTime = time.Second

// silent waits whether more comes within openTime, and keeps what comes for the library.
func (c *wsConn) silent() bool {
	if c.br.Buffered() > 0 || len(c.early) > 0 {
		return false
	}
	c.dropEarly()
	c.earlyBuf = chunks.Get().(*chunk)
	n, timedOut := c.sock.readWithin(c.earlyBuf[:], openTime)
	c.early = c.earlyBuf[:n]
	return timedOut
}

// nextMessage waits for a message. Nothing is held but the library's small buffers.
func (c *wsConn) nextMessage() error {
	c.sock.begin(c.dec.Partial())
	typ, msg, err := c.ws.Reader(context.Background())
	if err != nil {
		return c.fault(err)
	}
	c.msg, c.text, c.whole = msg, typ == websocket.MessageText, !c.dec.Partial()
	if !c.spoke {
		c.spoke = true
		c.binary.Store(!c.text)
	}
	return nil
}

// readMessage feeds the decoder what has come of the message; it waits if that is nothing.
func (c *wsConn) readMessage() error {
	c.sock.begin(true)
	_, err := c.msg.Read(nil) // reads no further than a fragment's header, which waits without a buffer
	if err == nil {
		n := 0
		p := c.one[:]
		if have := c.br.Buffered() + len(c.early); have > 0 {
			c.buf = chunks.Get().(*chunk)
			p = c.buf[:min(have, chunkSize)]
		}
		if c.dec.Open() {
			n, err = c.readStart()
			p = c.buf[:]
		} else {
			n, err = c.msg.Read(p)
		}
		if n > 0 {
			c.quiet = 0
			if c.text && !c.utf8.feed(p[:n]) {
				return errNotUTF8
			}
			c.dec.Feed(p[:n])
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && c.sock.readErr == nil && c.violation == nil:
		c.msg, c.ended = nil, true
	default:
		// The library takes some ends of the stream for the end of a message; readErr tells.
		return c.fault(err)
	}
	return nil
}

// readStart reads as much of a message as tells whether it begins with a command.
func (c *wsConn) readStart() (int, error) {
	if c.buf == nil {
		c.buf = chunks.Get().(*chunk)
	}
	n, err := io.ReadFull(c.msg, c.buf[:stompframe.CommandLine])
	if errors.Is(err, io.ErrUnexpectedEOF) && c.sock.readErr == nil && c.violation == nil {
		err = io.EOF
	}
	return n, err
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

// fault is what ReadFrame says to the library's error.
func (c *wsConn) fault(err error) error {
	switch {
	case c.violation != nil:
		return c.violation
	case websocket.CloseStatus(err) != -1: // RFC 6455, 5.5.1: the library has answered
		return io.EOF
	case c.sock.readErr != nil:
		return c.sock.fault()
	}
	if werr := c.sock.writeFault(); werr != nil {
		return werr
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	// RFC 6455, 7.4.1: what is left is the library's complaint about the client's frames.
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return &broker.CloseError{Code: 1002, Reason: err.Error()}
}

func (c *wsConn) dropChunk() {
	if c.buf != nil {
		chunks.Put(c.buf)
		c.buf = nil
	}
}

func (c *wsConn) dropEarly() {
	c.early = nil
	if c.earlyBuf != nil {
		chunks.Put(c.earlyBuf)
		c.earlyBuf = nil
	}
}

// Accepted implements broker.Conn.
func (c *wsConn) Accepted(v stompframe.Version, l stompframe.Limits) {
	c.offer.Store(nil)
	c.dec.SetVersion(v, l)
}

// LastRead implements broker.Conn.
func (c *wsConn) LastRead() int64 { return c.sock.lastRead.Load() }

// Envelope implements broker.Conn.
func (c *wsConn) Envelope() broker.Envelope {
	if c.binary.Load() {
		return broker.EnvelopeBinary
	}
	return broker.EnvelopeMessages
}

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
	return c.sock.flush(batch, timeout)
}

// TryWrite implements broker.Conn.
func (c *wsConn) TryWrite(batch []byte) (int, error) { return c.sock.flushNow(batch) }

// OnWait implements broker.Conn.
func (c *wsConn) OnWait(f func()) { c.sock.onWait = f }

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
	c.ws.CloseNow() // ends the library's part; without it that is never collected
	c.dropChunk()
	c.dropEarly()
	c.dec.Release()
}
