package transport

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// Held is how many bytes of pooled memory a connection holds.
func Held(c broker.Conn) int {
	n := 0
	switch c := c.(type) {
	case *wsConn:
		n = c.dec.Buffered() + held(&c.sock)
		if c.z != nil && c.z.out != nil {
			n += chunkSize
		}
		if c.z != nil && c.z.msg != nil {
			n += cap(c.z.msg.in)
			if c.z.msg.z != nil {
				n += 44 << 10
			}
		}
	case *tcpConn:
		n = c.dec.Buffered() + held(&c.sock)
	}
	return n
}

func held(s *socket) int {
	if s.buf == nil {
		return 0
	}
	return chunkSize
}

// PlainRequest is plainRequest.
func PlainRequest(p []byte, path string) *http.Request {
	in := bufio.NewReader(bytes.NewReader(p))
	p, _ = in.Peek(len(p))
	return plainRequest(in, p, path)
}

// OfferOf is Options.offer, with what a log shows of the subprotocols.
func OfferOf(o Options, r *http.Request) (*broker.Offer, string) {
	return o.offer(r), visibleProtocols(offeredProtocols(r))
}

// URL makes the address of a request.
func URL(path, query string) *url.URL { return &url.URL{Path: path, RawQuery: query} }

// Writable tells whether anything may be written to a connection now.
func Writable(c broker.Conn) bool {
	var s *socket
	switch c := c.(type) {
	case *wsConn:
		s = &c.sock
	case *tcpConn:
		s = &c.sock
	}
	if !s.writeMu.TryLock() {
		return false
	}
	s.writeMu.Unlock()
	return true
}

// ReadProxyHeader is readProxyHeader, in words.
func ReadProxyHeader(r io.Reader) (string, error) {
	w, err := readProxyHeader(r)
	switch {
	case err != nil:
		return "", err
	case w.local:
		return "local", nil
	case w.client.IsValid():
		return w.client.String(), nil
	}
	return "unknown", nil
}

// HasRaw tells whether a connection is read and written without net.
func HasRaw(c broker.Conn) bool {
	switch c := c.(type) {
	case *wsConn:
		return c.sock.rc != nil
	case *tcpConn:
		return c.sock.rc != nil
	}
	return false
}

// Requester tells who sent a request, with trusted proxies.
func Requester(trusted []string, r *http.Request) (addr, scheme string) {
	g := newGuard(Options{TrustedProxies: trusted})
	q := g.proxies.requester(r)
	return q.place(r), q.scheme
}

// Inflated is how many bytes a connection has inflated and read compressed before CONNECT was accepted.
func Inflated(c broker.Conn) (plain, packed int) {
	z := c.(*wsConn).z
	return z.plain, z.packed
}

// PackingConn is a connection that packs.
func PackingConn() broker.Packer { return &wsConn{z: &deflate{bits: 15}} }

// SetPlaces changes how long those who are turned away keep their places.
func SetPlaces(c *Capacity, silent, spoken time.Duration) { c.silent, c.spoken = silent, spoken }

// IsBeat tells whether p, read alone, is a heart-beat to a connection that has read what was before it.
func IsBeat(webSocket bool, before, p string) bool {
	dec := stompframe.NewDecoder(stompframe.V12, stompframe.Limits{})
	defer dec.Release()
	dec.Feed([]byte(before))
	var f stompframe.Frame
	for {
		if ok, err := dec.Next(&f); !ok || err != nil {
			break
		}
	}
	if webSocket {
		return (&wsConn{dec: dec}).isBeat([]byte(p))
	}
	return (&tcpConn{dec: dec}).isBeat([]byte(p))
}
