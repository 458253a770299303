package main_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServeTellsWhereItIs(t *testing.T) {
	s := serve(t, nil)
	want := []string{
		"Gudok 0.1.0",
		"  WebSocket  " + s.at["WebSocket"],
		"  TCP        " + s.at["TCP"],
		"  Open       " + s.at["Open"] + " in a browser",
		"  Users      any login or none is accepted, because only this machine can connect",
		"  Queues     durable, in data",
	}
	if got := strings.Join(s.said, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s", got)
	}
	if strings.HasSuffix(s.tcp(), ":0") || !strings.HasPrefix(s.at["WebSocket"], "ws://127.0.0.1:") || !strings.HasSuffix(s.at["WebSocket"], "/ws") {
		t.Errorf("%v", s.at)
	}
	for path, code := range map[string]int{"": 200, "healthz": 200, "app.js": 200, "nothing": 404} {
		res, err := http.Get(s.at["Open"] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != code {
			t.Errorf("/%s: %d", path, res.StatusCode)
		}
		if path == "" && !strings.Contains(string(body), s.at["TCP"]) {
			t.Error("the page does not name the TCP address")
		}
	}
	// Another name for this machine may be a trick of someone else's page.
	req, _ := http.NewRequest("GET", s.at["Open"], nil)
	req.Host = "evil.example.org"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("foreign host: %d", res.StatusCode)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d\n%s", code, s.stderr)
	}
}

func TestServeStopsWithSessions(t *testing.T) {
	s := serve(t, nil, "serve")
	var idle []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", s.tcp())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	// One has logged in, one is on its way, one says nothing.
	if _, err := io.WriteString(idle[0], "CONNECT\naccept-version:1.2\nhost:x\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := idle[0].Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(idle[1], "CONNECT\n"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if log := s.stderr.String(); !strings.Contains(log, "msg=stopping") || !strings.Contains(log, "msg=stopped") || strings.Contains(log, "level=ERROR") {
		t.Errorf("%s", log)
	}
}

func TestInterruptStopsToo(t *testing.T) {
	s := serve(t, []string{"GUDOK_LOG_FORMAT=json"})
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	s.ended <- nil
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.HasPrefix(line, `{"time":"`) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestListenersCanBeOff(t *testing.T) {
	s := serve(t, []string{"GUDOK_HTTP_LISTEN="})
	if s.at["WebSocket"] != "" || s.at["Open"] != "" || s.at["TCP"] == "" {
		t.Errorf("%v", s.at)
	}
	s.stop(t)
	s = serve(t, []string{"GUDOK_TCP_LISTEN="})
	if s.at["TCP"] != "" || s.at["WebSocket"] == "" {
		t.Errorf("%v", s.at)
	}
	s.stop(t)
}

// The page can be on a listener of its own, also of a broker without an HTTP listener.
func TestAdminListener(t *testing.T) {
	get := func(url string) (int, string) {
		t.Helper()
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	s := serve(t, []string{"GUDOK_ADMIN_LISTEN=127.0.0.1:0"})
	if s.at["Open"] != s.at["Admin"] || s.at["Admin"] == "" {
		t.Errorf("%v", s.at)
	}
	web := strings.TrimSuffix(strings.Replace(s.at["WebSocket"], "ws:", "http:", 1), "/ws")
	for url, want := range map[string]int{s.at["Admin"]: 200, s.at["Admin"] + "healthz": 200, s.at["Admin"] + "ws": 404, web + "/": 404, web + "/healthz": 200, web + "/ws": 426} {
		if code, _ := get(url); code != want {
			t.Errorf("%s: %d, want %d", url, code, want)
		}
	}
	if _, body := get(s.at["Admin"]); !strings.Contains(body, `data-websocket="`+s.at["WebSocket"]+`"`) {
		t.Error("the page does not say where WebSocket is")
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	s = serve(t, []string{"GUDOK_ADMIN_LISTEN=127.0.0.1:0", "GUDOK_HTTP_LISTEN="})
	if code, body := get(s.at["Admin"]); code != 200 || strings.Contains(body, "WebSocket") || strings.Contains(body, "app.js") || !strings.Contains(body, s.at["TCP"]) {
		t.Errorf("%d %s", code, body)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestServeTLS(t *testing.T) {
	cert, key := certificate(t)
	s := serve(t, []string{"GUDOK_TCP_LISTEN=", "GUDOK_TCP_TLS_LISTEN=127.0.0.1:0", "GUDOK_WEBSOCKET_PATH=/stomp",
		"GUDOK_HTTP_TLS_CERT=" + cert, "GUDOK_HTTP_TLS_KEY=" + key, "GUDOK_TCP_TLS_CERT=" + cert, "GUDOK_TCP_TLS_KEY=" + key})
	if !strings.HasPrefix(s.at["Open"], "https://") || !strings.HasPrefix(s.at["WebSocket"], "wss://") || !strings.HasSuffix(s.at["WebSocket"], "/stomp") {
		t.Errorf("%v", s.at)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	res, err := c.Get(s.at["Open"])
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 1 {
		t.Errorf("%s %s", res.Proto, res.Status)
	}
	c.CloseIdleConnections()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.at["TLS"], "stomp+ssl://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "CONNECT\naccept-version:1.2\nhost:x\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 9)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "CONNECTED" {
		t.Errorf("%q, %v", answer, err)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}
