package conf

import (
	"fmt"
	"strings"
)

// checkPolicies judges what a pattern says; how it matches is the broker's.
func (c *Config) checkPolicies() *Error {
	for i, p := range c.Policies {
		key := index("policies", i)
		if p.Match == "" {
			return c.inUser(key, ".match", "is missing or empty (name a destination, or write /queue/**)")
		}
		if problem := patternProblem(p.Match); problem != "" {
			return c.inUser(key, ".match", fmt.Sprintf("%s %s", quote(p.Match), problem))
		}
		if d := p.DeadLetter; d != "" && d != "none" && !strings.HasPrefix(d, "/queue/") && !strings.HasPrefix(d, "/dlq/") {
			return c.inUser(key, ".dead_letter", fmt.Sprintf("%s is no queue (write /dlq/NAME, /queue/NAME or none)", quote(d)))
		}
		if p.Redelivery.Backoff == 0 && p.Redelivery.MaxDelay != 0 && p.Redelivery.Delay == 0 {
			return c.inUser(key, ".redelivery.max_delay", "bounds nothing (set redelivery.delay too)")
		}
		if p.Overflow == "drop-oldest" && p.MaxMessages == 0 && p.MaxBytes == 0 {
			return c.inUser(key, ".overflow", `"drop-oldest" needs a bound (set max_messages or max_bytes)`)
		}
	}
	return nil
}

// patternProblem says what is wrong with a policy's pattern, or nothing.
func patternProblem(p string) string {
	ok := false
	for _, prefix := range []string{"/topic/", "/queue/", "/dlq/"} {
		rest, found := strings.CutPrefix(p, prefix)
		ok = ok || found && rest != ""
	}
	if !ok {
		return "does not begin with /topic/, /queue/ or /dlq/ (write /queue/**)"
	}
	segments := strings.FieldsFunc(p, func(r rune) bool { return r == '.' || r == '/' })
	for i, s := range segments {
		if (s == "**" || s == "#" || s == ">") && i < len(segments)-1 {
			return fmt.Sprintf("has %q before its end (it stands for any number of segments)", s)
		}
	}
	return ""
}
