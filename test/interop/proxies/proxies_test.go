// Package proxies runs the broker behind real nginx and HAProxy, with the configuration that the README
// shows.
package proxies

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/interop/foreign"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// client is where clients connect from: not where a proxy is.
const client = "127.0.0.42"

// snippet is a block of the README's section on proxies.
func snippet(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Behind a proxy\n")
	_, block, found2 := strings.Cut(section, "```"+language+"\n")
	block, _, found3 := strings.Cut(block, "```\n")
	if !found || !found2 || !found3 {
		t.Fatalf("the README has no block of %s", language)
	}
	return block
}

// replace replaces each of old, which must be there.
func replace(t *testing.T, text string, oldnew ...string) string {
	t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("%q is not in\n%s", oldnew[i], text)
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	return text
}

// start starts a broker with the README's configuration, for users.
func start(t *testing.T, config string) *harness.Broker {
	t.Helper()
	return harness.Start(t, config+fmt.Sprintf("\nlog: {level: debug}\nheartbeat: {grace: 1}\nusers: [{name: alice, password_hash: %q}]\n", harness.Hash(t, harness.Canary)))
}

// site is a certificate for mq.example.org, the files it is in, and who trusts it.
type site struct {
	cert, key, both string
	roots           *x509.CertPool
}

func newSite(t *testing.T) site {
	t.Helper()
	s := site{roots: x509.NewCertPool()}
	s.cert, s.key = harness.Certificate(t, "mq.example.org")
	var texts [2][]byte
	for i, file := range []string{s.cert, s.key} {
		var err error
		if texts[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	s.both = filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(s.both, slices.Concat(texts[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.roots.AppendCertsFromPEM(texts[0])
	return s
}

// freeAddress is one that nothing listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// serve runs a proxy until the test ends, and returns when it answers at all of its addresses.
func serve(t *testing.T, addresses []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(harness.Patience)
	for _, a := range addresses {
		for {
			conn, err := net.Dial("tcp", a)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("%s ended: %v\n%s", name, err, said.String())
			case <-late:
				t.Fatalf("%s does not listen on %s", name, a)
			case <-tick.C:
			}
		}
	}
}

// nginx runs it with these blocks at the top level of its configuration.
func nginx(t *testing.T, blocks string, addresses ...string) {
	t.Helper()
	program := foreign.Need(t, "nginx")[0]
	dir := t.TempDir()
	paths := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		paths += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	config := fmt.Sprintf("%sdaemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\nevents {}\n", strings.ReplaceAll(blocks, "http {", "http {\naccess_log off;\n"+paths), dir)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, addresses, program, "-p", dir, "-e", "stderr", "-c", file)
}

func haproxy(t *testing.T, config string, addresses ...string) {
	t.Helper()
	program := foreign.Need(t, "haproxy")[0]
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, addresses, program, "-db", "-f", file)
}

// conn is a client of a proxy, over WebSocket or not.
type conn struct {
	t   *testing.T
	nc  net.Conn
	in  *bufio.Reader
	web bool
}

// dial connects from the client's address; s is not nil for TLS.
func dial(t *testing.T, addr string, s *site) *conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: harness.Patience}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if s != nil {
		nc = tls.Client(nc, &tls.Config{RootCAs: s.roots, ServerName: "mq.example.org", NextProtos: []string{"http/1.1"}})
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(4 * harness.Patience))
	return &conn{t: t, nc: nc, in: bufio.NewReader(nc)}
}

// upgrade makes it a WebSocket, and returns the answer.
func (c *conn) upgrade(lines ...string) *http.Response {
	c.t.Helper()
	io.WriteString(c.nc, harness.Upgrade("mq.example.org", "/ws", lines...))
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.web = res.StatusCode == 101
	return res
}

func (c *conn) say(text string) {
	c.t.Helper()
	p := []byte(text)
	if c.web {
		p = harness.WSFrame{Op: harness.OpText, Payload: p}.Append(nil)
	}
	if _, err := c.nc.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads up to a NUL and expects this in it. Heart-beats come before.
func (c *conn) hear(want string) string {
	c.t.Helper()
	got, err := c.in.ReadString(0)
	if !strings.Contains(got, want) {
		c.t.Fatalf("%q, %v; want %q", got, err, want)
	}
	return got
}

const login = "CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:" + harness.Canary + "\nheart-beat:2000,2000\n\n\x00"

// works takes a session through login, a message and a wrong frame. The broker knows the client's
// address, whatever the client says of itself.
func (c *conn) works(b *harness.Broker) {
	c.t.Helper()
	c.say(login)
	_, rest, _ := strings.Cut(c.hear("user-name:alice"), "\nsession:")
	session, _, _ := strings.Cut(rest, "\n")
	topic := "/topic/" + session[:8] // others are at work as well
	c.say("SUBSCRIBE\nid:0\ndestination:" + topic + "\n\n\x00SEND\ndestination:" + topic + "\nreceipt:r\n\nthrough the proxy\x00")
	c.hear("through the proxy")
	c.hear("receipt-id:r")
	c.say("NONSENSE\n\n\x00")
	c.hear("ERROR")
	b.Says("session=" + session)
	for line := range strings.Lines(b.Output()) {
		if strings.Contains(line, "session="+session) && !strings.Contains(line, "peer="+client+":") {
			c.t.Errorf("who it was: %s", line)
		}
	}
	if strings.Contains(b.Output(), "203.0.113") {
		c.t.Error("what a client said of itself was believed")
	}
}

// idles keeps sessions for longer than the proxies' five seconds with heart-beats alone.
func idles(t *testing.T, conns ...*conn) {
	t.Helper()
	end := time.Now().Add(12 * time.Second)
	for _, c := range conns {
		c.say(login)
		c.hear("heart-beat:")
	}
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for time.Now().Before(end) {
		<-beat.C
		for _, c := range conns {
			c.say("\n")
		}
	}
	for _, c := range conns {
		c.say("SEND\ndestination:/topic/nobody\nreceipt:alive\n\n\x00")
		c.hear("receipt-id:alive")
	}
}

// refusesPages: what the README has proxies pass on is enough for the check of Origins.
func refusesPages(t *testing.T, addr string, s *site) {
	t.Helper()
	for origin, want := range map[string]int{"https://mq.example.org": 101, "http://mq.example.org": 403, "https://evil.example": 403, "http://localhost:3000": 403, "null": 403} {
		res := dial(t, addr, s).upgrade("Origin: " + origin)
		if res.StatusCode != want || res.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("%s: %d, HSTS %q", origin, res.StatusCode, res.Header.Get("Strict-Transport-Security"))
		}
	}
}

// spoofs are what a client says of itself, in vain.
var spoofs = [][]string{nil, {"X-Forwarded-For: 203.0.113.7"}, {"X-Forwarded-For: 127.0.0.1, 203.0.113.7"}, {"Forwarded: for=203.0.113.7"}, {"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 203.0.113.8", "Forwarded: for=203.0.113.7"}, {"X-Real-IP: 203.0.113.7"}}

func TestNginx(t *testing.T) {
	t.Parallel()
	foreign.Need(t, "nginx")
	config := replace(t, snippet(t, "yaml"), ", proxy_protocol: on", "", "tcp: {trusted_proxies: [127.0.0.1]}\n", "")
	b, s, addr := start(t, config), newSite(t), freeAddress(t)
	block := replace(t, snippet(t, "nginx"), "listen 443 ssl", "listen "+addr+" ssl", "/etc/nginx/mq.pem", s.cert, "/etc/nginx/mq-key.pem", s.key,
		"127.0.0.1:15674", b.WS, "proxy_read_timeout 60s", "proxy_read_timeout 5s")
	nginx(t, "http {\n"+block+"}\n", addr)
	for _, spoof := range spoofs {
		c := dial(t, addr, &s)
		if res := c.upgrade(append(spoof, "Origin: https://mq.example.org")...); res.StatusCode != 101 {
			t.Fatalf("%q: %s", spoof, res.Status)
		}
		c.works(b)
	}
	refusesPages(t, addr, &s)
	c := dial(t, addr, &s)
	c.upgrade()
	idles(t, c)
}

// nginx hands on TCP, and names the client in version 1.
func TestNginxStream(t *testing.T) {
	t.Parallel()
	foreign.Need(t, "nginx")
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		foreign.Missing(t, "nginx's stream module")
	}
	b, addr := start(t, snippet(t, "yaml")), freeAddress(t)
	nginx(t, fmt.Sprintf("load_module "+module+";\nstream { server { listen %s; proxy_pass %s; proxy_protocol on; proxy_timeout 5s; } }\n", addr, b.TCP), addr)
	dial(t, addr, nil).works(b)
	idles(t, dial(t, addr, nil))
}

func TestHAProxy(t *testing.T) {
	t.Parallel()
	foreign.Need(t, "haproxy")
	b, s := start(t, snippet(t, "yaml")), newSite(t)
	for name, header := range map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web, stomp := freeAddress(t), freeAddress(t)
			config := replace(t, snippet(t, "haproxy"), "bind :443", "bind "+web, "bind :61614", "bind "+stomp, "/etc/haproxy/mq.pem", s.both,
				"127.0.0.1:15674", b.WS, "127.0.0.1:61613", b.TCP, "send-proxy-v2 ", header+" ", "timeout tunnel 60s", "timeout tunnel 5s", "timeout client 60s", "timeout client 5s", "timeout server 60s", "timeout server 5s")
			haproxy(t, config, web, stomp)
			for _, spoof := range spoofs {
				c := dial(t, web, &s)
				if res := c.upgrade(append(spoof, "Origin: https://mq.example.org")...); res.StatusCode != 101 {
					t.Fatalf("%q: %s", spoof, res.Status)
				}
				c.works(b)
			}
			dial(t, stomp, &s).works(b)
			refusesPages(t, web, &s)
			c := dial(t, web, &s)
			c.upgrade()
			idles(t, c, dial(t, stomp, &s))
		})
	}
}

// HAProxy in front of the HTTP listener by the PROXY protocol alone, with its checks of health.
func TestHAProxyTCPMode(t *testing.T) {
	t.Parallel()
	foreign.Need(t, "haproxy")
	b := start(t, "http: {public_hosts: [mq.example.org], trusted_proxies: [127.0.0.1], proxy_protocol: on}")
	for name, header := range map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := freeAddress(t)
			haproxy(t, fmt.Sprintf(`
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    mode tcp
    bind %s
    option httpchk
    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host mq.example.org
    server gudok %s %s check inter 100ms check-send-proxy
`, addr, b.WS, header), addr)
			for _, spoof := range spoofs {
				c := dial(t, addr, nil)
				if res := c.upgrade(spoof...); res.StatusCode != 101 {
					t.Fatalf("%q: %s", spoof, res.Status)
				}
				c.works(b)
			}
		})
	}
}
