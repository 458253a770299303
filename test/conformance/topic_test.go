package conformance

import "strings"

// topicCases are topics and their patterns.
func topicCases() []tcase {
	// matches: which of the names, appended to a topic of the case's own, a pattern gets.
	matches := func(pattern string, yes, no []string) tcase {
		return tcase{"Topics", "pattern " + strings.ReplaceAll(pattern, "/", "|"), nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "p", t+pattern)
			for _, name := range no {
				c.Sendf("SEND\ndestination:%s%s\n\nnot %s\x00", t, name, name)
			}
			for _, name := range yes {
				c.Sendf("SEND\ndestination:%s%s\n\n%s\x00", t, name, name)
			}
			for _, name := range yes {
				c.Message(name, "destination:"+t+name, "subscription:p")
			}
			c.Sync()
		}}
	}
	return []tcase{
		matches(".*", []string{".a", "/a", ".구독", ".*a"}, []string{"", ".a.b", "/a/b", "x"}),
		matches("/*", []string{".a", "/a"}, []string{"", ".a.b", ".a/b"}),
		matches(".*.c", []string{".a.c", "/b/c", ".b/c"}, []string{".a", ".c", ".a.b.c", ".a.c.d"}),
		matches(".*.*", []string{".a.b", "/a/b"}, []string{".a", ".a.b.c"}),
		matches(".#", []string{"", ".a", ".a.b", "/a/b/c/d"}, []string{"x", "x.a"}),
		matches(".>", []string{"", ".a", ".a.b", "/a/b"}, []string{"x"}),
		matches("/**", []string{"", ".a", ".a.b", "/a/b"}, []string{"x"}),
		matches(".*.#", []string{".a", ".a.b", ".a.b.c"}, []string{"", "x"}),
		matches(".a*", []string{".a*"}, []string{".ab", ".a"}),
		{"Topics", "exact names are no patterns", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t+".a")
			c.Sendf("SEND\ndestination:%s.a.b\n\nno\x00SEND\ndestination:%s\n\nno\x00SEND\ndestination:%s.a\n\nyes\x00", t, t, t)
			c.Message("yes", "destination:"+t+".a")
		}},
		{"Topics", "each of several matching subscriptions gets it once", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			for id, p := range map[string]string{"a": ".x.y", "b": ".*.y", "c": ".#", "d": ".x.>"} {
				e.subscribe(c, id, t+p)
			}
			c.Sendf("SEND\ndestination:%s.x.y\n\nhi\x00", t)
			got := map[string]bool{}
			for range 4 {
				got[c.Message("hi", "destination:"+t+".x.y").Value("subscription")] = true
			}
			if len(got) != 4 {
				e.Errorf("got %v", got)
			}
			c.Sync()
		}},
		{"Topics", "UNSUBSCRIBE of a pattern", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "a", t+".*")
			e.subscribe(c, "b", t+".x")
			e.command(c, "UNSUBSCRIBE", "id:a")
			c.Sendf("SEND\ndestination:%s.x\n\nhi\x00", t)
			c.Message("hi", "subscription:b")
			c.Sync()
		}},
		{"Topics", "a pattern does not reach queues", nil, func(e *env) {
			c := e.connect()
			q := e.queue()
			e.subscribe(c, "0", "/topic/"+strings.TrimPrefix(q, "/queue/")+".#")
			e.send(c, q, "kept")
			e.subscribe(c, "1", q)
			c.Message("kept", "subscription:1")
		}},
		{"Topics", "one publisher's messages come in order", nil, func(e *env) {
			a, b, p := e.connect(), e.connect(), e.connect()
			t := e.topic()
			e.subscribe(a, "0", t)
			e.subscribe(b, "0", t+".#")
			bodies := strings.Fields(strings.Repeat("1 2 3 4 5 6 7 8 9 ", 5))
			for _, body := range bodies {
				p.Sendf("SEND\ndestination:%s\n\n%s\x00", t, body)
			}
			p.Flush()
			for _, body := range bodies {
				a.Message(body)
				b.Message(body)
			}
		}},
		{"Topics", "no-local keeps one's own away", nil, func(e *env) {
			c, p := e.connect(), e.connect()
			t := e.topic()
			e.subscribe(c, "0", t, "no-local:true")
			e.send(c, t, "own")
			e.send(p, t, "other's")
			c.Message("other's")
		}},
	}
}
