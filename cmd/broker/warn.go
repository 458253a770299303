package main

import (
	"fmt"
	"slices"

	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/conf"
)

// warnings tells what is sound in a configuration and yet hardly meant: rules that are for nobody.
func warnings(c *conf.Config) (all []error) {
	if len(c.Rules) == 0 {
		return nil
	}
	warn := func(key, format string, args ...any) {
		all = append(all, c.Refuse(key, fmt.Sprintf(format, args...)))
	}
	open := !c.Logins() && c.Auth.Anonymous != "yes"
	if open {
		warn("rules", "no password is asked of anyone, so that rules for users bind nobody (set users)")
	}
	elsewhere := c.JWT.On() || c.Auth.HTTP.URL != "" // who is a user is not known here
	for i, r := range c.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		if len(r.Send)+len(r.Subscribe)+len(r.Deny) == 0 {
			warn(key, "grants nothing and denies nothing")
		}
		who, err := rules.ParseWho(r.Who)
		if err != nil {
			continue // configure has refused it
		}
		key += ".who"
		switch {
		case who.Kind == rules.User && !open && !elsewhere && !c.Certificates() && !slices.ContainsFunc(c.Users, func(u conf.User) bool { return u.Name == who.Name }):
			warn(key, "%q is no user's name", who.Name)
		case who.Kind == rules.Group && !elsewhere && !slices.ContainsFunc(c.Users, func(u conf.User) bool { return slices.Contains(u.Groups, who.Name) }):
			warn(key, "no user is in the group %q", who.Name)
		case who.Kind == rules.Claim && !c.JWT.On():
			warn(key, "no user has claims (set jwt)")
		case who.Kind == rules.Anonymous && !open && c.Auth.Anonymous != "yes":
			warn(key, "nobody can connect without a login")
		}
	}
	return all
}
