package security

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// V27: whatever is offered as a credential, right or wrong, by every way and transport, with the log
// at its most talkative: none of it is in an answer, on a page or on the disk, nor, as of every broker, in the log
// or in what the system tells of the process; and nothing a client says puts a control character into the log.
func TestV27NoSecretComesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "limits: {connect_time: 1s}")
	var heard bytes.Buffer // all that the broker answered
	for _, x := range w.ways() {
		if x.user != "" { // who is there when the pages are asked for
			c := w.dial(harness.WSText, x.query, x.lines...)
			connect(c, x.headers...)
			c.Expect("CONNECTED")
		}
	}
	for _, x := range w.ways() {
		for _, tr := range []harness.Transport{harness.TCP, harness.TCPBytewise, harness.WSText, harness.WSFragmented} {
			if (x.query != "" || len(x.lines) > 0) && !tr.WebSocket() {
				continue
			}
			w.try(t, x, tr)
		}
		if len(x.lines)+len(x.query) > 0 {
			w.offerElsewhere(&heard, x)
		}
	}
	alice := []string{"login:alice", "passcode:" + canary + "-alice"}

	// Sessions that end in each way with a secret at hand.
	for name, after := range map[string]string{
		"unknown command": "COMMAND\n\n\x00", "bad escape": "SEND\nx:\\q\npasscode:" + canary + "\n\n\x00",
		"a token nowhere":          "SEND\ndestination:/session/token/x\n\n" + w.token("alice", nil) + "\x00",
		"a token too long":         "SEND\ndestination:/session/token\n\n" + strings.Repeat(canary, 2000) + "\x00",
		"a token in a transaction": "BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/session/token\ntransaction:t\n\n" + w.token("alice", nil) + "\x00",
		"CONNECT again":            "CONNECT\nlogin:alice\npasscode:" + w.secret("again") + "\n\n\x00",
	} {
		for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
			c := w.dial(tr, "")
			connect(c, alice...)
			c.Expect("CONNECTED")
			c.Sendf("%s", after)
			fmt.Fprintln(&heard, name, c.Expect("ERROR"))
			c.ExpectClose()
		}
	}
	c := w.dial(harness.WSText, "")
	connect(c, "passcode:"+w.token("tom", nil), "gudok-errors:soft")
	c.Expect("CONNECTED")
	for _, token := range []string{w.forged("tom"), w.token("tim", nil), w.token("tom", nil)} {
		c.Sendf("SEND\ndestination:/session/token\nreceipt:r\n\n%s\x00", token)
		f, err := c.ReadFrame(harness.Patience)
		fmt.Fprintln(&heard, f, err)
	}
	// CONNECTs that are not finished, or malformed within the secret.
	for _, text := range []string{
		"CONNECT\nlogin:alice\npasscode:" + w.secret("cut"), "CONNECT\npasscode:" + w.secret("cr") + "\rx\n\n\x00", "CONNECT\npasscode" + w.secret("colon") + "\n\n\x00",
		"CONNECT\npasscode:" + strings.Repeat(canary, 2000) + "\n\n\x00", "CONNECT\naccept-version:7\npasscode:" + w.secret("version") + "\n\n\x00",
		"CONNECT\nlogin:\x1b[31m\x07alice\npasscode:" + w.secret("esc") + "\n\n\x00", "CONNECT\nclient-id:\x1b[2J\npasscode:" + w.secret("esc") + "\n\n\x00",
		"CONNECT\nAuthorization:" + w.secret("scheme") + "\n\n\x00", "CONNECT\npasscode:\xff" + w.secret("utf8") + "\n\n\x00",
	} {
		for _, tr := range []harness.Transport{harness.TCP, harness.WSBinary} {
			c := w.dial(tr, "")
			c.Sendf("%s", text)
			f, err := c.ReadFrame(harness.Patience)
			if f == nil {
				t.Errorf("%.20q: %v", text, err)
				continue
			}
			fmt.Fprintln(&heard, f)
			c.ExpectClose()
		}
	}
	carl := w.client("carl")
	heard.WriteString(w.overTLS(&carl, "login:alice", "passcode:"+w.secret("tls")))
	heard.WriteString(w.overTLS(nil, "passcode:"+w.forged("tom")))

	for _, page := range []string{"\ngudok_sessions ", `"sessions":`, `id="sessions">`} {
		if !strings.Contains(heard.String(), page) {
			t.Errorf("no page has %q: was none seen?", page)
		}
	}
	w.Stop()
	w.search("an answer", heard.Bytes())
	if i := strings.IndexFunc(w.Output(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
		t.Errorf("a control character in the log: %.100q", w.Output()[i:])
	}
	for _, want := range []string{"bad credentials", "too many", "token expired", "could not be checked", "[redacted]"} {
		if want != "too many" && !strings.Contains(w.Output(), want) {
			t.Errorf("nothing in the log of %q: was it tried?", want)
		}
	}
	err := filepath.WalkDir(w.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "gudok.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		w.search(path, text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// search looks for secrets; what the broker printed the harness searches.
func (w *world) search(where string, text []byte) {
	w.t.Helper()
	if at := harness.Leak(text); at != "" {
		w.t.Errorf("%s has a secret: %s", where, at)
	}
}

// offerElsewhere brings the same credentials to pages, and to handshakes that are refused.
func (w *world) offerElsewhere(heard io.Writer, x way) {
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/api/status", "/debug/pprof/goroutine?debug=1", "/nothing", "/ws"} {
		for _, origin := range []string{"", "https://evil.example"} {
			query := x.query
			if strings.Contains(path, "?") {
				query = strings.Replace(query, "?", "&", 1)
			}
			r, err := http.NewRequest("GET", "http://"+w.WS+path+query, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, line := range x.lines {
				name, value, _ := strings.Cut(line, ":")
				r.Header.Set(name, strings.TrimSpace(value))
			}
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			client := http.Client{Timeout: harness.Patience}
			res, err := client.Do(r)
			if err != nil {
				w.t.Fatal(err)
			}
			_ = res.Header.Write(heard)
			_, _ = io.Copy(heard, res.Body)
			res.Body.Close()
		}
	}
	for _, lines := range [][]string{
		append([]string{"Origin: https://evil.example"}, x.lines...),
		append([]string{"Host: evil.example"}, x.lines...),
		append([]string{"Sec-WebSocket-Version: 8"}, x.lines...),
	} {
		ws, err := harness.Handshake(w.WS, harness.Upgrade(w.WS, w.Path+x.query, lines...))
		if err != nil {
			fmt.Fprintln(heard, err)
			continue
		}
		_ = ws.Response.Header.Write(heard)
		ws.Conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(heard, ws.Response.Body)
		ws.Conn.Close()
	}
}

// V27: what is wrong with a configuration is told without its secrets.
func TestV27ConfigurationErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"users: [{name: a, password_hash: " + canary + "}]",
		"users: [{name: a, password_hash: [" + canary + "]}]",
		"users: [{name: a, password_hash: \"$2a$99$" + canary + "\"}]",
		"users: [{name: a, password_hash: \"" + canary + "\\u0007\"}]",
		"users: [{name: a, password_hash: \"$argon2id$v=19$m=1,t=1,p=1$" + canary + "$" + canary + "\"}]",
		"auth: {http: {url: \"https://u:" + canary + "@x/\"}}",
		"auth: {http: {url: \"ftp://x/?key=" + canary + "\"}}",
		"auth: {http: {url: \"http://x.example/?key=" + canary + "\"}}",
		"auth: {http: {url: \"https://x\", headers: [\"" + canary + "\"]}}",
		"auth: {http: {url: \"https://x\", headers: [\"X: \", \"Y: " + canary + "\"]}}",
		"auth: {http: {url: \"https://x\", headers: {X-Key: " + canary + "}}}",
		"auth: {http: {url: \"https://x\", headers: \"X-Key: " + canary + "\"}}",
		"jwt: {issuer: a, audience: b, jwks_url: \"http://x.example/?key=" + canary + "\"}",
		"jwt: {issuer: a, audience: b, jwks_url: \"https://u:" + canary + "@x/\"}",
	} {
		path := filepath.Join(t.TempDir(), "gudok.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"check", "-config", path}, {"-config", path}} {
			c := exec.Command(harness.Build(t), command...)
			c.Dir = t.TempDir()
			out, err := c.CombinedOutput()
			if err == nil || harness.LeakInLog(out) != "" {
				t.Errorf("%s: %v\n%s", text, err, out)
			}
		}
	}
}
