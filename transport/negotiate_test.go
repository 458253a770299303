package transport_test

import (
	"strings"
	"testing"

	"github.com/gudokmq/gudok/transport"
)

// RFC 7692, 7.1: what is agreed on, offer by offer.
func TestNegotiation(t *testing.T) {
	const plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{Compression: true})
	off := serveWS(t, r, transport.Options{})
	for _, row := range []struct{ offer, want string }{
		{"", ""},
		{"permessage-deflate", plain},
		{"permessage-deflate; client_max_window_bits", plain}, // Chromium, Firefox, ws
		{"permessage-deflate; client_max_window_bits=15", plain},
		{"permessage-deflate; client_max_window_bits=8", plain},
		{`permessage-deflate; client_max_window_bits="10"`, plain},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", plain},
		{"permessage-deflate;server_no_context_takeover;client_no_context_takeover", plain},
		{"permessage-deflate; server_max_window_bits=15", plain + "; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", plain + "; server_max_window_bits=12"}, // Python's websockets
		{`permessage-deflate; server_max_window_bits="9"`, plain + "; server_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits = 8", plain + "; server_max_window_bits=8"},

		{"permessage-deflate; server_max_window_bits", ""},
		{"permessage-deflate; server_max_window_bits=", ""},
		{"permessage-deflate; server_max_window_bits=7", ""},
		{"permessage-deflate; server_max_window_bits=16", ""},
		{"permessage-deflate; server_max_window_bits=010", ""},
		{"permessage-deflate; server_max_window_bits=+9", ""},
		{"permessage-deflate; server_max_window_bits=99999999999999999999", ""},
		{"permessage-deflate; client_max_window_bits=7", ""},
		{"permessage-deflate; client_max_window_bits=", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate; client_no_context_takeover=", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits=9", ""},
		{"permessage-deflate; fast", ""},
		{"permessage-deflate;", ""},
		{"permessage-deflatex", ""},
		{"Permessage-Deflate", ""},
		{"x-webkit-deflate-frame", ""},
		{"permessage-bzip2, foo; bar=\"a, permessage-deflate\"", ""},

		{"permessage-deflate; server_max_window_bits=7, permessage-deflate", plain},
		{"permessage-deflate; fast, permessage-deflate; server_max_window_bits=11, permessage-deflate", plain + "; server_max_window_bits=11"},
		{"foo; bar=\"a; b\", permessage-deflate", plain},
		{"foo\r\nSec-WebSocket-Extensions: permessage-deflate", plain},
		{strings.Repeat("foo; x=\"\\\"\", ", 200) + "permessage-deflate", plain},
	} {
		for _, to := range []string{addr, off} {
			var headers []string
			if row.offer != "" {
				headers = []string{"Sec-WebSocket-Extensions: " + row.offer}
			}
			c := dialWS(t, to, nil, headers...)
			want := row.want
			if to == off {
				want = ""
			}
			if got := c.resp.Header["Sec-Websocket-Extensions"]; strings.Join(got, "|") != want {
				t.Errorf("offered %q: %q, want %q", row.offer, got, want)
			}
			c.Close()
			<-r.conns
			r.wait(t)
		}
	}
	// What is refused says nothing of it.
	c := dial(t, addr)
	c.send([]byte(strings.Replace(handshake(addr, "Sec-WebSocket-Extensions: permessage-deflate"), "Version: 13", "Version: 8", 1)))
	if c.answer(); c.resp.StatusCode != 400 || c.resp.Header["Sec-Websocket-Extensions"] != nil {
		t.Errorf("%s, %v", c.resp.Status, c.resp.Header)
	}
}
