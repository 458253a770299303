package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// world is a broker with every way to log in, and who issues what is needed for that.
type world struct {
	*harness.Broker
	t      testing.TB
	issuer *ecdsa.PrivateKey // of tokens
	roots  *x509.CertPool
	client func(name string) tls.Certificate // of a client, by the CA that the broker trusts
	secret func(string) string               // makes a canary of its own for each use
}

// canary begins every secret that goes in; none may come out.
const canary = harness.Canary

// hashOf makes a hash of a password, once.
var hashes sync.Map

func hashOf(t testing.TB, password, kind string) string {
	t.Helper()
	if h, ok := hashes.Load(password + kind); ok {
		return h.(string)
	}
	h, err := auth.Hash(password, kind)
	if err != nil {
		t.Fatal(err)
	}
	hashes.Store(password+kind, harness.Hashed(t, password, h))
	return h
}

// newWorld starts a broker. extra is more of its configuration, at the top level.
func newWorld(t testing.TB, extra string) *world {
	t.Helper()
	w := &world{t: t, roots: x509.NewCertPool()}
	var n atomic.Int64
	w.secret = func(what string) string { return fmt.Sprintf("%s-%s-%d", canary, what, n.Add(1)) }
	var err error
	if w.issuer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, err := x509.MarshalPKIXPublicKey(&w.issuer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := file("keys.pem", "PUBLIC KEY", public)

	ca, caKey := w.certify("ca", nil, nil)
	w.roots.AddCert(ca)
	server, serverKey := w.certify("localhost", ca, caKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	w.client = func(name string) tls.Certificate {
		c, k := w.certify(name, ca, caKey)
		return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k}
	}

	service := httptest.NewServer(http.HandlerFunc(serviceAnswer))
	t.Cleanup(service.Close)
	w.Broker = harness.Start(t, fmt.Sprintf(`
log: {level: debug}
users:
  - {name: alice, password_hash: %q, groups: [staff]}
  - {name: bob, password_hash: %q}
  - {name: carl, groups: [machines]}
jwt: {issuer: test, audience: gudok, keys_file: %q, cookie: session, query: access_token, groups_claim: groups, leeway: 0s}
auth: {http: {url: %q, headers: ["X-Key: %s"]}}
tcp: {tls_listen: "127.0.0.1:0", tls: {cert: %q, key: %q, client_ca: %q}}
%s`, hashOf(t, canary+"-alice", auth.Argon2id), hashOf(t, canary+"-bob", auth.Bcrypt), keys, service.URL, canary+"-header",
		file("cert.pem", "CERTIFICATE", server.Raw), file("key.pem", "PRIVATE KEY", pkcs8), file("ca.pem", "CERTIFICATE", ca.Raw), extra))
	return w
}

// serviceAnswer is the service that is asked for logins: dan gets in, and who has his token.
func serviceAnswer(rw http.ResponseWriter, r *http.Request) {
	var q map[string]string
	if json.NewDecoder(r.Body).Decode(&q) != nil || r.Header.Get("X-Key") != canary+"-header" {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	switch {
	case q["login"] == "dan" && q["passcode"] == canary+"-dan":
		fmt.Fprint(rw, `{"user":"dan","groups":["guests"]}`)
	case q["login"] == "down":
		rw.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(rw, q["passcode"])
	default:
		rw.WriteHeader(http.StatusForbidden)
	}
}

// certify makes a certificate, signed by ca or by itself.
func (w *world) certify(name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: ca == nil, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	parent, signer := ca, caKey
	if ca == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, key
}

// token signs claims that hold for a minute, unless changes say otherwise.
func (w *world) token(name string, changes map[string]any) string {
	w.t.Helper()
	c := jwt.MapClaims{"iss": "test", "aud": "gudok", "sub": name, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"jti": w.secret("jti")}
	maps.Copy(c, changes)
	s, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(w.issuer)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// forged is a token that somebody else has signed.
func (w *world) forged(name string) string {
	w.t.Helper()
	other := *w
	var err error
	if other.issuer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	return other.token(name, nil)
}

// dial connects by one of the transports, with a query and header lines where that is a handshake.
func (w *world) dial(tr harness.Transport, query string, lines ...string) *harness.Client {
	w.t.Helper()
	// Each from an address of its own, so that nobody is slowed by the mistakes of others.
	b := w.Elsewhere()
	b.Path += query
	return b.Dial(w.t, tr, lines...)
}

// connect says CONNECT with header lines.
func connect(c *harness.Client, lines ...string) {
	c.T.Helper()
	c.Sendf("CONNECT\naccept-version:1.2\nhost:h\n%s\n\x00", strings.Join(append(lines, ""), "\n"))
	c.Flush()
}

// overTLS connects with a client certificate and gives the first frame of the answer to CONNECT.
func (w *world) overTLS(certificate *tls.Certificate, lines ...string) string {
	w.t.Helper()
	config := &tls.Config{RootCAs: w.roots, ServerName: "localhost"}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: harness.Patience}, "tcp", w.TLS, config)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:h\n%s\n\x00", strings.Join(append(lines, ""), "\n"))
	var got []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return fmt.Sprintf("%s(%v)", got, err)
		}
		if b[0] == 0 {
			return string(got)
		}
		got = append(got, b[0])
	}
}

func basicAuth(login, passcode string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+passcode))
}
