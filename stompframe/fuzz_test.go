package stompframe_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	gostomp "github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/stompframe"
)

// small limits are within a fuzzer's reach.
var small = stompframe.Limits{HeaderLine: 24, Headers: 3, HeaderBytes: 64, Body: 24, Frame: 80}

func seed(add func(in string)) {
	for _, r := range rules {
		add(r.in)
	}
	add("\r\nSEND\r\na:b\r\n\r\nx\x00\nSUBSCRIBE\nid:\\c\n\n\x00")
	add("SEND\na:345678901234567890123456\r\nb:c\n\nx\x00")
	add("SEND\n\n" + strings.Repeat("x", 24) + "\x00SEND\n\n" + strings.Repeat("x", 25) + "\x00")
}

// Any chunking gives the same frames and the same error.
func FuzzChunking(f *testing.F) {
	seed(func(in string) {
		f.Add([]byte(in), []byte{1}, byte(3), false)
		f.Add([]byte(in), []byte{5, 2, 9}, byte(1), true)
	})
	f.Fuzz(func(t *testing.T, in, sizes []byte, v byte, tight bool) {
		version := versions[int(v)%len(versions)]
		var l stompframe.Limits
		if tight {
			l = small
		}
		want := decode(t, version, l, in)
		if got := decode(t, version, l, bytewise(in)...); !equal(got, want) {
			t.Fatalf("%q in version %q\n in one piece %q\n byte by byte %q", in, version, want, got)
		}
		var chunks [][]byte
		for i, rest := 0, in; len(rest) > 0; i++ {
			n := len(rest)
			if i < 64 && len(sizes) > 0 {
				n = min(n, int(sizes[i%len(sizes)]))
			}
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		if got := decode(t, version, l, chunks...); !equal(got, want) {
			t.Fatalf("%q in version %q\n in one piece %q\n in chunks %d %q", in, version, want, sizes, got)
		}
	})
}

// encoded decodes what it can of in and writes it again; frames are what the next reader should then find.
func encoded(t *testing.T, v stompframe.Version, l stompframe.Limits, in []byte) (out []byte, frames []string, err error) {
	d := stompframe.NewDecoder(v, l)
	defer d.Release()
	d.Feed(in)
	var f stompframe.Frame
	for {
		ok, err := d.Next(&f)
		if !ok {
			return out, frames, err
		}
		out = stompframe.AppendFrame(out, v, &f)
		if len(f.Body) > 0 && !f.Header.Has(gostomp.ContentLength) { // the encoder adds it
			f.Header = append(f.Header, stompframe.Field{
				Name: []byte(gostomp.ContentLength), Value: strconv.AppendInt(nil, int64(len(f.Body)), 10)})
		}
		frames = append(frames, show(&f))
	}
}

// What was decoded and encoded decodes again, to the same frames and the same bytes.
func FuzzRoundTrip(f *testing.F) {
	seed(func(in string) {
		for i := range versions {
			f.Add([]byte(in), byte(i))
		}
	})
	more := stompframe.Limits{HeaderLine: 1 << 20, Headers: 1 << 10, HeaderBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, in []byte, b byte) {
		v := versions[int(b)%len(versions)]
		once, first, _ := encoded(t, v, stompframe.Limits{}, in)
		if v == v10 && bytes.IndexByte(in, '\r') >= 0 { // a CR becomes a space, the next reader trims it
			once, first, _ = encoded(t, v, more, once)
		}
		twice, second, err := encoded(t, v, more, once)
		if err != nil {
			t.Fatalf("%q in version %q became %q: %v", in, v, once, err)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("%q in version %q became %q, then %q", in, v, once, twice)
		}
		if len(first) != len(second) {
			t.Fatalf("%q in version %q: %d frames became %d", in, v, len(first), len(second))
		}
		// Only 1.2 can say everything it can read; elsewhere a CR gets lost.
		if v != v12 || bytes.IndexByte(in, '\r') >= 0 {
			return
		}
		for i := range first {
			if first[i] != second[i] {
				t.Fatalf("%q in version %q: %s became %s", in, v, first[i], second[i])
			}
		}
	})
}

// What this package reads of a 1.2 stream go-stomp reads too, and the same; what it refuses
// go-stomp refuses too. The known differences are the cases below, each with its reason.
func FuzzDiffGoStomp(f *testing.F) {
	seed(func(in string) { f.Add([]byte(in)) })
	f.Fuzz(func(t *testing.T, in []byte) {
		if strayNUL(in) {
			t.Skip("go-stomp takes a stray NUL between frames for the start of a command")
		}
		d := stompframe.NewDecoder(v12, stompframe.Limits{})
		defer d.Release()
		d.Feed(in)
		ref := gostomp.NewReader(bytes.NewReader(in))
		var ours stompframe.Frame
		for {
			ok, err := d.Next(&ours)
			if e, _ := err.(*stompframe.Error); e != nil {
				switch e.Kind {
				case stompframe.LineTooLong, stompframe.TooManyHeaders, stompframe.HeadersTooLarge,
					stompframe.BodyTooLarge, stompframe.FrameTooLarge:
					return // go-stomp has no limits, and allocates what content-length says
				case stompframe.BadEscape:
					return // go-stomp lets undefined escapes through
				case stompframe.NULInHeaders, stompframe.NotUTF8, stompframe.BareCR:
					return // go-stomp does not look for them
				case stompframe.BodyNotAllowed:
					return // go-stomp gives every frame a body
				}
			}
			theirs, refErr := ref.Read()
			for theirs == nil && refErr == nil { // an EOL between frames
				theirs, refErr = ref.Read()
			}
			switch {
			case ok && refErr != nil && ours.Command != gostomp.SEND && ours.Header.Has(gostomp.ContentLength):
				return // EOLs where no body may be, and content-length does not count them
			case ok && refErr != nil:
				t.Fatalf("%q: go-stomp refuses %s: %v", in, show(&ours), refErr)
			case err != nil && refErr == nil:
				t.Fatalf("%q: refused (%v), go-stomp reads %v", in, err, theirs)
			case !ok && refErr == nil:
				t.Fatalf("%q: unfinished, go-stomp reads %v", in, theirs)
			case !ok:
				return
			}
			if ours.Body == nil && ours.Command != gostomp.SEND && len(bytes.Trim(theirs.Body, "\r\n")) == 0 {
				theirs.Body = nil // EOLs where no body may be: go-stomp gives every frame a body
			}
			if theirs.Command != ours.Command || !bytes.Equal(theirs.Body, ours.Body) || theirs.Header.Len() != len(ours.Header) {
				t.Fatalf("%q: %s, go-stomp %v", in, show(&ours), theirs)
			}
			for i, h := range ours.Header {
				name, value := theirs.Header.GetAt(i)
				switch ours.Command {
				case gostomp.CONNECT, gostomp.STOMP, gostomp.CONNECTED:
					if bytes.IndexByte(h.Name, '\\') >= 0 || bytes.IndexByte(h.Value, '\\') >= 0 {
						continue // go-stomp unescapes these too
					}
				}
				if name != string(h.Name) || value != string(h.Value) {
					t.Fatalf("%q: header %d is %q:%q, go-stomp %q:%q", in, i, h.Name, h.Value, name, value)
				}
			}
		}
	})
}

// strayNUL tells whether a NUL stands between frames.
func strayNUL(in []byte) bool {
	d := stompframe.NewDecoder(v12, stompframe.Limits{})
	defer d.Release()
	var f stompframe.Frame
	for i := range in {
		between := !d.Partial()
		d.Feed(in[i : i+1])
		if _, err := d.Next(&f); err != nil {
			return false
		}
		d.Next(&f)
		if between && in[i] == 0 {
			return true
		}
	}
	return false
}
