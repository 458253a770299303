package main

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/transport"
)

// serveHTTP serves WebSocket, the page and health on the HTTP listener.
func (d *daemon) serveHTTP(tlsConfig *tls.Config, log *slog.Logger) {
	o := webOptions(d.conf, loopbackOnly(d.bound.http), log)
	d.ws = transport.NewWebSocket(d.broker, o)
	mux := http.NewServeMux()
	mux.Handle(d.conf.WebSocket.Path, d.ws)
	mux.Handle("/", transport.GuardHost(o, admin.New(admin.Options{
		Snapshot:      d.broker.Snapshot,
		WebSocketPath: d.conf.WebSocket.Path,
		Endpoints:     d.endpoints(),
		Login:         d.asks.Load,
		Store:         storeText(d.conf.Store),
	})))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	d.http = &http.Server{
		Handler:           mux,
		Protocols:         protocols,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	d.serve(func() error {
		if tlsConfig != nil {
			return d.http.ServeTLS(d.bound.http, "", "")
		}
		return d.http.Serve(d.ws.Front(d.bound.http, d.conf.WebSocket.Path))
	})
}

// storeText tells people where queues are kept.
func storeText(s conf.Store) string {
	if s.Engine == "memory" {
		return "Queues are in memory and do not survive a restart."
	}
	return "Queues are durable, in " + s.Path + "."
}
