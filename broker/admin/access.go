package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// What can be granted, as SUBSCRIBE to these names.
const (
	nameStatus  = "/admin/status"
	nameMetrics = "/admin/metrics"
	namePprof   = "/admin/pprof"
)

// maxBody is what a request may bring; nothing here reads it.
const maxBody = 64 << 10

// judge tells whether who asks may see what has that name: nil, or the error of May.
func (o *Options) judge(r *http.Request, name string) error {
	if o.May == nil || name == nameMetrics && mutant.Is(mutant.MetricsOpen) || name == nameStatus && mutant.Is(mutant.StatusOpen) {
		return nil
	}
	c := broker.Credentials{Peer: broker.Peer{Transport: "http", Addr: o.peer(r), TLS: r.TLS, Origin: r.Header.Get("Origin")}}
	if r.TLS != nil {
		c.Peer.Transport = "http+tls"
	}
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		c.Peer.Offer = offered(r, h[0])
	}
	err := o.May(r.Context(), c, name)
	if err != nil && c.Peer.Offer != nil && !errors.Is(err, context.Canceled) {
		o.Logger.Info("request refused", "for", name, "peer", c.Peer.Addr, "why", err.Error())
	}
	return err
}

// offered reads an Authorization header (RFC 7617, RFC 6750). What cannot be read is an offer too, that
// nobody accepts.
func offered(r *http.Request, h string) *broker.Offer {
	if login, passcode, ok := r.BasicAuth(); ok {
		return &broker.Offer{Source: broker.FromBasic, Login: login, Passcode: broker.Secret(passcode)}
	}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		rest = ""
	}
	return &broker.Offer{Source: broker.FromBearer, Token: broker.Secret(strings.TrimSpace(rest))}
}

// peer is the address of who asks.
func (o *Options) peer(r *http.Request) net.Addr {
	if o.Peer != nil {
		return o.Peer(r)
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(ap)
}

// guard lets only those pass who may see what has that name. The answer to others is the same whatever
// they asked for, and does not tell whether it is there.
func (o *Options) guard(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		switch err := o.judge(r, name); {
		case err == nil:
			next(w, r)
		case errors.Is(err, broker.ErrForbidden):
			http.Error(w, "not permitted", http.StatusForbidden)
		case errors.Is(err, broker.ErrTooMany):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many failed logins", http.StatusTooManyRequests)
		case errors.Is(err, broker.ErrBadCredentials), errors.Is(err, broker.ErrExpired):
			w.Header().Add("WWW-Authenticate", `Basic realm="gudok", charset="UTF-8"`)
			w.Header().Add("WWW-Authenticate", `Bearer realm="gudok"`)
			http.Error(w, loginNeeded(r), http.StatusUnauthorized)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "login could not be checked", http.StatusServiceUnavailable)
		}
	}
}

func loginNeeded(r *http.Request) string {
	if mutant.Is(mutant.AuthorizationShown) {
		return "login needed, not " + r.Header.Get("Authorization")
	}
	return "login needed"
}

// bounded refuses what brings more than maxBody where a body is let pass at all.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			w.Header().Set("Connection", "close")
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}
