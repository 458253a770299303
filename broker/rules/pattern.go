package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gudokmq/gudok/store/mutant"
)

// pattern is a destination, or a pattern of destinations.
type pattern struct {
	segs []segment
	tail bool // any number of segments may follow
}

// segment is one segment of a pattern.
type segment struct {
	kind segmentKind
	text string // of a literal
}

type segmentKind uint8

const (
	literal segmentKind = iota
	star                // any one segment
	self                // {user} behind /user/: the name, or what stands for it in an anonymous session
	name                // {user} anywhere else: the name; no segment, in an anonymous session
)

// who is whom a pattern is held against.
type who struct {
	name string // the user's, or empty
	self string // what stands for the principal behind /user/
}

const (
	maxPattern  = 255 // bytes, like a destination's
	maxSegments = 33  // with the prefix, like a destination's
	variable    = "{user}"
	write       = `(write /topic/chat.**, /queue/{user}.*, /user/queue/** or /** for everything)`
)

// prefixes are the first segments of destinations, and of what else can be granted.
var prefixes = map[string]bool{"topic": true, "queue": true, "temp-queue": true, "user": true, "dlq": true, "reply-queue": true, "admin": true}

// parse reads a pattern; its error quotes it and tells the cure.
func parse(text string) (pattern, error) {
	fault := func(format string, args ...any) (pattern, error) {
		return pattern{}, fmt.Errorf("%s %s", quote(text), fmt.Sprintf(format, args...))
	}
	if !strings.HasPrefix(text, "/") || len(text) > maxPattern || !utf8.ValidString(text) {
		return fault("is no pattern of destinations %s", write)
	}
	var p pattern
	words := split(text, nil)
	if len(words) > maxSegments {
		return fault("has more than %d segments", maxSegments-1)
	}
	for i, w := range words {
		if problem := wordProblem(w); problem != "" {
			return fault("%s", problem)
		}
		switch w {
		case "**", "#", ">":
			if i < len(words)-1 {
				return fault("has %q before its end (it stands for any number of segments)", w)
			}
			p.tail = true
			continue
		case "*":
			p.segs = append(p.segs, segment{kind: star})
			continue
		case variable:
			kind := name
			if i == 1 && words[0] == "user" {
				kind = self
			}
			p.segs = append(p.segs, segment{kind: kind})
			continue
		}
		p.segs = append(p.segs, segment{text: w})
	}
	if len(p.segs) == 0 {
		return p, nil // everything
	}
	// The prefix is a word of its own, and '/' ends it, as in a destination.
	first := p.segs[0]
	if first.kind != literal || !prefixes[first.text] || len(words) < 2 || text[1+len(first.text)] != '/' {
		return fault("does not begin with /topic/, /queue/, /user/, /temp-queue/, /reply-queue/, /dlq/ or /admin/ %s", write)
	}
	if own(p.segs) {
		p.segs = append([]segment{first, {kind: self}}, p.segs[1:]...)
	}
	return p, nil
}

// own tells that segments begin with /user/queue or /user/topic: the principal's own destinations.
func own(segs []segment) bool {
	return segs[0].text == "user" && len(segs) > 1 && segs[1].kind == literal &&
		(segs[1].text == "queue" || segs[1].text == "topic")
}

// wordProblem says why a word can be no segment of a pattern, or nothing.
func wordProblem(w string) string {
	bad := func(r rune) bool { return unicode.IsControl(r) || r != ' ' && unicode.IsSpace(r) }
	switch {
	case w == "":
		return "has an empty segment"
	case w == "*" || w == "**" || w == "#" || w == ">" || w == variable:
		return ""
	case w[0] == ' ' || w[len(w)-1] == ' ':
		return "has a space at the edge of a segment"
	case strings.ContainsFunc(w, bad):
		return "has a control character in it"
	case strings.ContainsAny(w, "*#>"):
		return fmt.Sprintf("has a wildcard within the segment %q (it stands for a whole one: a.*, a.**)", w)
	case strings.ContainsAny(w, "{}"):
		return fmt.Sprintf("has the segment %q (only {user} is known, as a whole segment: a.{user}.b)", w)
	}
	return ""
}

// split appends the segments of a name or pattern, which begins with '/', to a slice.
func split(text string, to []string) []string {
	from := 1
	for i := 1; i < len(text); i++ {
		if c := text[i]; c == '.' || c == '/' {
			to = append(to, text[from:i])
			from = i + 1
		}
	}
	return append(to, text[from:])
}

// is tells whether the segment matches a word.
func (s *segment) is(word string, w who) bool {
	switch s.kind {
	case literal:
		return s.text == word
	case self:
		return w.self == word
	case name:
		return w.name == word || mutant.Is(mutant.UserAny)
	}
	return true
}

// matches tells whether the pattern matches a name of these segments.
func (p *pattern) matches(name []string, w who) bool {
	if mutant.Is(mutant.StarMany) && len(name) > len(p.segs) && len(p.segs) > 0 && p.segs[len(p.segs)-1].kind == star {
		return p.begins(name, w)
	}
	if len(name) != len(p.segs) && (len(name) < len(p.segs) || !p.tail) {
		return false
	}
	return p.begins(name, w)
}

// prefixed is for a planted bug: the literal beginning of the pattern is one's of the list.
func (p *pattern) prefixed(list []pattern) bool {
	for i := range list {
		if q := &list[i]; len(q.segs) > 1 && len(p.segs) > 1 && q.segs[1] == p.segs[1] {
			return true
		}
	}
	return false
}

// begins tells whether the segments of the pattern match as many at the beginning of a name.
func (p *pattern) begins(name []string, w who) bool {
	for i := range p.segs {
		if !p.segs[i].is(name[i], w) {
			return false
		}
	}
	return true
}

// matched tells whether one of the patterns matches.
func matched(list []pattern, name []string, w who) bool {
	for i := range list {
		if list[i].matches(name, w) {
			return true
		}
	}
	return false
}

// quote shows a pattern on one line, and not at any length.
func quote(s string) string {
	if len(s) > maxPattern {
		return fmt.Sprintf("%.*q…", maxPattern, s)
	}
	return fmt.Sprintf("%q", s)
}
