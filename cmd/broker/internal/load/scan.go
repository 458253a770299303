package load

import (
	"bytes"
	"errors"
	"fmt"
)

// maxFrame bounds what the client keeps of one unfinished frame, in bytes.
const maxFrame = 64 << 20

var errTooLarge = errors.New("frame larger than 64 MiB")

// frame is one STOMP frame as it lies in the read buffer; valid until the next read.
type frame struct {
	kind byte   // first letter of the command: M, R, E or C
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

// scanner cuts a byte stream into STOMP frames. It looks at line ends and content-length alone.
type scanner struct {
	carry []byte       // begun frame of a stream that comes in pieces which will not stay
	beats int64        // EOLs seen between frames
	on    func(*frame) // called for each whole frame
	f     frame
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
		for used < len(p) && (p[used] == '\n' || p[used] == '\r') {
			if p[used] == '\n' {
				s.beats++
			}
			used++
		}
		n, err := s.one(p[used:])
		if n == 0 || err != nil {
			return used, err
		}
		used += n
		s.on(&s.f)
	}
}

// one reads the frame p begins with into s.f; 0 means that it is not all there yet.
func (s *scanner) one(p []byte) (int, error) {
	length, at := -1, 0
	for {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			return 0, nil
		}
		line := p[at : at+i]
		if len(line) == 0 || (len(line) == 1 && line[0] == '\r') {
			break
		}
		const name = "content-length:"
		if line[0] == 'c' && length < 0 && len(line) > len(name) && string(line[:len(name)]) == name {
			if length = atoi(line[len(name):]); length < 0 {
				return 0, fmt.Errorf("bad content-length %q", line)
			}
		}
		at += i + 1
	}
	body := at + 1
	if p[at] == '\r' {
		body++
	}
	if length < 0 {
		if length = bytes.IndexByte(p[body:], 0); length < 0 {
			return 0, nil
		}
	}
	if body+length >= len(p) {
		return 0, nil
	}
	if p[body+length] != 0 {
		return 0, errors.New("no NUL after the body")
	}
	s.f = frame{kind: p[0], head: p[:at], body: p[body : body+length]}
	return body + length + 1, nil
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
