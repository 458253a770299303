package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// Guard returns a handler that gives every answer the headers of a careful server, and lets requests
// pass to next only if they name a host that is this server's (an IP address, localhost, a name below
// it, or one of o.PublicHosts) and no page that may not connect. A page of someone else's whose name
// was made to resolve to this machine (DNS rebinding) names another host.
func Guard(o Options, next http.Handler) http.Handler {
	g := newGuard(o.withDefaults())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mutant.Is(mutant.PagesUnguarded) {
			next.ServeHTTP(w, r)
			return
		}
		from, ok := g.admit(w, r)
		if !ok {
			return
		}
		if from.addr != nil {
			r = r.WithContext(context.WithValue(r.Context(), clientKey{}, from.addr))
		}
		next.ServeHTTP(w, r)
	})
}

// clientKey is that of what a trusted proxy said in a request's context.
type clientKey struct{}

// Client is the address of who sent a request that Guard has let pass: by the word of a trusted proxy where
// there is one, and otherwise the connection's; nil if that is none.
func Client(r *http.Request) net.Addr {
	if a, ok := r.Context().Value(clientKey{}).(*net.TCPAddr); ok {
		return a
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(ap)
}

// guard is what every handler asks first, about the request as it was decoded: the path plays no part.
type guard struct {
	log     *slog.Logger
	hosts   hostList
	origins originList
	proxies prefixes
	hsts    string // the header's value; empty for none
}

func newGuard(o Options) guard {
	g := guard{log: o.Logger, hosts: newHostList(o.PublicHosts), origins: o.origins()}
	for _, s := range o.TrustedProxies {
		if p, err := parsePrefix(s); err == nil {
			g.proxies = append(g.proxies, p)
		}
	}
	if o.HSTS >= time.Second {
		g.hsts = fmt.Sprintf("max-age=%d", int64(o.HSTS/time.Second))
	}
	return g
}

// refusal is the answer to a request that may not pass.
type refusal struct {
	status       int
	text         string
	log          string // empty: nothing to log
	name, value  string // what was wrong, for the log
	peer, remedy string
}

// judge tells who sent a request, and why it may not pass, if so.
func (g *guard) judge(r *http.Request) (requester, *refusal) {
	from := g.proxies.requester(r)
	asked := r.Host
	if said := r.Header.Get("X-Forwarded-Host"); said != "" && mutant.Is(mutant.ForwardedHost) {
		asked = said
	}
	host, ok := splitHost(asked)
	if !ok {
		return from, &refusal{status: http.StatusBadRequest, text: "missing or invalid Host header"}
	}
	if !g.hosts.allows(host) && !mutant.Is(mutant.HostUnchecked) {
		name := cut(r.Host)
		return from, &refusal{
			status: http.StatusMisdirectedRequest,
			text:   fmt.Sprintf("this server is not known as %q; if it should be, add that name to http.public_hosts", name),
			log:    "request for a foreign host refused", name: "host", value: name, peer: from.place(r), remedy: "http.public_hosts",
		}
	}
	if name, ok := g.origins.admits(r, host, from.scheme); !ok {
		return from, &refusal{
			status: http.StatusForbidden,
			text:   fmt.Sprintf("pages of %q may not connect here; to let them, add that origin to http.allowed_origins", name),
			log:    "connection of a foreign page refused", name: "origin", value: name, peer: from.place(r), remedy: "http.allowed_origins",
		}
	}
	return from, nil
}

// admit sets the headers of the answer. It answers a request that may not pass, and returns false.
func (g *guard) admit(w http.ResponseWriter, r *http.Request) (requester, bool) {
	from, no := g.judge(r)
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if g.hsts != "" && from.scheme == "https" { // RFC 6797, 7.2: never over plain HTTP
		h.Set("Strict-Transport-Security", g.hsts)
	}
	if no == nil {
		return from, true
	}
	if no.log != "" {
		g.log.Info(no.log, "peer", no.peer, no.name, no.value, "setting", no.remedy)
	}
	http.Error(w, no.text, no.status)
	return from, false
}
