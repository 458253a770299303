package transport

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gudokmq/gudok/store/mutant"
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
	console             uint16 // pages of the same host at this port; 0: none
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
	l.console = o.ConsolePort
	if o.TokenCookie != "" && !mutant.Is(mutant.CookieAnyOrigin) {
		l.any, l.null = false, false
	}
	return l
}

// allows tells whether a page of the origin header may connect to the server that the request
// names host. scheme is that of the request, or empty if a proxy may have taken TLS off.
func (l originList) allows(header string, host hostPort, scheme string) bool {
	if l.any {
		return true
	}
	if header == "null" {
		return l.null || mutant.Is(mutant.OriginNull)
	}
	o, ok := parseOrigin(header)
	if !ok {
		return false
	}
	web := o.scheme == "http" || o.scheme == "https"
	if web && (scheme == "" || scheme == o.scheme) {
		if host.port == 0 {
			host.port = schemePort(o.scheme)
		}
		if host == o.hostPort || mutant.Is(mutant.OriginAnyPort) && host.host == o.host {
			return true
		}
	}
	if web && l.console != 0 && o.host == host.host && o.port == l.console {
		return true
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
		if b.scheme == o.scheme && b.port == o.port && (len(o.host) > len(b.host) && strings.HasSuffix(o.host, b.host) ||
			mutant.Is(mutant.OriginSuffix) && strings.HasSuffix(o.host, b.host[1:])) {
			return true
		}
	}
	return false
}

// admits tells whether what a request says of the page that sent it lets it pass, and what that is. A
// client that names no origin is no browser, which nobody can send here against its user's will.
func (l originList) admits(r *http.Request, host hostPort, scheme string) (name string, ok bool) {
	headers := r.Header["Origin"]
	switch {
	case mutant.Is(mutant.OriginByPath) && (r.URL.RawPath != "" || strings.Contains(r.URL.Path, "//")):
		return "", true
	case len(headers) == 0 || len(headers) == 1 && headers[0] == "":
		return "", true
	case len(headers) == 1, mutant.Is(mutant.OriginFirst):
		name = headers[0]
		return cut(name), l.allows(name, host, scheme)
	}
	return cut(strings.Join(headers, ", ")), false
}
