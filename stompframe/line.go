package stompframe

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/store/mutant"
)

// A fault belongs to the byte that makes it certain, and the first such byte decides: this is
// what makes the outcome independent of chunks. A line without its colon, say, is a fault of its
// LF; a line too long, of the first byte too many, unless that is a CR, which may be half an EOL.

// readCommand takes the command line; false: fault, or not all there yet.
func (d *Decoder) readCommand() bool {
	eol := bytes.IndexByte(d.rest, '\n')
	end := eol
	if eol < 0 {
		end = len(d.rest)
	}
	for i, c := range d.rest[:min(end, maxCommand+2)] {
		at := len(d.frame) + i
		if !d.fits(at) {
			return false
		}
		if c == 0 || at > maxCommand || at == maxCommand && c != '\r' {
			d.take(i)
			name := d.frame[:min(len(d.frame), maxCommand)]
			if c == 0 && lookup(name) != 0 {
				return d.fail(NULInHeaders, fmt.Sprintf("after %q", name))
			}
			return d.fail(UnknownCommand, fmt.Sprintf("%q", name))
		}
	}
	if eol < 0 {
		d.take(end)
		return false
	}
	if !d.fits(len(d.frame) + eol) {
		return false
	}
	d.take(eol + 1)
	name := trimCR(d.frame[:len(d.frame)-1])
	d.command = lookup(name)
	if d.command == 0 {
		return d.fail(UnknownCommand, fmt.Sprintf("%q", name))
	}
	d.state, d.pos = inHeader, len(d.frame)
	return true
}

// fits checks that a byte of command or header lines may stand at that place of the frame.
func (d *Decoder) fits(at int) bool {
	if at >= d.limits.Frame {
		return d.fail(FrameTooLarge, fmt.Sprintf("more than %d bytes", d.limits.Frame))
	}
	if at >= d.limits.HeaderBytes && !mutant.Is(mutant.HeaderBytesUncounted) {
		return d.fail(HeadersTooLarge, fmt.Sprintf("more than %d bytes", d.limits.HeaderBytes))
	}
	return true
}

// readHeaders takes header lines up to the blank one; false: fault, or not all there yet.
func (d *Decoder) readHeaders(f *Frame) bool {
	for d.state == inHeader {
		eol := bytes.IndexByte(d.rest, '\n')
		if eol < 0 {
			if d.walk(d.rest, false) {
				d.take(len(d.rest))
			}
			return false
		}
		if !d.clean(d.rest[:eol]) && !d.walk(d.rest[:eol], true) {
			return false
		}
		d.take(eol + 1)
		line := trimCR(d.frame[d.pos : len(d.frame)-1])
		if len(line) == 0 {
			return d.endHeaders(f)
		}
		if !d.field(f, line) {
			return false
		}
		if !(mutant.Is(mutant.DuplicatesUncounted) && repeated(f.Header)) {
			d.n++
		}
		d.pos = len(d.frame)
	}
	return true
}

// repeated is for a planted bug.
func repeated(h Header) bool {
	n := len(h)
	return n > 1 && bytes.Equal(h[n-1].Name, h[n-2].Name)
}

// clean tells, of a header line that came in one piece, that walk will find nothing. It is there
// to be fast.
func (d *Decoder) clean(line []byte) bool {
	l, end := &d.limits, len(d.frame)+len(line)
	if len(d.frame) != d.pos || len(line) > l.HeaderLine || end >= l.HeaderBytes || end >= l.Frame ||
		d.n >= l.Headers || bytes.IndexByte(line, 0) >= 0 {
		return false
	}
	if d.version != V12 {
		return true
	}
	cr := bytes.IndexByte(line, '\r')
	return cr < 0 || cr == len(line)-1
}

// walk checks the bytes of a header line that are not in frame yet, one by one; eol tells that
// an LF follows them.
func (d *Decoder) walk(more []byte, eol bool) bool {
	l, before := &d.limits, byte(0)
	if len(d.frame) > d.pos {
		before = d.frame[len(d.frame)-1]
	}
	at := len(d.frame)
	for _, c := range more {
		x := at - d.pos // place in the line
		switch {
		case x == 0 && c == '\r': // a blank line, perhaps
			if at >= l.Frame {
				return d.fits(at)
			}
		case c == 0:
			return d.fail(NULInHeaders, "no blank line after "+d.place())
		case before == '\r' && d.version == V12:
			return d.fail(BareCR, "in "+d.place()) // STOMP 1.2, Augmented BNF: header excludes CR
		case d.n >= l.Headers:
			return d.fail(TooManyHeaders, fmt.Sprintf("more than %d", l.Headers))
		case x > l.HeaderLine || x == l.HeaderLine && c != '\r':
			return d.fail(LineTooLong, fmt.Sprintf("%s has more than %d bytes", d.place(), l.HeaderLine))
		case !d.fits(at):
			return false
		}
		before = c
		at++
	}
	blank := at == d.pos || at == d.pos+1 && before == '\r'
	if !eol || blank && at < l.Frame {
		return true
	}
	return d.fits(at)
}

// place names the header line begun, for a Detail.
func (d *Decoder) place() string { return fmt.Sprintf("header %d", d.n+1) }

// endHeaders decides, at the blank line, how the body will end.
func (d *Decoder) endHeaders(f *Frame) bool {
	d.state, d.head, d.need = inBody, len(d.frame), -1
	l, c := &d.limits, &commands[d.command]
	switch {
	case d.length == noLength:
		return true
	case d.length == badLength:
		if d.tail != nil {
			d.collect(f)
		}
		v, _ := f.Header.Get(frame.ContentLength)
		return d.fail(BadContentLength, fmt.Sprintf("%.40q", v))
	case !c.body && d.length > 0:
		return d.fail(BodyNotAllowed, "on "+c.name)
	case !c.body:
		return true
	case d.length > int64(l.Body) && !(mutant.Is(mutant.BodyOneMore) && d.length == int64(l.Body)+1):
		return d.fail(BodyTooLarge, fmt.Sprintf("more than %d bytes", l.Body))
	case d.length >= int64(l.Frame-d.head):
		return d.fail(FrameTooLarge, fmt.Sprintf("more than %d bytes", l.Frame))
	}
	d.need = d.head + int(d.length) + 1
	if mutant.Is(mutant.DeclaredAllocated) {
		d.tail = getBuffer(d.need)
		d.tail.b = append(d.tail.b, d.frame...)
		d.frame = d.tail.b
	}
	return true
}

// field checks one header line and appends it to f.
func (d *Decoder) field(f *Frame, line []byte) bool {
	if !utf8.Valid(line) {
		return d.fail(NotUTF8, d.place())
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		if colon < 0 {
			return d.fail(NoColon, d.place())
		}
		return d.fail(EmptyName, d.place())
	}
	name, value := line[:colon:colon], line[colon+1:len(line):len(line)]
	if d.version >= V11 && !commands[d.command].literal && bytes.IndexByte(line, '\\') >= 0 {
		var ok bool
		if name, ok = d.unescape(name); !ok {
			return false
		}
		if value, ok = d.unescape(value); !ok {
			return false
		}
	}
	if d.version == V10 {
		value = unpad(value)
	}
	f.Header = append(f.Header, Field{name, value})
	if d.length == noLength && string(name) == frame.ContentLength {
		if d.version == 0 { // it may yet turn out to be 1.0
			value = unpad(value)
		}
		d.length = parseLength(value)
	}
	return true
}

// unescape returns s itself if there is nothing to do, or else a copy in scratch.
func (d *Decoder) unescape(s []byte) (out []byte, ok bool) {
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s, true
	}
	if d.scratch == nil || cap(d.scratch.b)-len(d.scratch.b) < len(s) {
		p := getBuffer(len(s))
		p.next = d.scratch
		d.scratch = p
	}
	start := len(d.scratch.b)
	out = d.scratch.b
	for i >= 0 {
		out = append(out, s[:i]...)
		if i+1 == len(s) {
			return nil, d.fail(BadEscape, d.place()+" ends in a backslash")
		}
		c := unescaped(d.version, s[i+1])
		if c == 0 {
			return nil, d.fail(BadEscape, fmt.Sprintf("%s has %q", d.place(), s[i:i+2]))
		}
		out = append(out, c)
		s = s[i+2:]
		i = bytes.IndexByte(s, '\\')
	}
	out = append(out, s...)
	d.scratch.b = out
	return out[start:len(out):len(out)], true
}

// unescaped is what a backslash and c stand for, or 0 (STOMP 1.2 and 1.1, Value Encoding).
func unescaped(v Version, c byte) byte {
	switch {
	case c == 'n':
		return '\n'
	case c == 'c':
		return ':'
	case c == '\\':
		return '\\'
	case c == 'r' && v == V12:
		return '\r'
	}
	return 0
}

// parseLength reads a content-length: digits, nothing else, and no more than fits.
func parseLength(s []byte) int64 {
	if len(s) == 0 {
		return badLength
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' || n > (math.MaxInt64-int64(c-'0'))/10 {
			return badLength
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

func unpad(s []byte) []byte {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	return s
}
