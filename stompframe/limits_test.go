package stompframe_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/stompframe"
)

func TestLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	// Each case makes a frame that uses exactly n of its limit.
	for _, c := range []struct {
		kind   stompframe.Kind
		limits stompframe.Limits
		l      int
		make   func(n int) string
	}{
		{stompframe.LineTooLong, stompframe.Limits{HeaderLine: 50}, 50, func(n int) string { return "SEND\na:b\nn:" + x(n-2) + "\n\n\x00" }},
		{stompframe.LineTooLong, stompframe.Limits{HeaderLine: 50}, 50, func(n int) string { return "SEND\na:b\nn:" + x(n-2) + "\r\n\r\n\x00" }},
		{stompframe.LineTooLong, stompframe.Limits{}, 8192, func(n int) string { return "SEND\nn:" + x(n-2) + "\n\n\x00" }},
		{stompframe.TooManyHeaders, stompframe.Limits{Headers: 5}, 5, func(n int) string { return "SEND\n" + strings.Repeat("a:b\n", n) + "\n\x00" }},
		{stompframe.TooManyHeaders, stompframe.Limits{Headers: 5}, 5, func(n int) string { return "SEND\r\n" + strings.Repeat("a:b\r\n", n) + "\r\n\x00" }},
		{stompframe.TooManyHeaders, stompframe.Limits{}, 64, func(n int) string { return "SEND\n" + strings.Repeat("a:b\n", n) + "\n\x00" }},
		{stompframe.HeadersTooLarge, stompframe.Limits{HeaderBytes: 40}, 40, func(n int) string { return "SEND\na:b\nn:" + x(n-12) + "\n\n\x00" }},
		{stompframe.HeadersTooLarge, stompframe.Limits{HeaderBytes: 40}, 40, func(n int) string { return "SEND\r\na:b\r\nn:" + x(n-15) + "\r\n\r\n\x00" }},
		{stompframe.HeadersTooLarge, stompframe.Limits{}, 32768, func(n int) string {
			return "SEND\n" + strings.Repeat("n:"+x(8000)+"\n", 4) + "o:" + x(n-5-4*8003-3) + "\n\n\x00"
		}},
		{stompframe.BodyTooLarge, stompframe.Limits{Body: 30}, 30, func(n int) string { return "SEND\na:b\n\n" + x(n) + "\x00" }},
		{stompframe.BodyTooLarge, stompframe.Limits{Body: 30}, 30, func(n int) string { return fmt.Sprintf("SEND\ncontent-length:%d\n\n%s\x00", n, x(n)) }},
		{stompframe.BodyTooLarge, stompframe.Limits{}, 1 << 20, func(n int) string { return fmt.Sprintf("SEND\ncontent-length:%d\n\n%s\x00", n, x(n)) }},
		{stompframe.BodyTooLarge, stompframe.Limits{}, 1 << 20, func(n int) string { return "SEND\n\n" + x(n) + "\x00" }},
		{stompframe.FrameTooLarge, stompframe.Limits{Frame: 60}, 60, func(n int) string { return "SEND\na:b\n\n" + x(n-11) + "\x00" }},
		{stompframe.FrameTooLarge, stompframe.Limits{Frame: 60}, 60, func(n int) string {
			return fmt.Sprintf("SEND\ncontent-length:%d\n\n%s\x00", n-25, x(n-25))
		}},
		{stompframe.FrameTooLarge, stompframe.Limits{Frame: 60}, 60, func(n int) string { return "ACK\nid:" + x(n-10) + "\n\n\x00\x00" }},
		{stompframe.FrameTooLarge, stompframe.BeforeConnect, 16384, func(n int) string {
			return "CONNECT\na:" + x(8190) + "\nb:" + x(n-8206) + "\n\n\x00"
		}},
	} {
		for n := c.l - 1; n <= c.l+1; n++ {
			in := []byte(c.make(n))
			want := stompframe.Kind(0)
			if n > c.l {
				want = c.kind
			}
			if got := kind(t, v12, c.limits, string(in)); got != want {
				t.Errorf("%v %+v: %d of %d gave %q (%d)", c.kind, c.limits, n, c.l, got, got)
			}
			whole := decode(t, v12, c.limits, in)
			if len(in) > 1000 {
				continue
			}
			for i := range in {
				if got := decode(t, v12, c.limits, in[:i], in[i:]); !equal(got, whole) {
					t.Errorf("%v, %d of %d, split at %d\n gave %q\n want %q", c.kind, n, c.l, i, got, whole)
				}
			}
			if got := decode(t, v12, c.limits, bytewise(in)...); !equal(got, whole) {
				t.Errorf("%v, %d of %d, byte by byte\n gave %q\n want %q", c.kind, n, c.l, got, whole)
			}
		}
	}
}

// A limit is enforced by the first byte beyond it, not when the line or the frame is complete.
func TestLimitsFireEarly(t *testing.T) {
	l := stompframe.Limits{HeaderLine: 20, Headers: 2, HeaderBytes: 60, Body: 10, Frame: 90}
	for _, c := range []struct {
		kind stompframe.Kind
		ok   string // still within
		more string // the byte that is too much
	}{
		{stompframe.LineTooLong, "SEND\na:345678901234567890", "x"},
		{stompframe.LineTooLong, "SEND\na:345678901234567890\r", "x"},
		{stompframe.TooManyHeaders, "SEND\na:b\nc:d\n", "x"},
		{stompframe.TooManyHeaders, "SEND\na:b\nc:d\n\r", "x"},
		{stompframe.BodyTooLarge, "SEND\n\n0123456789", "x"},
		{stompframe.BodyTooLarge, "SEND\ncontent-length:11\n", "\n"},
		{stompframe.BodyNotAllowed, "ACK\ncontent-length:1\n", "\n"},
		{stompframe.BodyNotAllowed, "ACK\n\n", "x"},
		{stompframe.BodyTooLong, "SEND\ncontent-length:2\n\nab", "c"},
		{stompframe.UnknownCommand, "0123456789abcdef", "g"},
	} {
		d := stompframe.NewDecoder(v11, l)
		var f stompframe.Frame
		d.Feed([]byte(c.ok))
		if ok, err := d.Next(&f); ok || err != nil {
			t.Errorf("%q: %v %v", c.ok, ok, err)
			continue
		}
		held := d.Buffered()
		d.Feed([]byte(c.more))
		_, err := d.Next(&f)
		if e, _ := err.(*stompframe.Error); e == nil || e.Kind != c.kind {
			t.Errorf("%q and %q: %v", c.ok, c.more, err)
		}
		if d.Buffered() > held {
			t.Errorf("%q and %q: buffer grew for the byte too much", c.ok, c.more)
		}
		d.Release()
	}
}

// What a peer announces is not allocated before it comes.
func TestAnnouncedBodyIsNotAllocated(t *testing.T) {
	d := stompframe.NewDecoder(v12, stompframe.Limits{Body: 1 << 30})
	defer d.Release()
	var f stompframe.Frame
	received := 0
	feed := func(s string) {
		d.Feed([]byte(s))
		received += len(s)
		if ok, err := d.Next(&f); ok || err != nil {
			t.Fatal(ok, err)
		}
		if n := d.Buffered(); n > 2*received+64<<10 {
			t.Fatalf("holds %d bytes of %d received", n, received)
		}
	}
	feed("SEND\ncontent-length:1000000000\n\n")
	for range 100 {
		feed(strings.Repeat("x", 10000))
	}
}
