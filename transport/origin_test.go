package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/transport"
)

var pages = transport.Options{
	PublicHosts:    []string{"mq.example.com", "Other.Example.com:8443", "tls.example.com:443"},
	AllowedOrigins: []string{"https://app.example.com", "http://dev.example.com:3000", "https://*.example.org", "https://*.example.net:444", "capacitor://localhost"},
}

// Which page may connect to which host; the path of the request plays no part.
func TestOrigins(t *testing.T) {
	local := pages
	local.Loopback = true
	null, every := pages, pages
	null.AllowedOrigins = []string{"null"}
	every.AllowedOrigins = []string{"*"}
	rows := []struct {
		o            transport.Options
		host, origin string
		want         int
	}{
		{pages, "mq.example.com", "", 101},
		{pages, "mq.example.com", "https://mq.example.com", 101}, // TLS ends at a proxy
		{pages, "mq.example.com", "http://mq.example.com", 101},
		{pages, "mq.example.com", "HTTPS://MQ.example.COM", 101},
		{pages, "mq.example.com", "https://mq.example.com:443", 101},
		{pages, "mq.example.com", "http://mq.example.com:80", 101},
		{pages, "mq.example.com:443", "https://mq.example.com", 101},
		{pages, "mq.example.com", "https://mq.example.com:444", 403},
		{pages, "mq.example.com", "http://mq.example.com:443", 403},
		{pages, "mq.example.com:8080", "http://mq.example.com:8080", 101},
		{pages, "mq.example.com:8080", "http://mq.example.com", 403},
		{pages, "mq.example.com", "ftp://mq.example.com", 403},
		{pages, "mq.example.com", "mq.example.com", 403},
		{pages, "mq.example.com", "//mq.example.com", 403},
		{pages, "mq.example.com", "https://mq.example.com/", 403},
		{pages, "mq.example.com", "https://mq.example.com?x", 403},
		{pages, "mq.example.com", "https://mq.example.com#x", 403},
		{pages, "mq.example.com", "https://u@mq.example.com", 403},
		{pages, "mq.example.com", "https://mq.example.com@evil.example", 403},
		{pages, "mq.example.com", "https://mq.example.com.evil.example", 403},
		{pages, "mq.example.com", "https://evil.example", 403},
		{pages, "mq.example.com", "https://", 403},
		{pages, "mq.example.com", "null", 403},
		{pages, "mq.example.com", "https://mq.example.com https://evil.example", 403},

		{pages, "mq.example.com", "https://app.example.com", 101},
		{pages, "mq.example.com", "https://APP.example.com", 101},
		{pages, "mq.example.com", "https://app.example.com:443", 101},
		{pages, "mq.example.com", "http://app.example.com", 403},
		{pages, "mq.example.com", "https://app.example.com:8443", 403},
		{pages, "mq.example.com", "https://xapp.example.com", 403},
		{pages, "mq.example.com", "https://x.app.example.com", 403},
		{pages, "mq.example.com", "http://dev.example.com:3000", 101},
		{pages, "mq.example.com", "http://dev.example.com", 403},
		{pages, "mq.example.com", "https://a.example.org", 101},
		{pages, "mq.example.com", "https://a.b.example.org", 101},
		{pages, "mq.example.com", "https://example.org", 403},
		{pages, "mq.example.com", "https://aexample.org", 403},
		{pages, "mq.example.com", "https://.example.org", 403},
		{pages, "mq.example.com", "https://a..example.org", 403},
		{pages, "mq.example.com", "http://a.example.org", 403},
		{pages, "mq.example.com", "https://a.example.org:444", 403},
		{pages, "mq.example.com", "https://a.example.net:444", 101},
		{pages, "mq.example.com", "https://a.example.net", 403},
		{pages, "mq.example.com", "capacitor://localhost", 101},
		{pages, "mq.example.com", "ionic://localhost", 403},

		{pages, "127.0.0.1:15674", "http://localhost:3000", 403},
		{local, "127.0.0.1:15674", "http://127.0.0.1:15674", 101},
		{local, "127.0.0.1:15674", "http://localhost:3000", 101},
		{local, "127.0.0.1:15674", "https://localhost", 101},
		{local, "localhost:15674", "http://app.localhost:5173", 101},
		{local, "localhost:15674", "http://127.8.9.1:5173", 101},
		{local, "[::1]:15674", "http://[::1]:5173", 101},
		{local, "[::1]:15674", "http://[0:0::1]:15674", 101},
		{local, "127.0.0.1:15674", "http://128.0.0.1:15674", 403},
		{local, "127.0.0.1:15674", "http://192.168.0.2:3000", 403},
		{local, "127.0.0.1:15674", "http://localhost.evil.example", 403},
		{local, "127.0.0.1:15674", "http://127.0.0.1.evil.example", 403},
		{local, "127.0.0.1:15674", "http://evillocalhost:3000", 403},
		{local, "127.0.0.1:15674", "null", 403},
		{local, "127.0.0.1:15674", "file://localhost", 403},

		{null, "mq.example.com", "null", 101},
		{null, "mq.example.com", "https://null", 403},
		{every, "mq.example.com", "https://evil.example", 101},
		{every, "mq.example.com", "null", 101},
		{every, "mq.example.com", "file://", 101},
		{every, "evil.example", "https://evil.example", 421}, // the host is another matter
	}
	for _, path := range []string{"/ws", "/%77s", "//ws", "/./ws", "/WS"} {
		for _, row := range rows {
			if path != "/ws" && row.origin == "" {
				continue
			}
			var log lockedBuffer
			row.o.Logger = logTo(&log)
			w := serve(transport.NewWebSocket(nil, row.o), path, row.host, row.origin)
			name := fmt.Sprintf("%s from %q", row.host, row.origin)
			if w.Code != row.want { // what fails after 101 is that a recorder cannot be hijacked
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			if row.want == 403 {
				if body := w.Body.String(); !strings.Contains(body, "http.allowed_origins") || !strings.Contains(body, fmt.Sprintf("%q", row.origin)) {
					t.Errorf("%s: answer %q", name, body)
				}
				if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=INFO") {
					t.Errorf("%s: log %q", name, log.String())
				}
			}
		}
	}
	r := request("/ws", "mq.example.com", "https://mq.example.com")
	r.Header.Add("Origin", "https://app.example.com")
	w := httptest.NewRecorder()
	transport.NewWebSocket(nil, pages).ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("two Origin headers: %d", w.Code)
	}
}

func request(path, host, origin string) *http.Request {
	r := httptest.NewRequest("GET", "http://x/", nil)
	r.URL.Path, r.Host = path, host
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func serve(h http.Handler, path, host, origin string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(path, host, origin))
	return w
}

// Which names this server answers to, on the WebSocket and on pages.
func TestHosts(t *testing.T) {
	rows := []struct {
		host string
		want int
	}{
		{"127.0.0.1", 200}, {"127.0.0.1:15674", 200}, {"[::1]", 200}, {"[::1]:15674", 200}, {"10.1.2.3:80", 200},
		{"[2001:db8::1]:80", 200}, {"[fe80::1%25eth0]:80", 200}, {"localhost", 200}, {"localhost:15674", 200},
		{"LOCALHOST:1", 200}, {"localhost.", 200}, {"a.localhost", 200}, {"a.b.localhost:9", 200},
		{"mq.example.com", 200}, {"mq.example.com:1234", 200}, {"MQ.Example.com", 200}, {"mq.example.com.", 200},
		{"other.example.com:8443", 200}, {"tls.example.com", 200}, {"tls.example.com:443", 200}, {"localhost:", 200},
		{"other.example.com", 421}, {"other.example.com:443", 421}, {"tls.example.com:80", 421},
		{"example.com", 421}, {"x.mq.example.com", 421}, {"mq.example.com.evil.example", 421}, {"evil.example:80", 421},
		{"localhost.evil.example", 421}, {"notlocalhost", 421}, {"127.0.0.1.evil.example", 421}, {"127.1", 421},
		{"2130706433", 421}, {"0x7f.0.0.1", 421}, {"app.example.com", 421},
		{"", 400}, {":80", 400}, {"::1", 400}, {"[::1", 400}, {"[::1]x", 400}, {"[127.0.0.1]", 400}, {"a b", 400},
		{"localhost:x", 400}, {"localhost:65536", 400}, {"localhost:-1", 400}, {"localhost:80:80", 400},
		{"u@localhost", 400}, {"localhost/x", 400}, {"a..b", 400}, {".localhost", 400}, {"localhost..", 400}, {"[localhost]", 400},
		{strings.Repeat("a", 254), 400}, {"\x1b[31m", 400},
	}
	page := transport.Guard(quietly(pages), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") }))
	socket := transport.NewWebSocket(nil, quietly(pages))
	for _, row := range rows {
		w := serve(page, "/", row.host, "")
		if w.Code != row.want {
			t.Errorf("page of %q: %d, want %d", row.host, w.Code, row.want)
		}
		if row.want == 421 && !strings.Contains(w.Body.String(), "http.public_hosts") {
			t.Errorf("page of %q: answer %q", row.host, w.Body)
		}
		if w := serve(socket, "/ws", row.host, ""); (w.Code == 400 || w.Code == 421) != (row.want != 200) {
			t.Errorf("WebSocket of %q: %d", row.host, w.Code)
		}
	}
}

func quietly(o transport.Options) transport.Options {
	o.Logger = logTo(new(lockedBuffer))
	return o
}

func TestValidate(t *testing.T) {
	if err := pages.Validate(); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"app.example.com", "*.example.com", "https://app.example.com/", "https://*", "https://a.*.com", "https://*.*.com", ""} {
		var log lockedBuffer
		o := transport.Options{AllowedOrigins: []string{"https://ok.example", s}, Logger: logTo(&log)}
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("http.allowed_origins: %q", s)) {
			t.Errorf("origin %q: %v", s, err)
		}
		if transport.NewWebSocket(nil, o); !strings.Contains(log.String(), "http.allowed_origins") {
			t.Errorf("origin %q: log %q", s, log.String())
		}
	}
	for _, s := range []string{"https://mq.example.com", "mq.example.com/", "*.example.com", ""} {
		if err := (transport.Options{PublicHosts: []string{s}}).Validate(); err == nil || !strings.Contains(err.Error(), "http.public_hosts") {
			t.Errorf("host %q: %v", s, err)
		}
	}
}
