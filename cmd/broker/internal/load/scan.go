package load

import (
	"bytes"
	"errors"
)

// maxFrame bounds what the client keeps of one unfinished frame, in bytes.
const maxFrame = 64 << 20

var errTooLarge = errors.New("frame larger than 64 MiB")

// frame is one frame as it lies in the read buffer; valid until the next read.
type frame struct {
	kind byte   // first letter of STOMP's command: M, R, E or C; P is a ping to answer
	head []byte // command line and header lines, without the blank line
	body []byte
}

// header returns the raw value of the first header of that name; name is given as "\nname:".
func (f *frame) header(name string) []byte {
	i := bytes.Index(f.head, []byte(name))
	if i < 0 {
		return nil
	}
	v := f.head[i+len(name):]
	if i = bytes.IndexByte(v, '\n'); i >= 0 {
		v = v[:i]
	}
	return bytes.TrimSuffix(v, []byte{'\r'})
}

// scanner cuts a byte stream into frames.
type scanner struct {
	carry []byte       // begun frame of a stream that comes in pieces which will not stay
	beats int64        // EOLs seen between frames
	on    func(*frame) // called for each whole frame
	// one reads the frame that p begins with; 0 means that it is not all there yet.
	one func(p []byte, f *frame) (int, error)
	f   frame
}

// feed scans a piece of the stream and keeps what it leaves unfinished.
func (s *scanner) feed(p []byte) error {
	if len(s.carry) > 0 {
		s.carry = append(s.carry, p...)
		used, err := s.scan(s.carry)
		s.carry = append(s.carry[:0], s.carry[used:]...)
		if len(s.carry) > maxFrame {
			return errTooLarge
		}
		return err
	}
	used, err := s.scan(p)
	s.carry = append(s.carry, p[used:]...)
	return err
}

// scan hands on all whole frames at the start of p and tells how many bytes they took.
func (s *scanner) scan(p []byte) (used int, err error) {
	for {
		n, err := s.one(p[used:], &s.f)
		if n == 0 || err != nil {
			return used, err
		}
		used += n
		if s.f.kind == 0 {
			s.beats++
			continue
		}
		s.on(&s.f)
	}
}

// atoi reads a non-negative decimal number, -1 if it is none or beyond maxFrame.
func atoi(p []byte) int {
	p = bytes.TrimSpace(p)
	n := 0
	for _, c := range p {
		if c < '0' || c > '9' || n > maxFrame {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	if len(p) == 0 {
		return -1
	}
	return n
}
