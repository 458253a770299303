package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// FuzzCredentials: whatever a client offers, it does not get in without a key, and no error repeats it.
func FuzzCredentials(f *testing.F) {
	for _, v := range vectors(f) {
		if len(v.token) < 10_000 {
			f.Add("", v.token, "Bearer "+v.token, v.token)
		}
	}
	f.Add("bea", "x", "Basic YmVhOng=", "x")
	f.Add("\x00", "eyJ.e30.", "basic", "eyJhbGciOiJIUzI1NiJ9..")
	users := []auth.User{{Name: "ada", PasswordHash: argonGeheim}}
	private := open(f, auth.Options{Users: users, Tokens: tokenOptions(file(f, jwks(f, jwk("", "ES256", unknownKey(f)))))})
	f.Fuzz(func(t *testing.T, login, passcode, authorization, token string) {
		for _, given := range []broker.Credentials{
			{Login: login, Passcode: broker.Secret(passcode)},
			{Login: login, Authorization: broker.Secret(authorization)},
			{Login: login, Peer: broker.Peer{Offer: &broker.Offer{Source: broker.FromQuery, Token: broker.Secret(token)}}},
		} {
			p, err := private.Authenticate(t.Context(), given)
			if err == nil && (p.Via != broker.ViaPassword || passcode != "geheim") {
				t.Errorf("%+v", p)
			}
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("%v", err)
			}
		}
	})
}

// FuzzClaims: of claims that are well signed, those that get in are what another reader of tokens
// takes, too; and a session has an end.
func FuzzClaims(f *testing.F) {
	o := tokenOptions(file(f, jwks(f, jwk("", "HS256", theForge().secret))))
	c := open(f, auth.Options{Tokens: o})
	f.Add(`{"alg":"HS256"}`, asJSON(f, good(nil)))
	f.Add(`{"alg":"HS256","kid":"x","typ":"JWT"}`, strings.Replace(asJSON(f, good(nil)), `"ann"`, `"a\u0041","sub ":1`, 1))
	f.Add(`{"alg":"HS256","crit":[]}`, asJSON(f, good(map[string]any{"exp": 1e10})))
	f.Add(`{"alg":"HS256"}`, asJSON(f, good(map[string]any{"aud": []any{"gudok", "x"}, "iat": 1.5})))
	parser := jwt.NewParser(jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Audience...), jwt.WithExpirationRequired(),
		jwt.WithLeeway(31*time.Second), jwt.WithValidMethods([]string{"HS256"}))
	f.Fuzz(func(t *testing.T, header, claims string) {
		token := raw(t, jwt.SigningMethodHS256, theForge().secret, header, claims)
		p, err := c.Authenticate(t.Context(), byToken(token))
		if err != nil {
			return
		}
		var m jwt.MapClaims
		if _, err := parser.ParseWithClaims(token, &m, func(*jwt.Token) (any, error) { return theForge().secret, nil }); err != nil {
			t.Errorf("only we take it: %v", err)
		}
		if sub, _ := m.GetSubject(); sub != p.Name || broker.CheckName(p.Name) != nil {
			t.Errorf("%q is taken for %q", sub, p.Name)
		}
		if d := time.Until(p.Expires); p.Expires.IsZero() || d < -time.Second || d > 24*time.Hour+31*time.Second {
			t.Errorf("ends in %v", d)
		}
	})
}

// FuzzKeys: any text is keys or an error.
func FuzzKeys(f *testing.F) {
	for _, text := range [][]byte{allKeys(f), publicPEM(f, &theForge().rsa.PublicKey), []byte(`{"keys":[{"kty":"RSA","n":"","e":"AQAB"}]}`),
		[]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")} {
		f.Add(string(text), "RS256")
	}
	f.Fuzz(func(t *testing.T, text, algorithm string) {
		n, err := auth.ParseKeys([]byte(text), algorithm)
		if err == nil && (n == 0 || n > 64) {
			t.Errorf("%d keys", n)
		}
		if errors.Is(err, broker.ErrBadCredentials) {
			t.Error(err)
		}
	})
}
