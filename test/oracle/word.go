package oracle

import (
	"regexp"
	"slices"
	"strings"
)

// Answer is the message of the ERROR that answers a SEND or SUBSCRIBE with this destination; empty
// for what is permitted.
func (p Policy) Answer(w Who, subscribe bool, destination string) string {
	name, refusal := w.word(subscribe, destination)
	switch {
	case refusal != "":
		return refusal
	case subscribe && !p.MaySubscribe(w, name), !subscribe && !p.MaySend(w, name):
		return "not permitted"
	}
	return ""
}

var (
	prefixed = regexp.MustCompile(`^/(topic|queue|temp-queue|user|dlq|reply-queue)/`)
	// A segment has no control and no white space but spaces within.
	letter  = `[^\p{Cc}\p{Z}\x{FFFD}./]`
	segment = letter + `(?:(?:` + letter + `| )*` + letter + `)?`
	sound   = regexp.MustCompile(`^/[a-z-]+/` + segment + `(?:[./]` + segment + `){0,31}$`)
	usual   = regexp.MustCompile(`^/user/([^/]+)/((?:queue|topic)/.+)$`)
	own     = regexp.MustCompile(`^/user/((?:queue|topic)/.+)$`)
)

// word is what a destination means, in the broker's spelling, or why it means nothing.
func (w Who) word(subscribe bool, s string) (name, refusal string) {
	const bad, no = "bad destination", "not permitted"
	kind := prefixed.FindString(s)
	segs := cut(s)
	wild := slices.ContainsFunc(segs, func(s string) bool { return s == "*" || wide(s) })
	me := w.Name
	if me == "" {
		me = w.ID
	}
	switch {
	case kind == "":
		return "", "unknown destination prefix"
	case len(s) > 255 || !sound.MatchString(s):
		return "", bad
	case wild && (!subscribe || kind != "/topic/" || slices.ContainsFunc(segs[:len(segs)-1], wide)):
		return "", bad
	case kind == "/reply-queue/" && subscribe:
		return "", no
	case kind != "/user/":
		return s, ""
	case own.MatchString(s):
		return "/user/" + me + "/" + own.FindStringSubmatch(s)[1], ""
	case !subscribe && usual.MatchString(s):
		return s, ""
	case !subscribe:
		return "", bad
	}
	if m := usual.FindStringSubmatch(s); m == nil || m[1] != w.Name || strings.Contains(m[1], ".") {
		return "", no
	}
	return s, ""
}
