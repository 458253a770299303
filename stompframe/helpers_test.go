package stompframe_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/stompframe"
)

const (
	v0  = stompframe.Version(0)
	v10 = stompframe.V10
	v11 = stompframe.V11
	v12 = stompframe.V12
)

var versions = []stompframe.Version{v0, v10, v11, v12}

// show writes a frame so that two can be compared and read.
func show(f *stompframe.Frame) string {
	var b strings.Builder
	b.WriteString(f.Command)
	for _, h := range f.Header {
		fmt.Fprintf(&b, " %q=%q", h.Name, h.Value)
	}
	if f.Body != nil {
		fmt.Fprintf(&b, " body %q", f.Body)
	}
	return b.String()
}

// decode feeds chunks and tells everything that came out: the frames, then the error and what
// was read before it, or "partial".
func decode(t testing.TB, v stompframe.Version, l stompframe.Limits, chunks ...[]byte) []string {
	t.Helper()
	d := stompframe.NewDecoder(v, l)
	defer d.Release()
	var out []string
	var f stompframe.Frame
	received := 0
	for _, c := range chunks {
		c = bytes.Clone(c) // so that a frame that outlives its chunk shows
		d.Feed(c)
		received += len(c)
		for {
			ok, err := d.Next(&f)
			if n := d.Buffered(); n > 4*received+2048 { // tail and scratch, each at most twice
				t.Fatalf("holds %d bytes of %d received", n, received)
			}
			if err != nil {
				var e *stompframe.Error
				if !errors.As(err, &e) {
					t.Fatalf("error is a %T", err)
				}
				if _, again := d.Next(&f); again != err {
					t.Fatalf("error is not final: %v, then %v", err, again)
				}
				return append(out, "error "+err.Error()+" after "+show(&f))
			}
			if !ok {
				break
			}
			out = append(out, show(&f))
		}
		if !d.Partial() && d.Buffered() != 0 {
			t.Fatalf("idle and holds %d bytes", d.Buffered())
		}
		for i := range c {
			c[i] = '#'
		}
	}
	if d.Partial() {
		out = append(out, "partial")
	}
	return out
}

// kind decodes s in one piece and returns the kind of its error, or 0.
func kind(t testing.TB, v stompframe.Version, l stompframe.Limits, s string) stompframe.Kind {
	t.Helper()
	d := stompframe.NewDecoder(v, l)
	defer d.Release()
	d.Feed([]byte(s))
	var f stompframe.Frame
	for {
		ok, err := d.Next(&f)
		if err != nil {
			return err.(*stompframe.Error).Kind
		}
		if !ok {
			return 0
		}
	}
}

func equal(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func bytewise(s []byte) [][]byte {
	var out [][]byte
	for i := range s {
		out = append(out, s[i:i+1])
	}
	return out
}
