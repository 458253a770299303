// Package oracle says who may do what under a policy. It is written from the description of rules
// in the README and unlike the broker's own code, which tests hold against it: it reads the rules
// anew for each question, and answers for a pattern by trying the names that it matches.
package oracle

import (
	"slices"
	"strings"
)

// Rule is one rule of a configuration.
type Rule struct {
	Who                   string
	Send, Subscribe, Deny []string
}

// Policy is the rules of a configuration.
type Policy []Rule

// Who is a principal; ID stands for one without a name behind /user/.
type Who struct {
	Name, ID string
	Groups   []string
	Claims   map[string][]string
}

// MaySend answers for a SEND to a destination in the broker's spelling of it.
func (p Policy) MaySend(w Who, name string) bool {
	return p.any(w, name, func(r Rule) []string { return r.Send }) && !p.denied(w, name)
}

// MaySubscribe answers for a SUBSCRIBE to a destination or a pattern.
func (p Policy) MaySubscribe(w Who, pattern string) bool {
	some := false
	for _, name := range p.names(w, pattern) {
		if !p.any(w, name, func(r Rule) []string { return r.Subscribe }) {
			return false
		}
		some = some || !p.denied(w, name)
	}
	return some
}

// Reaches answers whether a message to name reaches a permitted subscription to a pattern.
func (p Policy) Reaches(w Who, pattern, name string) bool {
	return Match(cut(pattern), cut(name)) && !p.denied(w, name)
}

func (p Policy) denied(w Who, name string) bool {
	return p.any(w, name, func(r Rule) []string { return r.Deny })
}

func (p Policy) any(w Who, name string, list func(Rule) []string) bool {
	return slices.ContainsFunc(p, func(r Rule) bool {
		return w.is(r.Who) && slices.ContainsFunc(list(r), func(pattern string) bool {
			return Match(w.fill(pattern), cut(name))
		})
	})
}

func (w Who) is(who string) bool {
	if kind, rest, _ := strings.Cut(who, ":"); kind == "group" {
		return slices.Contains(w.Groups, rest)
	} else if kind == "claim" {
		name, value, _ := strings.Cut(rest, "=")
		return slices.Contains(w.Claims[name], value)
	}
	return who == "*" || who == "anonymous" && w.Name == "" || w.Name != "" && strings.TrimPrefix(who, "user:") == w.Name
}

// fill puts the principal into a rule's pattern.
func (w Who) fill(pattern string) []string {
	segs := cut(pattern)
	if segs[0] == "user" && len(segs) > 1 && (segs[1] == "queue" || segs[1] == "topic") {
		segs = slices.Insert(segs, 1, "{user}")
	}
	for i, s := range segs {
		switch {
		case s != "{user}":
		case w.Name != "":
			segs[i] = w.Name
		case i == 1 && segs[0] == "user":
			segs[i] = w.ID
		default:
			segs[i] = "\n" // nobody
		}
	}
	return segs
}

func cut(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' })
}

// Match tells whether a pattern matches a name, both in segments.
func Match(pattern, name []string) bool {
	switch {
	case len(pattern) == 0 || len(name) == 0:
		return len(name) == 0 && (len(pattern) == 0 || wide(pattern[0]))
	case wide(pattern[0]):
		return true
	}
	return (pattern[0] == "*" || pattern[0] == name[0]) && Match(pattern[1:], name[1:])
}

func wide(s string) bool { return s == "**" || s == "#" || s == ">" }

// names lists what a pattern matches, of the words that the policy knows and one that it does
// not, up to one segment longer than its longest pattern.
func (p Policy) names(w Who, pattern string) []string {
	words, longest := []string{"unheard-of"}, len(cut(pattern))
	for _, r := range p {
		for _, q := range slices.Concat(r.Send, r.Subscribe, r.Deny) {
			longest = max(longest, len(w.fill(q)))
			for _, s := range w.fill(q)[1:] {
				if s != "*" && !wide(s) && s != "\n" && !slices.Contains(words, s) {
					words = append(words, s)
				}
			}
		}
	}
	names := []string{""}
	for i, s := range cut(pattern) {
		if wide(s) {
			for from := 0; i <= longest; i++ {
				to := len(names)
				for _, n := range names[from:to] {
					for _, word := range words {
						names = append(names, n+"/"+word)
					}
				}
				from = to
			}
			break
		}
		choice := []string{s}
		if s == "*" {
			choice = words
		}
		var next []string
		for _, n := range names {
			for _, word := range choice {
				next = append(next, n+"/"+word)
			}
		}
		names = next
	}
	return slices.DeleteFunc(names, func(n string) bool { return strings.Count(n, "/") < 2 })
}
