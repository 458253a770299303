package security

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// V28: what is for admins is on a listener of its own where one is set, with careful headers on every
// answer, and nothing that is sent to it grows (RabbitMQ CVE-2026-57212 to -57214, -66077; NATS 2026-28).
func TestV28AdminListener(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	for _, row := range []struct {
		addr, path string
		want       int
	}{
		{e.WS, "/ws", 101}, {e.WS, "/healthz", 200}, {e.WS, "/readyz", 200},
		{e.WS, "/", 404}, {e.WS, "/app.js", 404}, {e.WS, "/client.js", 404}, {e.WS, "/style.css", 404}, {e.WS, "/icon.svg", 404}, {e.WS, "/metrics", 404},
		{e.WS, "/api/status", 404}, {e.WS, "/debug/pprof/", 404}, {e.WS, "/debug/vars", 404}, {e.WS, "/api/connections", 404}, {e.WS, "/healthz/", 404}, {e.WS, "/healthz/x", 404},
		{e.admin, "/", 200}, {e.admin, "/healthz", 200}, {e.admin, "/app.js", 200}, {e.admin, "/client.js", 200}, {e.admin, "/style.css", 200}, {e.admin, "/icon.svg", 200},
		{e.admin, "/ws", 404}, {e.admin, "/debug/pprof/", 401}, {e.admin, "/metrics", 401}, {e.admin, "/api/status", 401}, {e.admin, "/readyz", 200}, {e.admin, "/debug/vars", 404}, {e.admin, "/index.html", 404}, {e.admin, "/../../etc/passwd", 307},
	} {
		res := e.ask(t, row.addr, "GET", row.path, "mq.example", "")
		if res.StatusCode != row.want {
			t.Errorf("%s%s: %d, not %d", row.addr, row.path, res.StatusCode, row.want)
		}
		careful(t, row.path, res)
	}
	// The page of the one connects to the other.
	res, err := http.Get("http://127.0.0.1:" + e.aPort + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	res.Body.Close()
	if want := fmt.Sprintf(`data-websocket="ws://127.0.0.1:%s/ws"`, e.port); err != nil || !bytes.Contains(page, []byte(want)) {
		t.Errorf("the page does not say %s", want)
	}
	if res := e.ask(t, e.WS, "GET", "/ws", "127.0.0.1:PORT", "http://127.0.0.1:ADMIN"); res.StatusCode != 101 {
		t.Errorf("the page is not let in: %d", res.StatusCode)
	}
	if res := e.ask(t, e.WS, "GET", "/ws", "mq.example:PORT", "http://evil.example:ADMIN"); res.StatusCode != 403 {
		t.Errorf("a foreign page of that port: %d", res.StatusCode)
	}
	// What a client calls the host does not become markup.
	for _, host := range []string{"<script>alert(1)</script>", "mq.example\"><script>", "127.0.0.1:1<b>"} {
		if res := e.ask(t, e.admin, "GET", "/", host, ""); res.StatusCode != 400 {
			t.Errorf("%s: %d", host, res.StatusCode)
		}
	}
}

// V28: bodies, headers and time that a request takes are bounded on both listeners.
func TestV28RequestBounds(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	for _, addr := range []string{e.WS, e.admin} {
		for _, path := range []string{"/", "/ws", "/healthz", "/app.js"} {
			// It says that it sends 10 GiB: the answer does not wait, and the connection ends with much less.
			for _, length := range []string{"Content-Length: 10737418240", "Transfer-Encoding: chunked"} {
				conn := dialHTTP(t, addr)
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: mq.example\r\n%s\r\n\r\n", path, length)
				taken := make(chan error, 1)
				go func() {
					chunk := append(append([]byte("10000\r\n"), make([]byte, 1<<16)...), "\r\n"...)
					for range 1024 {
						if _, err := conn.Write(chunk); err != nil {
							taken <- err
							return
						}
					}
					taken <- nil
				}()
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || res.StatusCode != 405 && res.StatusCode != 404 && res.StatusCode != 426 {
					t.Errorf("POST %s, %s: %v, %v", path, length, res, err)
				} else {
					careful(t, "POST "+path, res)
				}
				if <-taken == nil {
					t.Errorf("POST %s, %s: 64 MiB were taken", path, length)
				}
			}
		}
		for what, head := range map[string]string{
			"a long header": "X: " + strings.Repeat("x", 32<<10), "many headers": strings.Repeat("X: x\r\n", 8<<10) + "X: x", "a long cookie": "Cookie: " + strings.Repeat("a=b;", 16<<10),
		} {
			conn := dialHTTP(t, addr)
			go fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: mq.example\r\n%s\r\n\r\n", head)
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 431 {
				t.Errorf("%s: %v, %v", what, res, err)
			}
		}
		for _, request := range []string{
			"GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: mq.example\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: mq.example\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nHost: mq.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x00\x00\x00\r\n\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		} {
			conn := dialHTTP(t, addr)
			go io.WriteString(conn, request)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && res.StatusCode < 400 {
				t.Errorf("%.60q: %d", request, res.StatusCode)
			}
		}
	}
}

// A request whose header does not come is over after five seconds, on both listeners.
func TestV28SlowHeaders(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	start := time.Now()
	var conns []net.Conn
	for _, addr := range []string{e.WS, e.admin} {
		for _, text := range []string{"", "G", "GET /healthz HTTP/1.1\r\nHost: mq.exa", "GET /ws HTTP/1.1\r\nHost: mq.example\r\n"} {
			conn := dialHTTP(t, addr)
			io.WriteString(conn, text)
			conns = append(conns, conn)
		}
	}
	for i, conn := range conns {
		if text, err := io.ReadAll(conn); err != nil {
			t.Errorf("%d: %q, %v", i, text, err)
		}
	}
	if took := time.Since(start); took < 4*time.Second {
		t.Errorf("closed after %v", took)
	}
}

func dialHTTP(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * harness.Patience))
	return conn
}
