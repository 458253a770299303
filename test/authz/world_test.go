package authz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/oracle"
)

// rulesOfMatrix are the rules that the matrix is about.
var rulesOfMatrix = oracle.Policy{
	{Who: "*", Subscribe: []string{"/user/queue/**"}, Deny: []string{"/queue/locked.**", "/dlq/locked/**"}},
	{Who: "anonymous", Send: []string{"/topic/public.*", "/user/queue/**"}, Subscribe: []string{"/topic/public.**", "/queue/{user}"}},
	{Who: "alice", Send: []string{"/queue/{user}.**", "/topic/chat.**", "/user/*/queue/chat", "/temp-queue/**", "/reply-queue/**"},
		Subscribe: []string{"/topic/chat.*", "/queue/{user}.**", "/temp-queue/**", "/topic/public.#"}},
	{Who: "user:bob", Send: []string{"/queue/bob.*", "/queue/orders", "/user/bob/queue/**", "/topic/*.x"},
		Subscribe: []string{"/topic/*.x", "/topic/chat", "/topic/chat.*", "/topic/chat.*.**", "/queue/*.in"}, Deny: []string{"/queue/alice.in"}},
	{Who: "group:service", Send: []string{"/reply-queue/*", "/user/**", "/topic/>"}, Subscribe: []string{"/queue/**", "/topic/#", "/dlq/>"}},
	{Who: "warden", Subscribe: []string{"/topic/>", "/admin/metrics"}, Send: []string{"/topic/>"}, Deny: []string{"/topic/secret/>"}},
	{Who: "group:admin", Send: []string{"/**"}, Subscribe: []string{"/#"}},
	{Who: "claim:tenant=acme", Send: []string{"/topic/acme.*"}, Subscribe: []string{"/topic/acme.**", "/user/topic/*"}},
}

// password is every user's.
const password = harness.Canary

// principal is a row of the matrix.
type principal struct {
	name    string
	connect string // headers of CONNECT
	who     oracle.Who
	refused string // message of the ERROR that answers CONNECT, or empty
}

// basic is the principal's login for HTTP, if he has one.
func (p principal) basic() (login, passcode string) {
	for line := range strings.Lines(p.connect) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "login:"); ok {
			return name, password
		}
	}
	return "", ""
}

func principals(t *testing.T) []principal {
	user := func(name string, groups ...string) principal {
		return principal{name, "login:" + name + "\npasscode:" + password + "\n", oracle.Who{Name: name, Groups: groups}, ""}
	}
	token := func(name, kind string, age time.Duration, refused string) principal {
		claims := map[string][]string{"tenant": {"acme"}}
		return principal{kind, "passcode:" + mint(t, name, time.Now().Add(-age)) + "\n", oracle.Who{Name: name, Claims: claims}, refused}
	}
	return []principal{
		{"anonymous", "", oracle.Who{}, ""},
		user("alice"), user("bob"), user("sven", "service"), user("warden"), user("root", "admin"),
		token("ann", "narrow token", 0, ""),
		token("root", "expired token", 2*time.Hour, "token expired"),
	}
}

// keys sign the tokens of the matrix.
var keys = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// mint makes a token that holds for an hour.
func mint(t *testing.T, name string, from time.Time) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": name, "iss": "test", "aud": "gudok", "iat": from.Unix(), "exp": from.Add(time.Hour).Unix(), "tenant": "acme", "admin": true,
	}).SignedString(keys())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a broker with the rules of the matrix, in the clear or with TLS on both listeners.
func start(t *testing.T, secure bool) *harness.Broker {
	t.Helper()
	user := func(name string, groups ...string) map[string]any {
		return map[string]any{"name": name, "password_hash": harness.Hash(t, password), "groups": groups}
	}
	public, err := x509.MarshalPKIXPublicKey(&keys().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]any{
		"store":  map[string]any{"engine": "memory"},
		"log":    map[string]any{"level": "warn"},
		"limits": map[string]any{"subscriptions": 10_000},
		"users":  []any{user("alice"), user("bob"), user("sven", "service"), user("warden"), user("root", "admin"), user("holder", "admin")},
		"auth":   map[string]any{"anonymous": "yes"},
		"jwt":    map[string]any{"issuer": "test", "audience": []string{"gudok"}, "keys_file": harness.PEM(t, "PUBLIC KEY", public)},
		"rules":  rulesYAML(rulesOfMatrix),
	}
	if secure {
		cert, key := harness.Certificate(t, "localhost")
		pair := map[string]any{"cert": cert, "key": key}
		config["http"] = map[string]any{"tls": pair}
		config["tcp"] = map[string]any{"listen": "", "tls_listen": "127.0.0.1:0", "tls": pair}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, string(text))
}

func rulesYAML(p oracle.Policy) []any {
	var list []any
	for _, r := range p {
		m := map[string]any{"who": r.Who}
		for key, patterns := range map[string][]string{"send": r.Send, "subscribe": r.Subscribe, "deny": r.Deny} {
			if len(patterns) > 0 {
				m[key] = patterns
			}
		}
		list = append(list, m)
	}
	return list
}

// holder is somebody who has what others may want: a message, a transaction, a durable
// subscription.
type holder struct {
	b            *harness.Broker
	w            *way
	c            *client
	queue        string
	ack, message string
}

const holds = "login:holder\npasscode:" + password + "\nclient-id:h\n"

func hold(t *testing.T, b *harness.Broker, w *way) *holder {
	t.Helper()
	h := &holder{b: b, w: w, queue: "/queue/held." + strings.ReplaceAll(w.name, "+", "-")}
	h.c, _ = w.connect(t, b, holds)
	h.c.keep = true
	h.c.must("SUBSCRIBE\nid:0\ndestination:" + h.queue + "\nack:client\n\n")
	h.c.must("SEND\ndestination:" + h.queue + "\n\nheld")
	if len(h.c.messages) == 0 {
		f, err := h.c.next()
		if err != nil || f.Command != "MESSAGE" {
			t.Fatalf("got %v, %v", f, err)
		}
		h.c.messages = append(h.c.messages, f)
	}
	h.ack, h.message = h.c.messages[0].Value("ack"), h.c.messages[0].Value("message-id")
	h.c.must("SUBSCRIBE\nid:held\ndestination:/topic/held\ndurable:true\n\n")
	h.c.must("UNSUBSCRIBE\nid:held\n\n")
	h.c.must("SEND\ndestination:/topic/held\n\nkept")
	h.c.must("BEGIN\ntransaction:held\n\n")
	h.c.must("SEND\ndestination:" + h.queue + ".more\ntransaction:held\n\nin it")
	return h
}

// release proves that all is as the holder left it.
func (h *holder) release(t *testing.T) {
	t.Helper()
	h.c.must("COMMIT\ntransaction:held\n\n")
	h.c.conn.Close()
	c, _ := h.w.connect(t, h.b, holds)
	for i, want := range []struct{ subscribe, body string }{
		{"destination:" + h.queue + "\n", "held"},
		{"destination:" + h.queue + ".more\n", "in it"},
		{"destination:/topic/held\ndurable-subscription-name:held\n", "kept"},
	} {
		c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\n%s\n\x00", i, want.subscribe))
		f, err := c.next()
		if err != nil || f.Command != "MESSAGE" || string(f.Body) != want.body {
			t.Errorf("the holder has not got %q any more: %v, %v", want.body, f, err)
		} else if want.body == "held" && f.Value("delivery-count") != "2" {
			t.Errorf("others changed the count of the held message: %s", f)
		}
	}
	c.must("UNSUBSCRIBE\nid:2\ndurable-subscription-name:held\n\n")
	c.conn.Close()
}
