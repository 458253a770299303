package transport_test

import (
	"testing"

	"github.com/gudokmq/gudok/transport"
)

// What is taken for a heart-beat is not shown to the decoder: so it must be a whole EOL between frames, and not
// the other half of one, a part of a frame, or the end of a body.
func TestIsBeat(t *testing.T) {
	const frame = "SEND\ndestination:/topic/x\n\nhi\x00"
	for _, c := range []struct {
		before string
		want   bool
	}{
		{"", true}, {"\n", true}, {"\r\n", true}, {frame, true}, {frame + "\n", true}, {frame + "\r\n\n", true}, {"\x00", true},
		{"\r", false}, {frame + "\r", false}, {"\n\r", false}, {"SEND", false}, {"SEND\n", false},
		{"SEND\ndestination:/topic/x\n", false}, {"SEND\ndestination:/topic/x\n\n", false}, {frame[:len(frame)-1], false},
	} {
		for _, webSocket := range []bool{false, true} {
			wire := func(s string) string {
				if webSocket {
					return string(ws(0x81, s))
				}
				return s
			}
			if got := transport.IsBeat(webSocket, c.before, wire("\n")); got != c.want {
				t.Errorf("after %q, WebSocket %v: %v", c.before, webSocket, got)
			}
			for _, p := range []string{"\r", "\r\n", "\n\n", "\x00", "x", ""} {
				if transport.IsBeat(webSocket, c.before, wire(p)) {
					t.Errorf("%q after %q, WebSocket %v, is taken for a heart-beat", p, c.before, webSocket)
				}
			}
		}
	}
	for _, first := range []byte{0x01, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0xC2} { // parts, control frames, compressed ones
		if transport.IsBeat(true, "", string(ws(first, "\n"))) {
			t.Errorf("a frame that begins with %#x is taken for a heart-beat", first)
		}
	}
}
