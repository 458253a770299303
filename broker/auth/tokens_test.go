package auth_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// allKeys is a set with a key of each algorithm.
func allKeys(t testing.TB) []byte {
	f := theForge()
	return jwks(t, jwk("rs", "RS256", f.rsa), jwk("rs384", "RS384", f.rsa), jwk("rs512", "RS512", f.rsa),
		jwk("ps", "PS256", f.rsa), jwk("ps384", "PS384", f.rsa), jwk("ps512", "PS512", f.rsa),
		jwk("es", "ES256", f.ec), jwk("es384", "", f.ec384), jwk("es512", "ES512", f.ec521), jwk("ed", "", f.ed),
		jwk("hs", "HS256", f.secret), jwk("hs384", "HS384", f.secret), jwk("hs512", "HS512", f.secret))
}

// Each algorithm works with the key that is its own, and with no other.
func TestTokensOfEachAlgorithm(t *testing.T) {
	f := theForge()
	c := open(t, auth.Options{Tokens: tokenOptions(file(t, allKeys(t)))})
	methods := []struct {
		kid    string
		method jwt.SigningMethod
		key    any
	}{
		{"rs", jwt.SigningMethodRS256, f.rsa}, {"rs384", jwt.SigningMethodRS384, f.rsa}, {"rs512", jwt.SigningMethodRS512, f.rsa},
		{"ps", jwt.SigningMethodPS256, f.rsa}, {"ps384", jwt.SigningMethodPS384, f.rsa}, {"ps512", jwt.SigningMethodPS512, f.rsa},
		{"es", jwt.SigningMethodES256, f.ec}, {"es384", jwt.SigningMethodES384, f.ec384}, {"es512", jwt.SigningMethodES512, f.ec521},
		{"ed", jwt.SigningMethodEdDSA, f.ed},
		{"hs", jwt.SigningMethodHS256, f.secret}, {"hs384", jwt.SigningMethodHS384, f.secret}, {"hs512", jwt.SigningMethodHS512, f.secret},
	}
	for i, m := range methods {
		for j, of := range methods {
			_, err := c.Authenticate(t.Context(), byToken(mint(t, m.method, of.kid, m.key, good(nil))))
			if (err == nil) != (i == j) || err != nil && !errors.Is(err, broker.ErrBadCredentials) && !errors.Is(err, broker.ErrTooMany) {
				t.Errorf("%s with the key of %s: %v", m.method.Alg(), of.kid, err)
			}
		}
		if _, err := c.Authenticate(t.Context(), byToken(mint(t, m.method, "", m.key, good(nil)))); err != nil {
			t.Errorf("%s without a kid: %v", m.method.Alg(), err)
		}
	}
}

func TestTokenPrincipal(t *testing.T) {
	f := theForge()
	o := tokenOptions(file(t, publicPEM(t, &f.ec.PublicKey)))
	o.GroupsClaim = "realm_access.roles"
	o.KeepClaims = []string{"tenant", "https://example.org/plan", "n", "missing", "off", "mixed", "object"}
	c := open(t, auth.Options{Tokens: o})
	claims := good(map[string]any{"realm_access": map[string]any{"roles": []string{"a", "b"}}, "tenant": "acme",
		"https://example.org/plan": []string{"x", "y"}, "n": 7, "off": false, "mixed": []any{"a", 1, true, nil, []string{"b"}}, "object": map[string]any{}})
	p, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "any", f.ec, claims)))
	if err != nil {
		t.Fatal(err)
	}
	want := &broker.Principal{Name: "ann", Groups: []string{"a", "b"}, Via: broker.ViaToken, Proof: p.Proof,
		Expires: time.Unix(claims["exp"].(int64), 0).Add(30 * time.Second),
		Claims: map[string][]string{"tenant": {"acme"}, "https://example.org/plan": {"x", "y"}, "n": {"7"}, "missing": nil,
			"off": {"false"}, "mixed": {"a", "1", "true"}, "object": nil}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v", p)
	}
	// Rules that ask for a claim that was not read can only be held against a new login.
	if now, err := c.Revalidate(p); now != p || err != nil {
		t.Errorf("%+v, %v", now, err)
	}
	o.KeepClaims = o.KeepClaims[1:]
	if err := c.Reload(auth.Options{Tokens: o}); err != nil {
		t.Fatal(err)
	}
	if now, err := c.Revalidate(p); now != p || err != nil {
		t.Errorf("%+v, %v", now, err)
	}
	o.KeepClaims = append(o.KeepClaims, "another")
	if err := c.Reload(auth.Options{Tokens: o}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revalidate(p); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("%v", err)
	}
	o.KeepClaims = nil
	if err := c.Reload(auth.Options{Tokens: o}); err != nil {
		t.Fatal(err)
	}
	for claim, v := range map[string]any{"realm_access": nil, "n": 3} {
		p, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "", f.ec, good(map[string]any{claim: v}))))
		if err != nil || len(p.Groups) != 0 || p.Claims != nil {
			t.Errorf("%s: %+v, %v", claim, p, err)
		}
	}
	// scope is one text with spaces; other texts are one group.
	for claim, want := range map[string][]string{"scope": {"a", "b", "c"}, "role": {"a  b c"}} {
		o.GroupsClaim = claim
		c := open(t, auth.Options{Tokens: o})
		p, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "", f.ec, good(map[string]any{claim: "a  b c"}))))
		if err != nil || !reflect.DeepEqual(p.Groups, want) {
			t.Errorf("%s: %+v, %v", claim, p, err)
		}
	}
	o.UserClaim, o.GroupsClaim = "user.id", ""
	c = open(t, auth.Options{Tokens: o})
	p, err = c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "", f.ec, good(map[string]any{"user": map[string]any{"id": 42}}))))
	if err != nil || p.Name != "42" {
		t.Errorf("%+v, %v", p, err)
	}
}

// What is unusual and sound gets in.
func TestOddTokensThatHold(t *testing.T) {
	f := theForge()
	c := open(t, auth.Options{Tokens: tokenOptions(file(t, allKeys(t)))})
	soon := time.Now().Add(time.Hour).Unix()
	for name, changes := range map[string]map[string]any{
		"exp a fraction":         {"exp": float64(soon) + .5},
		"exp in other notation":  {"exp": verbatim{fmt.Sprintf("%d.0e0", soon)}},
		"exp below 0 by leeway":  {"exp": time.Now().Add(-20 * time.Second).Unix(), "iat": time.Now().Add(-time.Hour).Unix()},
		"nbf within the leeway":  {"nbf": time.Now().Add(20 * time.Second).Unix()},
		"iat within the leeway":  {"iat": float64(time.Now().Add(20*time.Second).Unix()) + .25},
		"no iat":                 {"iat": nil},
		"aud among others":       {"aud": []string{"x", "gudok"}},
		"groups null":            {"groups": verbatim{"null"}},
		"a claim with a dot":     {"a.b": "c"},
		"a name in any script":   {"sub": "구독"},
		"exp far, iat says when": {"exp": time.Now().Add(1000 * time.Hour).Unix()},
	} {
		p, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "es", f.ec, good(changes))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if p.Expires.After(time.Now().Add(24*time.Hour + 31*time.Second)) {
			t.Errorf("%s: until %v", name, p.Expires)
		}
	}
	// Header parameters that claim a key do no harm beside the right one.
	h := asJSON(t, map[string]any{"alg": "ES256", "kid": "es", "typ": "at+jwt", "jku": "https://evil.example", "jwk": jwk("", "", f.ec2)})
	if _, err := c.Authenticate(t.Context(), byToken(raw(t, jwt.SigningMethodES256, f.ec, h, asJSON(t, good(nil))))); err != nil {
		t.Error(err)
	}
}

// verbatim is written as it is.
type verbatim struct{ text string }

func (j verbatim) MarshalJSON() ([]byte, error) { return []byte(j.text), nil }

func TestAnyIssuerOrAudience(t *testing.T) {
	f := theForge()
	o := tokenOptions(file(t, allKeys(t)))
	o.Issuer, o.Audience = auth.Any, []string{auth.Any}
	c := open(t, auth.Options{Tokens: o})
	for _, changes := range []map[string]any{nil, {"iss": nil, "aud": nil}, {"iss": "x", "aud": "y"}} {
		if _, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "es", f.ec, good(changes)))); err != nil {
			t.Errorf("%v: %v", changes, err)
		}
	}
	for _, change := range []func(*auth.TokenOptions){
		func(o *auth.TokenOptions) { o.Issuer = "" },
		func(o *auth.TokenOptions) { o.Audience = nil },
		func(o *auth.TokenOptions) { o.KeysFile = "" },
		func(o *auth.TokenOptions) { o.KeysURL = "https://x" },
		func(o *auth.TokenOptions) { o.Algorithm = "none" },
		func(o *auth.TokenOptions) { o.KeysFile, o.KeysURL = "", "http://id.example.org/" },
		func(o *auth.TokenOptions) { o.KeysFile = "/nowhere" },
	} {
		bad := *o
		change(&bad)
		if c, err := auth.Open(auth.Options{Tokens: &bad}); err == nil {
			_ = c.Close()
			t.Errorf("%+v is taken", bad)
		}
	}
}

// To the second: exp and leeway, iat and age, nbf.
func TestTokenTimes(t *testing.T) {
	f := theForge()
	keys := file(t, allKeys(t))
	synctest.Test(t, func(t *testing.T) {
		o := tokenOptions(keys)
		o.Leeway, o.MaxAge = 10*time.Second, time.Hour
		c := open(t, auth.Options{Tokens: o})
		now := time.Now() // on the second, in here
		ask := func(token string) error {
			_, err := c.Authenticate(t.Context(), byToken(token))
			return err
		}
		sign := func(iat, nbf, exp time.Duration) string {
			m := map[string]any{"iat": now.Add(iat).Unix(), "nbf": now.Add(nbf).Unix(), "exp": now.Add(exp).Unix()}
			return mint(t, jwt.SigningMethodES256, "es", f.ec, good(m))
		}
		for _, x := range []struct {
			name          string
			iat, nbf, exp time.Duration
			want          error
		}{
			{"exp just within", -time.Minute, -time.Minute, -9 * time.Second, nil},
			{"exp just over", -time.Minute, -time.Minute, -10 * time.Second, broker.ErrExpired},
			{"nbf just within", 0, 10 * time.Second, time.Minute, nil},
			{"nbf just over", 0, 11 * time.Second, time.Minute, broker.ErrBadCredentials},
			{"iat just within", 10 * time.Second, 0, time.Minute, nil},
			{"iat just over", 11 * time.Second, 0, time.Minute, broker.ErrBadCredentials},
			{"age just within", -time.Hour - 9*time.Second, -time.Hour, time.Minute, nil},
			{"age just over", -time.Hour - 10*time.Second, -time.Hour, time.Minute, broker.ErrExpired},
		} {
			if err := ask(sign(x.iat, x.nbf, x.exp)); !errors.Is(err, x.want) {
				t.Errorf("%s: %v", x.name, err)
			}
		}
		p, err := c.Authenticate(t.Context(), byToken(sign(0, 0, 30*time.Minute)))
		if err != nil || !p.Expires.Equal(now.Add(30*time.Minute+10*time.Second)) {
			t.Errorf("%+v, %v", p, err)
		}
		p, err = c.Authenticate(t.Context(), byToken(sign(0, 0, 3*time.Hour)))
		if err != nil || !p.Expires.Equal(now.Add(time.Hour+10*time.Second)) {
			t.Errorf("%+v, %v", p, err)
		}
		o.Leeway = -1
		c = open(t, auth.Options{Tokens: o})
		if err := ask(sign(-time.Minute, 0, 0)); !errors.Is(err, broker.ErrExpired) {
			t.Errorf("no leeway: %v", err)
		}
	})
}

func TestKeysThatCannotBe(t *testing.T) {
	f := theForge()
	private := jwk("p", "ES256", f.ec)
	private["d"] = b64([]byte("d"))
	off := jwk("o", "ES256", f.ec)
	off["x"] = off["y"]
	short := jwk("s", "ES256", f.ec)
	short["x"] = b64([]byte("short"))
	even := jwk("e", "RS256", f.rsa)
	even["e"] = "Ag"
	long := jwk("l", "RS256", f.rsa)
	long["e"] = b64(bytes.Repeat([]byte{0xff}, 100))
	encrypting := jwk("enc", "RS256", f.rsa)
	encrypting["use"] = "enc"
	signing := jwk("sign", "RS256", f.rsa)
	signing["key_ops"] = []string{"sign"}
	x25519 := map[string]any{"kty": "OKP", "crv": "X25519", "x": b64(make([]byte, 32))}
	k256 := jwk("k", "", f.ec)
	k256["crv"] = "secp256k1"
	for name, text := range map[string][]byte{
		"empty": {}, "nothing": []byte(" \n"), "a secret": []byte("secret"), "JSON": []byte("{}"), "a list": []byte(`[{"kty":"EC"}]`),
		"cut": []byte(`{"keys":[`), "no keys": []byte(`{"keys":[]}`), "null": []byte(`{"keys":null}`), "numbers": []byte(`{"keys":[1]}`),
		"a private JWK": jwks(t, private), "off the curve": jwks(t, off), "short": jwks(t, short),
		"an even exponent": jwks(t, even), "a long exponent": jwks(t, long), "weak RSA": jwks(t, jwk("w", "RS256", f.weak)),
		"for encryption": jwks(t, encrypting), "for signing": jwks(t, signing), "of another curve": jwks(t, x25519), "secp256k1": jwks(t, k256),
		"RSA for ES256": jwks(t, jwk("x", "ES256", f.rsa)), "EC for HS256": jwks(t, jwk("x", "HS256", f.ec)), "EC for ES384": jwks(t, jwk("x", "ES384", f.ec)),
		"a secret for RS256": jwks(t, jwk("x", "RS256", f.secret)), "a short secret": jwks(t, jwk("x", "HS256", f.secret[:31])),
		"a shortish secret": jwks(t, jwk("x", "HS512", f.secret[:63])), "alg none": jwks(t, jwk("x", "none", f.ec)),
		"weak RSA in PEM": publicPEM(t, &f.weak.PublicKey),
		"a private PEM":   []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"a damaged PEM":   []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"too many":        jwks(t, manyKeys(65)...),
		"too much":        bytes.Repeat([]byte(" "), 300<<10),
	} {
		err := auth.CheckKeys(file(t, text), "RS256")
		if err == nil {
			t.Errorf("%s can be keys", name)
			continue
		}
		for _, part := range []string{b64(f.secret[:31]), "AAAA", "secret\n"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, text := range map[string][]byte{
		"PEM": publicPEM(t, &f.rsa.PublicKey), "two PEM": append(publicPEM(t, &f.rsa.PublicKey), publicPEM(t, &f.ec.PublicKey)...),
		"with others":  jwks(t, jwk("a", "", f.rsa), x25519, encrypting, jwk("b", "RSA-OAEP", f.rsa)),
		"just many":    jwks(t, manyKeys(64)...),
		"a short HS":   jwks(t, jwk("x", "HS256", f.secret[:32])),
		"after a mark": append([]byte("\ufeff\n"), jwks(t, jwk("a", "", f.ed))...),
	} {
		if err := auth.CheckKeys(file(t, text), "PS256"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyKeys(n int) (all []map[string]any) {
	for i := range n {
		all = append(all, jwk(fmt.Sprint(i), "", theForge().ec))
	}
	return all
}

// RSA keys without an algorithm have the configured one, and only that.
func TestAlgorithmOfRSAKeys(t *testing.T) {
	f := theForge()
	for _, keys := range [][]byte{publicPEM(t, &f.rsa.PublicKey), jwks(t, jwk("", "", f.rsa))} {
		for configured, works := range map[string]jwt.SigningMethod{"": jwt.SigningMethodRS256, "RS512": jwt.SigningMethodRS512, "PS256": jwt.SigningMethodPS256} {
			o := tokenOptions(file(t, keys))
			o.Algorithm = configured
			c := open(t, auth.Options{Tokens: o})
			for _, m := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
				_, err := c.Authenticate(t.Context(), byToken(mint(t, m, "", f.rsa, good(nil))))
				if (err == nil) != (m == works) {
					t.Errorf("%q: %s: %v", configured, m.Alg(), err)
				}
			}
		}
	}
}

// A changed file of keys counts from the next second on; one that cannot be used changes nothing.
func TestKeysFileChanges(t *testing.T) {
	f := theForge()
	path := file(t, publicPEM(t, &f.ec.PublicKey))
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := open(t, auth.Options{Tokens: tokenOptions(path), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		works := func(key crypto.Signer, want bool) *broker.Principal {
			t.Helper()
			p, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "", key, good(nil))))
			if (err == nil) != want {
				t.Errorf("works: %v", err)
			}
			return p
		}
		old := works(f.ec, true)
		works(f.ec2, false)
		write := func(text []byte, at time.Time) {
			t.Helper()
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		write([]byte("no keys"), time.Unix(1, 0))
		works(f.ec, true)
		if !strings.Contains(log.String(), "keeping the old") {
			t.Errorf("%s", log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		works(f.ec, true)
		if err := c.Reload(auth.Options{Tokens: tokenOptions(path)}); err == nil {
			t.Error("a reload without the file is fine")
		}
		works(f.ec, true)
		if p, err := c.Revalidate(old); p != old || err != nil {
			t.Errorf("%v", err)
		}
		write(publicPEM(t, &f.ec2.PublicKey), time.Unix(2, 0))
		works(f.ec, false)
		works(f.ec2, true)
		if _, err := c.Revalidate(old); err == nil {
			t.Error("a session lives on whose key has gone")
		}
	})
}
