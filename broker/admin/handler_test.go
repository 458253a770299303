package admin_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/admin"
)

func handler(login bool) http.Handler {
	return admin.New(admin.Options{
		Snapshot: func() broker.Snapshot {
			return broker.Snapshot{Version: "1.2.3<b>", Started: time.Now().Add(-time.Hour), Sessions: 7, Topics: 41, Queues: 42, Received: 43, Delivered: 44}
		},
		WebSocketPath: "/stomp",
		Endpoints: []admin.Endpoint{
			{Name: "TCP", Scheme: "stomp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 61613}},
			{Name: "TLS", Scheme: "stomp+ssl", Addr: &net.TCPAddr{IP: net.IPv6unspecified, Port: 61614}},
		},
		Login: func() bool { return login },
		Store: "In memory.",
	})
}

func get(t *testing.T, h http.Handler, r *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestPageTellsWhatRunsAndWhere(t *testing.T) {
	r := httptest.NewRequest("GET", "http://broker.example.org:8080/", nil)
	res, body := get(t, handler(false), r)
	body = strings.ReplaceAll(body, "&#43;", "+")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, want := range []string{
		"1.2.3&lt;b&gt;", ">7</dd>", ">41</dd>", ">42</dd>", ">43</dd>", ">44</dd>", "1h0m0s", "go1.", "In memory.",
		"ws://broker.example.org:8080/stomp", "stomp://127.0.0.1:61613", "stomp+ssl://broker.example.org:61614",
		`data-login="false"`, `data-path="/stomp"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	r.TLS = &tls.ConnectionState{}
	if _, body := get(t, handler(true), r); !strings.Contains(body, "wss://broker.example.org:8080/stomp") || !strings.Contains(body, `data-login="true"`) {
		t.Error("the page does not tell of TLS and login")
	}
}

func TestHostIsEscaped(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = `"><script>alert(1)</script>`
	if _, body := get(t, handler(false), r); strings.Contains(body, "<script>alert") {
		t.Error("Host reaches the page as it came")
	}
}

// The page works under its own strict policy: nothing inline, nothing from elsewhere.
func TestNothingInline(t *testing.T) {
	_, body := get(t, handler(true), httptest.NewRequest("GET", "/", nil))
	for _, bad := range []string{"<script>", "<style", " style=", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"http", "src=\"//"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, path := range []string{"/app.js", "/client.js"} {
		_, script := get(t, handler(true), httptest.NewRequest("GET", path, nil))
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if strings.Contains(script, bad) {
				t.Errorf("%s uses %s", path, bad)
			}
		}
	}
}

func TestHeadersOnEveryAnswer(t *testing.T) {
	for path, want := range map[string]struct {
		code int
		kind string
	}{
		"/":           {200, "text/html; charset=utf-8"},
		"/app.js":     {200, "text/javascript; charset=utf-8"},
		"/client.js":  {200, "text/javascript; charset=utf-8"},
		"/style.css":  {200, "text/css; charset=utf-8"},
		"/icon.svg":   {200, "image/svg+xml"},
		"/healthz":    {200, "text/plain; charset=utf-8"},
		"/nothing":    {404, "text/plain; charset=utf-8"},
		"/index.html": {404, "text/plain; charset=utf-8"},
		"/app.js/":    {404, "text/plain; charset=utf-8"},
	} {
		res, _ := get(t, handler(false), httptest.NewRequest("GET", path, nil))
		if res.StatusCode != want.code || res.Header.Get("Content-Type") != want.kind {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; object-src 'none'; frame-ancestors 'none'",
		} {
			if got := res.Header.Get(name); got != value {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	if res, body := get(t, handler(false), httptest.NewRequest("GET", "/healthz", nil)); res.StatusCode != 200 || body != "ok\n" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	for _, path := range []string{"/", "/healthz", "/app.js"} {
		if res, _ := get(t, handler(false), httptest.NewRequest("POST", path, nil)); res.StatusCode != 405 {
			t.Errorf("POST %s: %d", path, res.StatusCode)
		}
	}
}
