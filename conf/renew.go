package conf

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// live are the settings that a running broker can change, and groups of them; but for fixed. All
// lists of groups (users, rules, policies) are.
var (
	live  = []string{"limits.", "heartbeat.", "jwt.", "auth.", "log.level"}
	fixed = []string{"limits.before_connect", "limits.frame_time", "jwt.cookie", "jwt.query"}
)

// Renew is what becomes of c, the configuration in use, when next is read while the broker runs:
// next, but settings that only a start can change are as they were. held names those that differ.
// The whole is checked, since it is neither of the two; an error is one line, like Load's.
func (c *Config) Renew(next *Config) (now *Config, held []string, err error) {
	now = new(Config)
	*now = *next
	now.where = maps.Clone(next.where)
	was := c.all()
	for key, s := range now.all() {
		old := was[key].value
		if reflect.DeepEqual(old.Interface(), s.value.Interface()) || c.isLive(key, next) {
			continue
		}
		held = append(held, key)
		s.value.Set(old)
		now.where[key] = c.where[key]
	}
	slices.Sort(held)
	if err := now.check(); err != nil {
		return nil, nil, err
	}
	return now, held, nil
}

// isLive tells whether a running broker can change a setting. A certificate can take the place of
// another.
func (c *Config) isLive(key string, next *Config) bool {
	switch {
	case strings.HasPrefix(key, "http.tls."):
		return c.HTTP.TLS.Cert != "" && next.HTTP.TLS.Cert != ""
	case strings.HasPrefix(key, "tcp.tls."):
		return c.TCP.TLS.Cert != "" && next.TCP.TLS.Cert != ""
	}
	return !slices.Contains(fixed, key) && slices.ContainsFunc(live, func(l string) bool {
		return key == l || strings.HasSuffix(l, ".") && strings.HasPrefix(key, l)
	})
}
