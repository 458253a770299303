package transport

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// maxQuiet bounds the bytes of headers and control frames within one frame time and without a byte
// of data between them: pings are answered and empty fragments skipped without end.
const maxQuiet = 256 << 10

// wsInput takes the client's frames apart (RFC 6455, section 5). What it is given may be cut
// anywhere; payload is unmasked where it lies and never kept, so that a frame of any length needs
// no memory. The zero value is at the start of the stream.
type wsInput struct {
	in []byte // has come, not taken yet

	// The frame whose payload is being taken.
	inFrame bool
	op      byte
	fin     bool
	left    int64  // of the payload
	key     uint32 // mask of the bytes that come next, the first in the lowest bits

	// The message of that frame, or the one between whose fragments it stands.
	open  bool // it has begun and is not over
	ended bool // its last byte has just been taken
	text  bool
	utf8  utf8Check

	n       uint8    // bytes of a header so far
	head    [14]byte // these
	payload []byte   // that of a control frame so far, behind two bytes for the header of an answer
	start   []byte   // first bytes of a message, as gather says

	quiet      int // bytes since quietSince without data
	quietSince int64
}

// between tells that no frame and no message is under way.
func (w *wsInput) between() bool { return !w.open && !w.inFrame && w.n == 0 }

// isControl tells that the frame under way is a control frame.
func (w *wsInput) isControl() bool { return w.op >= 8 }

// headerSize is the size of a header by its first two bytes, with its mask.
func headerSize(second byte) int {
	switch second & 0x7F {
	case 126:
		return 2 + 2 + 4
	case 127:
		return 2 + 8 + 4
	}
	return 2 + 4
}

// header takes bytes of a frame's header, and sets inFrame when it is whole. A fault is found with
// the byte that makes it certain. began tells that a message begins with this frame.
func (w *wsInput) header() (began bool, err error) {
	for {
		size := 2
		if w.n >= 2 {
			size = headerSize(w.head[1])
		}
		n := copy(w.head[w.n:size], w.in)
		w.in, w.n = w.in[n:], w.n+uint8(n)
		w.quiet += n
		if w.n >= 10 && w.head[1]&0x7F == 127 && w.head[2]&0x80 != 0 {
			return false, violation("length with its highest bit set") // 5.2
		}
		if int(w.n) < size {
			return false, nil
		}
		if size > 2 {
			break
		}
		if err := w.checkFirst(w.head[0], w.head[1]); err != nil {
			return false, err
		}
	}
	first, size := w.head[0], int(w.n)
	switch size {
	case 2 + 2 + 4:
		w.left = int64(binary.BigEndian.Uint16(w.head[2:]))
	case 2 + 8 + 4:
		w.left = int64(binary.BigEndian.Uint64(w.head[2:]))
	default:
		w.left = int64(w.head[1] & 0x7F)
	}
	w.key = binary.LittleEndian.Uint32(w.head[size-4:])
	w.inFrame, w.n = true, 0
	w.fin, w.op = first&0x80 != 0, first&0x0F
	if w.op == wsText&0x0F || w.op == wsBinary&0x0F {
		w.open, w.text = true, w.op == wsText&0x0F
		return true, nil
	}
	return false, nil
}

// checkFirst checks the first two bytes of a header (RFC 6455, 5.1, 5.2, 5.4, 5.5).
func (w *wsInput) checkFirst(first, second byte) error {
	op := first & 0x0F
	switch {
	case first&0x70 != 0:
		return violation("reserved bits of a frame are set")
	case second&0x80 == 0:
		return violation("frame is not masked")
	case op > 2 && op < 8 || op > 10:
		return violation(fmt.Sprintf("opcode %d is reserved", op))
	case op >= 8 && first&0x80 == 0:
		return violation("control frame is fragmented")
	case op >= 8 && second&0x7F > 125:
		return violation("control frame is longer than 125 bytes")
	case op == 0 && !w.open:
		return violation("continuation of no message")
	case (op == 1 || op == 2) && w.open:
		return violation("message within a message")
	}
	return nil
}

func violation(reason string) error { return &broker.CloseError{Code: 1002, Reason: reason} }

// quietly tells whether the client may go on as it does: now is the time, window the frame time.
func (w *wsInput) quietly(now, window int64) bool {
	if now-w.quietSince > window {
		w.quiet, w.quietSince = 0, now
	}
	return w.quiet <= maxQuiet
}

// data takes at most that many bytes of a data frame's payload, and tells false if they cannot be
// of the text they should be.
func (w *wsInput) data(most int) (p []byte, ok bool) {
	p = w.unmask(most)
	if len(p) > 0 {
		w.quiet = 0
		if w.text && !w.utf8.feed(p) {
			return nil, false
		}
	}
	if w.left == 0 {
		w.inFrame = false
		if w.fin {
			w.open, w.ended = false, true
		}
	}
	return p, true
}

// gather keeps the first bytes of a message back until there are as many as a command line has, or
// the message is over: it returns nil, or all of them.
func (w *wsInput) gather(p []byte) []byte {
	if w.start == nil {
		w.start = make([]byte, 0, stompframe.CommandLine)
	}
	w.start = append(w.start, p...)
	if len(w.start) < stompframe.CommandLine && !w.ended {
		return nil
	}
	p, w.start = w.start, nil
	return p
}

// controlPayload takes bytes of a control frame. When it is whole, p is it as a server would send
// it, header and all; it is the caller's.
func (w *wsInput) controlPayload() (p []byte, whole bool) {
	if w.payload == nil {
		w.payload = append(make([]byte, 0, 2+w.left), 0x80|w.op, byte(w.left))
	}
	more := w.unmask(len(w.in))
	w.quiet += len(more)
	w.payload = append(w.payload, more...)
	if w.left > 0 {
		return nil, false
	}
	p, w.payload, w.inFrame = w.payload, nil, false
	return p, true
}

// unmask takes at most that many bytes of payload (RFC 6455, 5.3).
func (w *wsInput) unmask(most int) []byte {
	n := min(int64(most), int64(len(w.in)), w.left)
	p := w.in[:n:n]
	w.in, w.left = w.in[n:], w.left-n
	w.key = mask(p, w.key)
	return p
}

// closeAnswer is the answer to a close frame: its own code and reason (RFC 6455, 5.5.1), or none if
// it has none, or an error if it is malformed.
func closeAnswer(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return []byte{wsClose, 0}, nil
	}
	if len(payload) == 1 {
		return nil, violation("close frame of one byte")
	}
	code := int(binary.BigEndian.Uint16(payload))
	if !mayBeSent(code) {
		return nil, violation(fmt.Sprintf("close code %d", code))
	}
	reason := payload[2:]
	if !utf8.Valid(reason) {
		return appendClose(nil, 1007, ""), nil
	}
	return appendClose(nil, code, string(reason)), nil
}
