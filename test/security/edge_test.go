package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// edge is a broker that is open to the network, with an admin listener, as far as HTTP goes. PORT in
// hosts and origins stands for the HTTP listener's port, ADMIN for the other's.
type edge struct {
	*harness.Broker
	admin       string
	port, aPort string
}

var adminLine = regexp.MustCompile(`Admin +https?://([^/\s]+)/`)

func newEdge(t *testing.T, extra string) *edge {
	t.Helper()
	b := harness.Start(t, fmt.Sprintf(`
http: {listen: "0.0.0.0:0", public_hosts: [mq.example, "tls.example:8443"], allowed_origins: ["https://app.example", "https://*.trusted.example"]}
admin: {listen: "0.0.0.0:0"}
users: [{name: alice, password_hash: %q}]
%s`, hashOf(t, canary+"-alice", auth.Bcrypt), extra))
	b.Says("Admin ")
	b.Says("Queues ")
	e := &edge{Broker: b, admin: adminLine.FindStringSubmatch(b.Output())[1]}
	_, e.port, _ = net.SplitHostPort(b.WS)
	_, e.aPort, _ = net.SplitHostPort(e.admin)
	return e
}

// ask makes a WebSocket handshake for any path and returns the answer. method GET, with empty host and
// origin left out ("-": there, and empty).
func (e *edge) ask(t *testing.T, addr, method, path, host, origin string, lines ...string) *http.Response {
	t.Helper()
	ports := strings.NewReplacer("PORT", e.port, "ADMIN", e.aPort)
	request := harness.Upgrade("HOST", path, lines...)
	request = strings.Replace(request, "GET", method, 1)
	switch host {
	case "":
		request = strings.Replace(request, "Host: HOST\r\n", "", 1)
	case "-":
		host = ""
	}
	request = strings.Replace(request, "HOST", ports.Replace(host), 1)
	if origin != "" {
		request = strings.Replace(request, "\r\n\r\n", "\r\nOrigin: "+strings.TrimPrefix(ports.Replace(origin), "-")+"\r\n\r\n", 1)
	}
	conn, err := net.DialTimeout("tcp", addr, harness.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(harness.Patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s of %q from %q: %v", method, path, host, origin, err)
	}
	if res.StatusCode != 101 {
		io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	}
	return res
}

// careful checks what every answer of a handler has, and must not have.
func careful(t *testing.T, what string, res *http.Response) {
	t.Helper()
	for _, h := range []string{"X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Referrer-Policy: no-referrer", "Cross-Origin-Resource-Policy: same-origin"} {
		name, want, _ := strings.Cut(h, ": ")
		if got := res.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %d, %s: %q", what, res.StatusCode, name, got)
		}
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") && !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%s: %d, policy %q", what, res.StatusCode, csp)
	}
	for name, values := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Server" || name == "X-Powered-By" {
			t.Errorf("%s: %d has %s: %q", what, res.StatusCode, name, values)
		}
		for _, v := range values {
			if strings.Contains(v, "evil") {
				t.Errorf("%s: %d reflects %s: %q", what, res.StatusCode, name, v)
			}
		}
	}
}

// pages are all paths of the HTTP listener and of the one for admin.
var pages = map[bool][]string{
	false: {"/ws", "/healthz", "/", "/app.js", "/readyz", "/metrics", "/api/x", "/nothing"},
	true:  {"/", "/healthz", "/app.js", "/client.js", "/style.css", "/icon.svg", "/ws", "/readyz", "/metrics", "/api/x", "/nothing"},
}

// spellings of /ws that a router, or a check in front of it, may take for something else.
var spellings = []string{
	"/%77s", "/w%73", "/%77%73", "/%2577s", "//ws", "///ws", "/./ws", "/x/../ws", "/../ws", "/ws/", "/ws/.", "/ws/..", "/ws//", "/WS", "/Ws",
	"/%2fws", "/%2Fws", "/ws%2f", "/ws%2F..%2Fws", "/%2e/ws", "/%2e%2e/ws", "/ws%00", "/ws%20", "/ws;x", "/ws?/ws", "/ws?x=/%2e", "/ws%3f", "/ws#x", "/\\ws", "/ws\\",
	"/healthz/../ws", "/healthz%2f..%2fws", "http://mq.example/ws", "http://evil.example/ws", "HTTP://MQ.EXAMPLE/ws", "ws",
}

// vectors are a Host, an Origin, and the answer if it is a refusal, else 0.
var vectors = []struct {
	host, origin string
	refused      int
}{
	{"mq.example", "", 0},
	{"mq.example", "-", 0},
	{"mq.example:PORT", "", 0},
	{"mq.example", "https://mq.example", 0},
	{"mq.example", "http://mq.example", 0}, // a proxy nobody told of may have taken TLS off
	{"MQ.Example.", "https://mq.example", 0},
	{"mq.example:PORT", "http://mq.example:PORT", 0},
	{"127.0.0.1:PORT", "http://127.0.0.1:PORT", 0},
	{"localhost:PORT", "http://localhost:PORT", 0},
	{"[::1]:PORT", "http://[::1]:PORT", 0},
	{"tls.example:8443", "https://tls.example:8443", 0},
	{"mq.example", "https://app.example", 0},
	{"mq.example", "https://APP.example:443", 0},
	{"mq.example", "https://a.b.trusted.example", 0},

	{"mq.example", "https://evil.example", 403},
	{"mq.example", "http://evil.example:PORT", 403},
	{"mq.example", "null", 403},
	{"mq.example", "https://mq.example.evil.example", 403},
	{"mq.example", "https://evilmq.example", 403},
	{"mq.example", "https://mq.example@evil.example", 403},
	{"mq.example", "https://evil.example#mq.example", 403},
	{"mq.example", "https://evil.example/mq.example", 403},
	{"mq.example", "https://mq.example:8443", 403},
	{"mq.example", "https://mq.example:0", 403},
	{"mq.example:PORT", "http://mq.example", 403},
	{"mq.example", "https://mq.example, https://evil.example", 403},
	{"mq.example", "https://evil.example https://mq.example", 403},
	{"mq.example", "https://mq.example\r\nOrigin: https://evil.example", 403},
	{"mq.example", "https://evil.example\r\nOrigin: https://mq.example", 403},
	{"mq.example", "http://app.example", 403},
	{"mq.example", "https://app.example:8443", 403},
	{"mq.example", "https://app.example.", 0}, // the same name in DNS
	{"mq.example", "https://xapp.example", 403},
	{"mq.example", "https://trusted.example", 403},
	{"mq.example", "https://eviltrusted.example", 403},
	{"mq.example", "https://.trusted.example", 403},
	{"mq.example", "http://a.trusted.example", 403},
	{"mq.example", "file://", 403},
	{"mq.example", "chrome-extension://mq.example", 403},
	{"mq.example", "//mq.example", 403},
	{"mq.example", "mq.example", 403},
	{"mq.example", "https://", 403},
	{"mq.example", "*", 403},
	{"mq.example", "https://*.trusted.example", 403},
	{"mq.example", "http://localhost:3000", 403}, // only a listener on loopback lets pages of this machine in
	{"mq.example", "http://127.0.0.1:PORT", 403},

	{"evil.example", "", 421},
	{"evil.example", "http://evil.example", 421},
	{"evil.example:PORT", "http://evil.example:PORT", 421},
	{"evil.example", "https://mq.example", 421},
	{"mq.example.evil.example", "", 421},
	{"evilmq.example", "", 421},
	{"mq", "", 421},
	{"tls.example:1", "https://tls.example:1", 421},
	{"localhost.evil.example", "", 421},
	{"127.0.0.1.evil.example", "http://127.0.0.1.evil.example", 421},
	{"-", "null", 400},
	{"", "", 400},
	{"mq.example@evil.example", "", 400},
	{"mq.example:x", "", 400},
	{"mq.example:99999", "", 400},
	{"evil.example, mq.example", "", 400},
	{"evil.example\r\nHost: mq.example", "", 400},
	{"mq.example/evil", "", 400},
	{"[::1", "", 400},
}

// V7: a foreign page gets into nothing, by WebSocket or any other path of either listener, and its own
// pages do (RabbitMQ CVE-2026-67405, nginx-ui CVE-2026-34403).
func TestV7ForeignPages(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	cells := 0
	for _, v := range vectors {
		for isAdmin, paths := range pages {
			addr := e.WS
			if isAdmin {
				addr = e.admin
			}
			for _, path := range paths {
				res := e.ask(t, addr, "GET", path, v.host, v.origin)
				what := fmt.Sprintf("admin %v, GET %s of %q from %q", isAdmin, path, v.host, v.origin)
				cells++
				switch {
				case v.refused != 0 && res.StatusCode != v.refused:
					t.Errorf("%s: %d, not %d", what, res.StatusCode, v.refused)
				case v.refused == 0 && isAdmin && (strings.Contains(strings.ToLower(v.origin), "app.") || strings.Contains(v.origin, "trusted.")):
					// Who may connect by WebSocket may not see pages for admins.
					if res.StatusCode != 403 {
						t.Errorf("%s: %d", what, res.StatusCode)
					}
				case v.refused == 0 && path == "/ws" && !isAdmin && res.StatusCode != 101:
					t.Errorf("%s: %d", what, res.StatusCode)
				case v.refused == 0 && path == "/healthz" && res.StatusCode != 200:
					t.Errorf("%s: %d", what, res.StatusCode)
				case v.refused == 0 && path == "/nothing" && res.StatusCode != 404:
					t.Errorf("%s: %d", what, res.StatusCode)
				}
				if byHand(res) { // net/http's own refusal of what is no request
					continue
				}
				careful(t, what, res)
			}
		}
	}
	t.Logf("%d vectors, %d requests", len(vectors), cells)
}

// byHand tells a refusal that comes from below the handlers: constant text, and the end.
func byHand(res *http.Response) bool {
	return res.StatusCode == 400 && res.Close && strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") && len(res.Header) <= 2
}

// V8: however /ws is spelt, a foreign page or host does not get through, and its own one nowhere but
// there (mailpit GHSA-8r62).
func TestV8PathSpelling(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	for _, path := range append([]string{"/ws"}, spellings...) {
		absolute := strings.Contains(path, "://")
		for _, v := range vectors {
			if absolute {
				continue // its host is that of the target
			}
			res := e.ask(t, e.WS, "GET", path, v.host, v.origin)
			what := fmt.Sprintf("GET %s of %q from %q", path, v.host, v.origin)
			if v.refused != 0 && res.StatusCode != v.refused && !byHand(res) {
				t.Errorf("%s: %d, not %d", what, res.StatusCode, v.refused)
			}
			if !byHand(res) {
				careful(t, what, res)
			}
		}
		for _, method := range []string{"GET", "POST", "OPTIONS", "CONNECT", "get", "X"} {
			host := "mq.example"
			res := e.ask(t, e.WS, method, path, host, "https://evil.example")
			if !slices.Contains([]int{400, 403, 421}, res.StatusCode) {
				t.Errorf("%s %s from a foreign page: %d", method, path, res.StatusCode)
			}
			res = e.ask(t, e.WS, method, path, host, "https://mq.example")
			if got := res.StatusCode; got == 101 && (method != "GET" || !slices.Contains([]string{"/ws", "/%77s", "/w%73", "/%77%73", "/ws?/ws", "/ws?x=/%2e", "/ws#x", "http://mq.example/ws", "HTTP://MQ.EXAMPLE/ws"}, path)) {
				t.Errorf("%s %s is a WebSocket, too", method, path)
			}
			if loc := res.Header.Get("Location"); loc != "" && !strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//") {
				t.Errorf("%s %s leads to %q", method, path, loc)
			}
		}
	}
	// The target's host is the one that counts (RFC 9112, 3.2.2).
	if res := e.ask(t, e.WS, "GET", "http://evil.example/ws", "mq.example", ""); res.StatusCode != 421 {
		t.Errorf("absolute target: %d", res.StatusCode)
	}
	if res := e.ask(t, e.WS, "OPTIONS", "*", "mq.example", "https://evil.example"); res.StatusCode != 403 {
		t.Errorf("OPTIONS *: %d", res.StatusCode)
	}
}

// V9: a page whose own name was made to resolve here names that as the host, and gets nothing, from
// health and the pages for admins too (adk-go#1154).
func TestV9Rebinding(t *testing.T) {
	t.Parallel()
	open := newEdge(t, "")
	b := harness.Start(t, "admin: {listen: 127.0.0.1:0}") // as a newcomer runs it, whom rebinding is for
	b.Says("Queues ")
	local := &edge{Broker: b, admin: adminLine.FindStringSubmatch(b.Output())[1]}
	_, local.port, _ = net.SplitHostPort(b.WS)
	for _, e := range []*edge{open, local} {
		for isAdmin, paths := range pages {
			for _, path := range paths {
				addr := e.WS
				if isAdmin {
					addr = e.admin
				}
				for _, host := range []string{"evil.example", "evil.example:PORT", "evil.example:80", "rebind.127.0.0.1.example:PORT", "localhost.evil.example", "127.0.0.1.evil.example:PORT", "evil.localhost.example", "xn--lcalhost-54a:PORT", "0x7f.evil"} {
					for _, origin := range []string{"", "http://" + host, "https://" + host, "null"} {
						res := e.ask(t, addr, "GET", path, host, origin)
						if res.StatusCode != 421 {
							t.Errorf("admin %v, %s of %s from %q: %d", isAdmin, path, host, origin, res.StatusCode)
						}
						careful(t, path, res)
					}
				}
				if res := e.ask(t, addr, "GET", path, "-", "null"); res.StatusCode != 400 {
					t.Errorf("%s of nobody: %d", path, res.StatusCode)
				}
			}
		}
	}
	if res := local.ask(t, local.WS, "GET", "/ws", "localhost:PORT", "http://localhost:3000"); res.StatusCode != 101 {
		t.Errorf("a page of this machine: %d", res.StatusCode)
	}
}

// V10: no page is told by CORS that it may read an answer, whatever it asks, with credentials or not
// (RabbitMQ CVE-2026-66070, Spring SPR-16304).
func TestV10NoCORS(t *testing.T) {
	t.Parallel()
	e := newEdge(t, `jwt: {issuer: a, audience: b, jwks_url: "https://127.0.0.1:1/", cookie: session}`)
	for isAdmin, paths := range pages {
		addr := e.WS
		if isAdmin {
			addr = e.admin
		}
		for _, path := range append(paths, "/sockjs/info", "/ws/info", "*") {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
				for _, origin := range []string{"https://evil.example", "null", "https://app.example", "https://mq.example"} {
					res := e.ask(t, addr, method, path, "mq.example", origin, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-evil", "Cookie: session=x", "Access-Control-Request-Private-Network: true")
					what := fmt.Sprintf("%s %s from %s", method, path, origin)
					if foreign := !strings.Contains(origin, "mq.") && !strings.Contains(origin, "app."); foreign && res.StatusCode != 403 {
						t.Errorf("%s: %d", what, res.StatusCode)
					}
					if path == "*" && method != "OPTIONS" && byHand(res) {
						continue
					}
					careful(t, what, res)
				}
			}
		}
	}
}
