package conf_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/conf"
)

// renewed is what a broker that was started with one text has after the file says another.
func renewed(t *testing.T, before, after string, environ ...string) (*conf.Config, []string, error) {
	t.Helper()
	was, err := load(t, before, environ...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("gudok.yaml", []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := conf.Load("gudok.yaml", environ)
	if err != nil {
		t.Fatal(err)
	}
	return was.Renew(next)
}

func TestRenew(t *testing.T) {
	user := "users: [{name: a, password_hash: " + hash + "}]\n"
	cert, key := certificate(t)
	other, otherKey := certificate(t)
	tls := func(cert, key string) string { return "http: {tls: {cert: " + cert + ", key: " + key + "}}\n" }
	for _, c := range []struct{ name, before, after, held string }{
		{"nothing", "limits: {body: 1MiB}", "", ""},
		{"live", "", user + "limits: {body: 2MiB, subscriptions: 7, connections: 9}\nheartbeat: {grace: 4}\nlog: {level: debug}\n" +
			"rules: [{who: a, send: [/topic/a]}]\npolicies: [{match: /queue/a, ttl: 1s}]", ""},
		{"listeners", "", "http: {listen: \"127.0.0.1:1\"}\ntcp: {listen: \"\"}\nwebsocket: {path: /x}", "http.listen tcp.listen websocket.path"},
		{"store", "", "store: {engine: memory, path: x, max_size: 1GiB, min_free: 0}", "store.engine store.max_size store.min_free store.path"},
		{"limits of transports", "", "limits: {before_connect: 4KiB, frame_time: 1s, connect_time: 1s}", "limits.before_connect limits.frame_time"},
		{"origins", "http: {public_hosts: [a]}", "http: {public_hosts: [b], allowed_origins: [\"https://b\"]}", "http.allowed_origins http.public_hosts"},
		{"log", "", "log: {format: json, level: warn}", "log.format"},
		{"another certificate", tls(cert, key), tls(other, otherKey), ""},
		{"a certificate where none was", "", tls(cert, key), "http.tls.cert http.tls.key"},
		{"no certificate any more", tls(cert, key), "", "http.tls.cert http.tls.key"},
	} {
		now, held, err := renewed(t, c.before, c.after)
		if err != nil || strings.Join(held, " ") != c.held {
			t.Errorf("%s: held %q, %v; want %q", c.name, held, err, c.held)
			continue
		}
		if c.name == "live" && (now.Limits.Subscriptions != 7 || len(now.Users) != 1 || len(now.Rules) != 1 || len(now.Policies) != 1 || now.HeartBeat.Grace != 4) {
			t.Errorf("%+v", now)
		}
		if c.name == "listeners" && (now.HTTP.Listen != "127.0.0.1:15674" || now.WebSocket.Path != "/ws" || now.Where("http.listen") != "") {
			t.Errorf("%+v", now)
		}
		if c.name == "another certificate" && now.HTTP.TLS.Cert != other {
			t.Errorf("%+v", now.HTTP.TLS)
		}
	}
	if _, held, err := renewed(t, "", "", "GUDOK_LIMITS_BODY=3MiB", "GUDOK_HTTP_LISTEN=127.0.0.1:7"); err != nil || len(held) > 0 {
		t.Errorf("%q, %v", held, err)
	}
}

// What is held is part of what is judged: the users of a broker that the network can reach cannot be
// taken away by a file that would have it listen on loopback.
func TestRenewChecksWhatItKeeps(t *testing.T) {
	user := "users: [{name: a, password_hash: " + hash + "}]\n"
	_, _, err := renewed(t, user+"http: {listen: \":7\"}", "http: {listen: \"127.0.0.1:7\"}")
	const want = `gudok.yaml:2: http.listen: ":7" is open to other machines`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if _, _, err := renewed(t, user+"http: {listen: \":7\"}", user+"rules: [{who: a}]"); err != nil {
		t.Error(err)
	}
	was := conf.Default()
	now, _, err := was.Renew(conf.Default())
	if err != nil || !slices.Equal(now.HTTP.AllowedOrigins, was.HTTP.AllowedOrigins) {
		t.Errorf("%+v, %v", now, err)
	}
}
