package auth_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

func BenchmarkWrongPassword(b *testing.B) { benchmarkLogin(b, "bea") }
func BenchmarkStranger(b *testing.B)      { benchmarkLogin(b, "eve") }

// benchmarkLogin compares what a wrong login costs: both must take the same time.
func benchmarkLogin(b *testing.B, login string) {
	p, err := auth.New([]auth.User{{Name: "bea", PasswordHash: bcryptSecret}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, _ = p.Authenticate(b.Context(), broker.Credentials{Login: login, Passcode: "guess"})
	}
}

// BenchmarkToken is the cost of a login by token.
func BenchmarkToken(b *testing.B) {
	f := theForge()
	c := open(b, auth.Options{Tokens: tokenOptions(file(b, allKeys(b)))})
	for _, x := range []struct {
		method jwt.SigningMethod
		kid    string
		key    any
	}{{jwt.SigningMethodES256, "es", f.ec}, {jwt.SigningMethodRS256, "rs", f.rsa}, {jwt.SigningMethodEdDSA, "ed", f.ed}, {jwt.SigningMethodHS256, "hs", f.secret}} {
		b.Run(x.method.Alg(), func(b *testing.B) {
			given := byToken(mint(b, x.method, x.kid, x.key, good(nil)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Authenticate(b.Context(), given); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
