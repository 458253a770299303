package stompframe

import (
	"bytes"
	"fmt"
)

// state is where in the stream the decoder is.
type state uint8

const (
	between   state = iota // between frames
	inCommand              // in a command line
	inHeader               // in the header section
	inBody                 // behind the blank line
)

// Values of Decoder.length that are no length.
const (
	noLength  = -1
	badLength = -2
)

// Decoder cuts a stream of bytes into frames. It is used by one goroutine at a time. What it
// yields depends on the bytes alone, never on where the chunks begin and end, but for
// [Decoder.EndOfText].
//
// It holds memory, from a pool, only while a frame is unfinished or in the caller's hands, and
// never more than twice what the peer has sent of it, plus a small constant.
type Decoder struct {
	version Version
	limits  Limits
	err     *Error

	// The input: rest is what is not parsed yet; frame is the begun frame so far, which lies
	// right before rest in the chunk while tail is nil, and in tail otherwise.
	rest, frame []byte
	tail        *buffer // holds the beginning of a frame that a chunk cut
	scratch     *buffer // holds unescaped names and values

	// The begun frame.
	state   state
	cr      bool // between frames, after a CR that may be half an EOL
	command command
	n       int   // headers so far
	pos     int   // where in frame the header line begun begins; all before it is checked
	head    int   // where in frame the body begins
	need    int   // length of the frame with its NUL, or -1 if only the NUL will tell
	open    int   // where the frame could have ended, by EndOfText; or 0
	length  int64 // what the first content-length said
}

// NewDecoder returns a decoder for a peer that speaks v (0 before CONNECT).
func NewDecoder(v Version, l Limits) *Decoder {
	d := new(Decoder)
	d.SetVersion(v, l)
	return d
}

// SetVersion changes version and limits, between frames: for the bytes not parsed yet, among them
// those already fed. A frame that Next returned before stays valid.
func (d *Decoder) SetVersion(v Version, l Limits) {
	d.version, d.limits = v, l.resolved()
}

// Feed gives the next chunk of the stream. The decoder reads p, and yields frames that point into
// it, until Next has returned false; it never writes to it. Feed panics if the chunk before was
// not used up; after an error it does nothing.
func (d *Decoder) Feed(p []byte) {
	if d.err != nil {
		return
	}
	if len(d.rest) > 0 {
		panic("stompframe: Feed before Next returned false")
	}
	d.letGo()
	d.rest = p
}

// Next decodes the next frame into f. False and no error: the chunk is used up. The error is an
// *Error and final, every later call returns it too; beside the first, f holds the command and
// the headers that were read before the fault (all of them if the fault is in the length or the
// body), valid as a frame's are.
func (d *Decoder) Next(f *Frame) (ok bool, err error) {
	if d.err != nil {
		return false, d.err
	}
	d.letGo()
	f.reset()
	if d.state == between && !d.begin() {
		if d.err != nil {
			return false, d.err
		}
		return false, nil
	}
	if d.open > 0 && len(d.rest) > 0 && !d.goesOn(f) {
		return true, nil
	}
	resumed := d.tail != nil
	done := (d.state != inCommand || d.readCommand()) && d.readHeaders(f) && d.readBody()
	switch {
	case d.err != nil:
		if resumed {
			d.collect(f)
		}
		f.Command = commands[d.command].name
		return false, d.err
	case !done:
		d.suspend()
		f.reset()
		return false, nil
	}
	if resumed {
		d.collect(f)
	}
	d.yield(f, d.frame[d.head:len(d.frame)-1])
	return true, nil
}

// EndOfText is for clients that lose the NUL at the end of a WebSocket text message, as React
// Native does. It is called at the end of such a message, after Next returned false: if what came
// is a frame that lacks nothing but its NUL, it yields that frame as Next would, and the caller
// goes on with Next. whole tells that the frame began at the start of this same message.
//
// The end of a message alone says nothing: other clients spread a frame over several. So a frame
// ends here if it has a content-length and its body is that long, or if it may not have a body
// and its blank line has come; a NUL that comes later does no harm, it is skipped like any
// between frames. A SEND without content-length could go on, and half of one must never be taken
// for a whole: it ends only when the next message begins with a command, or, if its body is
// empty, when the next message is a heart-beat; or when the caller says so by EndOpen.
func (d *Decoder) EndOfText(f *Frame, whole bool) (ok bool, err error) {
	if d.err != nil {
		return false, d.err
	}
	if d.state != inBody || len(d.rest) > 0 {
		return false, nil
	}
	end := len(d.frame)
	switch {
	case d.need >= 0:
		if end != d.need-1 {
			return false, nil
		}
	case commands[d.command].body:
		if whole {
			d.open = end
		}
		if whole || d.open != d.head || end == d.open || !onlyEOLs(d.frame[d.open:]) {
			return false, nil
		}
		end = d.open
	}
	d.endAt(f, end)
	return true, nil
}

// Open tells that EndOfText has left a SEND without content-length open: all of it may be there.
// What the caller feeds next should be CommandLine bytes, or all of the next message, so that a
// command can be seen.
func (d *Decoder) Open() bool { return d.open > 0 }

// EndOpen yields the SEND that is open, for a caller who has waited long enough for its NUL.
func (d *Decoder) EndOpen(f *Frame) (ok bool) {
	if d.err != nil || d.open == 0 || len(d.rest) > 0 {
		return false
	}
	d.endAt(f, d.open)
	return true
}

// endAt yields the suspended frame as if its NUL stood at end.
func (d *Decoder) endAt(f *Frame, end int) {
	f.reset()
	d.collect(f)
	d.yield(f, d.frame[d.head:end])
}

// goesOn decides, at the start of a message, whether it continues the SEND that EndOfText left
// open; if not, that frame is yielded.
func (d *Decoder) goesOn(f *Frame) bool {
	if beginsFrame(d.rest) && onlyEOLs(d.frame[d.open:]) {
		d.endAt(f, d.open)
		return false
	}
	if !onlyEOLs(d.rest) {
		d.open = 0
	}
	return true
}

// beginsFrame tells whether p begins with a line that is a command.
func beginsFrame(p []byte) bool {
	line, _, ok := bytes.Cut(p[:min(len(p), CommandLine)], []byte{'\n'})
	return ok && lookup(trimCR(line)) != 0
}

func onlyEOLs(p []byte) bool { return len(bytes.Trim(p, "\r\n")) == 0 }

// Partial tells whether a frame has begun and is not finished. EOLs and NULs between frames begin
// none.
func (d *Decoder) Partial() bool { return d.state != between }

// Idle tells that nothing is begun, not even an EOL: what comes next is the first byte of a frame or of an EOL.
func (d *Decoder) Idle() bool { return d.state == between && !d.cr && len(d.rest) == 0 }

// Buffered is how many bytes of pooled memory the decoder holds. It is 0 whenever Next has
// returned false and no frame is begun.
func (d *Decoder) Buffered() int {
	n := 0
	if d.tail != nil {
		n = cap(d.tail.b)
	}
	for p := d.scratch; p != nil; p = p.next {
		n += cap(p.b)
	}
	return n
}

// Release gives all memory back and forgets a frame that has begun: the end of a connection.
// Frames the decoder yielded are not valid any more.
func (d *Decoder) Release() {
	d.state, d.cr, d.rest = between, false, nil
	d.letGo()
}

// letGo frees what the frame yielded last lay in.
func (d *Decoder) letGo() {
	if d.scratch != nil {
		d.scratch.free()
		d.scratch = nil
	}
	if d.tail != nil && d.state == between {
		d.tail.free()
		d.tail, d.frame = nil, nil
	}
}

// begin skips what may stand between frames and starts a frame if there is more.
func (d *Decoder) begin() bool {
	for i, c := range d.rest {
		if d.cr && c != '\n' {
			d.fail(UnknownCommand, "carriage return before a command")
			return false
		}
		d.cr = c == '\r'
		if c == '\n' || c == '\r' || c == 0 {
			continue
		}
		d.rest = d.rest[i:]
		d.frame = d.rest[:0]
		d.state, d.command, d.n, d.pos, d.open, d.length = inCommand, 0, 0, 0, 0, noLength
		return true
	}
	d.rest, d.frame = nil, nil
	return false
}

// take moves the next k bytes from rest to frame.
func (d *Decoder) take(k int) {
	n := len(d.frame) + k
	switch {
	case d.tail == nil:
		d.frame = d.frame[:n] // what follows it in the chunk
	default:
		if cap(d.tail.b) < n {
			p := getBuffer(n)
			p.b = append(p.b, d.tail.b...)
			d.tail.free()
			d.tail = p
		}
		d.tail.b = append(d.tail.b, d.rest[:k]...)
		d.frame = d.tail.b
	}
	d.rest = d.rest[k:]
}

// suspend keeps the begun frame beyond the end of its chunk.
func (d *Decoder) suspend() {
	if d.tail == nil {
		d.tail = getBuffer(len(d.frame))
		d.tail.b = append(d.tail.b, d.frame...)
		d.frame = d.tail.b
	}
	d.rest = nil
	d.letGo()
}

// yield hands the frame out; its headers are in f already.
func (d *Decoder) yield(f *Frame, body []byte) {
	f.Command = commands[d.command].name
	if len(body) > 0 && commands[d.command].body {
		f.Body = body[:len(body):len(body)]
	}
	d.state, d.open = between, 0
}

// collect reads the checked header lines of the frame into f once more, from where they lie now.
func (d *Decoder) collect(f *Frame) {
	d.scratch.free()
	d.scratch = nil
	f.reset()
	if d.command == 0 {
		return
	}
	at := bytes.IndexByte(d.frame, '\n') + 1
	for at < d.pos {
		end := at + bytes.IndexByte(d.frame[at:], '\n')
		d.field(f, trimCR(d.frame[at:end]))
		at = end + 1
	}
}

// readBody takes the body and its NUL; false: fault, or not all there yet.
func (d *Decoder) readBody() bool {
	l := &d.limits
	switch {
	case d.need >= 0:
		d.take(min(d.need-len(d.frame), len(d.rest)))
		if len(d.frame) < d.need {
			return false
		}
		if d.frame[d.need-1] != 0 {
			return d.fail(BodyTooLong, fmt.Sprintf("no NUL after %d bytes", d.length))
		}
		return true
	case len(d.rest) == 0:
		return false
	case !commands[d.command].body:
		// Old clients end such a frame with an EOL or two before its NUL.
		n := 0
		for n < len(d.rest) && (d.rest[n] == '\n' || d.rest[n] == '\r') {
			n++
		}
		if len(d.frame)+n >= l.Frame {
			return d.fail(FrameTooLarge, fmt.Sprintf("more than %d bytes", l.Frame))
		}
		if n == len(d.rest) {
			d.take(n)
			return false
		}
		if d.rest[n] != 0 {
			return d.fail(BodyNotAllowed, "on "+commands[d.command].name)
		}
		d.take(n + 1)
		return true
	}
	// Ends are counted from the start of the frame.
	nul := bytes.IndexByte(d.rest, 0)
	bodyEnd, frameEnd := len(d.frame)+len(d.rest), len(d.frame)+len(d.rest)
	if nul >= 0 {
		bodyEnd, frameEnd = len(d.frame)+nul, len(d.frame)+nul+1
	}
	if bodyMax := d.head + l.Body; bodyEnd > bodyMax && bodyMax <= l.Frame {
		return d.fail(BodyTooLarge, fmt.Sprintf("more than %d bytes", l.Body))
	}
	if frameEnd > l.Frame {
		return d.fail(FrameTooLarge, fmt.Sprintf("more than %d bytes", l.Frame))
	}
	d.take(frameEnd - len(d.frame))
	return nul >= 0
}

// fail ends the stream; it returns false for the convenience of its callers.
func (d *Decoder) fail(k Kind, detail string) bool {
	d.err = &Error{Kind: k, Detail: detail}
	return false
}
