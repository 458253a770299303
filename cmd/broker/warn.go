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
	open := len(c.Users) == 0
	if open {
		warn("rules", "no password is asked of anyone, so that rules for users bind nobody (set users)")
	}
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
		case who.Kind == rules.User && !open && !slices.ContainsFunc(c.Users, func(u conf.User) bool { return u.Name == who.Name }):
			warn(key, "%q is no user's name", who.Name)
		case who.Kind == rules.Group && !slices.ContainsFunc(c.Users, func(u conf.User) bool { return slices.Contains(u.Groups, who.Name) }):
			warn(key, "no user is in the group %q", who.Name)
		case who.Kind == rules.Claim:
			warn(key, "no user has claims")
		case who.Kind == rules.Anonymous && !open:
			warn(key, "nobody can connect without a login")
		}
	}
	return all
}
