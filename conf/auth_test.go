package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/conf"
)

func TestLogins(t *testing.T) {
	cert, key := certificate(t)
	c, err := load(t, `
http: { listen: ":443", tls: {cert: `+cert+`, key: `+key+`, client_ca: `+cert+`}, allowed_origins: [https://a.example] }
users: [ {name: robot, groups: [machines]} ]
jwt:
  issuer: https://id.example.org/
  audience: gudok
  jwks_url: https://id.example.org/keys
  refresh: 1h
  algorithm: PS256
  user_claim: preferred_username
  groups_claim: realm_access.roles
  cookie: __Host-session
  query: access_token
  leeway: 0
  max_age: 1h
auth:
  anonymous: yes
  certificate_user: email
  http: { url: "http://127.0.0.1:1/login", headers: ["X-Key: s3cret, or so"], timeout: 1s, concurrency: 2, cache: 1m, plaintext: yes }
`)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.JWT, conf.JWT{Issuer: "https://id.example.org/", Audience: []string{"gudok"}, JWKSURL: "https://id.example.org/keys",
		Refresh: seconds(3600), Algorithm: "PS256", UserClaim: "preferred_username", GroupsClaim: "realm_access.roles",
		Cookie: "__Host-session", Query: "access_token", MaxAge: seconds(3600)})
	same(t, c.Auth, conf.Auth{Anonymous: "yes", CertificateUser: "email", HTTP: conf.AuthHTTP{URL: "http://127.0.0.1:1/login",
		Headers: []string{"X-Key: s3cret, or so"}, Timeout: seconds(1), Concurrency: 2, Cache: seconds(60), Plaintext: "yes"}})
	same(t, c.HTTP.TLS.ClientCA, cert)
	same(t, c.Users[0].Groups, []string{"machines"})
	c, err = conf.Load("", []string{"GUDOK_JWT_AUDIENCE=a, b", "GUDOK_JWT_ISSUER=*", "GUDOK_JWT_KEYS_FILE=/keys", "GUDOK_HTTP_LISTEN=:80"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.JWT.Audience, []string{"a", "b"})
	same(t, time.Duration(c.JWT.Leeway), 30*time.Second)
}

func TestLoginFaults(t *testing.T) {
	for text, want := range map[string]string{
		"\njwt: {keys_file: k}":                                         `gudok.yaml:2: jwt.issuer: is missing or empty (write what iss must be, or "*" to take tokens of any issuer)`,
		"jwt: {jwks_url: k, issuer: x}":                                 `gudok.yaml:1: jwt.audience: is missing or empty (write what aud must be, or "*" to take tokens for any audience)`,
		"jwt: {jwks_url: k, issuer: x, audience: []}":                   `gudok.yaml:1: jwt.audience: is missing or empty (write what aud must be, or "*" to take tokens for any audience)`,
		"jwt: {jwks_url: k, issuer: x, audience: ['']}":                 `gudok.yaml:1: jwt.audience[0]: is empty (remove it)`,
		"jwt: {jwks_url: k, keys_file: f}":                              `gudok.yaml:1: jwt.keys_file: "f" is there, and jwt.jwks_url is too (remove one)`,
		"jwt: {issuer: x}":                                              `gudok.yaml:1: jwt.issuer: "x" is of no use without keys (set jwt.keys_file or jwt.jwks_url)`,
		"jwt: {query: x}":                                               `gudok.yaml:1: jwt.query: "x" is of no use without keys (set jwt.keys_file or jwt.jwks_url)`,
		"jwt: {algorithm: none}":                                        `gudok.yaml:1: jwt.algorithm: "none" is not known (write RS256, RS384, RS512, PS256, PS384, PS512)`,
		"jwt: {algorithm: HS256}":                                       `gudok.yaml:1: jwt.algorithm: "HS256" is not known (write RS256, RS384, RS512, PS256, PS384, PS512)`,
		"jwt: {leeway: 1h}":                                             `gudok.yaml:1: jwt.leeway: "1h" is out of bounds (write a value at most 10m)`,
		"jwt: {keys_file: f, issuer: i, audience: a, query: 'a b'}":     `gudok.yaml:1: jwt.query: "a b" is not a name (write access_token)`,
		"jwt: {keys_file: f, issuer: i, audience: a, cookie: 'a=b'}":    `gudok.yaml:1: jwt.cookie: "a=b" is not a name (write access_token)`,
		"jwt: {keys_file: f, issuer: i, audience: a, user_claim: \"\"}": `gudok.yaml:1: jwt.user_claim: is empty (write sub)`,
		"http: {allowed_origins: ['*']}\njwt: {keys_file: f, issuer: i, audience: a, cookie: c}":  `gudok.yaml:2: jwt.cookie: "c" would let any page act for who visits it, because http.allowed_origins has "*" (name the origins)`,
		"http: {allowed_origins: [null]}\njwt: {keys_file: f, issuer: i, audience: a, cookie: c}": `gudok.yaml:2: jwt.cookie: "c" would let any page act for who visits it, because http.allowed_origins has "null" (name the origins)`,
		"auth: {anonymous: maybe}":                           `gudok.yaml:1: auth.anonymous: "maybe" is not known (write yes, no)`,
		"auth: {http: {headers: [s3cret]}}":                  `gudok.yaml:1: auth.http.headers[0]: is not a header (write "Name: value"; it is not shown here, because it may be secret)`,
		"auth: {http: {headers: [\"X: s3cret\\x01\"]}}":      `gudok.yaml:1: auth.http.headers[0]: has a control character in it`,
		"auth: {http: {headers: ['X: s3cret']}}":             `gudok.yaml:1: auth.http.headers: go nowhere (set auth.http.url)`,
		"users: [{name: a, password_hash: \"s3cret\\x01\"}]": `gudok.yaml:1: users[0].password_hash: has a control character in it`,
		"users: [{name: a}]":                                 `gudok.yaml:1: users[0].password_hash: is missing or empty (make one with: broker passwd)`,
		"http: {tls: {client_ca: f}}":                        `gudok.yaml:1: http.tls.client_ca: "f" is of no use without TLS (set http.tls.cert and http.tls.key)`,
	} {
		_, err := load(t, text)
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a secret in %v", err)
		}
	}
	for pair, want := range map[string]string{
		"GUDOK_AUTH_HTTP_HEADERS=s3cret":         `GUDOK_AUTH_HTTP_HEADERS: is not a header (write "Name: value"; it is not shown here, because it may be secret)`,
		"GUDOK_AUTH_HTTP_HEADERS=X: s3cret\x01y": `GUDOK_AUTH_HTTP_HEADERS: element 1 has a control character in it`,
		"GUDOK_JWT_KEYS_FILE=k":                  `jwt.issuer: is missing or empty (write what iss must be, or "*" to take tokens of any issuer)`,
	} {
		if _, err := conf.Load("", []string{pair}); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", pair, err, want)
		}
	}
	cert, key := certificate(t)
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := load(t, "http: {tls: {cert: "+cert+", key: "+key+", client_ca: "+empty+"}}")
	if err == nil || !strings.Contains(err.Error(), "http.tls.client_ca") || !strings.Contains(err.Error(), "has no certificate in it") {
		t.Errorf("%v", err)
	}
}
