package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/rules"
)

func compile(t testing.TB, list ...rules.Rule) *rules.Rules {
	t.Helper()
	r, err := rules.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// as gives the grants of a user.
func as(r *rules.Rules, name string, groups ...string) broker.Grants {
	return r.Grants(&broker.Principal{Name: name, Groups: groups}, name)
}

func words(s string) []string { return strings.Fields(s) }

func TestSendAndSubscribe(t *testing.T) {
	r := compile(t,
		rules.Rule{Who: "*", Subscribe: words("/topic/news.** /user/queue/**"), Deny: words("/topic/news.draft.#")},
		rules.Rule{Who: "alice", Send: words("/queue/{user}.in /topic/{user}/* /user/*/queue/chat")},
		rules.Rule{Who: "user:bob", Send: words("/queue/orders/eu /user/bob/**"), Subscribe: words("/user/alice/queue/**")},
		rules.Rule{Who: "group:staff", Subscribe: words("/queue/orders.> /dlq/**"), Send: words("/topic/news.*")},
		rules.Rule{Who: "claim:scope=audit", Subscribe: words("/**"), Deny: words("/queue/secret /topic/secret.**")},
		rules.Rule{Who: "anonymous", Send: words("/topic/guests /queue/{user}")},
	)
	alice, bob, eve := as(r, "alice"), as(r, "bob", "staff", "other"), as(r, "eve")
	audit := r.Grants(&broker.Principal{Name: "ann", Claims: map[string][]string{"scope": {"read", "audit"}, "x": {"y"}}}, "ann")
	nobody := r.Grants(&broker.Principal{}, "s3ss10n")
	for _, c := range []struct {
		who              broker.Grants
		name             string
		send, subscribes bool
	}{
		{eve, "/topic/news", false, true}, // ** is none, too
		{eve, "/topic/news.uk", false, true},
		{eve, "/topic/news/uk/london", false, true},
		{eve, "/topic/news.draft", false, false},
		{eve, "/topic/news.draft.x", false, false},
		{eve, "/topic/newsroom", false, false},
		{eve, "/topic/guests", false, false},
		{eve, "/queue/news.uk", false, false},
		{eve, "/user/eve/queue/x", false, true},
		{eve, "/user/alice/queue/x", false, false},
		{eve, "/user/eve/topic/x", false, false},
		{alice, "/queue/alice.in", true, false},
		{alice, "/queue/alice/in", true, false},
		{alice, "/queue/bob.in", false, false},
		{alice, "/queue/{user}.in", false, false},
		{alice, "/topic/alice.x", true, false},
		{alice, "/topic/alice", false, false},
		{alice, "/topic/alice.x.y", false, false},
		{alice, "/user/bob/queue/chat", true, false},
		{alice, "/user/alice/queue/chat", true, true},
		{bob, "/queue/orders/eu", true, true},
		{bob, "/queue/orders.eu", true, true},
		{bob, "/queue/orders", false, true},
		{bob, "/dlq/orders.eu", false, true},
		{bob, "/topic/news.uk", true, true},
		{bob, "/topic/news.draft", false, false}, // the group's grant, everyone's deny
		{bob, "/user/bob/queue/x", true, true},
		{audit, "/queue/anything", false, true},
		{audit, "/queue/secret", false, false},
		{audit, "/queue/secret.x", false, true},
		{audit, "/topic/secret", false, false},
		{nobody, "/topic/guests", true, false},
		{nobody, "/queue/s3ss10n", false, false}, // {user} is nobody here
		{nobody, "/user/s3ss10n/queue/x", false, true},
		{nobody, "/user/other/queue/x", false, false},
	} {
		if got := c.who.MaySend(c.name); got != c.send {
			t.Errorf("SEND %s: %v", c.name, got)
		}
		if f, got := c.who.MaySubscribe(c.name, false); got != c.subscribes || f != nil {
			t.Errorf("SUBSCRIBE %s: %v", c.name, got)
		}
	}
}

func TestWildcardSubscribe(t *testing.T) {
	for _, c := range []struct {
		grants, denies, pattern string
		ok                      bool
		kept, given             string // what the filter keeps away, and what it lets through
	}{
		{"/topic/**", "", "/topic/**", true, "", ""},
		{"/topic/#", "", "/topic/a.*.b", true, "", ""},
		{"/**", "", "/topic/>", true, "", ""},
		{"/topic/*", "", "/topic/**", false, "", ""},
		{"/topic/* /topic/*.**", "", "/topic/**", true, "", ""},
		{"/topic/* /topic/*.*.**", "", "/topic/**", true, "", ""},
		{"/topic/* /topic/*.*.*.**", "", "/topic/**", false, "", ""},
		{"/topic/*.**", "", "/topic/**", true, "", ""}, // no topic has less than one segment
		{"/topic/a.** /topic/b.**", "", "/topic/*", false, "", ""},
		{"/topic/a /topic/a.*.**", "", "/topic/a.**", true, "", ""},
		{"/topic/*.*", "", "/topic/a.*", true, "", ""},
		{"/topic/a.*", "", "/topic/*.*", false, "", ""},
		{"/queue/**", "", "/topic/**", false, "", ""},
		{"/topic/{user}.**", "", "/topic/alice.**", true, "", ""},
		{"/topic/{user}.**", "", "/topic/*.**", false, "", ""},
		{"/topic/{user}.**", "", "/topic/{user}.**", false, "", ""}, // a client has no variables
		{"/topic/**", "/topic/secret.**", "/topic/**", true, "/topic/secret /topic/secret.a", "/topic/secrets /topic/a.secret"},
		{"/topic/**", "/topic/secret.**", "/topic/secret.*", false, "", ""},
		{"/topic/**", "/topic/secret.**", "/topic/*", true, "/topic/secret", "/topic/a"},
		{"/topic/**", "/topic/secret.*", "/topic/*", true, "", "/topic/a"},
		{"/topic/**", "/topic/*.x", "/topic/a.*", true, "/topic/a.x", "/topic/a.y"},
		{"/topic/**", "/topic/a.x /topic/b", "/topic/a.*", true, "/topic/a/x", "/topic/a/y"},
		{"/topic/**", "/topic/*.{user}", "/topic/a.**", true, "/topic/a.alice", "/topic/a.bob"},
		{"/topic/**", "/queue/**", "/topic/**", true, "", "/topic/a"},
		{"/topic/**", "/**", "/topic/**", false, "", ""},
		{"/topic/**", "/topic/* /topic/*.**", "/topic/**", false, "", ""},
	} {
		g := as(compile(t, rules.Rule{Who: "*", Subscribe: words(c.grants), Deny: words(c.denies)}), "alice")
		f, ok := g.MaySubscribe(c.pattern, true)
		if ok != c.ok || (f == nil) != (c.kept == "" || !ok) {
			t.Errorf("grant %s deny %s: %s: %v, filter %v", c.grants, c.denies, c.pattern, ok, f != nil)
			continue
		}
		for _, name := range words(c.kept) {
			if !f(name) {
				t.Errorf("deny %s: %s gets %s", c.denies, c.pattern, name)
			}
		}
		for _, name := range words(c.given) {
			if f != nil && f(name) {
				t.Errorf("deny %s: %s does not get %s", c.denies, c.pattern, name)
			}
		}
	}
}

func TestBadRules(t *testing.T) {
	for _, c := range []struct {
		rule          rules.Rule
		field, starts string
	}{
		{rules.Rule{}, "who", "is missing or empty (write *, NAME,"},
		{rules.Rule{Who: "group:"}, "who", `"group:" names nobody (write`},
		{rules.Rule{Who: "claim:x"}, "who", `"claim:x" has no value (write claim:NAME=VALUE)`},
		{rules.Rule{Who: "claim:=x"}, "who", `"claim:=x" names nobody`},
		{rules.Rule{Who: "a/b"}, "who", `cannot be a user: "a/b" has the character '/' in it`},
		{rules.Rule{Who: "user:a*"}, "who", `cannot be a user: "a*"`},
		{rules.Rule{Who: "a.b"}, "who", `"a.b" cannot be a user where there are rules: '.' separates segments`},
		{rules.Rule{Who: "*", Send: words("topic/a")}, "send", `"topic/a" is no pattern of destinations (write /topic/chat.**`},
		{rules.Rule{Who: "*", Send: []string{""}}, "send", `"" is no pattern`},
		{rules.Rule{Who: "*", Send: words("/topic/a /Topic/b")}, "send", `"/Topic/b" does not begin with /topic/, /queue/`},
		{rules.Rule{Who: "*", Send: words("/topic")}, "send", `"/topic" does not begin with`},
		{rules.Rule{Who: "*", Send: words("/topic.a")}, "send", `"/topic.a" does not begin with`},
		{rules.Rule{Who: "*", Send: words("/*/a")}, "send", `"/*/a" does not begin with`},
		{rules.Rule{Who: "*", Send: words("/{user}/a")}, "send", `"/{user}/a" does not begin with`},
		{rules.Rule{Who: "*", Send: words("/")}, "send", `"/" has an empty segment`},
		{rules.Rule{Who: "*", Subscribe: words("/topic/a..b")}, "subscribe", `"/topic/a..b" has an empty segment`},
		{rules.Rule{Who: "*", Subscribe: words("/topic/a/")}, "subscribe", `"/topic/a/" has an empty segment`},
		{rules.Rule{Who: "*", Subscribe: words("/topic/**.a")}, "subscribe", `"/topic/**.a" has "**" before its end`},
		{rules.Rule{Who: "*", Subscribe: words("/topic/>.>")}, "subscribe", `"/topic/>.>" has ">" before its end`},
		{rules.Rule{Who: "*", Deny: words("/topic/a*")}, "deny", `"/topic/a*" has a wildcard within the segment "a*"`},
		{rules.Rule{Who: "*", Deny: words("/topic/{User}")}, "deny", `"/topic/{User}" has the segment "{User}" (only {user} is known`},
		{rules.Rule{Who: "*", Deny: words("/topic/a{user}")}, "deny", `"/topic/a{user}" has the segment`},
		{rules.Rule{Who: "*", Deny: []string{"/topic/ a"}}, "deny", `"/topic/ a" has a space at the edge`},
		{rules.Rule{Who: "*", Deny: []string{"/topic/a\nb"}}, "deny", `"/topic/a\nb" has a control character`},
		{rules.Rule{Who: "*", Deny: []string{"/topic/" + strings.Repeat("a.", 32) + "a"}}, "deny", `"/topic/a.a`},
		{rules.Rule{Who: "*", Deny: []string{"/topic/" + strings.Repeat("a", 300)}}, "deny", `"/topic/aaa`},
	} {
		_, err := rules.New([]rules.Rule{{Who: "*"}, c.rule})
		e, ok := err.(*rules.Error)
		if !ok || e.Rule != 1 || e.Field != c.field || !strings.HasPrefix(e.Problem, c.starts) {
			t.Errorf("%+v: %v", c.rule, err)
		}
	}
}

// V14: a name of 100 levels against 1,000 patterns takes at most a millisecond, however much alike
// they are, and so does the question whether they cover a pattern.
func TestV14MatchingIsLinear(t *testing.T) {
	pattern := "/topic" + strings.Repeat(".*", 98) + "."
	list := make([]string, 1000)
	for i := range list {
		list[i] = pattern + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		if i%2 == 0 {
			list[i] += ".**"
		}
	}
	r, open := rules.CompileDeep(list, nil), rules.CompileDeep([]string{"/**"}, list)
	name := "/topic" + strings.Repeat(".x", 99)
	best := func(f func()) time.Duration {
		least := time.Hour
		for range 20 {
			begin := time.Now()
			f()
			least = min(least, time.Since(begin))
		}
		return least
	}
	for what, f := range map[string]func(){
		"match":   func() { r.MaySend(name) },
		"cover":   func() { r.MaySubscribe("/topic"+strings.Repeat(".*", 99)+".**", true) },
		"overlap": func() { open.MaySubscribe("/topic/**", true) },
	} {
		took := best(f)
		t.Logf("%s: %v", what, took)
		if took > time.Millisecond && !race {
			t.Errorf("%s: %v, more than 1ms", what, took)
		}
	}
}

// Deciding on a SEND makes no garbage.
func TestSendAllocatesNothing(t *testing.T) {
	g := as(compile(t, rules.Rule{Who: "*", Send: words("/topic/a.** /queue/{user}.*"), Deny: words("/topic/a.secret")}), "alice")
	if n := testing.AllocsPerRun(100, func() { g.MaySend("/queue/alice.x"); g.MaySend("/topic/a.b.c.d.e.f") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	f, _ := as(compile(t, rules.Rule{Who: "*", Subscribe: words("/topic/**"), Deny: words("/topic/*.secret")}), "alice").MaySubscribe("/topic/**", true)
	if n := testing.AllocsPerRun(100, func() { f("/topic/a.b.c") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Principals that the same rules are for share what is compiled; {user} stays each one's own.
func TestClassesAreShared(t *testing.T) {
	r := compile(t, rules.Rule{Who: "group:a", Send: words("/queue/{user}")}, rules.Rule{Who: "group:b", Send: words("/queue/x")})
	for range 3 {
		for _, name := range words("alice bob carol") {
			g := as(r, name, "a")
			if !g.MaySend("/queue/"+name) || g.MaySend("/queue/dave") {
				t.Errorf("%s", name)
			}
			as(r, name, "b", "a")
			as(r, name)
		}
	}
	if n := rules.Classes(r); n != 3 {
		t.Errorf("%d classes, want 3", n)
	}
	for i := range 5000 {
		r.Grants(&broker.Principal{Name: "n", Claims: map[string][]string{"c": {string(rune(i))}}}, "n")
	}
	if n := rules.Classes(r); n > 1024 {
		t.Errorf("%d classes are kept", n)
	}
}

// Who a rule is for is never guessed: a user whose name looks like something else is none.
func TestWhoIsExact(t *testing.T) {
	r := compile(t,
		rules.Rule{Who: "group:staff", Send: words("/queue/a")},
		rules.Rule{Who: "anonymous", Send: words("/queue/b")},
		rules.Rule{Who: "claim:role=boss", Send: words("/queue/c")},
		rules.Rule{Who: "user:group:staff", Send: words("/queue/d")},
	)
	for _, name := range words("group:staff anonymous claim:role=boss staff boss *") {
		g := as(r, name)
		for _, q := range words("/queue/a /queue/b /queue/c") {
			if g.MaySend(q) {
				t.Errorf("%s may send to %s", name, q)
			}
		}
	}
	if !as(r, "group:staff").MaySend("/queue/d") {
		t.Error("user:NAME does not name him")
	}
	if g := r.Grants(&broker.Principal{Claims: map[string][]string{"role": {"boss=x", "bos"}}}, "id"); g.MaySend("/queue/c") || !g.MaySend("/queue/b") {
		t.Error("claims are compared whole")
	}
}
