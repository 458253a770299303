package rules_test

import (
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/test/oracle"
	"pgregory.net/rapid"
)

// The words of random policies are few, so that patterns meet. Rules know two of them; the third
// stands for all that they do not know.
var (
	known   = []string{"a", "b"}
	letters = []string{"a", "b", "c"}
	tails   = []string{"**", "#", ">"}
	kinds   = []string{"/topic/", "/topic/", "/topic/", "/queue/", "/user/", "/user/queue/", "/user/a/queue/", "/user/*/topic/", "/user/{user}/queue/", "/dlq/", "/temp-queue/", "/reply-queue/"}
	people  = []oracle.Who{
		{Name: "a", ID: "a"},
		{Name: "b", ID: "b", Groups: []string{"g"}},
		{Name: "c", ID: "c", Groups: []string{"g", "h"}, Claims: map[string][]string{"k": {"1", "2"}}},
		{ID: "0"},
	}
	whos = []string{"*", "*", "a", "user:b", "group:g", "group:h", "claim:k=2", "claim:k=3", "anonymous"}
)

// path draws segments of the words given, cut at '.' or '/', that may end in a tail.
func path(words []string, most int, tail bool) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		segs := rapid.SliceOfN(rapid.SampledFrom(words), 0, most).Draw(t, "segments")
		if tail && rapid.Bool().Draw(t, "tail") {
			segs = append(segs, rapid.SampledFrom(tails).Draw(t, "as"))
		}
		if len(segs) == 0 {
			segs = []string{rapid.SampledFrom(words).Draw(t, "segment")}
		}
		var b strings.Builder
		for i, s := range segs {
			if i > 0 {
				b.WriteString(rapid.SampledFrom([]string{".", "/"}).Draw(t, "cut"))
			}
			b.WriteString(s)
		}
		return b.String()
	})
}

func patterns(t *rapid.T, label string) []string {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 19).Draw(t, "all") == 0 {
			return "/**"
		}
		return rapid.SampledFrom(kinds).Draw(t, "kind") + path(append([]string{"*", "{user}"}, known...), 3, true).Draw(t, "path")
	}), 0, 3).Draw(t, label)
}

func policy(t *rapid.T) (oracle.Policy, *rules.Rules) {
	p := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) oracle.Rule {
		return oracle.Rule{
			Who:       rapid.SampledFrom(whos).Draw(t, "who"),
			Send:      patterns(t, "send"),
			Subscribe: patterns(t, "subscribe"),
			Deny:      patterns(t, "deny"),
		}
	}), 1, 4).Draw(t, "policy")
	return p, build(t, p)
}

func build(t rapid.TB, p oracle.Policy) *rules.Rules {
	list := make([]rules.Rule, len(p))
	for i, r := range p {
		list[i] = rules.Rule(r)
	}
	r, err := rules.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func grants(r *rules.Rules, w oracle.Who) broker.Grants {
	return r.Grants(&broker.Principal{Name: w.Name, Groups: w.Groups, Claims: w.Claims}, w.ID)
}

// name draws a destination in the broker's spelling.
func name(t *rapid.T) string {
	kind := rapid.SampledFrom([]string{"/topic/", "/queue/", "/user/a/queue/", "/user/c/topic/", "/user/0/queue/", "/dlq/", "/reply-queue/"}).Draw(t, "kind")
	return kind + path(letters, 4, false).Draw(t, "name")
}

// check is rapid.Check for n cases, or a tenth under the race detector.
func check(t *testing.T, n int, f func(*rapid.T)) {
	if race {
		n /= 10
	}
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(before) }()
	rapid.Check(t, f)
}

// 100,000 random policies: what is decided on names is what the oracle says, and the order of rules
// does not matter.
func TestRandomPolicies(t *testing.T) {
	granted, refused := 0, 0
	check(t, 100_000, func(t *rapid.T) {
		p, r := policy(t)
		backwards := slices.Clone(p)
		slices.Reverse(backwards)
		w := rapid.SampledFrom(people).Draw(t, "who")
		g, h := grants(r, w), grants(build(t, backwards), w)
		for range 4 {
			n := name(t)
			send, want := g.MaySend(n), p.MaySend(w, n)
			if send != want || h.MaySend(n) != want {
				t.Fatalf("%+v: SEND %s is %v, want %v", w, n, send, want)
			}
			_, sub := g.MaySubscribe(n, false)
			if want := p.MaySubscribe(w, n); sub != want {
				t.Fatalf("%+v: SUBSCRIBE %s is %v, want %v", w, n, sub, want)
			}
			for _, ok := range []bool{send, sub} {
				if ok {
					granted++
				} else {
					refused++
				}
			}
		}
	})
	t.Logf("%d granted, %d refused", granted, refused)
	if granted < refused/50 {
		t.Errorf("the policies grant next to nothing: the test shows little")
	}
}

// depth bounds the names that patterns are tried with.
const depth = 5

// A SUBSCRIBE to a pattern is granted exactly where all names that it matches are, tried one by
// one; and what its filter lets through is what is not denied.
func TestCoveringIsExact(t *testing.T) {
	granted, refused, filtered := 0, 0, 0
	check(t, 20_000, func(t *rapid.T) {
		p := oracle.Policy{{
			Who:       "*",
			Subscribe: topics(t, "subscribe"),
			Deny:      topics(t, "deny"),
		}}
		w := people[0]
		pattern := "/topic/" + path(append([]string{"*", "*"}, known...), 3, true).Draw(t, "pattern")
		want := p.MaySubscribe(w, pattern)
		f, got := grants(build(t, p), w).MaySubscribe(pattern, true)
		if got != want {
			t.Fatalf("SUBSCRIBE %s is %v, want %v", pattern, got, want)
		}
		if !got {
			refused++
			return
		}
		granted++
		if f != nil {
			filtered++
		}
		kept := 0
		for _, n := range allNames {
			if !oracle.Match(segments(pattern), segments(n)) {
				continue
			}
			reaches := f == nil || !f(n)
			if want := p.Reaches(w, pattern, n); reaches != want {
				t.Fatalf("SUBSCRIBE %s gets %s: %v, want %v", pattern, n, reaches, want)
			}
			if !reaches {
				kept++
			}
		}
		if f != nil && kept == 0 {
			t.Fatalf("SUBSCRIBE %s has a filter that keeps nothing", pattern)
		}
	})
	t.Logf("%d granted, %d of them with a filter, %d refused", granted, filtered, refused)
	if min(granted, filtered*5, refused) < 200 {
		t.Error("the policies are too much alike: the test shows little")
	}
}

func topics(t *rapid.T, label string) []string {
	most := 4
	if label == "deny" {
		most = 2
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return "/topic/" + path(append([]string{"*", "*", "*"}, known...), 3, true).Draw(t, "path")
	}), 0, most).Draw(t, label)
}

func segments(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' })
}

// allNames are all topics of three letters up to the depth.
var allNames = func() (all []string) {
	level := []string{"/topic"}
	for range depth {
		var next []string
		for _, n := range level {
			for _, l := range letters {
				next = append(next, n+"/"+l)
			}
		}
		all = append(all, next...)
		level = next
	}
	return all
}()

// FuzzPolicy holds decisions on anything against the oracle: c9 of the reliability plan.
func FuzzPolicy(f *testing.F) {
	f.Add("/topic/a.** /user/queue/**", "/topic/a.secret", "/topic/a.*", "alice")
	f.Add("/**", "/topic/{user}.#", "/topic/>", "b")
	f.Add("/topic/* /topic/*.*.**", "/topic/*.x", "/topic/**", "")
	f.Add("/user/{user}/queue/x", "/user/*/topic/**", "/user/q/queue/x", "q")
	f.Fuzz(func(t *testing.T, grant, deny, asked, user string) {
		wild, ok := destination(asked)
		small := func(list []string) bool {
			return !slices.ContainsFunc(list, func(s string) bool { return len(segments(s)) > 5 })
		}
		if !ok || user != "" && (broker.CheckName(user) != nil || strings.Contains(user, ".")) ||
			len(grant)+len(deny) > 60 || !small(words(grant)) || !small(words(deny)) || !small([]string{asked}) {
			t.Skip()
		}
		p := oracle.Policy{{Who: "*", Send: words(grant), Subscribe: words(grant), Deny: words(deny)}}
		r, err := rules.New([]rules.Rule{rules.Rule(p[0])})
		if err != nil {
			t.Skip()
		}
		w := oracle.Who{Name: user, ID: user}
		if user == "" {
			w.ID = "s3ss10n"
		}
		g := grants(r, w)
		if got, want := g.MaySend(asked), p.MaySend(w, asked); !wild && got != want {
			t.Fatalf("SEND %q is %v, want %v", asked, got, want)
		}
		if _, got := g.MaySubscribe(asked, wild); got != p.MaySubscribe(w, asked) {
			t.Fatalf("SUBSCRIBE %q is %v", asked, got)
		}
	})
}

// destination tells whether s is one as the broker would ask about, and whether it is a pattern.
func destination(s string) (wild, ok bool) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(s, "/"), "/")
	user := kind == "user" && (strings.HasPrefix(rest, "queue") || strings.HasPrefix(rest, "topic"))
	if !strings.HasPrefix(s, "/") || !slices.Contains([]string{"topic", "queue", "user", "dlq"}, kind) || user {
		return false, false
	}
	segs := strings.Split(strings.ReplaceAll(rest, ".", "/"), "/")
	for i, seg := range segs {
		switch seg {
		case "":
			return false, false
		case "*":
			wild = true
		case "**", "#", ">":
			wild = true
			if i < len(segs)-1 {
				return false, false
			}
		}
	}
	return wild, !wild || kind == "topic"
}
