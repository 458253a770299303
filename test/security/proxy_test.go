package security

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// named is a PROXY header that names a client.
func named(t *testing.T, version byte, client string) string {
	t.Helper()
	src := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(client))
	h := proxyproto.HeaderProxyFromAddrs(version, src, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 61613})
	text, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	localHeader   = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	unspecHeader  = "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00"
	unknownHeader = "PROXY UNKNOWN\r\n"
)

// behind starts a broker with two listeners behind proxies on 127.0.0.1. http is more of that group.
func behind(t *testing.T, http string) *harness.Broker {
	t.Helper()
	return harness.Start(t, fmt.Sprintf(`
log: {level: debug}
users: [{name: alice, password_hash: %q}, {name: bob, password_hash: %q}]
limits: {failed_logins: 3}
http: {public_hosts: [mq.example], trusted_proxies: [127.0.0.1]%s}
tcp: {proxy_protocol: on, trusted_proxies: ["127.0.0.1", "::1"]}
`, hashOf(t, canary+"-alice", auth.Bcrypt), hashOf(t, canary+"-bob", auth.Bcrypt), http))
}

// through connects to the STOMP listener from an address of this machine, and says header first.
func through(t *testing.T, b *harness.Broker, from, header string) *harness.Client {
	t.Helper()
	c := b.At(from).Dial(t, harness.TCP)
	c.Sendf("%s", header)
	return c
}

// refused fails unless the broker ends the connection without a word.
func refused(t *testing.T, what string, c *harness.Client) {
	t.Helper()
	f, err := c.ReadFrame(harness.Patience)
	var end *harness.Close
	if f != nil || !errors.As(err, &end) && !errors.Is(err, io.EOF) && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("%s: %v, %v", what, f, err)
	}
}

// V22: a client is not local because its proxy is, or because a header says so, and a header counts from
// a trusted proxy only (RabbitMQ CVE-2026-57216, CVE-2026-67411).
func TestV22ProxyIsNotLoopback(t *testing.T) {
	t.Parallel()
	b := behind(t, "")
	for _, version := range []byte{1, 2} {
		for _, client := range []string{"127.0.0.1:1", "[::1]:1", "203.0.113.7:1"} {
			c := through(t, b, "127.0.0.1", named(t, version, client))
			connect(c)
			c.Expect("ERROR", "message:bad credentials")
			c.ExpectClose()
		}
		// Who is not a trusted proxy is not heard, whatever he says, nor is one who says nothing of his client.
		for _, from := range []string{"127.0.0.2", "127.255.255.254"} {
			c := through(t, b, from, named(t, version, "127.0.0.1:1"))
			refused(t, from, c)
		}
	}
	for _, header := range []string{
		"CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:" + canary + "-alice\n\n\x00",
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", strings.Repeat("\n", 100), strings.Repeat("PROXY ", 50), "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("\x7f", 5000),
		"PROXY TCP4 127.0.0.1 127.0.0.1 1 1 \r\nCONNECT\n\n\x00",
	} {
		c := through(t, b, "127.0.0.1", header)
		refused(t, fmt.Sprintf("%.20q", header), c)
	}
	b.Says("not a proxy that is trusted")
	b.Says("setting=tcp.trusted_proxies")
	b.Says("no PROXY header")

	// A page of the client's machine is not one of this machine's.
	for origin, want := range map[string]int{"http://localhost:3000": 403, "http://127.0.0.1": 403, "https://mq.example": 101} {
		if got := status(t, b, harness.Upgrade("mq.example", "/ws", "Origin: "+origin)); got != want {
			t.Errorf("%s: %d", origin, got)
		}
	}
	// Without a login a proxy would open the broker to everyone.
	for _, config := range []string{
		"http: {trusted_proxies: [127.0.0.1]}", "http: {trusted_proxies: [10.0.0.0/8], proxy_protocol: on}",
		"tcp: {trusted_proxies: [127.0.0.1], proxy_protocol: on}", "admin: {listen: \"0.0.0.0:0\"}", "admin: {listen: \":0\"}",
	} {
		b, err := harness.TryStart(t, config, harness.Options{Quiet: true})
		if err == nil {
			b.Stop()
			t.Errorf("it starts with %s", config)
		} else if b.Exited(harness.Patience) == 0 || !strings.Contains(b.Output(), "nobody has to log in") {
			t.Errorf("%s: %v", config, b.Output())
		}
	}
}

// status is the answer to a raw request.
func status(t *testing.T, b *harness.Broker, request string) int {
	t.Helper()
	ws, err := harness.Handshake(b.WS, request)
	if err != nil {
		t.Fatal(err)
	}
	ws.Conn.Close()
	return ws.Response.StatusCode
}

// The client's address is the one that the log, and the account of failed logins, has: whichever way it
// came, and whatever the client says of itself.
func TestV22ClientsAddress(t *testing.T) {
	t.Parallel()
	b := behind(t, "")
	try := func(client, user string, viaTCP bool, lines ...string) string {
		t.Helper()
		var c *harness.Client
		if viaTCP {
			c = through(t, b, "127.0.0.1", named(t, 1+byte(len(client))%2, client+":4711"))
		} else {
			c = b.Dial(t, harness.WSText, lines...)
		}
		connect(c, "login:"+user, "passcode:"+canary+"-wrong")
		f := c.Expect("ERROR")
		c.ExpectClose()
		return f.Value("message")
	}
	proxy := func(client string, i int) []string {
		return [][]string{
			{"X-Forwarded-For: " + client},
			{fmt.Sprintf("X-Forwarded-For: 198.51.100.%d, %s", i, client)},
			{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: " + client},
			{fmt.Sprintf("Forwarded: for=%s;proto=https", client), "X-Real-IP: 127.0.0.1", "True-Client-IP: 127.0.0.1", "X-Client-IP: 127.0.0.1"},
		}[i%4]
	}
	for i := range 3 {
		if got := try("203.0.113.7", fmt.Sprint("nobody", i), i == 2, proxy("203.0.113.7", i)...); got != "bad credentials" {
			t.Errorf("%d: %s", i, got)
		}
	}
	for i := range 4 {
		if got := try("203.0.113.7", fmt.Sprint("somebody", i), i == 3, proxy("203.0.113.7", i)...); i > 0 && got != "too many failed logins" {
			t.Errorf("after three, %d: %s", i, got)
		}
	}
	// The next client has done nothing.
	for i := range 2 {
		if got := try("203.0.113.8", fmt.Sprint("anybody", i), i == 1, proxy("203.0.113.8", i)...); got != "bad credentials" {
			t.Errorf("another client, %d: %s", i, got)
		}
	}
	b.Says("peer=203.0.113.7:0")
	b.Says("peer=203.0.113.7:4711")
	b.Says("peer=203.0.113.8:0")
	// From an address that is no trusted proxy nothing of it is believed.
	before := len(b.Output())
	c := b.At("127.0.0.77").Dial(t, harness.WSText, "X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9")
	connect(c, "login:x", "passcode:"+canary)
	c.Expect("ERROR")
	c.ExpectClose()
	b.Says("peer=127.0.0.77:")
	if said := b.Output()[before:]; strings.Contains(said, "203.0.113.9") {
		t.Errorf("believed: %s", said)
	}
	// Nor what cannot be, nor two that differ.
	for _, lines := range [][]string{
		{"X-Forwarded-For: ' OR 1=1 --"}, {"X-Forwarded-For: " + strings.Repeat("203.0.113.9,", 500)}, {"X-Forwarded-For: 203.0.113.9 203.0.113.9"},
		{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.10"}, {"Forwarded: for=\"203.0.113.9"}, {"Forwarded: " + strings.Repeat("for=203.0.113.9;", 500)},
		{"X-Forwarded-For: [203.0.113.9"}, {"X-Forwarded-For: 203.0.113.9%0"}, {"X-Forwarded-For: 203.0.113.9\x00"},
	} {
		before := len(b.Output())
		ws, err := harness.Handshake(b.WS, harness.Upgrade("mq.example", "/ws", lines...))
		if err != nil {
			t.Fatal(err)
		}
		if ws.Response.StatusCode == 101 {
			if err := ws.Write(harness.WSFrame{Op: harness.OpText, Payload: []byte("NONSENSE\n\n\x00")}); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, ws.Conn)
		} else if ws.Response.StatusCode != 400 {
			t.Errorf("%.60q: %d", lines, ws.Response.StatusCode)
		}
		ws.Conn.Close()
		if said := b.Output()[before:]; strings.Contains(said, "peer=203.0.113") {
			t.Errorf("%.60q is believed: %s", lines, said)
		}
	}
}

// The host is what Host says, from a trusted proxy too: many hand on what a client puts into other headers. A page
// behind a proxy that changes Host gets in where it is listed.
func TestV22ForwardedHost(t *testing.T) {
	t.Parallel()
	b := behind(t, `, allowed_origins: ["https://listed.example"]`)
	said := []string{"X-Forwarded-Host: mq.example", "Forwarded: for=203.0.113.7;host=mq.example;proto=https", "X-Original-Host: mq.example", "X-Host: mq.example"}
	for _, row := range []struct {
		host, origin string
		want         int
	}{
		{"evil.example", "", 421}, {"evil.example", "https://mq.example", 421}, {"evil.example", "https://listed.example", 421},
		{b.WS, "https://mq.example", 403}, {b.WS, "https://listed.example", 101}, {b.WS, "", 101}, {"mq.example", "https://mq.example", 101},
	} {
		for i := range len(said) + 1 {
			lines := said[:i:i]
			if row.origin != "" {
				lines = append(lines, "Origin: "+row.origin)
			}
			if got := status(t, b, harness.Upgrade(row.host, "/ws", lines...)); got != row.want {
				t.Errorf("host %s, %q: %d, want %d", row.host, lines, got, row.want)
			}
			if got := status(t, b, strings.Replace(harness.Upgrade(row.host, "/healthz", lines...), "Upgrade: websocket\r\n", "", 1)); (got != 200) != (row.want != 101) {
				t.Errorf("health of host %s, %q: %d", row.host, lines, got)
			}
		}
	}
}

// The PROXY protocol on the HTTP listener: the client of a proxy that does not know it is not believed to
// be what it says in HTTP; the pages are there behind it, too.
func TestV22ProxyBeforeHTTP(t *testing.T) {
	t.Parallel()
	b := behind(t, ", proxy_protocol: on")
	session := func(header string, lines ...string) {
		t.Helper()
		ws, err := harness.Handshake(b.WS, header+harness.Upgrade("mq.example", "/ws", lines...))
		if err != nil || ws.Response.StatusCode != 101 {
			t.Fatalf("%q: %v", header, err)
		}
		if err := ws.Write(harness.WSFrame{Op: harness.OpText, Payload: []byte("NONSENSE\n\n\x00")}); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, ws.Conn)
		ws.Conn.Close()
	}
	const spoof = "X-Forwarded-For: 203.0.113.99"
	for _, row := range []struct{ header, peer string }{
		{named(t, 1, "203.0.113.1:1001"), "peer=203.0.113.1:1001"},
		{named(t, 2, "[2001:db8::2]:1002"), "peer=[2001:db8::2]:1002"},
		{unknownHeader, "peer=127.0.0.1:0"},
		{unspecHeader, "peer=127.0.0.1:0"},
	} {
		session(row.header, spoof)
		b.Says(row.peer)
	}
	if strings.Contains(b.Output(), "203.0.113.99") {
		t.Error("what a client said of itself was believed")
	}
	session(named(t, 1, "127.0.0.1:1003"), "X-Forwarded-For: 203.0.113.3") // a proxy behind the proxy
	b.Says("peer=203.0.113.3:0")
	for _, header := range []string{named(t, 1, "203.0.113.1:1"), localHeader, unknownHeader} {
		conn, err := net.Dial("tcp", b.WS)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(harness.Patience))
		fmt.Fprintf(conn, "%sGET /healthz HTTP/1.1\r\nHost: mq.example\r\nConnection: close\r\n\r\n", header)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%q: %v, %v", header, res, err)
		}
	}
	if conn, err := net.Dial("tcp", b.WS); err == nil {
		conn.SetDeadline(time.Now().Add(harness.Patience))
		io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: mq.example\r\n\r\n")
		if text, err := io.ReadAll(conn); len(text) > 0 {
			t.Errorf("without a header: %q, %v", text, err)
		}
		conn.Close()
	}
}

// The PROXY header comes before the TLS handshake, on both kinds of listener; the certificate that logs in
// is the client's own.
func TestV22ProxyBeforeTLS(t *testing.T) {
	t.Parallel()
	s := newSecure(t, ", proxy_protocol: on, trusted_proxies: [127.0.0.1]")
	for name, web := range map[string]bool{"stomp+ssl": false, "wss": true} {
		for version, client := range map[byte]string{1: "203.0.113.1:1", 2: "[2001:db8::2]:2"} {
			x, _ := s.openBehind(t, named(t, version, client), web, s.signer("carl"))
			x.hear("user-name:carl")
			x.say("NONSENSE\n\n\x00")
			x.hear("ERROR")
			x.conn.Close()
			s.Says(fmt.Sprintf("+tls peer=%s user=carl", client))
		}
		// TLS without a header, and a header within TLS, are none.
		for _, header := range []string{"", "PROXY TCP4 203.0.113.1 "} {
			conn := dialHTTP(t, map[bool]string{false: s.TLS, true: s.WS}[web])
			io.WriteString(conn, header)
			if err := tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: "localhost"}).Handshake(); err == nil {
				t.Errorf("%s without a PROXY header", name)
			}
		}
	}
}

// Proxies that say nothing, or half a header, hold up nobody and are gone after five seconds.
func TestSilentProxies(t *testing.T) {
	t.Parallel()
	b := behind(t, ", proxy_protocol: on")
	start := time.Now()
	var silent []net.Conn
	for i := range 200 {
		for _, addr := range []string{b.TCP, b.WS} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if i%2 == 0 {
				io.WriteString(conn, "PROXY TCP4 203.0.113.")
			}
			silent = append(silent, conn)
		}
	}
	c := through(t, b, "127.0.0.1", named(t, 2, "203.0.113.7:1"))
	connect(c, "login:alice", "passcode:"+canary+"-alice")
	c.Expect("CONNECTED")
	ws, err := harness.Handshake(b.WS, named(t, 1, "203.0.113.7:1")+harness.Upgrade("mq.example", "/ws"))
	if err != nil || ws.Response.StatusCode != 101 {
		t.Fatal(err)
	}
	ws.Conn.Close()
	for _, conn := range silent {
		conn.SetReadDeadline(start.Add(harness.Patience))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, net.ErrClosed) {
			t.Fatalf("a silent proxy got %d bytes, %v", n, err)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("a silent proxy is still there")
		}
	}
	if took := time.Since(start); took < 4*time.Second {
		t.Errorf("gone after %v", took)
	}
	c.Sync()
}
