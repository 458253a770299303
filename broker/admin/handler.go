package admin

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// Options say what is served and to whom. Only Snapshot must be set.
type Options struct {
	// Snapshot is asked once for each view; (*broker.Broker).Snapshot.
	Snapshot func() broker.Snapshot
	// WebSocketPath is where clients connect, such as /ws; empty if they cannot.
	WebSocketPath string
	// WebSocketAddr is the address of the listener that has WebSocketPath, and WebSocketTLS that it
	// speaks TLS; nil if it is the one on which the page is.
	WebSocketAddr net.Addr
	WebSocketTLS  bool
	// Endpoints are the other ways in.
	Endpoints []Endpoint
	// Login tells whether a login is needed to connect; the page then asks for it first. Nil: none is.
	Login func() bool
	// Store tells in a few words where queues are kept.
	Store string

	// May decides who may see what: /admin/status, /admin/metrics, /admin/pprof; (*broker.Broker).Permit.
	// Nil lets anyone see all.
	May func(ctx context.Context, c broker.Credentials, name string) error
	// Peer is who asks, as far as the server knows better than the request's RemoteAddr; may be nil.
	Peer func(r *http.Request) net.Addr
	// Gauges and Probe are the store's, nil where it has none.
	Gauges func(deepest int) store.Gauges
	Probe  func() error
	// Ready is nil while clients are served well, and Alive while the process works at all; nil: always.
	Ready, Alive func() error
	// Pprof serves Go's profiles.
	Pprof bool
	// Stopping, if not nil, is closed when profiles under way are to end.
	Stopping <-chan struct{}
	// Logger gets requests that were refused a login; default slog.Default().
	Logger *slog.Logger
}

// Endpoint is an address on which the broker can be reached.
type Endpoint struct {
	Name   string   // such as TCP
	Scheme string   // such as stomp
	Addr   net.Addr // what the listener has; for all addresses the page names the one it was asked at
}

//go:embed index.html
var page string

//go:embed app.js client.js style.css icon.svg
var assets embed.FS

var pageTemplate = template.Must(template.New("index.html").Parse(page))

// New returns the handler of the page at / with its script and style, /api/status, /metrics, /healthz,
// /readyz and /debug/pprof/. All else gets a 404. It does not check Host; mount it behind something that
// does.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", o.index)
	mux.HandleFunc("GET /api/status", o.guard(nameStatus, o.status))
	mux.HandleFunc("GET /metrics", o.guard(nameMetrics, o.metrics()))
	mux.HandleFunc("GET "+profilePath+"{name...}", o.guard(namePprof, o.profile))
	mux.HandleFunc("GET /healthz", o.health(o.Alive))
	mux.HandleFunc("GET /readyz", o.health(o.Ready))
	for name, kind := range map[string]string{
		"app.js":    "text/javascript; charset=utf-8",
		"client.js": "text/javascript; charset=utf-8",
		"style.css": "text/css; charset=utf-8",
		"icon.svg":  "image/svg+xml",
	} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, assets, name)
		})
	}
	return guarded(bounded(mux))
}

// policy lets the page load its own files and open WebSockets, and nothing else.
const policy = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; object-src 'none'; frame-ancestors 'none'"

func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// view is what the page shows. Without Shown it has nothing in it that the browser does not know.
type view struct {
	Shown     bool
	Login     bool
	Path      string
	WebSocket string
	Elsewhere bool // WebSocket is on another listener
	status
}

// status is how the broker is doing, also as JSON.
type status struct {
	Version   string    `json:"version"`
	Uptime    string    `json:"uptime"`
	Go        string    `json:"go"`
	Store     string    `json:"store"`
	Sessions  int       `json:"sessions"`
	Topics    int       `json:"topics"`
	Queues    int       `json:"queues"`
	Received  uint64    `json:"received"`
	Delivered uint64    `json:"delivered"`
	Addresses []address `json:"addresses"`
}

type address struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

func (o *Options) look(host string) status {
	s := o.Snapshot()
	st := status{
		Version:   s.Version,
		Uptime:    time.Since(s.Started).Truncate(time.Second).String(),
		Go:        runtime.Version(),
		Store:     o.Store,
		Sessions:  s.Sessions,
		Topics:    s.Topics,
		Queues:    s.Queues,
		Received:  s.Received,
		Delivered: s.Delivered,
		Addresses: []address{},
	}
	for _, e := range o.Endpoints {
		st.Addresses = append(st.Addresses, address{e.Name, e.Scheme + "://" + reachable(e.Addr, host)})
	}
	return st
}

// status is what the page asks for once somebody has logged in.
func (o *Options) status(w http.ResponseWriter, r *http.Request) {
	text, err := json.Marshal(o.look(r.Host))
	if err != nil {
		http.Error(w, "the status could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}

// index is the page. Anyone may load it: it asks for a login itself.
func (o *Options) index(w http.ResponseWriter, r *http.Request) {
	v := view{Login: o.Login != nil && o.Login(), Path: o.WebSocketPath}
	if v.Shown = o.judge(r, nameStatus) == nil || mutant.Is(mutant.PageTells); v.Shown {
		v.status = o.look(r.Host)
	}
	// As the browser wrote it; the script corrects the scheme where a proxy took TLS off.
	host, secure := r.Host, r.TLS != nil
	if o.WebSocketAddr != nil {
		host, secure, v.Elsewhere = reachable(o.WebSocketAddr, r.Host), o.WebSocketTLS, true
	}
	v.WebSocket = "ws://" + host + o.WebSocketPath
	if secure {
		v.WebSocket = "wss://" + host + o.WebSocketPath
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

// reachable is the address of a listener as someone who asked at host would write it.
func reachable(a net.Addr, host string) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || !ap.Addr().IsUnspecified() {
		return a.String()
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return net.JoinHostPort(host, fmt.Sprint(ap.Port()))
}
