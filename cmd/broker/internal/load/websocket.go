package load

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// WebSocket opcodes (RFC 6455, section 11.8).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// handshake upgrades nc (RFC 6455, section 4.1) and returns what came after the response.
func handshake(nc net.Conn, t Target) (early []byte, err error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	offer := ""
	if p := t.speaks().subprotocol(); p != "" {
		offer = "Sec-WebSocket-Protocol: " + p + "\r\n"
	}
	_, err = fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n",
		t.Path, t.Addr, base64.StdEncoding.EncodeToString(nonce[:]), offer)
	if err != nil {
		return nil, fmt.Errorf("write handshake: %w", err)
	}
	br := bufio.NewReaderSize(nc, 1024)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: t.Path}})
	if err != nil {
		return nil, fmt.Errorf("read handshake: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("handshake refused: %s", resp.Status)
	}
	early, _ = br.Peek(br.Buffered())
	return early, nil
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
