package stompframe

// Field is one header of a frame, unescaped.
type Field struct{ Name, Value []byte }

// Header is the headers of a frame in the order they stood, repeated ones too.
type Header []Field

// Get is the value of the first header of that name (STOMP 1.2, Repeated Header Entries); ok
// tells whether there is one. The slice lives as long as the frame's do.
func (h Header) Get(name string) (value []byte, ok bool) {
	for i := range h {
		if string(h[i].Name) == name {
			return h[i].Value, true
		}
	}
	return nil, false
}

// Has tells whether there is a header of that name, be it empty.
func (h Header) Has(name string) bool {
	_, ok := h.Get(name)
	return ok
}

// String is a copy of what Get finds, or empty.
func (h Header) String(name string) string {
	v, _ := h.Get(name)
	return string(v)
}

// Unpad takes the leading spaces off every value, as a 1.0 decoder does by itself. It is for a
// CONNECT that turned out to be a 1.0 client's after it was read without a version.
func (h Header) Unpad() {
	for i := range h {
		h[i].Value = unpad(h[i].Value)
	}
}

// Frame is one decoded frame. Its slices point into memory of the Decoder or of the chunk fed to
// it; they are valid until the next call of Feed, Next, EndOfText or Release.
type Frame struct {
	// Command is one of the vocabulary (frame.SEND and so on), shared; empty only beside an error.
	Command string
	// Header holds the headers. The Decoder uses its memory again for the next frame.
	Header Header
	// Body is what stood between the blank line and the NUL; nil if nothing did.
	Body []byte
}

// reset empties f and forgets what it pointed to, so that an idle f pins no buffer.
func (f *Frame) reset() {
	clear(f.Header)
	f.Command, f.Header, f.Body = "", f.Header[:0], nil
}

// Limits bound what one frame may hold, in bytes where not said otherwise. Zero (or less) means
// the value of DefaultLimits; there is no way to say unlimited, and sizes beyond 1 GiB are cut.
type Limits struct {
	HeaderLine  int // one header line, name, colon and value as sent, without its EOL
	Headers     int // number of headers, repeated ones counted
	HeaderBytes int // command line and all header lines together, EOLs included
	Body        int // body
	Frame       int // whole frame, blank line and NUL included; 0: whatever the others allow
}

// DefaultLimits is what holds where nothing is configured. It is not to be assigned to.
var DefaultLimits = Limits{HeaderLine: 8 << 10, Headers: 64, HeaderBytes: 32 << 10, Body: 1 << 20}

// BeforeConnect is what holds for a peer that has not said who it is. It is not to be assigned to.
var BeforeConnect = Limits{Frame: 16 << 10}

// resolved fills in the defaults.
func (l Limits) resolved() Limits {
	or := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	or(&l.HeaderLine, DefaultLimits.HeaderLine)
	or(&l.Headers, DefaultLimits.Headers)
	or(&l.HeaderBytes, DefaultLimits.HeaderBytes)
	or(&l.Body, DefaultLimits.Body)
	const most = 1<<30 - 8 // the sums made of them fit an int of 32 bits
	l.HeaderBytes, l.Body = min(l.HeaderBytes, most), min(l.Body, most)
	or(&l.Frame, l.HeaderBytes+len("\r\n")+l.Body+1)
	return l
}
