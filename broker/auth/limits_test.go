package auth_test

import (
	"crypto/x509/pkix"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// A user's limits are the principal's, whatever proved who it is, and those of the last reload.
func TestLimitsOfUsers(t *testing.T) {
	f := theForge()
	tokens := tokenOptions(file(t, allKeys(t)))
	users := func(n int) []auth.User {
		l := func(n int) *broker.Limits { return &broker.Limits{Connections: n} }
		return []auth.User{{Name: "bea", PasswordHash: bcryptSecret, Limits: l(n)}, {Name: "carl", Limits: l(n + 1)},
			{Name: "ann", Limits: l(n + 2)}, {Name: "dan", PasswordHash: bcryptSecret}}
	}
	c := open(t, auth.Options{Users: users(1), Tokens: tokens, Certificates: auth.UserCN, Anonymous: true})
	token := func(name string) broker.Secret {
		return broker.Secret(mint(t, jwt.SigningMethodES256, "es", f.ec, good(map[string]any{"sub": name})))
	}
	for _, base := range []int{1, 10} {
		if err := c.Reload(auth.Options{Users: users(base), Tokens: tokens, Certificates: auth.UserCN, Anonymous: true}); err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]struct {
			given broker.Credentials
			want  int
		}{
			"password":              {broker.Credentials{Login: "bea", Passcode: "secret"}, base},
			"certificate":           {broker.Credentials{Peer: broker.Peer{TLS: presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)}}, base + 1},
			"token":                 {broker.Credentials{Passcode: token("ann")}, base + 2},
			"token of a password's": {broker.Credentials{Passcode: token("bea")}, base},
			"without limits":        {broker.Credentials{Login: "dan", Passcode: "secret"}, 0},
			"a stranger's token":    {broker.Credentials{Passcode: token("eve")}, 0},
			"anonymous":             {broker.Credentials{}, 0},
		} {
			p, err := c.Authenticate(t.Context(), x.given)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := 0
			if p.Limits != nil {
				got = p.Limits.Connections
			}
			if got != x.want {
				t.Errorf("%s: %d, want %d", name, got, x.want)
			}
			if q, err := c.Revalidate(p); err != nil || q != p {
				t.Errorf("%s: revalidated %+v, %v", name, q, err)
			}
		}
	}
}
