package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/conf"
)

// loginOptions are the ways to log in that the configuration names.
func loginOptions(c *conf.Config, log *slog.Logger) auth.Options {
	o := auth.Options{Anonymous: c.Auth.Anonymous == "yes", FailedLogins: c.Limits.FailedLogins, Logger: log}
	if o.FailedLogins == 0 { // off here; there it is the default
		o.FailedLogins = -1
	}
	for _, u := range c.Users {
		o.Users = append(o.Users, auth.User{Name: u.Name, PasswordHash: u.PasswordHash, Groups: u.Groups, Limits: userLimits(u.Limits)})
	}
	if c.Certificates() {
		o.Certificates = c.Auth.CertificateUser
	}
	if j := c.JWT; j.On() {
		o.Tokens = &auth.TokenOptions{
			Issuer:      j.Issuer,
			Audience:    j.Audience,
			KeysFile:    j.KeysFile,
			KeysURL:     j.JWKSURL,
			Refresh:     time.Duration(j.Refresh),
			Algorithm:   j.Algorithm,
			UserClaim:   j.UserClaim,
			GroupsClaim: j.GroupsClaim,
			KeepClaims:  claims(c.Rules),
			Leeway:      time.Duration(j.Leeway),
			MaxAge:      time.Duration(j.MaxAge),
		}
		if j.Leeway == 0 {
			o.Tokens.Leeway = -1 // there 0 is a default
		}
	}
	if h := c.Auth.HTTP; h.URL != "" {
		o.Hook = &auth.HookOptions{
			URL:         h.URL,
			Header:      http.Header{},
			Timeout:     time.Duration(h.Timeout),
			Concurrency: h.Concurrency,
			Cache:       time.Duration(h.Cache),
		}
		for _, line := range h.Headers {
			name, value, _ := strings.Cut(line, ":") // conf has seen to the colon
			o.Hook.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return o
}

// claims are those that rules ask for.
func claims(list []conf.Rule) []string {
	var names []string
	for _, r := range list {
		if who, err := rules.ParseWho(r.Who); err == nil && who.Kind == rules.Claim {
			names = append(names, who.Name)
		}
	}
	return names
}

// checkLogins judges what the configuration cannot judge alone. Nothing is fetched.
func checkLogins(c *conf.Config) error {
	for i, u := range c.Users {
		if err := broker.CheckName(u.Name); err != nil {
			return c.Refuse(fmt.Sprintf("users[%d].name", i), err.Error())
		}
		if u.PasswordHash == "" {
			continue // conf has seen that there is another way
		}
		if err := auth.Check(u.PasswordHash); err != nil {
			return c.Refuse(fmt.Sprintf("users[%d].password_hash", i), err.Error())
		}
	}
	if f := c.JWT.KeysFile; f != "" {
		if err := auth.CheckKeys(f, c.JWT.Algorithm); err != nil {
			return c.Refuse("jwt.keys_file", err.Error())
		}
	}
	if u := c.JWT.JWKSURL; u != "" {
		if err := auth.CheckURL(u, false); err != nil {
			return c.Refuse("jwt.jwks_url", err.Error())
		}
	}
	if h := c.Auth.HTTP; h.URL != "" {
		if err := auth.CheckURL(h.URL, h.Plaintext == "yes"); err != nil {
			return c.Refuse("auth.http.url", err.Error())
		}
	}
	return nil
}

// loginsText tells who may come in.
func loginsText(c *conf.Config) string {
	if !c.Logins() && c.Auth.Anonymous != "yes" {
		return "any login or none is accepted, because only this machine can connect"
	}
	var ways []string
	if n := len(c.Users); n > 0 {
		ways = append(ways, fmt.Sprintf("%d may log in", n))
	}
	if c.JWT.On() {
		ways = append(ways, "with a token (jwt)")
	}
	if c.Certificates() {
		ways = append(ways, "with a certificate (client_ca)")
	}
	if c.Auth.HTTP.URL != "" {
		ways = append(ways, "as another service says (auth.http)")
	}
	if c.Auth.Anonymous == "yes" {
		ways = append(ways, "anyone without a login (auth.anonymous)")
	}
	return strings.Join(ways, "; ")
}
