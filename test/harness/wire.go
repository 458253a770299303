package harness

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// Transport is one way in which the bytes of a test reach the broker.
type Transport string

// The transports.
const (
	TCP          Transport = "tcp"           // each Send is one write
	TCPBytewise  Transport = "tcp-bytewise"  // a write for each byte
	WSText       Transport = "ws-text"       // each Send is one text message
	WSBinary     Transport = "ws-binary"     // each Send is one binary message
	WSSplit      Transport = "ws-split"      // each Send is many binary messages of a few bytes
	WSSplitText  Transport = "ws-split-text" // the same in text messages, where characters allow
	WSFragmented Transport = "ws-fragmented" // each Send is one message of many fragments and a ping
	WSPacked     Transport = "ws-packed"     // all Sends between two reads are one message
	WSCompressed Transport = "ws-compressed" // each Send is some messages, most compressed, some in fragments

	// The same over TLS, for a broker that has it; the certificate is not looked at.
	TCPTLS  Transport = "tcp-tls"
	WSSText Transport = "wss-text"
)

// Transports are all that need no certificate.
var Transports = []Transport{TCP, TCPBytewise, WSText, WSBinary, WSSplit, WSSplitText, WSFragmented, WSPacked, WSCompressed}

// WebSocket tells whether it is one of the WebSocket transports.
func (tr Transport) WebSocket() bool { return tr != TCP && tr != TCPBytewise && tr != TCPTLS }

// secured puts TLS on a connection where the transport wants it.
func (tr Transport) secured(conn net.Conn) net.Conn {
	if tr != TCPTLS && tr != WSSText {
		return conn
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // it is made for the test
}

// Close is how the broker ended a connection: the close frame's code and reason, or zero on TCP.
type Close struct {
	Code   int
	Reason string
}

func (c *Close) Error() string { return fmt.Sprintf("closed by the broker: %d %q", c.Code, c.Reason) }

// errPassed tells that a deadline passed.
var errPassed = errors.New("nothing came in time")

// wire carries bytes to and from the broker.
type wire interface {
	send(p []byte) error
	// receive returns the next chunk: what a read gave on TCP, one message on WebSocket. A *Close
	// says that the broker ended the connection in good order.
	receive(deadline time.Time) (chunk []byte, binary bool, err error)
	abort()
}

func timeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// tcpWire is a plain TCP connection.
type tcpWire struct {
	conn     net.Conn
	bytewise bool
	buf      [64 << 10]byte
}

func (w *tcpWire) send(p []byte) error {
	w.conn.SetWriteDeadline(time.Now().Add(Patience))
	for i := 0; w.bytewise && i < 300 && len(p) > 1; i++ {
		if _, err := w.conn.Write(p[:1]); err != nil {
			return err
		}
		p = p[1:]
	}
	_, err := w.conn.Write(p)
	return err
}

func (w *tcpWire) receive(deadline time.Time) ([]byte, bool, error) {
	w.conn.SetReadDeadline(deadline)
	n, err := w.conn.Read(w.buf[:])
	switch {
	case n > 0:
		return w.buf[:n], false, nil
	case errors.Is(err, io.EOF):
		return nil, false, &Close{}
	case timeout(err):
		return nil, false, errPassed
	}
	return nil, false, err
}

func (w *tcpWire) abort() { w.conn.Close() }

// wsWire is a WebSocket with a way of cutting what is sent.
type wsWire struct {
	ws  *WS
	tr  Transport
	rnd *rand.Rand

	connected bool // CONNECTED has come
}

func dataOp(p []byte, tr Transport) byte {
	if tr == WSBinary || tr == WSSplit || !utf8.Valid(p) {
		return OpBinary
	}
	return OpText
}

func (w *wsWire) send(p []byte) error {
	switch w.tr {
	case WSSplit, WSSplitText:
		var fs []WSFrame
		for _, part := range w.cut(p, 7) {
			fs = append(fs, WSFrame{Op: dataOp(part, w.tr), Payload: part})
		}
		return w.ws.Write(fs...)
	case WSFragmented:
		parts := w.cut(p, 1)
		var fs []WSFrame
		for i, part := range parts {
			f := WSFrame{Payload: part, More: i < len(parts)-1}
			if i == 0 {
				f.Op = dataOp(p, w.tr)
			}
			fs = append(fs, f)
			if i == len(parts)/2 && f.More {
				fs = append(fs, WSFrame{Op: OpPing, Payload: []byte("between")})
			}
		}
		return w.ws.Write(fs...)
	case WSCompressed:
		return w.ws.Write(w.compressed(p)...)
	}
	return w.ws.Write(WSFrame{Op: dataOp(p, w.tr), Payload: p})
}

// compressed is p in messages that are mostly compressed.
func (w *wsWire) compressed(p []byte) (fs []WSFrame) {
	for _, part := range w.cut(p, 200) {
		f := WSFrame{Op: dataOp(part, w.tr), Payload: part}
		if w.rnd.IntN(4) > 0 {
			f.RSV, f.Payload = RSV1, Deflate(part)
		}
		if w.rnd.IntN(3) == 0 {
			n := w.rnd.IntN(len(f.Payload) + 1)
			rest := f.Payload[n:]
			f.Payload, f.More = f.Payload[:n], true
			fs = append(fs, f)
			f = WSFrame{Payload: rest}
		}
		fs = append(fs, f)
	}
	return fs
}

// cut cuts p into parts of at most size bytes; what lies beyond 600 bytes into larger ones.
func (w *wsWire) cut(p []byte, size int) [][]byte {
	var parts [][]byte
	for done := 0; len(p) > 0; {
		n := 1 + w.rnd.IntN(size)
		if done > 600 {
			n = 1 + w.rnd.IntN(16<<10)
		}
		n = min(n, len(p))
		parts = append(parts, p[:n])
		p, done = p[n:], done+n
	}
	return parts
}

// receive assembles one message, answers pings, and finishes a close handshake.
func (w *wsWire) receive(deadline time.Time) ([]byte, bool, error) {
	var msg []byte
	var kind byte
	for {
		f, err := w.ws.Read(deadline)
		switch {
		case timeout(err):
			return nil, false, errPassed
		case errors.Is(err, io.EOF):
			return nil, false, errors.New("TCP ended without a close frame")
		case err != nil:
			return nil, false, err
		}
		switch f.Op {
		case OpPing:
			if err := w.ws.Write(WSFrame{Op: OpPong, Payload: f.Payload}); err != nil {
				return nil, false, err
			}
		case OpPong:
		case OpClose:
			return nil, false, w.closed(f.Payload)
		default:
			if (f.Op == OpContinuation) != (kind != 0) {
				return nil, false, errors.New("fragments out of order")
			}
			if kind == 0 {
				kind = f.Op
			}
			msg = append(msg, f.Payload...)
			if f.More {
				continue
			}
			if n := f.Packed; n > 0 && (!w.connected || len(msg) < 1<<10 || n >= len(msg)) {
				return nil, false, fmt.Errorf("message of %d bytes compressed to %d, after CONNECTED: %v", len(msg), n, w.connected)
			}
			w.connected = w.connected || bytes.HasPrefix(msg, []byte("CONNECTED"))
			if kind == OpText && !utf8.Valid(msg) {
				return nil, false, fmt.Errorf("text message is not UTF-8: %q", msg)
			}
			return msg, kind == OpBinary, nil
		}
	}
}

// closed answers a close frame and waits for the end of the TCP connection (RFC 6455, 7.1.1).
func (w *wsWire) closed(payload []byte) error {
	c := &Close{}
	switch {
	case len(payload) == 1:
		return errors.New("close frame of one byte")
	case len(payload) > 1:
		c.Code, c.Reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		if !utf8.ValidString(c.Reason) {
			return fmt.Errorf("close reason is not UTF-8: %q", c.Reason)
		}
		if err := Answered("a close frame", payload[2:]); err != nil {
			return err
		}
	}
	// The answer may meet a connection that is gone already where we asked for the close.
	_ = w.ws.Write(WSFrame{Op: OpClose, Payload: payload})
	f, err := w.ws.Read(time.Now().Add(Patience))
	switch {
	case err == nil:
		return fmt.Errorf("frame %x after the close frame", f.Op)
	case timeout(err):
		return errors.New("TCP not closed after the close handshake")
	}
	return c
}

func (w *wsWire) abort() { w.ws.Conn.Close() }

// At is the broker for clients that connect from that local address; it is good for Dial and nothing else.
func (b *Broker) At(from string) *Broker {
	return &Broker{WS: b.WS, Path: b.Path, TCP: b.TCP, TLS: b.TLS, From: from}
}

// Elsewhere is At with an address that nobody else in this process connects from: nothing wrong has come from it yet.
func (b *Broker) Elsewhere() *Broker {
	n := places.Add(1)
	return b.At(fmt.Sprintf("127.1.%d.%d", n/250, 1+n%250))
}

var places atomic.Int64

// Dial connects to the broker without a word of STOMP. The lines are further header lines of
// the WebSocket handshake. The connection is cut when the test ends.
func (b *Broker) Dial(t testing.TB, tr Transport, lines ...string) *Client {
	t.Helper()
	c := &Client{T: t, Transport: tr}
	if tr.WebSocket() {
		if len(lines) == 0 {
			lines = []string{"Sec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp"}
		}
		if tr == WSCompressed {
			lines = append(lines[:len(lines):len(lines)], "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
		}
		conn, err := dialFrom(b.From, b.WS)
		if err != nil {
			t.Fatalf("dial %s: %v", tr, err)
		}
		ws, err := handshake(tr.secured(conn), Upgrade(b.WS, b.Path, lines...))
		if err != nil {
			t.Fatalf("dial %s: %v", tr, err)
		}
		if ws.Response.StatusCode != 101 {
			ws.Conn.Close()
			t.Fatalf("dial %s: %s", tr, ws.Response.Status)
		}
		if ws.Deflate != (tr == WSCompressed) {
			ws.Conn.Close()
			t.Fatalf("dial %s: extensions %q", tr, ws.Response.Header["Sec-Websocket-Extensions"])
		}
		c.WS = ws
		c.wire = &wsWire{ws: ws, tr: tr, rnd: rand.New(rand.NewPCG(1, uint64(len(t.Name()))))}
	} else {
		addr := b.TCP
		if tr == TCPTLS {
			addr = b.TLS
		}
		conn, err := dialFrom(b.From, addr)
		if err != nil {
			t.Fatalf("dial %s: %v", tr, err)
		}
		c.wire = &tcpWire{conn: tr.secured(conn), bytewise: tr == TCPBytewise}
	}
	t.Cleanup(c.wire.abort)
	return c
}
