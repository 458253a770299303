package load

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Target is an endpoint of a broker and how to log in there.
type Target struct {
	// Protocol is nats or centrifugo; empty means STOMP.
	Protocol string
	// WebSocket tells that it is spoken inside WebSocket messages; otherwise over bare TCP.
	WebSocket bool
	// Addr is host:port.
	Addr string
	// Path is the WebSocket path with its query.
	Path string
	// Login and Passcode are sent in CONNECT unless both are empty.
	Login, Passcode string
	// VHost is the host header of CONNECT; empty means the host of the URL.
	VHost string
	// Compress asks a WebSocket for compressed messages, and refuses one that has none.
	Compress bool
}

// Shown is an address, be it a valid one or not, without the login and the query in it: either may be a secret.
func Shown(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if scheme += "://"; !found {
		scheme, rest = "", address
	}
	if i := strings.IndexByte(rest, '?'); i >= 0 {
		rest = rest[:i] + "?[redacted]"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "[redacted]" + rest[i:]
	}
	return scheme + rest
}

// ParseTarget reads ws://host:port/path, stomp://host:port or tcp://host:port; for brokers to compare
// with also nats+ws://, centrifugo+ws:// and nats://, and http:// for Poll. A missing port is 80 for ws and 61613
// otherwise; a missing path is /ws. TLS is not spoken.
func ParseTarget(raw string) (Target, error) {
	u, err := url.Parse(raw)
	var bad *url.Error
	if errors.As(err, &bad) {
		return Target{}, fmt.Errorf("URL %q: %w", Shown(raw), bad.Err)
	}
	var t Target
	port := "61613"
	switch u.Scheme {
	case "nats+ws", "centrifugo+ws":
		t.Protocol, t.WebSocket, port = strings.TrimSuffix(u.Scheme, "+ws"), true, "80"
	case "http":
		t.Protocol, port = "polling", "80"
	case "nats":
		t.Protocol, port = "nats", "4222"
	case "ws":
		t.WebSocket, port = true, "80"
	case "stomp", "tcp":
		if strings.Trim(u.Path, "/") != "" {
			return Target{}, fmt.Errorf("URL %q: a %s URL has no path", Shown(raw), u.Scheme)
		}
	default:
		return Target{}, fmt.Errorf("URL %q: scheme must be ws, stomp or tcp (of peers: nats, nats+ws, centrifugo+ws)", Shown(raw))
	}
	if u.Hostname() == "" {
		return Target{}, fmt.Errorf("URL %q: host is missing", Shown(raw))
	}
	if p := u.Port(); p != "" {
		port = p
	}
	t.Addr = net.JoinHostPort(u.Hostname(), port)
	t.VHost = u.Hostname()
	if t.Path = u.RequestURI(); t.Path == "/" {
		t.Path = "/ws"
	}
	if u.User != nil {
		t.Login = u.User.Username()
		t.Passcode, _ = u.User.Password()
	}
	return t, nil
}
