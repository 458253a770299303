package load

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// WebSocket opcodes (RFC 6455, section 11.8).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// handshake upgrades the connection (RFC 6455, section 4.1); what comes after the response stays in
// the read buffer.
func (c *conn) handshake(t Target) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	req := append(c.wbuf[:0], "GET "+t.Path+" HTTP/1.1\r\nHost: "+t.Addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	req = append(base64.StdEncoding.AppendEncode(req, nonce[:]), "\r\n"...)
	if p := c.speaks.subprotocol(); p != "" {
		req = append(req, "Sec-WebSocket-Protocol: "+p+"\r\n"...)
	}
	if t.Compress {
		req = append(req, "Sec-WebSocket-Extensions: "+deflate+"\r\n"...)
	}
	c.wbuf = append(req, "\r\n"...)
	if err := c.flush(); err != nil {
		return fmt.Errorf("write handshake: %w", err)
	}
	for {
		if err := c.read(); err != nil {
			return fmt.Errorf("read handshake: %w", err)
		}
		head, rest, whole := bytes.Cut(c.buf[:c.have], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		if line, _, _ := bytes.Cut(head, []byte("\r\n")); !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("handshake refused: %.80s", line)
		}
		if c.inflates = t.Compress && bytes.Contains(head, []byte(deflate)); t.Compress && !c.inflates {
			return errors.New("the broker does not compress (http.compression: on)")
		}
		c.have = copy(c.buf, rest)
		return nil
	}
}

// appendMasked appends one final client frame of payload; key is its mask.
func appendMasked(dst []byte, opcode byte, key uint32, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = binary.LittleEndian.AppendUint32(dst, key)
	at := len(dst)
	dst = append(dst, payload...)
	mask(dst[at:], key)
	return dst
}

// mask XORs p with key, whose lowest byte comes first (RFC 6455, section 5.3).
func mask(p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(wide >> (8 * i))
	}
}

// opPacked is what wsFrame adds to the opcode of a compressed message (RFC 7692, section 6).
const opPacked = 0x40

// deflate is the extension that is offered; the broker then names it in its answer.
const deflate = "permessage-deflate"

// inflater is what inflates a message at a time.
type inflater struct {
	in  bytes.Reader
	z   io.ReadCloser
	out bytes.Buffer
}

var inflaters = sync.Pool{New: func() any { return &inflater{z: flate.NewReader(nil)} }}

// inflate feeds the scanner what a compressed message is (RFC 7692, section 7.2.2).
func (c *conn) inflate(packed []byte) error {
	i := inflaters.Get().(*inflater)
	defer inflaters.Put(i)
	whole := append(packed[:len(packed):len(packed)], "\x00\x00\xFF\xFF\x01\x00\x00\xFF\xFF"...)
	i.in.Reset(whole)
	i.out.Reset()
	if err := i.z.(flate.Resetter).Reset(&i.in, nil); err != nil {
		return fmt.Errorf("inflate: %w", err)
	}
	if _, err := i.out.ReadFrom(io.LimitReader(i.z, maxFrame)); err != nil {
		return fmt.Errorf("inflate: %w", err)
	}
	return c.scan.feed(i.out.Bytes())
}

// wsFrame is the frame p begins with; size 0 means that it is not all there yet.
func wsFrame(p []byte) (opcode byte, payload []byte, size int, err error) {
	if len(p) < 2 {
		return 0, nil, 0, nil
	}
	if p[1]&0x80 != 0 {
		return 0, nil, 0, errors.New("masked frame from the broker") // RFC 6455, 5.1
	}
	if p[0]&0x30 != 0 {
		return 0, nil, 0, errors.New("WebSocket extension bits from the broker") // of none that was offered
	}
	n, head := uint64(p[1]), 2
	switch n {
	case 126:
		if head = 4; len(p) < head {
			return 0, nil, 0, nil
		}
		n = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if head = 10; len(p) < head {
			return 0, nil, 0, nil
		}
		n = binary.BigEndian.Uint64(p[2:])
	}
	if n > maxFrame {
		return 0, nil, 0, errTooLarge
	}
	if size = head + int(n); len(p) < size {
		return 0, nil, 0, nil
	}
	return p[0] & (opPacked | 15), p[head:size], size, nil
}
