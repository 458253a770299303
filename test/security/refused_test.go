package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// V11: SockJS is not there: its URLs are 404 and nothing that a browser would run (CVE-2020-8823). No
// Upgrade, whatever it says, on whatever path, does any harm (CVE-2020-7693).
func TestV11NoSockJS(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "store: {engine: memory}")
	paths := []string{"/sockjs", "/sockjs/", "/sockjs/info", "/sockjs/iframe.html", "/sockjs/iframe-1.html", "/sockjs/websocket", "/sockjs/000/abc/websocket",
		"/sockjs/000/abc/xhr", "/sockjs/000/abc/xhr_send", "/sockjs/000/abc/xhr_streaming", "/sockjs/000/abc/eventsource", "/sockjs/000/abc/htmlfile?c=x",
		"/sockjs/000/abc/jsonp?c=%3Cscript%3Ealert(1)%3C/script%3E", "/sockjs/000/abc/jsonp_send", "/ws/info", "/ws/000/abc/websocket", "/ws/000/abc/jsonp?c=x",
		"/ws/", "/stomp", "/stomp/info", "/nothing"}
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PUT", "HEAD"} {
			r, err := http.NewRequest(method, "http://"+b.WS+path, strings.NewReader("[\"CONNECT\\n\\n\\u0000\"]"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			h := res.Header
			if err != nil || res.StatusCode != 404 || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") ||
				strings.Contains(string(body), "script") || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %s %v %q %v", method, path, res.Status, h, body, err)
			}
		}
	}
	upgrades := []string{"websocket", "Websocket", "h2c", "TLS/1.0, HTTP/1.1", "", " ", ",", "websocket, websocket", "websocket/13", "\"websocket\"", strings.Repeat("w", 4000), "\xff\xfe", "a\tb"}
	versions := []string{"13", "8", "", "-1", "99999999999999999999", "13, 8"}
	secrets := []string{harness.WSKey, "", "x", strings.Repeat("A", 4000), "====", "dGhlIHNhbXBsZSBub25jZQ"}
	tried, opened := 0, 0
	for _, path := range slices.Concat(paths, []string{"/ws", "/", "/healthz", "/readyz", "/metrics", "/app.js", "/api/publish", "*", "/ws#x", "/ws%00"}) {
		for i := range 2 * len(upgrades) {
			for _, connection := range []string{"Upgrade", "keep-alive, Upgrade", "close"} {
				upgrade, version, secret := upgrades[i%len(upgrades)], "13", harness.WSKey
				if i >= len(upgrades) { // one other thing is wrong, or two
					version, secret = versions[i%len(versions)], secrets[i/2%len(secrets)]
				}
				request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\nUpgrade: %s\r\nSec-WebSocket-Version: %s\r\nSec-WebSocket-Key: %s\r\n\r\n",
					path, b.WS, connection, upgrade, version, secret)
				named := slices.ContainsFunc(strings.Split(upgrade, ","), func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "websocket") })
				right := path == "/ws" && named && version == "13" && secret == harness.WSKey && connection != "close"
				if status := asked(t, b, request); (status == 101) != right || status >= 500 {
					t.Errorf("%q: %d", request, status)
				}
				if right {
					opened++
				}
				tried++
			}
		}
	}
	if status := asked(t, b, "GET /healthz HTTP/1.1\r\nHost: "+b.WS+"\r\n\r\n"); status != 200 {
		t.Errorf("after %d requests: %d", tried, status)
	}
	c := b.Dial(t, harness.WSText)
	connect(c)
	c.Expect("CONNECTED")
	c.Sync()
	if strings.Contains(b.Output(), "panic") {
		t.Error(b.Output())
	}
	if t.Logf("%d requests, %d of them right", tried, opened); opened == 0 {
		t.Error("none of them was right")
	}
}

// asked sends a request and gives the status of the answer.
func asked(t *testing.T, b *harness.Broker, request string) int {
	t.Helper()
	c, err := net.Dial("tcp", b.WS)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	write(t, c, []byte(request))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	// To the end: a scrape of /metrics goes on for a while after its client has left, and there are so many at a time.
	if _, err := io.Copy(io.Discard, res.Body); err != nil && res.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("%q: %v", request, err)
	}
	return res.StatusCode
}

// V13: a selector is no code (Spring CVE-2018-1270), and no expression of any kind: it is refused with
// a reason, whatever is in it, as quickly, and what it says does not happen. On other frames it is a
// header like any other.
func TestV13SelectorIsNotEvaluated(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "store: {engine: memory}")
	before := listed(t, b.Dir())
	selectors := []string{
		"T(java.lang.Runtime).getRuntime().exec('touch pwned')", "new java.lang.ProcessBuilder('touch','pwned').start()", "#{T(java.lang.System).exit(0)}",
		"${jndi:ldap://127.0.0.1/x}", "$(touch pwned)", "`touch pwned`", "'; touch pwned; '", "{{.}}", "<%= system('touch pwned') %>", "a = 1", "a = b = 1",
		"a LIKE '" + strings.Repeat("%a", 3000) + "'", "a LIKE '" + strings.Repeat("_%", 2000) + "' ESCAPE '\\\\'", strings.Repeat("(", 7000), strings.Repeat("NOT ", 1900),
		strings.Repeat("a OR ", 1500) + "a", "a IN (" + strings.Repeat("'x',", 1900) + "'x')", "1/0", "-9223372036854775808 / -1", "\\c\\n\\\\", "\U0010FFFF", "%s%n%x", "(a+)+$", ".*",
	}
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		hears := b.Dial(t, tr)
		connect(hears)
		hears.Expect("CONNECTED")
		hears.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/v13\n\n\x00")
		hears.Sync()
		c := b.Dial(t, tr)
		connect(c, "gudok-errors:soft")
		c.Expect("CONNECTED")
		for _, s := range selectors {
			for _, destination := range []string{"/topic/v13", "/queue/v13"} {
				began := time.Now()
				c.Sendf("SUBSCRIBE\nid:1\ndestination:%s\nselector:%s\nreceipt:r\n\n\x00", destination, strings.ReplaceAll(s, ":", "\\c"))
				f := c.Expect("ERROR", "message:not supported", "receipt-id:r", "fatal:false")
				if d := time.Since(began); d > time.Second {
					t.Errorf("%.40q took %v", s, d)
				}
				if body := string(f.Body); !strings.Contains(body, "selector") || len(body) > 1000 || strings.ContainsFunc(body, func(r rune) bool { return r < ' ' }) {
					t.Errorf("%.40q is refused with %q", s, body)
				}
			}
			c.Sendf("SEND\ndestination:/topic/v13\nselector:%s\n\nx\x00", strings.ReplaceAll(s, ":", "\\c"))
			want := strings.NewReplacer("\\\\", "\\", "\\n", "\n", "\\c", ":").Replace(s)
			if got := hears.Message("x").Value("selector"); got != want {
				t.Errorf("%.40q came as %.40q", s, got)
			}
		}
		c.Sendf("SUBSCRIBE\nid:1\ndestination:/topic/v13\nselector:\nreceipt:r\n\n\x00") // as of none
		c.Receipt("r")
		c.Sync()
	}
	if after := listed(t, b.Dir()); !slices.Equal(before, after) {
		t.Errorf("there were %q, now %q", before, after)
	}
}

// listed are the files of a directory.
func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
