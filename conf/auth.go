package conf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Certificates tells whether clients can log in with a certificate.
func (c *Config) Certificates() bool { return c.HTTP.TLS.ClientCA != "" || c.TCP.TLS.ClientCA != "" }

// Logins tells whether there is a way to log in; without one nobody is asked who he is.
func (c *Config) Logins() bool {
	return len(c.Users) > 0 || c.JWT.On() || c.Auth.HTTP.URL != "" || c.Certificates()
}

// tokenName is what names of cookies and parameters are made of (RFC 9110, section 5.6.2).
var tokenName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// checkJWT judges what tokens must say; where the keys are is judged where they are read.
func (c *Config) checkJWT() *Error {
	j := c.JWT
	switch {
	case j.KeysFile != "" && j.JWKSURL != "":
		return c.fault("jwt.keys_file", fmt.Sprintf("%s is there, and jwt.jwks_url is too (remove one)", quote(j.KeysFile)))
	case !j.On():
		for _, s := range []struct{ key, value string }{
			{"jwt.issuer", j.Issuer}, {"jwt.audience", strings.Join(j.Audience, ",")}, {"jwt.groups_claim", j.GroupsClaim},
		} {
			if s.value != "" {
				return c.fault(s.key, fmt.Sprintf("%s is of no use without keys (set jwt.keys_file or jwt.jwks_url)", quote(s.value)))
			}
		}
	case j.Issuer == "":
		return c.inJWT("jwt.issuer", `is missing or empty (write what iss must be, or "*" to take tokens of any issuer)`)
	case len(j.Audience) == 0:
		return c.inJWT("jwt.audience", `is missing or empty (write what aud must be, or "*" to take tokens for any audience)`)
	case j.UserClaim == "":
		return c.inJWT("jwt.user_claim", "is empty (write sub)")
	}
	for _, s := range []struct{ key, value string }{{"jwt.cookie", j.Cookie}, {"jwt.query", j.Query}} {
		switch {
		case s.value == "":
		case !tokenName.MatchString(s.value):
			return c.fault(s.key, fmt.Sprintf("%s is not a name (write access_token)", quote(s.value)))
		case !j.On() && c.Auth.HTTP.URL == "":
			return c.fault(s.key, fmt.Sprintf("%s is of no use without keys (set jwt.keys_file or jwt.jwks_url)", quote(s.value)))
		}
	}
	// A browser sends cookies of its own accord, for any page.
	for _, o := range []string{"*", "null"} {
		if j.Cookie != "" && slices.Contains(c.HTTP.AllowedOrigins, o) {
			return c.fault("jwt.cookie", fmt.Sprintf("%s would let any page act for who visits it, because http.allowed_origins has %s (name the origins)",
				quote(j.Cookie), quote(o)))
		}
	}
	return nil
}

// inJWT is fault for a key that may be missing: then its line is the one that turned tokens on.
func (c *Config) inJWT(key, problem string) *Error {
	e := c.fault(key, problem)
	for _, k := range []string{"jwt.keys_file", "jwt.jwks_url"} {
		if e.Where == "" && c.where[k] != envName(k) {
			e.Where = c.where[k]
		}
	}
	return e
}

func (c *Config) checkAuth() *Error {
	h := c.Auth.HTTP
	for i, line := range h.Headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !tokenName.MatchString(name) || strings.TrimSpace(value) == "" {
			return c.element("auth.http.headers", i, `is not a header (write "Name: value"; it is not shown here, because it may be secret)`)
		}
	}
	if h.URL == "" && len(h.Headers) > 0 {
		return c.fault("auth.http.headers", "go nowhere (set auth.http.url)")
	}
	return nil
}
