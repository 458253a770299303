package transport

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// WebSocket is the way in for browsers: an http.Handler, mounted where clients look for it
// (usually /ws). It checks the request's Host and Origin itself.
type WebSocket struct {
	server   Server
	o        Options
	guard    guard
	sessions group
}

// NewWebSocket returns a WebSocket that brings its connections to s.
func NewWebSocket(s Server, o Options) *WebSocket {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		o.Logger.Warn("setting ignored", "err", err)
	}
	h := &WebSocket{server: s, o: o, guard: newGuard(o)}
	h.sessions.init()
	return h
}

// subprotocols in the order of preference.
var subprotocols = []string{"v12.stomp", "v11.stomp", "v10.stomp"}

// ServeHTTP answers a WebSocket handshake. It returns as soon as the handshake is done, which
// frees the memory of net/http; the session has goroutines of its own.
func (h *WebSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, ok := h.guard.admit(w, r)
	if !ok {
		return
	}
	if h.sessions.isClosing() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Allow", http.MethodGet) // RFC 9110, 15.5.6: says a 405; harmless beside others
	c := &wsConn{peer: broker.Peer{
		Transport: "websocket",
		TLS:       r.TLS,
		Origin:    strings.Clone(r.Header.Get("Origin")),
	}}
	if from.addr != nil {
		c.peer.Addr = from.addr
	}
	c.offer.Store(h.o.offer(r))
	if r.TLS != nil {
		c.peer.Transport = "websocket+tls"
	}
	var agreed string
	if a, ok := agree(r.Header); ok && h.o.Compression {
		agreed = a.String()
		c.z = &deflate{bits: a.bits, limit: beforeConnect(h.o.BeforeConnect).Frame}
		c.ws.deflate = true
	} else if mutant.Is(mutant.PackedUnasked) {
		c.z, c.ws.deflate = &deflate{}, true
	}
	ws, err := websocket.Accept(&hijack{w, c, h.o, agreed}, r, &websocket.AcceptOptions{
		Subprotocols:       subprotocols,
		InsecureSkipVerify: true, // checked above, by rules of our own
	})
	if err != nil {
		// The answer has told the client; after a hijack that failed there is no one to tell.
		h.o.Logger.Debug("WebSocket handshake refused", "peer", from.place(r), "err", cut(err.Error()))
		return
	}
	c.peer.Subprotocol = strings.Clone(ws.Subprotocol())
	_ = ws.CloseNow() // the library's part is done; the link's Close does nothing
	if offered := offeredProtocols(r); len(offered) > 0 && c.peer.Subprotocol == "" {
		h.o.Logger.Warn("no STOMP subprotocol offered; a browser will refuse this connection",
			"peer", from.place(r), "offered", visibleProtocols(offered))
	}
	c.dec = stompframe.NewDecoder(0, beforeConnect(h.o.BeforeConnect))
	if !h.sessions.enter(&c.sock) {
		c.Close(1001, "shutting down", 0)
		c.release()
		return
	}
	go h.session(c)
}

// session begins the session of c, and is the first to serve it.
func (h *WebSocket) session(c *wsConn) {
	begin(h.sessions.ctx, h.server, c, func() {
		defer h.sessions.leave(&c.sock)
		c.release()
	})
}

// Shutdown refuses further handshakes and waits for the sessions; ending those is the Server's
// work. When ctx is done first, it tears their connections and returns an error.
func (h *WebSocket) Shutdown(ctx context.Context) error {
	h.sessions.begin()
	return h.sessions.wait(ctx)
}

// hijack gives the library what it wants of a connection and takes the network for itself; it says
// what was agreed on about compression, which is not the library's either.
type hijack struct {
	http.ResponseWriter
	c      *wsConn
	o      Options
	agreed string
}

func (h *hijack) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols && h.agreed != "" {
		h.Header().Set("Sec-WebSocket-Extensions", h.agreed)
	}
	h.ResponseWriter.WriteHeader(status)
}

func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := h.c
	c.sock.init(nc, c, h.o.FrameTime)
	c.quietSince = c.sock.lastRead.Load()
	if c.peer.Addr == nil {
		c.peer.Addr = nc.RemoteAddr()
	}
	// A client may send before it has read our answer: net/http holds those bytes.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c.ws.in = bytes.Clone(early)
	return nowhere{nc}, bufio.NewReadWriter(bufio.NewReaderSize(nil, 16), bufio.NewWriterSize(nil, 16)), nil
}

// nowhere is a connection that the library must neither use nor close.
type nowhere struct{ net.Conn }

func (nowhere) Read([]byte) (int, error)    { return 0, net.ErrClosed }
func (nowhere) Write([]byte) (int, error)   { return 0, net.ErrClosed }
func (nowhere) Close() error                { return nil }
func (nowhere) SetDeadline(time.Time) error { return nil }
