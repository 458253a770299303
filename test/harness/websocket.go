package harness

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The opcodes of RFC 6455, 5.2.
const (
	OpContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	OpClose        byte = 0x8
	OpPing         byte = 0x9
	OpPong         byte = 0xA
)

// WSFrame is one WebSocket frame. The zero value of what a test does not set is the common case:
// a final, masked frame without reserved bits and with the shortest length encoding.
type WSFrame struct {
	Op      byte
	Payload []byte
	// More leaves FIN unset. RSV are the three reserved bits (4, 2, 1). Unmasked leaves out the
	// mask. LengthBytes forces a length of 2 or 8 bytes; Claim says another length than the real.
	More        bool
	RSV         byte
	Unmasked    bool
	LengthBytes int
	Claim       uint64

	// Packed is how many bytes a compressed message of the broker had on the wire; Payload is inflated.
	Packed int
}

// RSV1 of RSV marks a compressed message (RFC 7692, 6).
const RSV1 = 4

// Deflate is p as the payload of a compressed message (RFC 7692, 7.2.1).
func Deflate(p []byte) []byte {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.DefaultCompression)
	z.Write(p) // to memory
	z.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// Append appends the frame as it goes over the wire.
func (f WSFrame) Append(dst []byte) []byte {
	b0 := f.Op | f.RSV<<4
	if !f.More {
		b0 |= 0x80
	}
	var mask byte = 0x80
	if f.Unmasked {
		mask = 0
	}
	n := uint64(len(f.Payload))
	if f.Claim != 0 {
		n = f.Claim
	}
	switch {
	case f.LengthBytes == 8 || f.LengthBytes == 0 && n > 0xffff:
		dst = binary.BigEndian.AppendUint64(append(dst, b0, mask|127), n)
	case f.LengthBytes == 2 || f.LengthBytes == 0 && n > 125:
		dst = binary.BigEndian.AppendUint16(append(dst, b0, mask|126), uint16(n))
	default:
		dst = append(dst, b0, mask|byte(n))
	}
	if f.Unmasked {
		return append(dst, f.Payload...)
	}
	var key [4]byte
	rand.Read(key[:])
	dst = append(dst, key[:]...)
	for i, c := range f.Payload {
		dst = append(dst, c^key[i%4])
	}
	return dst
}

// WS is the client's end of a WebSocket, frame by frame. It answers nothing by itself.
type WS struct {
	Conn     net.Conn
	Response *http.Response
	br       *bufio.Reader
	// Deflate tells that compression was agreed on.
	Deflate bool
}

// WSKey is the Sec-WebSocket-Key of every handshake here.
const WSKey = "dGhlIHNhbXBsZSBub25jZQ=="

// Upgrade is a handshake request for host and path with the given further header lines.
func Upgrade(host, path string, lines ...string) string {
	req := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + WSKey + "\r\n"
	for _, l := range lines {
		req += l + "\r\n"
	}
	return req + "\r\n"
}

// Handshake sends a raw HTTP request to addr and reads the head of the answer. Status 101 is
// checked (RFC 6455, 4.1); any other is for the caller to judge.
func Handshake(addr, request string) (*WS, error) {
	conn, err := dialFrom("", addr)
	if err != nil {
		return nil, err
	}
	return handshake(conn, request)
}

// dialFrom connects from a local address, or any if that is empty.
func dialFrom(local, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: Patience}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	return d.Dial("tcp", addr)
}

// handshake is Handshake on a connection.
func handshake(conn net.Conn, request string) (*WS, error) {
	w := &WS{Conn: conn, br: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(Patience))
	defer conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, request); err != nil {
		conn.Close()
		return nil, fmt.Errorf("send handshake: %w", err)
	}
	var err error
	if w.Response, err = http.ReadResponse(w.br, nil); err != nil {
		conn.Close()
		return nil, fmt.Errorf("read handshake: %w", err)
	}
	var head bytes.Buffer
	if err = w.Response.Header.Write(&head); err == nil {
		err = Answered("the answer to a handshake", head.Bytes())
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	if w.Response.StatusCode != http.StatusSwitchingProtocols {
		return w, nil
	}
	w.Deflate = strings.HasPrefix(w.Response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate;")
	sum := sha1.Sum([]byte(WSKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	h := w.Response.Header
	switch {
	case h.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]):
		err = fmt.Errorf("bad Sec-WebSocket-Accept %q", h.Get("Sec-WebSocket-Accept"))
	case !strings.EqualFold(h.Get("Upgrade"), "websocket"), !strings.EqualFold(h.Get("Connection"), "upgrade"):
		err = fmt.Errorf("bad Upgrade or Connection: %v", h)
	case h.Get("Sec-WebSocket-Extensions") != "" && !(w.Deflate && strings.Contains(request, "permessage-deflate")):
		err = fmt.Errorf("an extension that was not offered: %v", h)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

// Write sends frames, all in one write.
func (w *WS) Write(fs ...WSFrame) error {
	var out []byte
	for _, f := range fs {
		out = f.Append(out)
	}
	w.Conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := w.Conn.Write(out)
	return err
}

// Read returns the next frame of the server. It refuses what RFC 6455 forbids a server: a mask,
// reserved bits and opcodes, long or fragmented control frames, a length not in shortest form.
func (w *WS) Read(deadline time.Time) (WSFrame, error) {
	w.Conn.SetReadDeadline(deadline)
	var h [8]byte
	if _, err := io.ReadFull(w.br, h[:2]); err != nil {
		return WSFrame{}, err
	}
	f := WSFrame{Op: h[0] & 0x0f, More: h[0]&0x80 == 0, RSV: h[0] >> 4 & 7}
	if h[1]&0x80 != 0 {
		return f, fmt.Errorf("server masked a frame")
	}
	n := uint64(h[1])
	var least uint64
	switch n {
	case 126:
		if _, err := io.ReadFull(w.br, h[:2]); err != nil {
			return f, err
		}
		n, least = uint64(binary.BigEndian.Uint16(h[:2])), 126
	case 127:
		if _, err := io.ReadFull(w.br, h[:8]); err != nil {
			return f, err
		}
		n, least = binary.BigEndian.Uint64(h[:8]), 0x10000
	}
	packed := f.RSV == RSV1 && w.Deflate && (f.Op == OpText || f.Op == OpBinary)
	switch {
	case f.RSV != 0 && !packed:
		return f, fmt.Errorf("server set reserved bits %b", f.RSV)
	case n < least:
		return f, fmt.Errorf("server encoded length %d too long", n)
	case n > 64<<20:
		return f, fmt.Errorf("server frame of %d bytes", n)
	case f.Op > OpBinary && f.Op < OpClose || f.Op > OpPong:
		return f, fmt.Errorf("server used opcode %x", f.Op)
	case f.Op >= OpClose && (n > 125 || f.More):
		return f, fmt.Errorf("server sent a bad control frame of %d bytes", n)
	}
	f.Payload = make([]byte, n)
	_, err := io.ReadFull(w.br, f.Payload)
	if err != nil || !packed {
		return f, err
	}
	f.RSV, f.Packed = 0, len(f.Payload)
	whole := append(f.Payload, "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)
	if f.Payload, err = io.ReadAll(flate.NewReader(bytes.NewReader(whole))); err != nil {
		return f, fmt.Errorf("server compressed badly: %w", err)
	}
	return f, nil
}
