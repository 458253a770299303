package security

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// way is one way to bring credentials, right or wrong.
type way struct {
	name    string
	query   string
	lines   []string // of the handshake; only WebSocket has one
	headers []string // of CONNECT
	user    string   // who that is; empty if it must be refused
	reason  string   // with which; "bad credentials" if empty
}

func (w *world) ways() []way {
	encoded := func(token string) string { return base64.RawURLEncoding.EncodeToString([]byte(token)) }
	header := func(h string) []string { return []string{"Sec-WebSocket-Protocol: v12.stomp", h} }
	expired := map[string]any{"iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(-time.Minute).Unix()}
	return []way{
		{name: "password", headers: []string{"login:alice", "passcode:" + canary + "-alice"}, user: "alice"},
		{name: "password, bcrypt", headers: []string{"login:bob", "passcode:" + canary + "-bob"}, user: "bob"},
		{name: "wrong password", headers: []string{"login:alice", "passcode:" + w.secret("wrong")}},
		{name: "another's password", headers: []string{"login:bob", "passcode:" + canary + "-alice"}},
		{name: "user without a password", headers: []string{"login:carl", "passcode:" + w.secret("wrong")}},
		{name: "guest", headers: []string{"login:guest", "passcode:guest"}},
		{name: "nothing"},
		{name: "login alone", headers: []string{"login:alice"}},
		{name: "service", headers: []string{"login:dan", "passcode:" + canary + "-dan"}, user: "dan"},
		{name: "service, wrong", headers: []string{"login:dan", "passcode:" + w.secret("wrong")}},
		{name: "service, down", headers: []string{"login:down", "passcode:" + w.secret("down")}, reason: "login could not be checked"},
		{name: "token as passcode", headers: []string{"login:x", "passcode:" + w.token("tom", nil)}, user: "tom"},
		{name: "token as passcode, forged", headers: []string{"passcode:" + w.forged("tom")}},
		{name: "token as passcode, expired", headers: []string{"passcode:" + w.token("tom", expired)}, reason: "token expired"},
		{name: "bearer in CONNECT", headers: []string{"Authorization:Bearer " + w.token("tom", nil)}, user: "tom"},
		{name: "bearer in CONNECT, forged", headers: []string{"Authorization:Bearer " + w.forged("tom")}},
		{name: "basic in CONNECT", headers: []string{"Authorization:" + basicAuth("alice", canary+"-alice")}, user: "alice"},
		{name: "basic in CONNECT, wrong", headers: []string{"Authorization:" + basicAuth("alice", w.secret("wrong"))}},
		{name: "another scheme in CONNECT", headers: []string{"Authorization:Digest " + w.secret("digest")}},
		{name: "bearer", lines: header("Authorization: Bearer " + w.token("tom", nil)), user: "tom"},
		{name: "bearer, forged", lines: header("Authorization: Bearer " + w.forged("tom"))},
		{name: "basic", lines: header("Authorization: " + basicAuth("bob", canary+"-bob")), user: "bob"},
		{name: "basic, wrong", lines: header("Authorization: " + basicAuth("bob", w.secret("wrong")))},
		{name: "basic, another login", lines: header("Authorization: " + basicAuth("bob", canary+"-bob")), headers: []string{"login:alice"}},
		{name: "cookie", lines: header("Cookie: session=" + w.token("tom", nil)), user: "tom"},
		{name: "cookie, forged", lines: header("Cookie: a=b; session=" + w.forged("tom"))},
		{name: "cookie of another", lines: header("Cookie: session=" + w.token("tom", nil)), headers: []string{"login:alice"}},
		{name: "query", query: "?access_token=" + url.QueryEscape(w.token("tom", nil)), user: "tom"},
		{name: "query, forged", query: "?access_token=" + w.forged("tom")},
		{name: "subprotocol", lines: []string{"Sec-WebSocket-Protocol: v12.stomp, bearer." + w.token("tom", nil)}, user: "tom"},
		{name: "subprotocol, forged", lines: []string{"Sec-WebSocket-Protocol: v12.stomp, bearer." + w.forged("tom")}},
		{name: "subprotocol, encoded", lines: []string{"Sec-WebSocket-Protocol: v12.stomp, base64url.bearer.authorization.gudok." + encoded(w.token("tom", nil))}, user: "tom"},
		{name: "subprotocol, encoded, forged", lines: []string{"Sec-WebSocket-Protocol: v12.stomp, base64url.bearer.authorization.gudok." + encoded(w.forged("tom"))}},
		{name: "subprotocol alone", lines: []string{"Sec-WebSocket-Protocol: bearer." + w.token("tom", nil)}, user: "tom"},
		{name: "passcode before a forged cookie", lines: header("Cookie: session=" + w.forged("tom")), headers: []string{"login:alice", "passcode:" + canary + "-alice"}, user: "alice"},
		{name: "wrong passcode before a good cookie", lines: header("Cookie: session=" + w.token("tom", nil)), headers: []string{"login:alice", "passcode:" + w.secret("wrong")}},
		{name: "a bad name", headers: []string{"passcode:" + w.token("a/b", nil)}},
		{name: "a name that is a wildcard", headers: []string{"login:*", "passcode:" + w.secret("wrong")}, reason: "bad login name"},
	}
}

// try goes one way by one transport.
func (w *world) try(t *testing.T, x way, tr harness.Transport) {
	c := w.dial(tr, x.query, x.lines...)
	c.T = t
	if tr.WebSocket() && len(x.lines) > 0 {
		for name, values := range c.WS.Response.Header {
			if all := strings.Join(values, ","); strings.Contains(all, canary) || strings.Contains(strings.ToLower(all), "bearer") || strings.Contains(all, "eyJ") {
				t.Errorf("the answer has %s: %s", name, all)
			}
		}
	}
	connect(c, x.headers...)
	if x.user != "" {
		c.Expect("CONNECTED", "user-name:"+x.user)
		c.Sync()
		c.Abort()
		return
	}
	reason := x.reason
	if reason == "" {
		reason = "bad credentials"
	}
	f := c.Expect("ERROR")
	if f.Value("message") != reason {
		t.Errorf("refused with %s", f)
	}
	if s := f.String(); strings.Contains(s, canary) || strings.Contains(s, "eyJ") {
		t.Errorf("the ERROR repeats a secret: %s", s)
	}
	end := c.ExpectClose()
	code := 1008
	if reason == "login could not be checked" {
		code = 1013
	}
	if tr.WebSocket() && end.Code != code {
		t.Errorf("closed with %d after %s", end.Code, f)
	}
}

func TestLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, x := range w.ways() {
		t.Run(x.name, func(t *testing.T) {
			for _, tr := range []harness.Transport{harness.TCP, harness.WSText, harness.WSSplit} {
				if (x.query != "" || len(x.lines) > 0) && !tr.WebSocket() {
					continue
				}
				w.try(t, x, tr)
			}
		})
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	carl, eve, bad := w.client("carl"), w.client("eve"), w.client("a/b")
	for name, x := range map[string]struct {
		got, want string
	}{
		"carl":                   {w.overTLS(&carl), "user-name:carl"},
		"carl by name":           {w.overTLS(&carl, "login:carl"), "user-name:carl"},
		"carl by another name":   {w.overTLS(&carl, "login:alice"), "message:bad credentials"},
		"whoever is vouched for": {w.overTLS(&eve), "user-name:eve"},
		"alice":                  {w.overTLS(&carl, "login:alice", "passcode:"+canary+"-alice"), "user-name:alice"},
		"alice, wrong":           {w.overTLS(&carl, "login:alice", "passcode:"+w.secret("wrong")), "message:bad credentials"},
		"none":                   {w.overTLS(nil), "message:bad credentials"},
		"none, but a token":      {w.overTLS(nil, "passcode:"+w.token("tom", nil)), "user-name:tom"},
		"a bad name":             {w.overTLS(&bad), "message:bad credentials"},
	} {
		if !strings.Contains(x.got, "\n"+x.want+"\n") {
			t.Errorf("%s: %q", name, x.got)
		}
	}
	// One that nobody vouches for ends the handshake.
	other := newWorld(t, "")
	stranger := other.client("carl")
	if got := w.overTLS(&stranger); !strings.Contains(got, "(") || strings.Contains(got, "CONNECTED") {
		t.Errorf("%q", got)
	}
}
