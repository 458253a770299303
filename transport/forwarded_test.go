package transport_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/transport"
)

var trusted = []string{"127.0.0.1", "10.0.0.0/8", "fd00::/8"}

func TestForwarded(t *testing.T) {
	const peer = "127.0.0.1:5555"
	far := strings.Repeat("10.0.0.1, ", 1500)
	for _, row := range []struct {
		name    string
		peer    string
		headers []string
		addr    string
		scheme  string
	}{
		{"nothing", peer, nil, peer, ""},
		{"not trusted", "192.0.2.9:1", []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "X-Forwarded-Proto: https"}, "192.0.2.9:1", ""},
		{"loopback is not trusted by itself", "127.0.0.2:1", []string{"X-Forwarded-For: 203.0.113.7"}, "127.0.0.2:1", ""},
		{"one", peer, []string{"X-Forwarded-For: 203.0.113.7"}, "203.0.113.7:0", ""},
		{"one, IPv6", peer, []string{"X-Forwarded-For: 2001:db8::1"}, "[2001:db8::1]:0", ""},
		{"in brackets", peer, []string{"X-Forwarded-For: [2001:db8::1]"}, "[2001:db8::1]:0", ""},
		{"with ports", peer, []string{"X-Forwarded-For: 203.0.113.7:99, [fd00::1]:80"}, "203.0.113.7:99", ""},
		{"mapped", peer, []string{"X-Forwarded-For: ::ffff:203.0.113.7"}, "203.0.113.7:0", ""},
		{"trusted peer mapped", "[::ffff:127.0.0.1]:5", []string{"X-Forwarded-For: 203.0.113.7"}, "203.0.113.7:0", ""},
		{"the last that is not trusted", peer, []string{"X-Forwarded-For: 1.2.3.4, 203.0.113.7, 10.1.2.3"}, "203.0.113.7:0", ""},
		{"over several lines", peer, []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-For:10.1.2.3,\tfd00::1"}, "203.0.113.7:0", ""},
		{"spoofed as loopback", peer, []string{"X-Forwarded-For: 127.0.0.1, 203.0.113.7"}, "203.0.113.7:0", ""},
		{"spoofed as a proxy", peer, []string{"X-Forwarded-For: 1.2.3.4, 10.0.0.1, 203.0.113.7"}, "203.0.113.7:0", ""},
		{"all trusted", peer, []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3:0", ""},
		{"very long", peer, []string{"X-Forwarded-For: 203.0.113.7, " + far + "10.0.0.1"}, "203.0.113.7:0", ""},
		{"garbage before", peer, []string{"X-Forwarded-For: <script>, 203.0.113.7"}, "203.0.113.7:0", ""},
		{"garbage last", peer, []string{"X-Forwarded-For: 1.2.3.4, x"}, peer, ""},
		{"garbage behind a proxy", peer, []string{"X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.2, 10.0.0.1"}, "10.0.0.2:0", ""},
		{"empty", peer, []string{"X-Forwarded-For:"}, peer, ""},
		{"empty at the end", peer, []string{"X-Forwarded-For: 1.2.3.4,"}, peer, ""},
		{"zone", peer, []string{"X-Forwarded-For: fe80::1%eth0"}, peer, ""},
		{"unspecified", peer, []string{"X-Forwarded-For: 0.0.0.0"}, peer, ""},
		{"multicast", peer, []string{"X-Forwarded-For: 224.0.0.1"}, peer, ""},
		{"odd numbers", peer, []string{"X-Forwarded-For: 0177.0.0.1"}, peer, ""},
		{"a number", peer, []string{"X-Forwarded-For: 2130706433"}, peer, ""},
		{"bad port", peer, []string{"X-Forwarded-For: 1.2.3.4:99999"}, peer, ""},
		{"a name", peer, []string{"X-Forwarded-For: localhost"}, peer, ""},
		{"brackets around IPv4", peer, []string{"X-Forwarded-For: [1.2.3.4]"}, peer, ""},
		{"quoted", peer, []string{`X-Forwarded-For: "1.2.3.4"`}, peer, ""},
		{"a range", peer, []string{"X-Forwarded-For: 1.2.3.4/8"}, peer, ""},

		{"standard", peer, []string{"Forwarded: for=203.0.113.7;proto=https;by=10.0.0.1"}, "203.0.113.7:0", "https"},
		{"standard, IPv6", peer, []string{`Forwarded: For="[2001:db8::1]:4711"`}, "[2001:db8::1]:4711", ""},
		{"standard, two", peer, []string{`forwarded: for=1.2.3.4, for=203.0.113.7;proto=http, ,for=10.0.0.1`}, "203.0.113.7:0", "http"},
		{"standard, two lines", peer, []string{`Forwarded: for=1.2.3.4`, `Forwarded: for="203.0.113.7:8"`}, "203.0.113.7:8", ""},
		{"standard, escaped", peer, []string{`Forwarded: for="\203.0.113.7"`}, "203.0.113.7:0", ""},
		{"standard, hidden", peer, []string{`Forwarded: for=1.2.3.4, for=_gazonk`}, peer, ""},
		{"standard, unknown", peer, []string{`Forwarded: for=1.2.3.4, for=unknown`}, peer, ""},
		{"standard, no for", peer, []string{`Forwarded: for=1.2.3.4, proto=https`}, peer, "https"},
		{"standard, twice", peer, []string{`Forwarded: for=1.2.3.4;for=203.0.113.7`}, peer, ""},
		{"standard, open quote", peer, []string{`Forwarded: for="1.2.3.4, for=203.0.113.7`}, peer, ""},
		{"standard, a quote that swallows", peer, []string{`Forwarded: for=1.2.3.4;x=", for=203.0.113.7;by="10.0.0.1"`}, peer, ""},
		{"standard, malformed before", peer, []string{`Forwarded: for=1.2.3.4 for=2.3.4.5`, `Forwarded: for=203.0.113.7`}, "203.0.113.7:0", ""},
		{"standard, no value", peer, []string{`Forwarded: for=`}, peer, ""},
		{"standard, no name", peer, []string{`Forwarded: =1.2.3.4`}, peer, ""},
		{"standard, no pair", peer, []string{`Forwarded: 1.2.3.4`}, peer, ""},
		{"standard, IPv6 bare", peer, []string{`Forwarded: for=2001:db8::1`}, peer, ""},

		{"both, alike", peer, []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7"}, "203.0.113.7:0", ""},
		{"both, and one is the client's", peer, []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=127.0.0.1"}, peer, ""},
		{"both, and the other is", peer, []string{"X-Forwarded-For: 10.0.0.9", "Forwarded: for=203.0.113.7"}, peer, ""},
		{"both, one malformed", peer, []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: x"}, peer, ""},

		{"https", peer, []string{"X-Forwarded-Proto: https"}, peer, "https"},
		{"as Traefik says", peer, []string{"X-Forwarded-Proto: wss"}, peer, "https"},
		{"http", peer, []string{"X-Forwarded-Proto: HTTP"}, peer, "http"},
		{"of two proxies", peer, []string{"X-Forwarded-Proto: https, http"}, peer, "https"},
		{"of two proxies, lines", peer, []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, peer, "https"},
		{"nonsense", peer, []string{"X-Forwarded-Proto: javascript"}, peer, ""},
		{"one beats the standard", peer, []string{"X-Forwarded-Proto: https", "Forwarded: proto=http"}, peer, "https"},
		{"over a proxy that does not know its client", "127.0.0.1:0", []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https"}, "127.0.0.1:0", ""},
		{"no address", "@", []string{"X-Forwarded-For: 203.0.113.7"}, "@", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = row.peer
		for _, h := range row.headers {
			name, value, _ := strings.Cut(h, ":")
			r.Header.Add(name, strings.TrimSpace(value))
		}
		if addr, scheme := transport.Requester(trusted, r); addr != row.addr || scheme != row.scheme {
			t.Errorf("%s: %s %q, want %s %q", row.name, addr, scheme, row.addr, row.scheme)
		}
		// Without trusted proxies nothing of it counts.
		if addr, scheme := transport.Requester(nil, r); addr != row.peer || scheme != "" {
			t.Errorf("%s: %s %q", row.name, addr, scheme)
		}
	}
}

// FuzzForwarded: nothing crashes; who it is was said by a proxy, and what a client puts in front of what
// the proxy adds changes nothing.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "1.2.3.4, x", "127.0.0.1,", "[::1]:80", "for=1.2.3.4", `for="[::1]:80";proto=https`, `for="`, `for="\`, `x="`, `for=1.2.3.4;for=2`, "for=_x,", ";;,,;", "\x00", strings.Repeat(",", 300)} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, standard bool) {
		name, add := "X-Forwarded-For", "203.0.113.7"
		if standard {
			name, add = "Forwarded", "for=203.0.113.7"
		}
		of := func(lines ...string) string {
			r := &http.Request{RemoteAddr: "127.0.0.1:5555", Header: http.Header{name: lines}}
			addr, scheme := transport.Requester(trusted, r)
			if scheme != "" && scheme != "http" && scheme != "https" {
				t.Errorf("scheme %q", scheme)
			}
			ap, err := netip.ParseAddrPort(addr)
			if err != nil || ap.Addr().Zone() != "" || ap.Addr().Is4In6() {
				t.Errorf("%q: %s, %v", lines, addr, err)
			}
			return addr
		}
		of(s)
		if got := of(s, add); got != "203.0.113.7:0" {
			t.Errorf("%q as a line before: %s", s, got)
		}
		// In the same line, a header of the client's own may at most make the whole unreadable.
		if got := of(s + ", " + add); got != "203.0.113.7:0" && !(standard && got == "127.0.0.1:5555") {
			t.Errorf("%q before, in the line: %s", s, got)
		}
	})
}

// Every answer has the headers, whatever it says; HSTS goes with TLS only.
func TestGuardHeaders(t *testing.T) {
	o := quietly(transport.Options{PublicHosts: []string{"mq.example"}, TrustedProxies: []string{"127.0.0.1"}, HSTS: time.Hour})
	page := transport.Guard(o, http.NotFoundHandler())
	socket := transport.NewWebSocket(newRecorder(), o)
	for _, row := range []struct {
		name         string
		host, origin string
		peer, proto  string
		tls          bool
		page, ws     int
		hsts         bool
	}{
		{"plain", "mq.example", "", "1.2.3.4:1", "", false, 404, 426, false},
		{"TLS", "mq.example", "", "1.2.3.4:1", "", true, 404, 426, true},
		{"TLS at a proxy", "mq.example", "https://mq.example", "127.0.0.1:1", "https", false, 404, 426, true},
		{"TLS at a proxy, a page without", "mq.example", "http://mq.example", "127.0.0.1:1", "https", false, 403, 403, true},
		{"no TLS at a proxy, a page with", "mq.example", "https://mq.example", "127.0.0.1:1", "http", false, 403, 403, false},
		{"TLS, a page without", "mq.example", "http://mq.example", "1.2.3.4:1", "", true, 403, 403, true},
		{"TLS by a client's word", "mq.example", "http://mq.example", "1.2.3.4:1", "https", false, 404, 426, false},
		{"foreign host", "evil.example", "", "1.2.3.4:1", "", true, 421, 421, true},
		{"foreign page", "mq.example", "https://evil.example", "1.2.3.4:1", "", false, 403, 403, false},
		{"no host", "", "", "1.2.3.4:1", "", false, 400, 400, false},
	} {
		for what, h := range map[string]http.Handler{"page": page, "socket": socket} {
			r := httptest.NewRequest("GET", "/ws", nil)
			r.Host, r.RemoteAddr = row.host, row.peer
			if row.origin != "" {
				r.Header.Set("Origin", row.origin)
			}
			if row.proto != "" {
				r.Header.Set("X-Forwarded-Proto", row.proto)
			}
			if row.tls {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := row.page
			if what == "socket" {
				want = row.ws
			}
			if w.Code != want {
				t.Errorf("%s, %s: %d, want %d", row.name, what, w.Code, want)
			}
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			} {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s, %s: %s: %q", row.name, what, name, got)
				}
			}
			hsts := ""
			if row.hsts {
				hsts = "max-age=3600"
			}
			if got := w.Header().Get("Strict-Transport-Security"); got != hsts {
				t.Errorf("%s, %s: HSTS %q", row.name, what, got)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") || name == "Server" {
					t.Errorf("%s, %s: %s", row.name, what, name)
				}
			}
		}
	}
}

// A page of another port of this server may connect, and of that one alone.
func TestConsolePort(t *testing.T) {
	o := transport.Options{PublicHosts: []string{"mq.example"}, ConsolePort: 15680}
	for origin, want := range map[string]int{
		"http://mq.example:15680": 101, "https://mq.example:15680": 101, "http://mq.example:15681": 403, "http://evil.example:15680": 403,
		"http://1.2.3.4:15680": 403, "http://localhost:15680": 403,
	} {
		if w := serve(transport.NewWebSocket(nil, quietly(o)), "/ws", "mq.example:15674", origin); w.Code != want {
			t.Errorf("%s: %d", origin, w.Code)
		}
	}
}

// A session has the client's address by the proxy's word, also where Front reads the handshake.
func TestPeerIsTheClient(t *testing.T) {
	r := newRecorder()
	addr := serveWS(t, r, transport.Options{TrustedProxies: []string{"127.0.0.1"}})
	for lines, want := range map[string]string{"X-Forwarded-For: 9.9.9.9, 203.0.113.7": "203.0.113.7:0", "Forwarded: for=\"203.0.113.7:7\"": "203.0.113.7:7", "X-Real-IP: 1.2.3.4": "", "X-Forwarded-For: \xff": ""} {
		c := dialWS(t, addr, nil, lines)
		if want == "" {
			want = c.LocalAddr().String()
		}
		if got := receive(t, r.conns).Peer().Addr.String(); got != want {
			t.Errorf("%s: %s", lines, got)
		}
		c.Close()
		r.wait(t)
	}
}
