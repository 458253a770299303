package main

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/transport"
)

// serveWeb serves WebSocket, the page and health on the HTTP listener; with one for admin, all but
// WebSocket is there, and the HTTP listener keeps health alone.
func (d *daemon) serveWeb(log *slog.Logger) {
	o := d.adminOptions(log)
	if d.bound.admin != nil {
		there := o
		if d.bound.http != nil {
			there.WebSocketAddr, there.WebSocketTLS = d.bound.http.Addr(), d.web.current.Load() != nil
		}
		d.serveHTTP(d.bound.admin, d.bound.beyond.admin, transport.Guard(consoleOptions(d.conf, d.bound, log), admin.New(there)), log, nil)
	}
	if d.bound.http == nil {
		return
	}
	web := webOptions(d.conf, d.bound, log)
	d.ws = transport.NewWebSocket(d.broker, web)
	mux := http.NewServeMux()
	mux.Handle(d.conf.WebSocket.Path, d.ws)
	pages := admin.New(o)
	if d.bound.admin != nil {
		mux.Handle("/healthz", pages)
		mux.Handle("/readyz", pages)
	} else {
		mux.Handle("/", pages)
	}
	d.serveHTTP(d.bound.http, d.bound.beyond.http, transport.Guard(web, mux), log, func(ln net.Listener) net.Listener {
		return d.ws.Front(ln, d.conf.WebSocket.Path)
	})
}

// maxRequestBody is what a handler may read of a request.
const maxRequestBody = 64 << 10

// serveHTTP serves one listener, which plain wraps where it is without TLS; beyond gives those for whom there is
// no room.
func (d *daemon) serveHTTP(ln, beyond net.Listener, h http.Handler, log *slog.Logger, plain func(net.Listener) net.Listener) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           http.MaxBytesHandler(h, maxRequestBody),
		Protocols:         protocols,
		TLSConfig:         d.web.config(),
		ReadHeaderTimeout: handshakeTime(d.conf.Limits), // the TLS handshake's, too
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // OPTIONS * is the handler's, as everything
	}
	away := &http.Server{
		Handler:           onlyHealth(s.Handler, d.broker.TurnedAway),
		Protocols:         protocols,
		TLSConfig:         s.TLSConfig,
		ReadHeaderTimeout: time.Second,
		ReadTimeout:       time.Second,
		WriteTimeout:      5 * time.Second,
		MaxHeaderBytes:    s.MaxHeaderBytes,
		ErrorLog:          s.ErrorLog,

		DisableGeneralOptionsHandler: true,
	}
	away.SetKeepAlivesEnabled(false)
	d.http = append(d.http, s, away)
	d.serve(func() error {
		switch {
		case s.TLSConfig != nil:
			return s.ServeTLS(ln, "", "")
		case plain != nil:
			ln = plain(ln)
		}
		return s.Serve(ln)
	})
	d.serve(func() error {
		if away.TLSConfig != nil {
			return away.ServeTLS(beyond, "", "")
		}
		return away.Serve(beyond)
	})
}

// onlyHealth answers those for whom there is no room: a probe of the broker's health as ever, all else with
// a 503, which told counts.
func onlyHealth(h http.Handler, told func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			h.ServeHTTP(w, r)
		default:
			told()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many connections", http.StatusServiceUnavailable)
		}
	})
}

// adminOptions are what the page, metrics and health are made from.
func (d *daemon) adminOptions(log *slog.Logger) admin.Options {
	o := admin.Options{
		Snapshot:  d.broker.Snapshot,
		Endpoints: d.endpoints(),
		Login:     d.asks.Load,
		Store:     storeText(d.conf.Store),
		May:       d.broker.Permit,
		Peer:      transport.Client,
		Ready:     d.ready,
		Alive:     d.watchdog.err,
		Pprof:     d.conf.Admin.Pprof == "yes",
		Stopping:  d.stopping,
		Logger:    log,
	}
	if d.bound.http != nil {
		o.WebSocketPath = d.conf.WebSocket.Path
	}
	if g, ok := d.engine.(store.Gauger); ok {
		o.Gauges = g.Gauges
	}
	if p, ok := d.engine.(store.Prober); ok {
		o.Probe = p.Probe
	}
	return o
}

// storeText tells people where queues are kept.
func storeText(s conf.Store) string {
	if s.Engine == "memory" {
		return "Queues are in memory and do not survive a restart."
	}
	return "Queues are durable, in " + s.Path + "."
}
