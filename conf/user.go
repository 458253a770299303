package conf

import (
	"fmt"
	"regexp"
	"strings"
)

// knownHash tells a hash by its shape; whether its costs are bearable is judged where it is used.
var knownHash = regexp.MustCompile(`^(\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+)$`)

func (c *Config) checkUsers() *Error {
	seen := map[string]int{}
	for i, u := range c.Users {
		key := index("users", i)
		if u.Name == "" {
			return c.inUser(key, ".name", "is missing or empty (give the user a name)")
		}
		if strings.TrimSpace(u.Name) != u.Name || len(u.Name) > 256 {
			return c.inUser(key, ".name", fmt.Sprintf("%s is no name (at most 256 bytes, no blank at either end)", quote(u.Name)))
		}
		if first, ok := seen[u.Name]; ok {
			return c.inUser(key, ".name", fmt.Sprintf("%s is the name of %s already (remove one)", quote(u.Name), index("users", first)))
		}
		seen[u.Name] = i
		line, all := u.Limits.HeaderLine, u.Limits.HeaderBytes
		if line == 0 {
			line = c.Limits.HeaderLine
		}
		if all == 0 {
			all = c.Limits.HeaderBytes
		}
		if err := c.checkLines(key+".limits", line, all); err != nil {
			return err
		}
		elsewhere := c.JWT.On() || c.Auth.HTTP.URL != ""
		if u.PasswordHash == "" && (c.Certificates() || elsewhere && u.Limits != (UserLimits{})) {
			continue // known for groups or limits; who it is is proved in another way
		}
		if u.PasswordHash == "" {
			return c.inUser(key, ".password_hash", "is missing or empty (make one with: broker passwd)")
		}
		// Not quoted: it may be the password itself.
		if !knownHash.MatchString(u.PasswordHash) {
			return c.inUser(key, ".password_hash", "is not a bcrypt or argon2id hash (make one with: broker passwd)")
		}
	}
	return nil
}

// inUser is fault for a key of a user, which may be missing: then its line is the user's.
func (c *Config) inUser(user, key, problem string) *Error {
	e := c.fault(user+key, problem)
	if e.Where == "" {
		e.Where = c.where[user]
	}
	return e
}
