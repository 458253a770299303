package transport

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/gudokmq/gudok/broker"
)

// WebSocket is the way in for browsers: an http.Handler, mounted where clients look for it
// (usually /ws). It checks the request's Host and Origin itself.
type WebSocket struct {
	server   Server
	o        Options
	hosts    hostList
	origins  originList
	sessions group
}

// NewWebSocket returns a WebSocket that brings its connections to s.
func NewWebSocket(s Server, o Options) *WebSocket {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		o.Logger.Warn("setting ignored", "err", err)
	}
	h := &WebSocket{server: s, o: o, hosts: newHostList(o.PublicHosts), origins: o.origins()}
	h.sessions.init()
	return h
}

// ServeHTTP answers a WebSocket handshake. It returns as soon as the handshake is done, which
// frees the memory of net/http; the session has a goroutine of its own.
func (h *WebSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.hosts.guard(w, r, h.o.Logger) || !h.origins.guard(w, r, h.o.Logger) {
		return
	}
	if h.sessions.isClosing() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	key, err := checkUpgrade(w, r)
	if err != nil {
		h.o.Logger.Debug("WebSocket handshake refused", "peer", r.RemoteAddr, "err", cut(err.Error()))
		return
	}
	c := &wsConn{peer: broker.Peer{
		Transport: "websocket",
		TLS:       r.TLS,
		Origin:    strings.Clone(r.Header.Get("Origin")),
	}}
	c.offer.Store(h.o.offer(r))
	if r.TLS != nil {
		c.peer.Transport = "websocket+tls"
	}
	offered := offeredProtocols(r)
	spelt := ""
	c.peer.Subprotocol, spelt = chooseSubprotocol(offered)
	if len(offered) > 0 && c.peer.Subprotocol == "" {
		h.o.Logger.Warn("no STOMP subprotocol offered; a browser will refuse this connection",
			"peer", r.RemoteAddr, "offered", visibleProtocols(offered))
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "WebSocket is not possible here", http.StatusNotImplemented)
		h.o.Logger.Warn("WebSocket handshake failed", "peer", r.RemoteAddr, "err", err)
		return
	}
	c.init(nc, h.o)
	// A client may send before it has read our answer: net/http holds those bytes.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c.ws.in = bytes.Clone(early)
	if err := c.sock.write(appendUpgrade(nil, key, spelt, w.Header()), controlTime); err != nil {
		c.release()
		return
	}
	if !h.sessions.run(&c.sock, func() { h.session(c) }) {
		c.Close(1001, "shutting down", 0)
		c.release()
	}
}

func (h *WebSocket) session(c *wsConn) {
	defer c.release()
	h.server.Serve(h.sessions.ctx, c)
}

// Shutdown refuses further handshakes and waits for the sessions; ending those is the Server's
// work. When ctx is done first, it tears their connections and returns an error.
func (h *WebSocket) Shutdown(ctx context.Context) error {
	h.sessions.begin()
	return h.sessions.wait(ctx)
}
