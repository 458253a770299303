package transport

import (
	"net/http"
	"net/url"

	"github.com/gudokmq/gudok/broker"
)

// Held is how many bytes of pooled memory a connection holds.
func Held(c broker.Conn) int {
	n := 0
	switch c := c.(type) {
	case *wsConn:
		n = c.dec.Buffered()
		if c.buf != nil {
			n += chunkSize
		}
	case *tcpConn:
		n = c.dec.Buffered()
		if c.buf != nil {
			n += chunkSize
		}
	}
	return n
}

// Messages takes a client's stream apart, which comes in pieces of so many bytes: what is left are
// its messages, with 't' or 'b' in front, and the code it ends with, 0 where it is well-formed.
// Answers to control frames are not sent. UTF-8 is not checked.
func Messages(stream []byte, piece int) (all []string, code int) {
	var w wsInput
	msg := ""
	for len(stream) > 0 || w.inFrame && w.left == 0 {
		if len(w.in) == 0 {
			n := min(piece, len(stream))
			w.in, stream = append([]byte(nil), stream[:n]...), stream[n:]
		}
		for len(w.in) > 0 || w.inFrame && w.left == 0 {
			if !w.inFrame {
				began, err := w.header()
				if err != nil {
					return all, err.(*broker.CloseError).Code
				}
				if began {
					msg = "b"
					if w.text {
						msg, w.text = "t", false // leave UTF-8 alone
					}
				}
				continue
			}
			if w.isControl() {
				if p, whole := w.controlPayload(); whole && p[0] == wsClose {
					if answer, err := closeAnswer(p[2:]); err != nil {
						return all, 1002
					} else if len(answer) > 2 {
						return all, int(answer[2])<<8 | int(answer[3])
					}
					return all, 1005
				}
				continue
			}
			p, _ := w.data(len(w.in))
			msg += string(p)
			if w.ended {
				w.ended = false
				all = append(all, msg)
			}
		}
	}
	return all, 0
}

// OfferOf is Options.offer, with what a log shows of the subprotocols.
func OfferOf(o Options, r *http.Request) (*broker.Offer, string) {
	return o.offer(r), visibleProtocols(offeredProtocols(r))
}

// URL makes the address of a request.
func URL(path, query string) *url.URL { return &url.URL{Path: path, RawQuery: query} }
