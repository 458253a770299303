package load

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
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

// wsFrame is the frame p begins with; size 0 means that it is not all there yet.
func wsFrame(p []byte) (opcode byte, payload []byte, size int, err error) {
	if len(p) < 2 {
		return 0, nil, 0, nil
	}
	if p[1]&0x80 != 0 {
		return 0, nil, 0, errors.New("masked frame from the broker") // RFC 6455, 5.1
	}
	if p[0]&0x70 != 0 {
		return 0, nil, 0, errors.New("WebSocket extension bits from the broker") // none was offered
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
	return p[0] & 15, p[head:size], size, nil
}
