package transport

import (
	"encoding/binary"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// What WebSocket says on the wire (RFC 6455, 5.2).
const (
	wsFin    = 0x80 // of the first byte
	wsRSV    = 0x70
	wsOpcode = 0x0F
	wsMasked = 0x80 // of the second

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8 // this and above are control frames
	opPing         = 0x9
	opPong         = 0xA

	maxHeader  = 14  // bytes of a header, with its key
	maxControl = 125 // bytes of a control frame's payload
)

// wsReader cuts the bytes of a client into frames (RFC 6455, 5.2), and those into pieces of messages.
// It keeps nothing but a few numbers while nothing comes. The zero value is at the start of a stream.
type wsReader struct {
	in   []byte // read and not looked at
	left int64  // bytes of the frame begun that have not come
	key  [4]byte
	turn uint8 // where in key the next byte is

	begun   bool // the header of a frame has been read, and not all of its payload
	op      byte // of that frame
	fin     bool
	message byte // opcode of the message begun, or 0
	packed  bool // it is compressed
	deflate bool // it may be
	heads   uint8
	head    [maxHeader]byte // of a header that was cut

	control *control // the control frame begun, if it was cut; else nil
}

// control is a control frame that has not come whole.
type control struct {
	payload []byte
	end     time.Time // when its time is over
}

// between tells whether nothing is begun.
func (r *wsReader) between() bool { return r.message == 0 && !r.begun && r.heads == 0 }

// violation is a client's breach of RFC 6455.
func violation(reason string) error { return &broker.CloseError{Code: 1002, Reason: reason} }

// header reads the header of the next frame; false if more bytes are needed.
func (r *wsReader) header() (ok bool, err error) {
	p := r.in
	if r.heads > 0 { // put the pieces together
		n := copy(r.head[r.heads:], r.in)
		p = r.head[:int(r.heads)+n]
	}
	n := 2
	if len(p) >= 2 {
		if err := r.check(p[0], p[1]); err != nil {
			return false, err
		}
		switch p[1] &^ wsMasked {
		case 126:
			n += 2
		case 127:
			n += 8
			if len(p) > 2 && p[2]&0x80 != 0 {
				return false, violation("length of a frame has its highest bit set")
			}
		}
		n += 4
	}
	if len(p) < n {
		if r.heads == 0 {
			copy(r.head[:], p)
		}
		r.heads = uint8(len(p)) // #nosec G115 -- a part of a header, of 14 bytes at most
		r.in = nil
		return false, nil
	}
	length := uint64(p[1] &^ wsMasked)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		length = binary.BigEndian.Uint64(p[2:])
	}
	r.begun, r.op, r.fin = true, p[0]&wsOpcode, p[0]&wsFin != 0
	r.left, r.turn = int64(length), 0 // #nosec G115 -- the length was found to be below 2^63
	copy(r.key[:], p[n-4:n])
	r.in = r.in[n-int(r.heads):]
	r.heads = 0
	if r.op == opText || r.op == opBinary {
		r.message, r.packed = r.op, p[0]&wsRSV1 != 0
	}
	return true, nil
}

// check judges the first two bytes of a frame.
func (r *wsReader) check(first, second byte) error {
	op, reserved := first&wsOpcode, byte(wsRSV)
	if r.deflate && (op == opText || op == opBinary) {
		reserved &^= wsRSV1 // RFC 7692, 6: of a message's first frame
	}
	switch {
	case first&reserved != 0: // RFC 6455, 5.2: without an extension there is no use for them
		return violation("reserved bits are set")
	case second&wsMasked == 0: // RFC 6455, 5.1
		return violation("frame is not masked")
	case op >= opClose && (first&wsFin == 0 || second&^wsMasked > maxControl): // RFC 6455, 5.5
		return violation("control frame is fragmented or longer than 125 bytes")
	case op > opPong || op > opBinary && op < opClose:
		return violation("unknown opcode")
	case op == opContinuation && r.message == 0: // RFC 6455, 5.4
		return violation("continuation of nothing")
	case (op == opText || op == opBinary) && r.message != 0:
		return violation("message begun within a message")
	}
	return nil
}

// piece takes what has come of the frame's payload, unmasked in place, and at most so many bytes.
func (r *wsReader) piece(most int) []byte {
	n := min(r.left, int64(len(r.in)), int64(most))
	p := r.in[:n:n]
	r.in = r.in[n:]
	r.left -= n
	r.begun = r.left > 0
	r.turn = unmask(p, r.key, r.turn)
	return p
}

// unmask turns p into what was masked by key, from the turn-th byte of it on, and returns the turn
// after p (RFC 6455, 5.3).
func unmask(p []byte, key [4]byte, turn uint8) uint8 {
	var k [8]byte
	for i := range k {
		k[i] = key[(int(turn)+i)%4]
	}
	rest := p
	wide := binary.NativeEndian.Uint64(k[:])
	for len(rest) >= 32 {
		w := rest[:32]
		binary.NativeEndian.PutUint64(w, binary.NativeEndian.Uint64(w)^wide)
		binary.NativeEndian.PutUint64(w[8:], binary.NativeEndian.Uint64(w[8:])^wide)
		binary.NativeEndian.PutUint64(w[16:], binary.NativeEndian.Uint64(w[16:])^wide)
		binary.NativeEndian.PutUint64(w[24:], binary.NativeEndian.Uint64(w[24:])^wide)
		rest = rest[32:]
	}
	for len(rest) >= 8 {
		binary.NativeEndian.PutUint64(rest, binary.NativeEndian.Uint64(rest)^wide)
		rest = rest[8:]
	}
	for i := range rest {
		rest[i] ^= k[i]
	}
	return (turn + uint8(len(p)%4)) % 4 // #nosec G115 -- below 4
}

// advance feeds the decoder the next piece of a message, or notes that a message has ended. It waits
// for the network if there is neither.
func (c *wsConn) advance() error {
	for inflating := c.inflating(); ; {
		if inflating {
			return c.feedInflated()
		}
		if err := c.await(); err != nil {
			return err
		}
		var done bool
		var err error
		if c.ws.packed {
			inflating, err = c.gather()
		} else {
			done, err = c.readData()
		}
		if done || err != nil {
			return err
		}
	}
}

// await waits until there is something of a data frame, or one without payload.
func (c *wsConn) await() error {
	r := &c.ws
	for {
		switch {
		case !r.begun:
			ok, err := r.header()
			if err != nil {
				return err
			}
			if ok && r.op < opClose && r.op != opContinuation {
				c.beginMessage()
			}
			if !ok {
				if err := c.fill(); err != nil {
					return err
				}
			}
		case r.op >= opClose:
			if err := c.readControl(); err != nil {
				return err
			}
		case r.left > 0 && len(r.in) == 0:
			if err := c.fill(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// beginMessage notes the first frame of a message.
func (c *wsConn) beginMessage() {
	c.whole = !c.dec.Partial()
	if !c.spoke {
		c.spoke = true
		c.binary.Store(c.ws.message == opBinary)
	}
}

// readData feeds what has come of a data frame. done: something was fed, or a message has ended.
func (c *wsConn) readData() (done bool, err error) {
	r := &c.ws
	text := r.message == opText
	most := len(r.in)
	open := c.dec.Open()
	if open {
		most = stompframe.CommandLine - len(c.start)
	}
	p := r.piece(most)
	if len(p) > 0 {
		c.quiet = 0
		if text && !c.utf8.feed(p) {
			return false, errNotUTF8
		}
	}
	if ended := !r.begun && r.fin; ended {
		r.message, c.ended, c.text, done = 0, true, text, true
	}
	if open {
		// A command can only be seen if its line is fed as a whole.
		c.start = append(c.start, p...)
		if !done && len(c.start) < stompframe.CommandLine {
			return false, nil
		}
		p, c.start = c.start, nil
	}
	if len(p) > 0 {
		c.dec.Feed(p)
		done = true
	}
	return done, nil
}

// readControl answers a control frame, once all of it is there.
func (c *wsConn) readControl() error {
	r := &c.ws
	if r.left > int64(len(r.in)) {
		if r.control == nil {
			r.control = &control{end: time.Now().Add(controlTime)}
		}
		r.control.payload = append(r.control.payload, r.piece(len(r.in))...)
		p, timedOut := c.sock.fillWithin(time.Until(r.control.end))
		switch {
		case timedOut:
			return broker.ErrFrameTime
		case len(p) == 0:
			return c.sock.fault()
		}
		r.in = p
		return c.count(len(p))
	}
	p := r.piece(len(r.in))
	if r.control != nil {
		p = append(r.control.payload, p...)
		r.control = nil
	}
	switch r.op {
	case opPing: // RFC 6455, 5.5.2
		frame := append(append(make([]byte, 0, 2+maxControl), wsFin|opPong, byte(len(p))), p...)
		if err := c.sock.write(frame, controlTime); err != nil {
			return err
		}
	case opClose:
		return c.readClose(p)
	}
	return nil
}

// readClose answers the client's close frame with its own words (RFC 6455, 5.5.1), and ends the stream.
func (c *wsConn) readClose(p []byte) error {
	code := 0
	if len(p) >= 2 {
		code = int(binary.BigEndian.Uint16(p))
	}
	if len(p) == 1 || len(p) >= 2 && !closeCode(code) {
		return violation("close frame without a code that may be sent")
	}
	frame := append(append(make([]byte, 0, 2+maxControl), wsClose, byte(len(p))), p...)
	if len(p) > 2 && !utf8.Valid(p[2:]) {
		frame = appendClose(frame[:0], 1007, "")
	}
	_ = c.sock.writeClose(frame, controlTime) // to a client that is leaving
	return io.EOF
}

// closeCode tells whether a close frame may say that code (RFC 6455, 7.4, and its IANA registry).
func closeCode(code int) bool {
	switch code {
	case 1004, 1005, 1006:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// fill waits for bytes of the client's.
func (c *wsConn) fill() error {
	c.sock.begin(c.dec.Partial() || !c.ws.between())
	p, err := c.sock.fill()
	if err != nil {
		return c.sock.fault()
	}
	c.ws.in = p
	return c.count(len(p))
}

// beatSize is that of a heart-beat from a client: header, key, EOL.
const beatSize = 7

// isBeat implements beats, for a frame of its own as clients send it.
func (c *wsConn) isBeat(p []byte) bool {
	return len(p) == beatSize && (p[0] == wsFin|opText || p[0] == wsFin|opBinary) && p[1] == wsMasked|1 && p[6]^p[2] == '\n' &&
		c.ws.between() && c.dec.Idle()
}

// count bounds what a client may send without sending data: pings are answered and empty fragments
// skipped without end.
func (c *wsConn) count(n int) error {
	if now := c.sock.lastRead.Load(); now-c.quietSince > int64(c.sock.frameTime) {
		c.quiet, c.quietSince = 0, now
	}
	if c.quiet += n; c.quiet > maxQuiet && !mutant.Is(mutant.FloodUnbounded) {
		return &broker.CloseError{Code: 1008, Reason: "too many control frames and empty fragments"}
	}
	return nil
}
