package conformance

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// handshake makes a request and returns its answer.
func handshake(t *testing.T, b *harness.Broker, request string) *harness.WS {
	t.Helper()
	ws, err := harness.Handshake(b.WS, request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Conn.Close() })
	return ws
}

// TestRFC6455Handshake: RFC 6455, section 4.
func TestRFC6455Handshake(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "http: { allowed_origins: [\"https://app.example\", \"https://*.trusted.example\"], public_hosts: [\"mq.example\"] }\n")
	_, port, _ := strings.Cut(b.WS, ":")
	if b.Path != "/ws" {
		t.Errorf("the WebSocket's path is %q", b.Path)
	}
	up := func(lines ...string) string { return harness.Upgrade(b.WS, "/ws", lines...) }
	without := func(header string) string {
		var kept []string
		for _, l := range strings.Split(up(), "\r\n") {
			if !strings.HasPrefix(l, header+":") {
				kept = append(kept, l)
			}
		}
		return strings.Join(kept, "\r\n")
	}
	replace := func(header, value string) string {
		return strings.Replace(without(header), "\r\n", "\r\n"+header+": "+value+"\r\n", 1)
	}
	for _, c := range []struct {
		clause, name, request string
		status                []int
	}{
		{"4.2", "accepted", up(), []int{101}},
		{"4.2", "with a query", harness.Upgrade(b.WS, "/ws?a=b"), []int{101}},
		{"4.2", "Connection with more than one token", replace("Connection", "keep-alive, Upgrade"), []int{101}},
		{"4.2", "Upgrade in capitals", replace("Upgrade", "WebSocket"), []int{101}},
		{"4.1", "POST", strings.Replace(up(), "GET", "POST", 1), []int{405}},
		{"4.1", "HTTP/1.0", strings.Replace(up(), "HTTP/1.1", "HTTP/1.0", 1), []int{400, 426, 505}},
		{"4.1", "a plain GET", "GET /ws HTTP/1.1\r\nHost: " + b.WS + "\r\n\r\n", []int{426}},
		{"4.1", "no Upgrade", without("Upgrade"), []int{400, 426}},
		{"4.1", "no Connection", without("Connection"), []int{400, 426}},
		{"4.1", "Connection without Upgrade", replace("Connection", "keep-alive"), []int{400, 426}},
		{"4.1", "Upgrade to something else", replace("Upgrade", "h2c"), []int{400, 426}},
		{"4.1", "no key", without("Sec-WebSocket-Key"), []int{400}},
		{"4.1", "a key that is too short", replace("Sec-WebSocket-Key", "c2hvcnQ="), []int{400}},
		{"4.1", "a key that is no base64", replace("Sec-WebSocket-Key", "not base64 at all!!"), []int{400}},
		{"4.4", "no version", without("Sec-WebSocket-Version"), []int{400, 426}},
		{"4.4", "version 8", replace("Sec-WebSocket-Version", "8"), []int{400, 426}},
		{"4.4", "version 14", replace("Sec-WebSocket-Version", "14"), []int{400, 426}},
		{"Path", "another path", harness.Upgrade(b.WS, "/wsx"), []int{404}},
		{"Path", "a path below", harness.Upgrade(b.WS, "/ws/x"), []int{404}},
		{"Path", "another case", harness.Upgrade(b.WS, "/WS"), []int{404}},
		{"10.2", "Origin of the same host", up("Origin: http://" + b.WS), []int{101}},
		{"10.2", "Origin on the list", up("Origin: https://app.example"), []int{101}},
		{"10.2", "Origin by a pattern", up("Origin: https://a.trusted.example"), []int{101}},
		{"10.2", "foreign Origin", up("Origin: https://evil.example"), []int{403}},
		{"10.2", "Origin null", up("Origin: null"), []int{403}},
		{"10.2", "Origin of another scheme", up("Origin: http://app.example"), []int{403}},
		{"10.2", "Origin of another port", up("Origin: https://app.example:8443"), []int{403}},
		{"10.2", "Origin on this machine, another port, while listening on loopback", up("Origin: http://127.0.0.1:1"), []int{101}},
		{"10.2", "Origin that ends like one on the list", up("Origin: https://evilapp.example"), []int{403}},
		{"10.2", "Origin that begins like one on the list", up("Origin: https://app.example.evil.example"), []int{403}},
		{"10.2", "Origin that is nonsense", up("Origin: ://"), []int{403}},
		{"10.2", "no Origin", up(), []int{101}},
		{"10.2", "Host localhost", harness.Upgrade("localhost:"+port, "/ws"), []int{101}},
		{"10.2", "Host on the list", harness.Upgrade("mq.example", "/ws"), []int{101}},
		{"10.2", "foreign Host", harness.Upgrade("evil.example", "/ws"), []int{403, 421}},
		{"10.2", "foreign Host and the same Origin (rebinding)", harness.Upgrade("evil.example:"+port, "/ws", "Origin: http://evil.example:"+port), []int{403, 421}},
		{"10.2", "empty Host", harness.Upgrade("", "/ws", "Origin: null"), []int{400, 403, 421}},
	} {
		t.Run(c.clause+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			ws := handshake(t, b, c.request)
			ok := false
			for _, s := range c.status {
				ok = ok || ws.Response.StatusCode == s
			}
			if !ok {
				body, _ := io.ReadAll(io.LimitReader(ws.Response.Body, 500))
				t.Errorf("status %d, not %v: %s", ws.Response.StatusCode, c.status, body)
			}
			if c.clause == "4.4" && ws.Response.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("no Sec-WebSocket-Version: 13 in %v", ws.Response.Header)
			}
			if c.name == "POST" && !strings.Contains(ws.Response.Header.Get("Allow"), "GET") {
				t.Errorf("no Allow: GET in %v", ws.Response.Header)
			}
		})
	}
	for _, c := range []struct{ offered, chosen string }{
		{"v12.stomp", "v12.stomp"}, {"v11.stomp", "v11.stomp"}, {"v10.stomp", "v10.stomp"},
		{"v10.stomp, v11.stomp, v12.stomp", "v12.stomp"}, {"v12.stomp,v11.stomp,v10.stomp", "v12.stomp"},
		{"v10.stomp, v11.stomp", "v11.stomp"}, {"soap, v11.stomp", "v11.stomp"}, {"soap", ""}, {"", ""}, {"v13.stomp, mqtt", ""},
	} {
		t.Run(fmt.Sprintf("1.9/subprotocol of %q", c.offered), func(t *testing.T) {
			t.Parallel()
			request := up("Sec-WebSocket-Protocol: " + c.offered)
			if c.offered == "" {
				request = up()
			}
			ws := handshake(t, b, request)
			if got := ws.Response.Header.Get("Sec-WebSocket-Protocol"); ws.Response.StatusCode != 101 || got != c.chosen {
				t.Errorf("%s, chose %q, not %q", ws.Response.Status, got, c.chosen)
			}
			// Whatever was chosen, CONNECT decides.
			if err := ws.Write(frame{Op: harness.OpText, Payload: []byte(connect)}); err != nil {
				t.Fatal(err)
			}
			(&wsEnv{T: t, ws: ws}).expect(harness.OpText, "CONNECTED\nversion:1.2\n")
		})
	}
	t.Run("9.1/compression offered and not taken", func(t *testing.T) {
		t.Parallel()
		if ws := handshake(t, b, up("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")); ws.Response.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%s", ws.Response.Status)
		}
	})
	t.Run("4.2/frames in the packet of the handshake", func(t *testing.T) {
		t.Parallel()
		early := frame{Op: harness.OpText, Payload: []byte(connect)}.Append(nil)
		ws := handshake(t, b, up()+string(early))
		(&wsEnv{T: t, ws: ws}).expect(harness.OpText, "CONNECTED\n")
	})
}
