package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// closeCases are RFC 6455, 5.5.1, 7.1 and 7.4.
func closeCases() []wsCase {
	var cases []wsCase
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, wsCase{"7.4", fmt.Sprintf("close %d is echoed", code), func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(code, "bye")})
			e.closed(code)
		}})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, wsCase{"7.4", fmt.Sprintf("close %d is refused", code), func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(code, "")})
			e.closed(1002)
		}})
	}
	return append(cases,
		wsCase{"5.5.1", "close without a code", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose})
			f := e.expect(harness.OpClose, "")
			if code := closeCode(f.Payload); code != 0 && code != 1000 {
				e.Errorf("answered with %d", code)
			}
		}},
		wsCase{"5.5.1", "close of one byte is refused", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: []byte{3}})
			e.closed(1002)
		}},
		wsCase{"5.5.1", "close with the longest reason", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(1000, strings.Repeat("x", 123))})
			e.closed(1000)
		}},
		wsCase{"5.5.1", "close with a reason that is not UTF-8", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(1000, "\xce\xba\xe1\xbd\xb9\xed\xa0\x80")})
			e.closed(1007)
		}},
		wsCase{"5.5.1", "what follows a close frame is discarded", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(1000, "")},
				frame{Op: harness.OpText, Payload: []byte("SEND\ndestination:" + e.topic + "\nreceipt:r\n\nx\x00")},
				frame{Op: harness.OpPing})
			e.closed(1000)
		}},
		wsCase{"5.5.1", "close within a fragmented message", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText, Payload: []byte("SEND\n"), More: true}, frame{Op: harness.OpClose, Payload: closePayload(1001, "")})
			e.closed(1001)
		}},
		wsCase{"7.1.1", "the server ends TCP, not the client", func(e *wsEnv) {
			e.write(frame{Op: harness.OpClose, Payload: closePayload(1000, "")})
			e.expect(harness.OpClose, "")
			if _, err := e.ws.Read(time.Now().Add(harness.Patience)); err == nil || strings.Contains(err.Error(), "timeout") {
				e.Errorf("still open: %v", err)
			}
		}},
		wsCase{"7.1.1", "an ERROR comes before the close frame", func(e *wsEnv) {
			e.text("NONSENSE\n\n\x00")
			e.expect(harness.OpText, "ERROR\nmessage:unknown command\n")
			f := e.expect(harness.OpClose, "")
			if closeCode(f.Payload) != 1002 || len(f.Payload) < 3 {
				e.Errorf("close says %q", f.Payload)
			}
		}},
		wsCase{"7.1.1", "TCP ends soon if the client never answers the close", func(e *wsEnv) {
			e.text("NONSENSE\n\n\x00")
			e.expect(harness.OpText, "ERROR\n")
			e.expect(harness.OpClose, "")
			if _, err := e.ws.Read(time.Now().Add(harness.Patience)); err == nil || strings.Contains(err.Error(), "timeout") {
				e.Errorf("still open: %v", err)
			}
		}},
	)
}

// utf8Cases are RFC 6455, 8.1: text is UTF-8.
func utf8Cases() []wsCase {
	var cases []wsCase
	for name, s := range map[string]string{
		"two bytes": "é", "three bytes": "구독", "four bytes": "𝄞", "U+0000 beyond": "\u0080", "last of two": "\u07ff",
		"first of three": "\u0800", "before the surrogates": "\ud7ff", "after the surrogates": "\ue000", "U+FFFD": "\ufffd",
		"noncharacter": "\uffff", "last of all": "\U0010ffff", "byte order mark": "\ufeff",
	} {
		cases = append(cases, wsCase{"8.1", "valid: " + name, func(e *wsEnv) { e.echoes(s) }})
	}
	for name, s := range map[string]string{
		"a lone continuation": "\x80", "a lone start": "\xc3", "start of four alone": "\xf0", "overlong slash": "\xc0\xaf",
		"overlong of three": "\xe0\x80\xaf", "overlong of four": "\xf0\x80\x80\xaf", "a surrogate": "\xed\xa0\x80",
		"beyond the last": "\xf4\x90\x80\x80", "FE": "\xfe", "FF": "\xff", "five bytes": "\xf8\x88\x80\x80\x80", "cut short": "\xe2\x82",
	} {
		cases = append(cases, wsCase{"8.1", "invalid: " + name, func(e *wsEnv) {
			e.text("SEND\ndestination:" + e.topic + "\n\na" + s + "b\x00")
			e.closed(1007)
		}})
	}
	whole := func(e *wsEnv) []byte { return []byte("SEND\ndestination:" + e.topic + "\n\n구𝄞\x00") }
	return append(cases,
		wsCase{"8.1", "valid over fragments", func(e *wsEnv) {
			p := whole(e)
			for i := range p {
				f := frame{Payload: p[i : i+1], More: i < len(p)-1}
				if i == 0 {
					f.Op = harness.OpText
				}
				e.write(f)
			}
			e.expect(harness.OpText, "MESSAGE\n")
		}},
		wsCase{"8.1", "invalid over fragments", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText, Payload: []byte("SEND\ndestination:" + e.topic + "\n\n\xea\xb5"), More: true},
				frame{Payload: []byte("x\x00")})
			e.closed(1007)
		}},
		wsCase{"8.1", "a character cut by the end of a message", func(e *wsEnv) {
			// The next message has the rest, but each text message must be UTF-8 itself.
			e.text("SEND\ndestination:" + e.topic + "\n\n\xea\xb5")
			e.closed(1007)
		}},
		wsCase{"8.1", "binary may be anything", func(e *wsEnv) {
			e.write(frame{Op: harness.OpBinary, Payload: []byte("SEND\ndestination:" + e.topic + "\ncontent-length:3\n\n\xff\x00\xfe\x00")})
			e.expect(harness.OpBinary, "MESSAGE\n")
		}},
	)
}
