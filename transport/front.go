package transport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// Front returns a listener for the http.Server that has h at path. Of the connections that ln
// accepts it hands those to h itself whose first bytes are a plain handshake for that path: h is
// called as the http.Server would, but without what that keeps and does for each connection. All
// others, and what h would refuse, come out of its Accept, from their first byte. A connection that
// says nothing for Options.HandshakeTime is closed. Closing the listener closes ln.
//
// With TLS, and without Front, h serves what net/http hands it.
func (h *WebSocket) Front(ln net.Listener, path string) net.Listener {
	f := &front{h: h, path: path}
	f.open(ln, f.look)
	return f
}

// front is a listener behind which plain handshakes do not show.
type front struct {
	gate
	h    *WebSocket
	path string
}

// firsts are the readers of connections that are looked at; they are of net/http's size.
var firsts = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// look reads what comes first and decides. The session, if it becomes one, has a goroutine of its
// own: the stack of this one has grown.
func (f *front) look(nc net.Conn) {
	in := firsts.Get().(*bufio.Reader)
	in.Reset(&once{r: nc})
	defer func() { in.Reset(nil); firsts.Put(in) }()

	within := f.h.o.HandshakeTime
	if mutant.Is(mutant.FirstWordSlow) {
		within = time.Hour
	}
	nc.SetReadDeadline(time.Now().Add(within))
	_, err := in.Peek(1)
	f.heard(nc)
	if err != nil {
		nc.Close()
		return
	}
	nc.SetReadDeadline(time.Time{})
	p, _ := in.Peek(in.Buffered())
	if f.serve(nc, in, p) {
		return
	}
	f.hand(accepted{nc: &seenConn{Conn: nc, head: bytes.Clone(p)}})
}

// once reads from r one time.
type once struct {
	r    io.Reader
	done bool
}

func (o *once) Read(p []byte) (int, error) {
	if o.done {
		return 0, io.EOF
	}
	o.done = true
	return o.r.Read(p)
}

// serve calls h for a plain handshake, of which p is all that came. False: it is net/http's, and
// nothing was done that shows.
func (f *front) serve(nc net.Conn, in *bufio.Reader, p []byte) bool {
	r := plainRequest(in, p, f.path)
	if r == nil {
		return false
	}
	r.RemoteAddr = nc.RemoteAddr().String()
	if _, no := f.h.guard.judge(r); no != nil {
		return false
	}
	w := &frontWriter{nc: nc, in: in, header: make(http.Header)}
	f.h.ServeHTTP(w, r)
	return w.hijacked
}

// plainRequest reads the request for path that p, all that in has, begins with. It returns nil unless
// that is whole and a http.Server would call its handler with the same request.
func plainRequest(in *bufio.Reader, p []byte, path string) *http.Request {
	if !isPlain(p, path) {
		return nil
	}
	r, err := http.ReadRequest(in)
	if err != nil || r.Proto != "HTTP/1.1" || r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header["Expect"] != nil {
		return nil
	}
	if _, ok := splitHost(r.Host); !ok {
		return nil
	}
	for name := range r.Header {
		if strings.ContainsFunc(name, notInToken) {
			return nil
		}
	}
	return r
}

// notInToken tells whether a character may not stand in the name of a header (RFC 9110, 5.6.2).
func notInToken(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// hostField begins a Host header.
var hostField = []byte("host:")

// isPlain tells whether p begins with a whole request for path in which there is nothing that
// http.ReadRequest lets pass and a http.Server does not: visible ASCII, in lines that end as they
// should, and one Host.
func isPlain(p []byte, path string) bool {
	target, ok := bytes.CutPrefix(p, []byte("GET "))
	if !ok || !bytes.HasPrefix(target, []byte(path)) {
		return false
	}
	target = target[len(path):]
	if len(target) == 0 || target[0] != ' ' && target[0] != '?' {
		return false
	}
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	hosts := 0
	for i, c := range p[:end] {
		switch {
		case c == '\r' && p[i+1] == '\n':
		case c == '\n' && i > 0 && p[i-1] == '\r':
			if line := p[i+1 : end]; len(line) >= len(hostField) && bytes.EqualFold(line[:len(hostField)], hostField) {
				hosts++
			}
		case (c < ' ' || c >= 0x7F) && c != '\t':
			return false
		}
	}
	return hosts == 1
}

// frontWriter is the http.ResponseWriter of a plain handshake. It sends the answer that lets the
// client in, and no other.
type frontWriter struct {
	nc       net.Conn
	in       *bufio.Reader
	header   http.Header
	refused  bool
	hijacked bool
}

func (w *frontWriter) Header() http.Header { return w.header }

func (w *frontWriter) Write(p []byte) (int, error) {
	w.refused = true
	return len(p), nil
}

func (w *frontWriter) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		w.refused = true
		return
	}
	var b bytes.Buffer
	b.Grow(256)
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = w.header.Write(&b) // to memory
	b.WriteString("\r\n")
	_, _ = w.nc.Write(b.Bytes()) // the first bytes, so there is room; the session finds out otherwise
}

var errRefused = errors.New("the handshake is for net/http to refuse")

// Hijack implements http.Hijacker.
func (w *frontWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.refused {
		return nil, nil, errRefused
	}
	w.hijacked = true
	return w.nc, bufio.NewReadWriter(w.in, nil), nil
}

// seenConn is a connection that was looked at: head comes again.
type seenConn struct {
	net.Conn
	head []byte
}

func (c *seenConn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	if c.head = c.head[n:]; len(c.head) == 0 {
		c.head = nil
	}
	return n, nil
}

// CloseWrite is *net.TCPConn's.
func (c *seenConn) CloseWrite() error {
	if w, ok := c.Conn.(writeCloser); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("close the writing side of %T: not possible", c.Conn)
}
