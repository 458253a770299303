package broker

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gudokmq/gudok/store/mutant"
)

// kind is what sort of destination a name is.
type kind uint8

const (
	kindTopic     kind = iota + 1
	kindQueue          // /queue/… and /dlq/…
	kindTempQueue      // /temp-queue/… of this session
	kindReply          // /reply-queue/TOKEN, what a reply-to was rewritten to
	kindUser           // /user/…
)

// prefixes are the first words of a destination, in the order in which an ERROR lists them.
var prefixes = []struct {
	text string
	kind kind
}{
	{topicPrefix, kindTopic},
	{queuePrefix, kindQueue},
	{tempPrefix, kindTempQueue},
	{userPrefix, kindUser},
	{dlqPrefix, kindQueue},
	{replyPrefix, kindReply},
}

const (
	maxDestination = 255 // bytes
	maxSegments    = 32
	prefixList     = "/topic/, /queue/, /temp-queue/, /user/, /dlq/ and /reply-queue/"
	topicPrefix    = "/topic/"
	dlqPrefix      = "/dlq/"
	queuePrefix    = "/queue/"
	tempPrefix     = "/temp-queue/"
	replyPrefix    = "/reply-queue/"
	userPrefix     = "/user/"
)

// address is a destination in the one spelling that is decided on and routed.
type address struct {
	kind kind
	name string
	rest string // name without its prefix
	wild bool   // a pattern
}

// resolve finds what a client's word for a destination means in this session: /user/queue/x is
// this user's own, which has his name in it.
func (s *session) resolve(op Op, destination string) (address, *ending) {
	if op == OpSend && s.latest.kind != 0 && destination == s.latest.name {
		return s.latest, nil
	}
	k, rest, wild, bad := parseDestination(destination, op == OpSubscribe)
	if bad != nil {
		return address{}, bad
	}
	a := address{k, destination, rest, wild}
	switch {
	case op == OpSend && (k == kindQueue || k == kindTopic): // what it means depends on nothing else
		s.latest = a
	case k == kindUser && isUserPath(rest):
		a.rest = s.self() + "/" + rest
		a.name = userPrefix + a.rest
	case k == kindUser && op == OpSend:
		if _, path, _ := strings.Cut(rest, "/"); !isUserPath(path) {
			return a, because(reasonDestination, "destination %s is not /user/NAME/queue/… or /user/NAME/topic/…", quote(destination))
		}
	case k == kindUser:
		// A user may name himself.
		if name, path, _ := strings.Cut(rest, "/"); name != s.user() && !mutant.Is(mutant.OthersUser) || !isUserPath(path) {
			return a, because(reasonForbidden, "%s is not a destination of this user; subscribe to /user/queue/…", quote(destination))
		}
	case k == kindReply && op == OpSubscribe:
		return a, because(reasonForbidden, "%s is an address to send to, not to subscribe to", quote(destination))
	}
	return a, nil
}

// self is what stands for this session's user behind /user/; a session without a user answers to
// its session id, as Spring's do.
func (s *session) self() string {
	if name := s.user(); name != "" {
		return name
	}
	return s.id
}

func isUserPath(s string) bool {
	return strings.HasPrefix(s, "queue/") || strings.HasPrefix(s, "topic/")
}

// parseDestination checks a name and tells its kind and where its prefix ends. There is one
// spelling of each destination: what is checked here is what is authorised and routed. pattern
// allows wildcards, which only a SUBSCRIBE to a topic may have; wild tells that there is one.
func parseDestination(name string, pattern bool) (k kind, rest string, wild bool, err *ending) {
	prefix := ""
	for _, p := range prefixes {
		if strings.HasPrefix(name, p.text) {
			k, prefix = p.kind, p.text
			break
		}
	}
	if k == 0 {
		return 0, "", false, because(reasonPrefix, "destination %s does not begin with one of %s",
			quote(name), prefixList)
	}
	if len(name) > maxDestination {
		return 0, "", false, because(reasonDestination, "destination %s has %d bytes, the limit is %d",
			quote(name), len(name), maxDestination)
	}
	rest = name[len(prefix):]
	if k != kindUser && simple(rest) {
		return k, rest, false, nil
	}
	for _, r := range rest {
		if r == utf8.RuneError || unicode.IsControl(r) || r != ' ' && unicode.IsSpace(r) {
			return 0, "", false, because(reasonDestination, "destination %s contains the character %q", quote(name), r)
		}
	}
	path := rest
	if k == kindUser && !isUserPath(rest) {
		// A user's name is one word, whatever dots and spaces are in it.
		if user, behind, ok := strings.Cut(rest, "/"); ok && CheckName(user) == nil {
			path = behind
		}
	}
	segments := 0
	for left := path; ; segments++ {
		i := strings.IndexAny(left, "./")
		seg := left
		if i >= 0 {
			seg = left[:i]
		}
		if seg == "" {
			return 0, "", false, because(reasonDestination, "destination %s has an empty segment", quote(name))
		}
		if seg[0] == ' ' || seg[len(seg)-1] == ' ' {
			return 0, "", false, because(reasonDestination, "destination %s has a space at the edge of a segment", quote(name))
		}
		switch seg {
		case "*", "**", "#", ">":
			wild = true
			switch {
			case !pattern || k != kindTopic:
				return 0, "", false, because(reasonDestination,
					"destination %s has the wildcard %q, which only a SUBSCRIBE to a topic may have", quote(name), seg)
			case seg != "*" && i >= 0:
				return 0, "", false, because(reasonDestination,
					"destination %s has %q before its end; it stands for any number of segments and must be the last", quote(name), seg)
			}
		}
		if i < 0 {
			break
		}
		left = left[i+1:]
	}
	if segments >= maxSegments {
		return 0, "", false, because(reasonDestination, "destination %s has more than %d segments", quote(name), maxSegments)
	}
	return k, rest, wild, nil
}

// letter tells the bytes that mean nothing to parseDestination, wherever they stand.
var letter = func() (is [256]bool) {
	for c := '!'; c <= '~'; c++ {
		is[c] = !strings.ContainsRune("./*#>", c)
	}
	return is
}()

// simple tells of most names, quickly, that they are right and no patterns.
func simple(rest string) bool {
	segments, length := 1, 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case letter[c]:
			length++
		case (c == '.' || c == '/') && length > 0:
			segments++
			length = 0
		default:
			return false
		}
	}
	return length > 0 && segments <= maxSegments
}

// nextSegment cuts the first segment off a name or pattern; '.' and '/' separate alike.
func nextSegment(s string) (seg, rest string, more bool) {
	if i := strings.IndexAny(s, "./"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
