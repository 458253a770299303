package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// Server is where connections go; *broker.Broker is one.
type Server interface {
	// Serve runs the session of c and returns when it has ended, after c.Close or c.Abort. ctx is
	// cancelled when a Shutdown of the transport ran out of time.
	Serve(ctx context.Context, c broker.Conn)
}

// Beginner is a Server that need not keep a goroutine until a session has ended; *broker.Broker is one.
type Beginner interface {
	// Begin is Serve, but may return earlier. over is called once when the session has ended.
	Begin(ctx context.Context, c broker.Conn, over func())
}

// begin has s serve c, and calls over when that is done.
func begin(ctx context.Context, s Server, c broker.Conn, over func()) {
	if b, ok := s.(Beginner); ok {
		b.Begin(ctx, c, over)
		return
	}
	defer over()
	s.Serve(ctx, c)
}

const (
	defaultFrameTime     = 30 * time.Second
	defaultHandshakeTime = 5 * time.Second
)

// Options are the settings of a WebSocket and of Guard. The zero value works: pages of the
// same host may connect, and requests must name an IP address or localhost as their host.
type Options struct {
	// BeforeConnect are the limits of frames until the session's CONNECT is accepted; zero
	// fields mean the defaults of stompframe, for the frame those of stompframe.BeforeConnect.
	BeforeConnect stompframe.Limits
	// FrameTime is how long a frame may take from its first byte to its last, and a WebSocket
	// message may stay open without finishing one. Default 30 s.
	FrameTime time.Duration
	// HandshakeTime is how long a connection behind Front may say nothing. Default 5 s.
	HandshakeTime time.Duration
	// Logger gets refused and odd handshakes; default slog.Default().
	Logger *slog.Logger

	// PublicHosts are the names under which clients reach this server, as "host" (any port) or
	// "host:port". IP addresses, localhost and names below it are always served.
	PublicHosts []string
	// AllowedOrigins are the pages that may connect besides those of the same host, each
	// "https://app.example.com", with ":port" where it is not the scheme's own; or with
	// one wildcard in front, "https://*.example.com", for all names below; or "null" for pages
	// without an origin; or "*" for any page at all, which gives up the check.
	AllowedOrigins []string
	// Loopback tells that the listener can be reached from this machine only: pages served by
	// any port of it may then connect, unless TokenCookie is set.
	Loopback bool

	// ConsolePort is another port of this server whose pages may connect; 0 is none.
	ConsolePort uint16
	// TrustedProxies are addresses and ranges, such as "10.0.0.0/8", of proxies whose
	// X-Forwarded-For, Forwarded and X-Forwarded-Proto headers say who the client is.
	TrustedProxies []string
	// HSTS is how long browsers are told to use TLS only; less than a second tells nothing.
	HSTS time.Duration
	// Compression offers permessage-deflate (RFC 7692) to clients that ask for it, without a window
	// from one message to the next. What is at least 1 KiB and gets smaller is then sent
	// compressed; what clients compress counts against all limits by what it inflates to. It costs
	// CPU, once for each message however many get it.
	Compression bool

	// TokenCookie and TokenQuery are the names of a cookie and of a query parameter in which a
	// handshake may bring a token; empty for none. Browsers send cookies of their own accord, so
	// with one AllowedOrigins must not have "*" or "null".
	TokenCookie, TokenQuery string
}

func (o Options) withDefaults() Options {
	if o.FrameTime <= 0 {
		o.FrameTime = defaultFrameTime
	}
	if o.HandshakeTime <= 0 {
		o.HandshakeTime = defaultHandshakeTime
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Validate returns an error that names the first of PublicHosts, AllowedOrigins and TrustedProxies that
// can never match. Such an entry is otherwise ignored, with a warning.
func (o Options) Validate() error {
	for _, s := range o.PublicHosts {
		if _, ok := splitHost(strings.TrimSpace(s)); !ok {
			return fmt.Errorf("http.public_hosts: %q is not a host or host:port", s)
		}
	}
	for _, s := range o.AllowedOrigins {
		if s = strings.TrimSpace(s); o.TokenCookie != "" && (s == "*" || strings.EqualFold(s, "null")) {
			return fmt.Errorf("http.allowed_origins: %q cannot be there together with a cookie that is a login", s)
		}
		if l := newOriginList([]string{s}, false); !l.any && !l.null && len(l.exact)+len(l.below) == 0 {
			return fmt.Errorf("http.allowed_origins: %q is not an origin such as https://app.example.com, https://*.example.com, null or *", s)
		}
	}
	for _, s := range o.TrustedProxies {
		if _, err := parsePrefix(s); err != nil {
			return fmt.Errorf("http.trusted_proxies: %w", err)
		}
	}
	return nil
}

// TCPOptions are the settings of a TCP. The zero value works and means no TLS.
type TCPOptions struct {
	// BeforeConnect are the limits of frames until the session's CONNECT is accepted; zero
	// fields mean the defaults of stompframe, for the frame those of stompframe.BeforeConnect.
	BeforeConnect stompframe.Limits
	// FrameTime is how long a frame may take from its first byte to its last. Default 30 s.
	FrameTime time.Duration
	// HandshakeTime is how long a TLS handshake may take. Default 5 s.
	HandshakeTime time.Duration
	// Logger gets failed TLS handshakes and accept errors; default slog.Default().
	Logger *slog.Logger
	// TLS, if not nil, makes every connection a TLS one, of version 1.2 at least. See
	// [Certificates].
	TLS *tls.Config
}

func (o TCPOptions) withDefaults() TCPOptions {
	if o.FrameTime <= 0 {
		o.FrameTime = defaultFrameTime
	}
	if o.HandshakeTime <= 0 {
		o.HandshakeTime = defaultHandshakeTime
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if mutant.Is(mutant.TLSHandshakeSlow) {
		o.HandshakeTime = time.Hour
	}
	if o.TLS != nil && o.TLS.MinVersion < tls.VersionTLS12 && !mutant.Is(mutant.OldTLS) {
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion = tls.VersionTLS12
	}
	return o
}

func beforeConnect(l stompframe.Limits) stompframe.Limits {
	if mutant.Is(mutant.BudgetOff) {
		return stompframe.Limits{}
	}
	if l.Frame <= 0 {
		l.Frame = stompframe.BeforeConnect.Frame
	}
	return l
}

// afterConnect is the limits of frames after CONNECT.
func afterConnect(l stompframe.Limits) stompframe.Limits {
	if mutant.Is(mutant.BudgetKept) {
		l.Frame = stompframe.BeforeConnect.Frame
	}
	return l
}

// maxLogged bounds what a log line or an answer repeats of a client's words.
const maxLogged = 256

func cut(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged] + "…"
	}
	return s
}
