package transport

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// maxBlank bounds the bytes between frames that compressed messages may inflate to, within one frame
// time and without a frame: heart-beats need few, and a kilobyte can be a megabyte of them.
const maxBlank = 16 << 10

// deflate is what a connection with compression has beside others: no window and no compressor, only a
// few numbers. Browsers compress whatever they send, CONNECT too, so that is inflated within the budget
// of limits.before_connect, which both the compressed bytes and the inflated ones are held against.
type deflate struct {
	bits int // of the client's window

	// Owned by the session's goroutine.
	limit  int // before CONNECT is accepted: limits.before_connect, else 0
	packed int // compressed bytes so far, before CONNECT
	plain  int // what they were inflated to
	blank  int // inflated since the last frame
	since  int64
	msg    *packedMessage // that is being read, or nil
	out    *chunk         // what was inflated last and is in dec, or nil
}

// packedMessage is a compressed message as the inflater reads it, byte by byte: what the client sent,
// then the end that RFC 7692, 7.2.2 adds, then a last block, by whose end one knows that all was there.
// Before CONNECT is accepted all of it is gathered before any is inflated, afterwards up to a chunk: so nobody
// holds an inflater by sending a byte and no more.
type packedMessage struct {
	c    *wsConn
	text bool
	z    io.ReadCloser // of inflaters, or nil

	in    []byte
	at    int
	ended bool // in is the last of what was sent
	tail  int  // bytes of packedEnd that were read
	err   error
}

const packedEnd = "\x00\x00\xFF\xFF" + "\x01\x00\x00\xFF\xFF"

// nothing is a flate.Reader at its end.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) ReadByte() (byte, error)  { return 0, io.EOF }

// inflaters are as many as inflate at a time, 44 KiB each.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nothing{}) }}

// tooMuch is the error of who sends more than n bytes, compressed or inflated, before CONNECT is accepted.
func tooMuch(n int) error {
	return &stompframe.Error{Kind: stompframe.FrameTooLarge, Detail: fmt.Sprintf("more than %d bytes before CONNECT, compressed or inflated", n)}
}

// gather keeps what has come of a compressed data frame. ready: some of it can be inflated.
func (c *wsConn) gather() (ready bool, err error) {
	d, r := c.z, &c.ws
	if d.msg == nil {
		d.msg = &packedMessage{c: c, text: r.message == opText}
	}
	m := d.msg
	room := chunkSize - len(m.in)
	if d.limit > 0 && !mutant.Is(mutant.PackedFree) {
		room = d.limit - d.packed
		if room == 0 && r.left > 0 {
			return false, tooMuch(d.limit)
		}
	}
	p := r.piece(min(len(r.in), room))
	if d.limit > 0 {
		d.packed += len(p)
	}
	if !r.begun && r.fin {
		r.message, m.ended = 0, true
	}
	if m.ended && len(m.in) == 0 {
		m.in = p // nothing is read before it is used up
	} else {
		m.in = append(m.in, p...)
	}
	return m.ended || d.limit == 0 && len(m.in) == chunkSize, nil
}

// feedInflated feeds the decoder the next piece of what a message inflates to, or notes that it has ended.
func (c *wsConn) feedInflated() error {
	d, m := c.z, c.z.msg
	d.out = chunks.Get().(*chunk)
	n, err := m.read(d.out[:], c.dec.Open())
	if n > 0 {
		c.quiet = 0
		if now := c.sock.lastRead.Load(); now-d.since > int64(c.sock.frameTime) {
			d.blank, d.since = 0, now
		}
		d.blank += n
		if m.text && !c.utf8.feed(d.out[:n]) {
			return errNotUTF8
		}
		c.dec.Feed(d.out[:n])
	}
	if err == errMessageEnd {
		c.ended, c.text, err = true, m.text, nil
		m.drop()
	}
	return err
}

// errMessageEnd tells that all of a message was inflated; io.EOF is the end of the connection.
var errMessageEnd = errors.New("end of message")

// read inflates into p, within the budget; open: all, or enough that a command can be seen.
func (m *packedMessage) read(p []byte, open bool) (n int, err error) {
	if m.ended && len(m.in) == 0 && m.z == nil { // some send an empty message so
		return 0, errMessageEnd
	}
	if m.z == nil {
		m.z = inflaters.Get().(io.ReadCloser)
		m.restart()
	}
	for err == nil && (n == 0 || open && n < stompframe.CommandLine) {
		var k int
		k, err = m.readSome(p[n:])
		n += k
	}
	return n, err
}

func (m *packedMessage) readSome(p []byte) (int, error) {
	d := m.c.z
	if d.limit > 0 && !mutant.Is(mutant.InflatedFree) {
		p = p[:min(len(p), max(d.limit-d.plain, 1))]
	}
	n, err := m.z.Read(p)
	if d.limit > 0 && n > 0 && !mutant.Is(mutant.InflatedFree) {
		if d.plain == d.limit {
			return 0, tooMuch(d.limit)
		}
		d.plain += n
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF && m.goesOn():
		m.restart()
		return n, nil
	case err == io.EOF && m.whole():
		return n, errMessageEnd
	case m.err != nil:
		return n, m.err
	}
	return n, &broker.CloseError{Code: 1007, Reason: "compressed message is damaged"}
}

// restart has the inflater begin with the next byte.
func (m *packedMessage) restart() { m.z.(flate.Resetter).Reset(m, nil) }

// drop ends the message, and gives the inflater back.
func (m *packedMessage) drop() {
	if m.z != nil {
		m.z.(flate.Resetter).Reset(nothing{}, nil)
		inflaters.Put(m.z)
	}
	m.c.z.msg = nil
}

// dropOut gives back what was inflated last: it is used up.
func (d *deflate) dropOut() {
	if d.out != nil {
		chunks.Put(d.out)
		d.out = nil
	}
}

// release gives back all, at the end of the connection.
func (d *deflate) release() {
	d.dropOut()
	if d.msg != nil {
		d.msg.drop()
	}
}

// whole tells that the inflater, which is at an end, has read all there was, with or without what
// was added.
func (m *packedMessage) whole() bool {
	return m.err == nil && m.ended && m.at == len(m.in) && (m.tail == 0 || m.tail == len(packedEnd))
}

// goesOn tells that more was sent behind a last block: some can flush by ending only (RFC 7692, 7.2.3.4).
func (m *packedMessage) goesOn() bool {
	return m.tail == 0 && m.more() == nil && m.at < len(m.in)
}

// more sees to it that there is a byte in in, or the message has ended; it may wait.
func (m *packedMessage) more() error {
	for m.at == len(m.in) && !m.ended && m.err == nil {
		m.in, m.at = m.in[:0], 0
		if m.err = m.c.await(); m.err == nil {
			_, m.err = m.c.gather()
		}
	}
	return m.err
}

// ReadByte implements io.ByteReader.
func (m *packedMessage) ReadByte() (byte, error) {
	if m.at == len(m.in) {
		if err := m.more(); err != nil {
			return 0, err
		}
	}
	if m.at < len(m.in) {
		m.at++
		return m.in[m.at-1], nil
	}
	if m.tail == len(packedEnd) {
		return 0, io.EOF
	}
	m.tail++
	return packedEnd[m.tail-1], nil
}

// Read implements io.Reader, for blocks that are not compressed.
func (m *packedMessage) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := m.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	n := copy(p[1:], m.in[m.at:])
	m.at += n
	return 1 + n, nil
}
