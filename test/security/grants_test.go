package security

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// answer is what came back over HTTP.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request by who: empty, or "login" or "login:password", or "Bearer token".
func ask(t testing.TB, b *harness.Broker, method, path, who string) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+b.WS+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if login, password, ok := strings.Cut(who, ":"); ok {
		r.SetBasicAuth(login, password)
	} else if strings.Contains(who, " ") {
		r.Header.Set("Authorization", who)
	} else if who != "" {
		r.SetBasicAuth(who, canary+"-"+who)
	}
	dialer := net.Dialer{}
	if b.From != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(b.From)}
	}
	client := http.Client{Timeout: harness.Patience, Transport: harness.Pages(&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	return answer{res.StatusCode, res.Header, string(text)}
}

func (a answer) get(name string) string { return a.header.Get(name) }

// startAdmin starts a broker with rules: ops may see all, prom metrics, bob neither.
func startAdmin(t testing.TB, extra string) *harness.Broker {
	t.Helper()
	config := "log: {level: error}\nadmin: {pprof: yes}\nusers:\n"
	for _, name := range []string{"ops", "prom", "bob", "dora"} {
		config += fmt.Sprintf("  - {name: %s, password_hash: %q}\n", name, hashOf(t, canary+"-"+name, auth.Bcrypt))
	}
	return harness.Start(t, config+`
rules:
  - {who: "*", send: [/queue/bob.**, /topic/**], subscribe: [/queue/bob.**, /topic/**]}
  - {who: ops, send: [/queue/**], subscribe: [/queue/**, "/admin/**"]}
  - {who: prom, subscribe: [/admin/metrics]}
  - {who: dora, subscribe: [/admin/**], deny: [/admin/metrics, /admin/pprof]}
`+extra)
}

// announce sends a request with a body of that length, without the body, and gives the first line of
// the answer.
func announce(t testing.TB, b *harness.Broker, method, path string, length int) string {
	t.Helper()
	c, err := net.Dial("tcp", b.WS)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", method, path, b.WS, length)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return line
}

// V28: what is to be seen of the broker needs a login and a grant, is read only, takes no big bodies, and
// repeats no client's words as markup.
func TestV28AdminNeedsAGrant(t *testing.T) {
	b := startAdmin(t, "")
	// A name that would be markup, or another metric.
	c := b.Dial(t, harness.TCP)
	connect(c, "login:ops", "passcode:"+canary+"-ops")
	c.Expect("CONNECTED")
	c.Sendf("SEND\ndestination:/queue/<script>alert(1)</script>\nreceipt:1\n\nx\x00SEND\ndestination:/queue/\"} 9\nreceipt:2\n\nx\x00")
	c.Receipt("1")
	c.Receipt("2")

	closed := []string{"/metrics", "/api/status", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"}
	for _, path := range closed {
		for who, code := range map[string]int{
			"": 401, "bob": 403, "ops:wrong": 401, "nobody:x": 401, "Bearer x": 401, "Bearer eyJhbGciOiJub25lIn0.e30.": 401,
			"Digest username=ops": 401, "Basic b3Bz": 401,
		} {
			a := ask(t, b.Elsewhere(), "GET", path, who)
			if a.code != code {
				t.Errorf("%s as %q: %d", path, who, a.code)
			}
			if a.get("Cache-Control") != "no-store" || a.code == 401 && a.get("WWW-Authenticate") == "" || strings.Contains(a.body, "script") {
				t.Errorf("%s as %q: %v %s", path, who, a.header, a.body)
			}
		}
	}
	for who, want := range map[string][]int{
		"ops":  {200, 200, 200, 200, 200, 404},
		"prom": {200, 403, 403, 403, 403, 403},
		"dora": {403, 200, 403, 403, 403, 403}, // a deny beats a grant
	} {
		var got []int
		for _, path := range closed {
			a := ask(t, b, "GET", path, who)
			got = append(got, a.code)
			if path == "/metrics" && a.code == 200 && (!strings.Contains(a.body, `queue="/queue/<script>alert(1)</script>"`) ||
				!strings.Contains(a.body, `queue="/queue/\"} 9"`) || !strings.HasPrefix(a.get("Content-Type"), "text/plain") || a.get("X-Content-Type-Options") != "nosniff") {
				t.Errorf("%v\n%s", a.header, a.body)
			}
			if path == "/debug/pprof/goroutine?debug=1" && strings.Contains(a.body, canary) {
				t.Error("a profile tells a password")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", who, got, want)
		}
	}
	for _, path := range append(closed, "/", "/healthz", "/readyz", "/app.js") {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			if a := ask(t, b, method, path, "ops"); a.code != 405 {
				t.Errorf("%s %s: %d", method, path, a.code)
			}
		}
		for method, want := range map[string]string{"GET": "413 Request Entity Too Large", "POST": "405 Method Not Allowed"} {
			if got := announce(t, b, method, path, 1<<20); got != "HTTP/1.1 "+want+"\r\n" {
				t.Errorf("%s %s with a big body: %q", method, path, got)
			}
		}
	}
	// Another spelling of a path is no way around.
	for _, path := range []string{"//metrics", "/./metrics", "/%6detrics", "/metrics/", "/METRICS", "/metrics%00", "/metrics;x", "/x/../metrics",
		"/debug/pprof", "/debug//pprof/heap", "/debug/pprof/../../metrics", "/api/./status", "/%61pi/status", "/api%2fstatus"} {
		if a := ask(t, b, "GET", path, ""); a.code == 200 || strings.Contains(a.body, "gudok_") || strings.Contains(a.body, "sessions") {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	// Another host's name is none of ours.
	r, _ := http.NewRequest("GET", "http://"+b.WS+"/metrics", nil)
	r.Host = "evil.example"
	r.SetBasicAuth("ops", canary+"-ops")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign host: %d", res.StatusCode)
	}
	// Who guesses is slowed, as at CONNECT, and who knows is not.
	slowed, guesser := 0, b.Elsewhere()
	for i := range 40 {
		if a := ask(t, guesser, "GET", "/metrics", fmt.Sprintf("ops:guess-%d", i)); a.code == 429 {
			slowed++
		} else if a.code != 401 {
			t.Fatalf("guess %d: %d", i, a.code)
		}
	}
	if slowed < 20 {
		t.Errorf("%d of 40 guesses were slowed", slowed)
	}
	if a := ask(t, b, "GET", "/metrics", "ops"); a.code != 200 {
		t.Errorf("ops after the guesses: %d", a.code)
	}
}

// V28: without rules a login is enough, and without logins, on loopback only, nothing is needed.
func TestV28AdminWithoutRules(t *testing.T) {
	b := harness.Start(t, fmt.Sprintf("log: {level: error}\nauth: {anonymous: yes}\nusers: [{name: bob, password_hash: %q}]\n", hashOf(t, canary+"-bob", auth.Bcrypt)))
	for _, path := range []string{"/metrics", "/api/status"} {
		if a := ask(t, b, "GET", path, ""); a.code != 401 {
			t.Errorf("%s without a login: %d", path, a.code)
		}
		if a := ask(t, b, "GET", path, "bob"); a.code != 200 {
			t.Errorf("%s with one: %d", path, a.code)
		}
	}
	if a := ask(t, b, "GET", "/debug/pprof/", "bob"); a.code != 404 {
		t.Errorf("profiles that nobody has asked for: %d", a.code)
	}
	b = harness.Start(t, "log: {level: error}\n")
	for _, path := range []string{"/metrics", "/api/status", "/", "/healthz", "/readyz"} {
		if a := ask(t, b, "GET", path, ""); a.code != 200 {
			t.Errorf("%s where nobody logs in: %d", path, a.code)
		}
	}
}

// V19: who may not see it cannot tell what is there: not by metrics, the page or health, whose answers
// are the same before and after, and not by ERRORs, which are the same for what exists and what does not.
func TestV19SideChannels(t *testing.T) {
	b := startAdmin(t, "")
	paths := []string{"/", "/metrics", "/api/status", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/none", "/api/queues", "/nothing"}
	look := func() map[string]answer {
		all := map[string]answer{}
		for _, path := range paths {
			for _, who := range []string{"", "bob"} {
				all[path+" "+who] = ask(t, b, "GET", path, who)
			}
		}
		return all
	}
	before := look()
	ops := b.Dial(t, harness.TCP)
	connect(ops, "login:ops", "passcode:"+canary+"-ops")
	ops.Expect("CONNECTED")
	const there, missing = "/queue/plan.s3cret", "/queue/plan.n0thin"
	for i := range 50 {
		ops.Sendf("SEND\ndestination:%s\nreceipt:%d\n\nx\x00", there, i)
		ops.Receipt(fmt.Sprint(i))
	}
	ops.Sendf("SUBSCRIBE\nid:1\ndestination:%s\nack:client\nprefetch-count:1\nreceipt:s\n\n\x00", there)
	ops.Receipt("s")
	ops.Message("x")
	after := look()
	for key, a := range after {
		if was := before[key]; a.code != was.code || a.body != was.body || !maps.EqualFunc(a.header, was.header, slices.Equal) {
			t.Errorf("%s: %d %v %q before, %d %v %q after", key, was.code, was.header, was.body, a.code, a.header, a.body)
		}
		if strings.Contains(a.body, "s3cret") || strings.Contains(a.body, "gudok_") {
			t.Errorf("%s: %s", key, a.body)
		}
	}
	if a := ask(t, b, "GET", "/metrics", "prom"); !strings.Contains(a.body, `gudok_queue_messages{queue="`+there+`",state="ready"} 49`) {
		t.Errorf("prom does not see it: %d %s", a.code, a.body)
	}
	// The same ERROR, and the same in the order of frames.
	said := map[string]string{}
	for _, name := range []string{there, missing} {
		for _, f := range []string{"SEND\ndestination:%s\nreceipt:r\n\nx\x00", "SUBSCRIBE\nid:1\ndestination:%s\nreceipt:r\n\n\x00",
			"SUBSCRIBE\nid:1\ndestination:%s\nreceipt:r\nbrowser:true\n\n\x00", "SUBSCRIBE\nid:1\ndestination:%s\nreceipt:r\nx-queue-name:n\n\n\x00"} {
			bob := b.Dial(t, harness.TCP)
			connect(bob, "login:bob", "passcode:"+canary+"-bob")
			bob.Expect("CONNECTED")
			bob.Sendf(f, name)
			text := strings.ReplaceAll(bob.Expect("ERROR").String(), name, "NAME")
			if other, ok := said[f]; ok && other != text {
				t.Errorf("%q: %s\nand %s", f, other, text)
			}
			said[f] = text
		}
	}
	// /admin/… is no destination, for anyone.
	for _, f := range []string{"SUBSCRIBE\nid:2\ndestination:/admin/metrics\n\n\x00", "SEND\ndestination:/admin/status\n\nx\x00", "SUBSCRIBE\nid:2\ndestination:/admin/**\n\n\x00"} {
		c := b.Dial(t, harness.TCP)
		connect(c, "login:ops", "passcode:"+canary+"-ops")
		c.Expect("CONNECTED")
		c.Sendf("%s", f)
		c.Expect("ERROR", "message:unknown destination prefix")
	}
}
