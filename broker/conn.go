package broker

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/gudokmq/gudok/stompframe"
)

// ErrInterrupted is what a blocked ReadFrame returns after [Conn.Interrupt].
var ErrInterrupted = errors.New("read interrupted")

// ErrWait is what ReadFrame returns, of a [Waiter] that leaves, instead of waiting.
var ErrWait = errors.New("nothing to read yet")

// Conn is what a session needs of a socket; package transport builds one for each way in. All a
// session knows of WebSocket, TCP or SockJS is behind it.
//
// ReadFrame, Accepted, OnWait and Close belong to the session's goroutine, which is one at a time. AppendFrame, Write and
// TryWrite belong to the one flusher of the moment. The rest may be called from anywhere.
type Conn interface {
	// ReadFrame reads the next frame into f, whose slices stay valid until the next call. It
	// returns *stompframe.Error for a malformed frame (f then holds the command and headers that
	// were read before the fault), io.EOF when the peer ended the stream between or within
	// frames (half a frame is dropped, never yielded), ErrInterrupted, a *CloseError where the
	// transport's own protocol was violated, ErrFrameTime when a frame took longer than the
	// transport's frame time from its first byte to its last, or what the network said.
	// EOLs between frames are no frames; they only move LastRead.
	ReadFrame(f *stompframe.Frame) error
	// Accepted tells that CONNECT succeeded: frames are decoded by this version and these
	// limits from now on. Before it, the transport's before-CONNECT limits hold.
	Accepted(v stompframe.Version, l stompframe.Limits)
	// LastRead is when the last byte came (a WebSocket control frame's included), in
	// nanoseconds since the Unix epoch; at first, when the connection was made.
	LastRead() int64

	// OnWait has f called on the session's goroutine whenever ReadFrame is about to wait for the
	// network and due says that f has something to do; due may be asked at any time of a read, f is
	// called outside of it, since it may end any connection. Called once, before the first ReadFrame.
	OnWait(due func() bool, f func())

	// Envelope tells what AppendFrame puts around a frame: Conns of one envelope append the same
	// bytes. It does not change once CONNECT has been read, and may be asked from anywhere.
	Envelope() Envelope
	// AppendFrame appends the STOMP frame head+tail to dst in this transport's envelope. text
	// tells that the frame is valid UTF-8; a transport with two kinds of message chooses by it.
	AppendFrame(dst, head, tail []byte, text bool) []byte
	// Write writes a batch of appended frames whole, within timeout (0: no bound). After an
	// error the connection is of no more use for writing. The batch is the caller's again, to be
	// written over, when Write returns.
	Write(batch []byte, timeout time.Duration) error
	// TryWrite is Write as far as that needs no waiting, and tells how much of the batch it wrote,
	// which may be nothing. The next Write must then begin with the rest; until it has returned
	// nothing else is written to the network. Of what it wrote it keeps nothing either.
	TryWrite(batch []byte) (n int, err error)

	// Interrupt makes the ReadFrame under way, and each later one, return ErrInterrupted soon.
	Interrupt()
	// Close ends the connection in good order: it says code and reason (a WebSocket close frame,
	// RFC 6455 section 7.4; reason is cut to 123 bytes), stops writing, discards what still
	// arrives until the peer closes too or linger is over, and frees the socket. Called after
	// the last Write, once.
	Close(code int, reason string, linger time.Duration)
	// Abort frees the socket at once; a Write or ReadFrame under way fails. Close may follow.
	Abort()

	// Peer tells who is at the other end.
	Peer() Peer
}

// Waiter is what a Conn is too whose reader can leave it while nothing comes, and wait for it on another
// goroutine, which has a small stack: of those who are connected, most wait.
type Waiter interface {
	// Leaves has ReadFrame return ErrWait from now on where it would wait between frames, after it has
	// called what OnWait said, and called Wait. It may wait nevertheless, as it does while frames come
	// thick and fast. Called once, by whom ReadFrame belongs to.
	Leaves()
	// Wait waits until ReadFrame has something to tell. It belongs to whom ReadFrame belongs to, may be
	// called after an ErrWait alone, and needs no more than the stack that a goroutine begins with.
	Wait()
}

// Packer is what a Conn is too that may compress the ends of frames: once for all Conns that get the
// same, whatever their heads. Pack may be called from anywhere, AppendPacked as AppendFrame.
type Packer interface {
	// Packs tells whether a frame whose tail is n bytes should be compressed for this Conn. It may
	// be asked from anywhere, once CONNECT has been accepted.
	Packs(n int) bool
	// Pack returns the tail compressed, in memory of its own, or nil if that makes it no smaller.
	Pack(tail []byte) []byte
	// AppendPacked is AppendFrame with what any Conn's Pack made of a tail for which Packs is true.
	AppendPacked(dst, head, packed []byte, text bool) []byte
}

// Envelope names a way in which frames are put on the wire. The upper four bits are a transport's
// own, to tell Conns that pack from others.
type Envelope uint8

// The envelopes there are.
const (
	EnvelopeNone     Envelope = iota // frames as they are
	EnvelopeMessages                 // each a WebSocket message, text where it can be
	EnvelopeBinary                   // each a binary WebSocket message
)

// Peer is who is at the other end of a Conn, as far as its transport knows.
type Peer struct {
	// Transport is "websocket", "tcp" or "sockjs"; with "+tls" where that is so.
	Transport string
	// Addr is the peer's address, from a trusted proxy's word where one is configured; its port is 0
	// where that told none.
	Addr net.Addr
	// Subprotocol is what the WebSocket handshake agreed on, or empty.
	Subprotocol string
	// TLS is the state of the TLS connection, or nil.
	TLS *tls.ConnectionState
	// Origin is the handshake's Origin header, or empty.
	Origin string
	// Offer is what the handshake offered as credentials, or nil; it is forgotten once CONNECT is
	// accepted.
	Offer *Offer
}

// CloseError says that the transport's own protocol was violated and which close code tells it
// (RFC 6455, section 7.4.1).
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string { return e.Reason }

// ErrFrameTime tells that a frame was begun and not finished within the transport's frame time.
var ErrFrameTime = errors.New("frame not finished in time")
