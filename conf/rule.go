package conf

import (
	"fmt"
	"strings"
)

// Rule says what some of those who may connect may do. With none they may do anything; with some,
// what none of them grants is refused, and a deny beats a grant.
type Rule struct {
	// Who it is for: * everyone, NAME or user:NAME a user, group:NAME, claim:NAME=VALUE, anonymous.
	Who string `yaml:"who"`
	// Send and Subscribe are the destinations that are granted, as patterns; Deny is refused for
	// both.
	Send      []string `yaml:"send"`
	Subscribe []string `yaml:"subscribe"`
	Deny      []string `yaml:"deny"`
}

// checkRules judges what rules ask of other settings; what their patterns mean is another part's.
func (c *Config) checkRules() *Error {
	if len(c.Rules) == 0 {
		return nil
	}
	for i, r := range c.Rules {
		if r.Who == "" {
			return c.inUser(index("rules", i), ".who", "is missing or empty (write \"*\", NAME, group:NAME, claim:NAME=VALUE or anonymous)")
		}
	}
	for i, u := range c.Users {
		if strings.Contains(u.Name, ".") {
			return c.fault(index("users", i)+".name",
				fmt.Sprintf("%s has a '.' in it, which separates segments of destinations: no user may have one where there are rules (rename the user)",
					quote(u.Name)))
		}
	}
	return nil
}
