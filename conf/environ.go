package conf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "GUDOK_"

// injected are names that container platforms make up themselves for a service that is called
// gudok; they are not meant for us.
var injected = regexp.MustCompile(`^GUDOK_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)$`)

// fileOnly are the lists of groups, which no variable can set.
var fileOnly = regexp.MustCompile(`^GUDOK_(USERS|RULES|POLICIES)(_|$)`)

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readEnviron applies the overrides among NAME=VALUE pairs.
func (c *Config) readEnviron(environ []string) error {
	byName := map[string]string{}
	all := c.all()
	for key := range all {
		byName[envName(key)] = key
	}
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		key, ok := byName[name]
		if !ok {
			if injected.MatchString(name) {
				continue
			}
			return unknownVariable(name, byName)
		}
		if err := all[key].setText(text); err != nil {
			return &Error{Where: name, Problem: err.Error()}
		}
		c.where[key] = name
	}
	return nil
}

func unknownVariable(name string, byName map[string]string) error {
	problem := "no setting has this name"
	if list := fileOnly.FindStringSubmatch(name); list != nil {
		problem = strings.ToLower(list[1]) + " are set in the configuration file only"
	} else if n := nearest(name, byName); n != "" {
		problem = fmt.Sprintf("no setting has this name (did you mean %s?)", n)
	}
	return &Error{Where: name, Problem: problem}
}

// setText sets a scalar, or a list from its elements with commas between.
func (s setting) setText(text string) error {
	if !s.isList() {
		return s.set(text)
	}
	var texts []string
	if strings.TrimSpace(text) != "" {
		for t := range strings.SplitSeq(text, ",") {
			texts = append(texts, strings.TrimSpace(t))
		}
	}
	at, err := s.setList(texts)
	if err != nil {
		return fmt.Errorf("element %d %w", at+1, err)
	}
	return nil
}
