package transport

import (
	"encoding/binary"
	"unicode/utf8"
)

// First bytes of frames: FIN and the opcode (RFC 6455, 5.2).
const (
	wsText   = 0x81
	wsBinary = 0x82
	wsClose  = 0x88
)

// appendHeader appends the header of an unmasked, final frame with n bytes of payload
// (RFC 6455, 5.2).
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return append(dst, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// maxReason is what a close frame holds besides its code (RFC 6455, 5.5).
const maxReason = 123

// appendClose appends a close frame. A code that may not be sent (RFC 6455, 7.4.1) becomes 1000;
// the reason is made UTF-8 and cut between characters.
func appendClose(dst []byte, code int, reason string) []byte {
	if code < 1000 || code > 4999 || code == 1004 || code == 1005 || code == 1006 || code == 1015 {
		code = 1000
	}
	if !utf8.ValidString(reason) {
		reason = ""
	}
	if len(reason) > maxReason {
		n := maxReason
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = appendHeader(dst, wsClose, 2+len(reason))
	dst = append(dst, byte(code>>8), byte(code))
	return append(dst, reason...)
}

// utf8Check checks UTF-8 that comes in pieces cut anywhere (RFC 6455, 8.1). The zero value is at
// the start of a text.
type utf8Check struct {
	part [utf8.UTFMax]byte // a character begun
	n    int
}

// feed tells whether the text can still be valid after p.
func (u *utf8Check) feed(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.part[u.n] = p[0]
		u.n++
		p = p[1:]
		if utf8.FullRune(u.part[:u.n]) { // also where it can become none
			if r, size := utf8.DecodeRune(u.part[:u.n]); r == utf8.RuneError && size == 1 {
				return false
			}
			u.n = 0
		}
	}
	// The last character may be cut; FullRune is false only for the beginning of a valid one.
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		last := p[len(p)-back:]
		if !utf8.RuneStart(last[0]) {
			continue
		}
		if !utf8.FullRune(last) {
			u.n = copy(u.part[:], last)
			p = p[:len(p)-back]
		}
		break
	}
	return utf8.Valid(p)
}

// end tells whether the text may end here, and starts the next one.
func (u *utf8Check) end() bool {
	ok := u.n == 0
	u.n = 0
	return ok
}
