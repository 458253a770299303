package transport

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// origin is an Origin header in parts (RFC 6454, 6.2), in lower case; the port is the scheme's own
// where none was named, or 0 if that has none.
type origin struct {
	scheme string
	hostPort
}

func schemePort(scheme string) uint16 {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

// parseOrigin reads scheme, host and port, and nothing else: no user, path, query or fragment.
func parseOrigin(s string) (origin, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" {
		return origin{}, false
	}
	hp, ok := splitHost(rest)
	if !ok {
		return origin{}, false
	}
	o := origin{strings.ToLower(scheme), hp}
	if o.port == 0 {
		o.port = schemePort(o.scheme)
	}
	return o, true
}

// originList is which pages may connect.
type originList struct {
	any, null, loopback bool
	exact               []origin
	below               []origin // host is what must follow the wildcard, dot included
}

func newOriginList(patterns []string, loopback bool) originList {
	l := originList{loopback: loopback}
	for _, p := range patterns {
		p = strings.TrimSpace(p)
		switch {
		case p == "*":
			l.any = true
		case strings.EqualFold(p, "null"):
			l.null = true
		case strings.Contains(p, "://*."):
			if o, ok := parseOrigin(strings.Replace(p, "://*.", "://", 1)); ok {
				o.host = "." + o.host
				l.below = append(l.below, o)
			}
		default:
			if o, ok := parseOrigin(p); ok {
				l.exact = append(l.exact, o)
			}
		}
	}
	return l
}

// origins is which pages may connect by these options. A cookie that is a login demands the check:
// then nothing lifts it.
func (o Options) origins() originList {
	l := newOriginList(o.AllowedOrigins, o.Loopback && o.TokenCookie == "")
	if o.TokenCookie != "" {
		l.any, l.null = false, false
	}
	return l
}

// allows tells whether a page of the origin header may connect to the server that the request
// names host.
func (l originList) allows(header, host string) bool {
	if l.any {
		return true
	}
	if header == "null" {
		return l.null
	}
	o, ok := parseOrigin(header)
	if !ok {
		return false
	}
	web := o.scheme == "http" || o.scheme == "https"
	if h, ok := splitHost(host); ok && web {
		// A proxy may have taken TLS off: a host without a port means that of the page's scheme.
		if h.port == 0 {
			h.port = schemePort(o.scheme)
		}
		if h == o.hostPort {
			return true
		}
	}
	if ip, err := netip.ParseAddr(o.host); l.loopback && web && (isLocalName(o.host) || err == nil && ip.IsLoopback()) {
		return true
	}
	for _, e := range l.exact {
		if e == o {
			return true
		}
	}
	for _, b := range l.below {
		if b.scheme == o.scheme && b.port == o.port && len(o.host) > len(b.host) && strings.HasSuffix(o.host, b.host) {
			return true
		}
	}
	return false
}

// guard answers a request of a page that may not connect and returns false. A client that names
// no origin is no browser, which nobody can send here against its user's will.
func (l originList) guard(w http.ResponseWriter, r *http.Request, log *slog.Logger) bool {
	headers := r.Header.Values("Origin")
	if len(headers) == 0 || len(headers) == 1 && (headers[0] == "" || l.allows(headers[0], r.Host)) {
		return true
	}
	name := cut(strings.Join(headers, ", "))
	log.Info("connection of a foreign page refused", "peer", r.RemoteAddr, "origin", name, "setting", "http.allowed_origins")
	http.Error(w, fmt.Sprintf("pages of %q may not connect here; to let them, add that origin to http.allowed_origins", name),
		http.StatusForbidden)
	return false
}
