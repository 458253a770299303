package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/gudokmq/gudok/broker"
)

// Options say what the page tells.
type Options struct {
	// Snapshot is asked once for each view of the page; (*broker.Broker).Snapshot.
	Snapshot func() broker.Snapshot
	// WebSocketPath is where clients connect, such as /ws; empty if they cannot.
	WebSocketPath string
	// WebSocketAddr is the address of the listener that has WebSocketPath, and WebSocketTLS that it
	// speaks TLS; nil if it is the one on which the page is.
	WebSocketAddr net.Addr
	WebSocketTLS  bool
	// Endpoints are the other ways in.
	Endpoints []Endpoint
	// Login tells whether a login is needed to connect; the page then asks for it first.
	Login func() bool
	// Store tells in a few words where queues are kept.
	Store string
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

// New returns the handler of /, its script and style, and /healthz. All else gets a 404. It
// checks neither Host nor login; mount it behind something that does.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", o.index)
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
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "ok")
	})
	return guarded(mux)
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

// view is what the page shows.
type view struct {
	broker.Snapshot
	Uptime    string
	Go        string
	Store     string
	Login     bool
	Path      string
	WebSocket string
	Elsewhere bool // WebSocket is on another listener
	Addresses []address
}

type address struct{ Name, URL string }

func (o Options) index(w http.ResponseWriter, r *http.Request) {
	s := o.Snapshot()
	v := view{
		Snapshot: s,
		Uptime:   time.Since(s.Started).Truncate(time.Second).String(),
		Go:       runtime.Version(),
		Store:    o.Store,
		Login:    o.Login(),
		Path:     o.WebSocketPath,
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
	for _, e := range o.Endpoints {
		v.Addresses = append(v.Addresses, address{e.Name, e.Scheme + "://" + reachable(e.Addr, r.Host)})
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
