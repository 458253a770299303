package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// forge has the private keys of the tests: what an issuer has, and what an attacker has.
type forge struct {
	rsa, rsa2, weak *rsa.PrivateKey
	ec, ec2         *ecdsa.PrivateKey
	ec384, ec521    *ecdsa.PrivateKey
	ed              ed25519.PrivateKey
	secret          []byte
}

var theForge = sync.OnceValue(func() *forge {
	must := func(k *rsa.PrivateKey, err error) *rsa.PrivateKey {
		if err != nil {
			panic(err)
		}
		return k
	}
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	secret := make([]byte, 64)
	_, _ = rand.Read(secret)
	return &forge{
		rsa:   must(rsa.GenerateKey(rand.Reader, 2048)),
		rsa2:  must(rsa.GenerateKey(rand.Reader, 2048)),
		weak:  must(rsa.GenerateKey(rand.Reader, 1024)),
		ec:    ec(elliptic.P256()),
		ec2:   ec(elliptic.P256()),
		ec384: ec(elliptic.P384()),
		ec521: ec(elliptic.P521()),
		ed:    ed, secret: secret,
	}
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks writes a JWK set.
func jwks(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// jwk makes a JWK of a public key or a secret.
func jwk(kid, alg string, key any) map[string]any {
	m := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), "AQAB"
	case *ecdsa.PrivateKey:
		p, err := k.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		n := len(p) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Curve.Params().Name, b64(p[1:1+n]), b64(p[1+n:])
	case ed25519.PrivateKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(k.Public().(ed25519.PublicKey))
	case []byte:
		m["kty"], m["k"] = "oct", b64(k)
	}
	if alg == "" {
		delete(m, "alg")
	}
	if kid == "" {
		delete(m, "kid")
	}
	return m
}

func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func file(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// good are claims that hold.
func good(changes map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{"iss": "https://id.example.org/", "aud": "gudok", "sub": "ann",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"staff", "night"}}
	maps.Copy(c, changes)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// raw signs any texts for header and claims.
func raw(t testing.TB, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	signed := b64([]byte(header)) + "." + b64([]byte(claims))
	sig, err := method.Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(sig)
}

// mint signs claims as an issuer does.
func mint(t testing.TB, method jwt.SigningMethod, kid string, key any, claims map[string]any) string {
	t.Helper()
	header := map[string]any{"alg": method.Alg(), "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	return raw(t, method, key, asJSON(t, header), asJSON(t, claims))
}

// tokenOptions take what mint makes of good claims.
func tokenOptions(keysFile string) *auth.TokenOptions {
	return &auth.TokenOptions{Issuer: "https://id.example.org/", Audience: []string{"gudok"}, KeysFile: keysFile, GroupsClaim: "groups"}
}

func open(t testing.TB, o auth.Options) *auth.Chain {
	t.Helper()
	c, err := auth.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func byToken(token string) broker.Credentials {
	return broker.Credentials{Authorization: broker.Secret("Bearer " + token)}
}

// unknownKey is a key that nothing has been signed with.
func unknownKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
