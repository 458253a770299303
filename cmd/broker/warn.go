package main

import (
	"fmt"
	"slices"

	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/conf"
)

// warnings tells what is sound in a configuration and yet hardly meant.
func warnings(c *conf.Config) []error { return append(limitWarnings(c), ruleWarnings(c)...) }

// ruleWarnings tells of rules that are for nobody.
func ruleWarnings(c *conf.Config) (all []error) {
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

// limitWarnings tells of limits that were set and can never be reached, because another comes first.
func limitWarnings(c *conf.Config) (all []error) {
	count := func(key string, n int, otherKey string, other int) {
		if c.Where(key) != "" && n > other {
			all = append(all, c.Refuse(key, fmt.Sprintf("%d can never be reached, because %s is %d", n, otherKey, other)))
		}
	}
	l := c.Limits
	count("limits.connections_per_address", l.ConnectionsPerAddress, "limits.connections", l.Connections)
	count("limits.connections_per_user", l.ConnectionsPerUser, "limits.connections", l.Connections)
	count("limits.wildcard_subscriptions", l.WildcardSubscriptions, "limits.subscriptions", l.Subscriptions)
	if c.Where("limits.body") != "" || c.Where("limits.transaction_bytes") != "" {
		if l.Body > l.TransactionBytes {
			all = append(all, c.Refuse("limits.transaction_bytes",
				fmt.Sprintf("%s has no room for one message of limits.body, which is %s", l.TransactionBytes, l.Body)))
		}
	}
	for i, u := range c.Users {
		key := fmt.Sprintf("users[%d].limits.", i)
		count(key+"connections", u.Limits.Connections, "limits.connections", l.Connections)
		most, mostKey := l.Subscriptions, "limits.subscriptions"
		if n := u.Limits.Subscriptions; n > 0 {
			most, mostKey = n, key+"subscriptions"
		}
		count(key+"wildcard_subscriptions", u.Limits.WildcardSubscriptions, mostKey, most)
	}
	return all
}

// fileWarning tells that fewer files may be open than connections were asked for, or nil.
func fileWarning(c *conf.Config, files uint64) error {
	needed := uint64(max(c.Limits.Connections, 0)) + ownFiles // #nosec G115 -- not below 0
	if c.Where("limits.connections") == "" || files >= needed {
		return nil
	}
	return c.Refuse("limits.connections",
		fmt.Sprintf("%d can never be reached here, because %d files may be open (ulimit -n)", c.Limits.Connections, files))
}
