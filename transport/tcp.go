package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// How long accept waits after an error that passes, such as having no file descriptor left.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// TCP is the way in for programs that speak STOMP on a bare connection, or on TLS.
type TCP struct {
	server   Server
	o        TCPOptions
	sessions group
	stopping context.Context // ends pauses of accept and TLS handshakes at Shutdown
	stop     context.CancelFunc

	// mu guards listeners.
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
}

// NewTCP returns a TCP that brings its connections to s.
func NewTCP(s Server, o TCPOptions) *TCP {
	t := &TCP{server: s, o: o.withDefaults(), listeners: make(map[net.Listener]struct{})}
	t.sessions.init()
	t.stopping, t.stop = context.WithCancel(context.Background())
	return t
}

// Serve accepts connections on ln until Shutdown, when it returns nil, or until ln fails for
// good. It closes ln. It may run for several listeners at once.
func (t *TCP) Serve(ln net.Listener) error {
	t.mu.Lock()
	t.listeners[ln] = struct{}{}
	t.mu.Unlock()
	defer func() {
		ln.Close()
		t.mu.Lock()
		delete(t.listeners, ln)
		t.mu.Unlock()
	}()
	var pause time.Duration
	for t.stopping.Err() == nil {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			t.start(nc)
			continue
		}
		if t.stopping.Err() != nil {
			break
		}
		if !passes(err) {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
		t.o.Logger.Warn("accept failed, trying again", "listen", ln.Addr().String(), "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-t.stopping.Done():
		}
	}
	return nil
}

// passes tells whether an error of Accept may be over soon: a connection gone before it was
// accepted, or no memory or file descriptor for it.
func passes(err error) bool {
	var e interface{ Temporary() bool }
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &e) && e.Temporary()
}

func (t *TCP) start(nc net.Conn) {
	c := &tcpConn{peer: broker.Peer{Transport: "tcp", Addr: nc.RemoteAddr()}}
	begin := t.session
	if t.o.TLS != nil {
		nc = tls.Server(nc, t.o.TLS)
		c.peer.Transport = "tcp+tls"
		begin = t.handshake
	}
	c.sock.init(nc, c, t.o.FrameTime)
	c.dec = stompframe.NewDecoder(0, beforeConnect(t.o.BeforeConnect))
	t.run(c, begin)
}

// run runs a part of a connection's life on a goroutine of its own; it ends with over.
func (t *TCP) run(c *tcpConn, part func(c *tcpConn, over func())) {
	if !t.sessions.enter(&c.sock) {
		c.release()
		return
	}
	go part(c, func() { t.sessions.leave(&c.sock) })
}

// handshake does the TLS handshake, which needs much stack, and leaves the session to a fresh
// goroutine.
func (t *TCP) handshake(c *tcpConn, over func()) {
	defer over()
	ctx, cancel := context.WithTimeout(t.stopping, t.o.HandshakeTime)
	defer cancel()
	conn := c.sock.nc.(*tls.Conn)
	if err := conn.HandshakeContext(ctx); err != nil {
		if t.stopping.Err() == nil {
			t.o.Logger.Info("TLS handshake failed", "peer", c.peer.Addr.String(), "err", cut(err.Error()))
		}
		c.release()
		return
	}
	state := conn.ConnectionState()
	c.peer.TLS = &state
	t.run(c, t.session)
}

func (t *TCP) session(c *tcpConn, over func()) {
	begin(t.sessions.ctx, t.server, c, func() {
		defer over()
		c.release()
	})
}

// Shutdown closes the listeners and waits for the sessions; ending those is the Server's work.
// When ctx is done first, it tears their connections and returns an error.
func (t *TCP) Shutdown(ctx context.Context) error {
	t.sessions.begin()
	t.stop()
	t.mu.Lock()
	for ln := range t.listeners {
		ln.Close()
	}
	t.mu.Unlock()
	return t.sessions.wait(ctx)
}
