package security

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/interop/foreign"
)

// script tries to get in from the page it is on, and tells the page's server what came of it.
const script = `<!doctype html><script type=module>
const tries = %s;
const socket = url => new Promise(done => {
  const s = new WebSocket(url, ['v12.stomp']);
  s.onopen = () => { s.close(); done('open'); };
  s.onerror = () => done('refused');
});
const read = (url, options) => fetch(url, options).then(r => r.text()).then(t => 'read ' + t.trim(), () => 'refused');
const image = url => new Promise(done => {
  const i = new Image();
  i.onload = () => done('shown');
  i.onerror = () => done('refused');
  i.src = url;
});
const frame = url => new Promise(done => {
  const f = document.createElement('iframe');
  f.src = url;
  f.onload = () => { try { done(f.contentDocument ? 'same origin' : 'foreign'); } catch { done('foreign'); } };
  document.documentElement.append(f);
});
const all = {};
for (const [name, kind, url] of tries) {
  const how = { socket, image, frame, read, credentials: u => read(u, { credentials: 'include' }), preflight: u => read(u, { method: 'PUT', headers: { 'x-y': 'z' } }) };
  all[name] = await how[kind](url);
}
await fetch('/done', { method: 'POST', body: JSON.stringify(all) });
</script>`

// V7, V9, V10 by a real browser: what pages of another origin, and of a name that was made to resolve
// here, get of WebSocket, health and the pages for admins.
func TestForeignPageInChromium(t *testing.T) {
	t.Parallel()
	chromium := foreign.Need(t, "chromium")[0]
	done := make(chan map[string]string, 1)
	var tries [][3]string
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/done" {
			var all map[string]string
			if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
				t.Error(err)
			}
			done <- all
			return
		}
		w.Header().Set("Content-Type", "text/html")
		list, _ := json.Marshal(tries) // strings alone
		fmt.Fprintf(w, script, list)
	}))
	defer pages.Close()
	_, at, _ := net.SplitHostPort(pages.Listener.Addr().String())
	e := newEdge(t, "")
	own := harness.Start(t, fmt.Sprintf(`
http: {public_hosts: [mq.example], allowed_origins: ["http://app.example:%s"]}`, at))
	_, ownPort, _ := net.SplitHostPort(own.WS)
	tries = [][3]string{
		{"WebSocket", "socket", "ws://127.0.0.1:" + e.port + "/ws"},
		{"WebSocket, spelt otherwise", "socket", "ws://127.0.0.1:" + e.port + "/%77s"},
		{"WebSocket, of the page's own name", "socket", "ws://evil.example:" + e.port + "/ws"},
		{"health", "read", "http://127.0.0.1:" + e.port + "/healthz"},
		{"health, with cookies", "credentials", "http://127.0.0.1:" + e.port + "/healthz"},
		{"health, of the page's own name", "read", "http://evil.example:" + e.port + "/healthz"},
		{"the page for admins", "read", "http://127.0.0.1:" + e.aPort + "/"},
		{"its picture", "image", "http://127.0.0.1:" + e.aPort + "/icon.svg"},
		{"a preflight", "preflight", "http://127.0.0.1:" + e.aPort + "/"},
		{"its frame", "frame", "http://127.0.0.1:" + e.aPort + "/"},
		{"a broker that lets app.example in", "socket", "ws://mq.example:" + ownPort + "/ws"},
	}
	see := func(url string) map[string]string {
		t.Helper()
		cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP *.example 127.0.0.1", "--remote-debugging-port=0", url)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}()
		select {
		case all := <-done:
			return all
		case <-time.After(6 * harness.Patience):
			t.Fatalf("nothing came of %s", url)
			return nil
		}
	}
	for name, got := range see("http://evil.example:" + at + "/") {
		want := "refused"
		if name == "its frame" {
			want = "foreign"
		}
		if got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Who may, gets in by the same means.
	if got := see("http://app.example:" + at + "/"); got["a broker that lets app.example in"] != "open" || got["WebSocket"] != "refused" {
		t.Errorf("a page that is allowed: %v", got)
	}
}
