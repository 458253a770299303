package broker_test

import (
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

func TestDestinations(t *testing.T) {
	const bad, prefix = "bad destination", "unknown destination prefix"
	for _, c := range []struct {
		name    string
		pattern bool
		text    string
	}{
		{"/topic/a", false, ""},
		{"/topic/a.b/c", false, ""},
		{"/queue/주문.새것", false, ""},
		{"/queue/a b", false, ""},
		{"/queue/x-userabc", false, ""},
		{"/dlq/a", false, ""},
		{"/user/bob@example.org/queue/x", false, ""},
		{"", false, prefix},
		{"/", false, prefix},
		{"topic/a", false, prefix},
		{"/Topic/a", false, prefix},
		{"/topic", false, prefix},
		{"/exchange/x", false, prefix},
		{"/topic/", false, bad},
		{"/topic//a", false, bad},
		{"/topic/a/", false, bad},
		{"/topic/a..b", false, bad},
		{"/topic/a.", false, bad},
		{"/topic/./a", false, bad},
		{"/queue/a ", false, bad},
		{"/queue/ a", false, bad},
		{"/queue/a\tb", false, bad},
		{"/queue/a\u2028b", false, bad},
		{"/queue/a\x00b", false, bad},
		{"/topic/" + strings.Repeat("x", 248), false, ""},
		{"/topic/" + strings.Repeat("x", 249), false, bad},
		{"/topic/a" + strings.Repeat(".a", 31), false, ""},
		{"/topic/a" + strings.Repeat(".a", 32), false, bad},
		{"/topic/*", true, ""},
		{"/topic/a.*.b", true, ""},
		{"/topic/a.#", true, ""},
		{"/topic/a/**", true, ""},
		{"/topic/>", true, ""},
		{"/topic/a*b", false, ""}, // no wildcard: it is not a segment of its own
		{"/topic/*", false, bad},
		{"/topic/a.#.b", true, bad},
		{"/topic/**/b", true, bad},
		{"/queue/a.*", true, bad},
		{"/user/*/queue/x", true, bad},
	} {
		if _, text := broker.ParseDestination(c.name, c.pattern); text != c.text {
			t.Errorf("%q (pattern %v): %q, want %q", c.name, c.pattern, text, c.text)
		}
	}
}

// TestPatterns compares the tree with a matcher that is too simple to be wrong.
func TestPatterns(t *testing.T) {
	b := newBroker(t, broker.Options{})
	names := []string{"a", "b", "a.a", "a.b", "b.a", "a/b", "a.b.c", "a.a.a", "a.b.a.b", "c.b"}
	patterns := []string{"*", "#", "a.*", "*.b", "a.#", "a.>", "a/b/**", "*.*", "*.b.*", "a.*.c", "*.#", "a.b"}
	c := connect(t, b)
	for _, p := range patterns {
		c.send("SUBSCRIBE\nid:" + p + "\ndestination:/topic/" + p + "\n\n")
	}
	for _, n := range names {
		want := make(map[string]bool)
		for _, p := range patterns {
			if p == "a.b" {
				want[p] = n == p // no pattern: the name as it is written
			} else if matches(split(p), split(n)) {
				want[p] = true
			}
		}
		c.send("SEND\ndestination:/topic/"+n+"\n\n", "BEGIN\ntransaction:t\nreceipt:mark\n\n", "ABORT\ntransaction:t\n\n")
		for {
			f, ok := c.next()
			if !ok {
				t.Fatal("connection ended")
			}
			if f.command == "RECEIPT" {
				break
			}
			if p := f.header["subscription"]; !want[p] {
				t.Errorf("%s reached %s", n, p)
			} else {
				delete(want, p)
			}
			if f.header["destination"] != "/topic/"+n {
				t.Errorf("destination %s, want %s", f.header["destination"], n)
			}
		}
		for p, left := range want {
			if left {
				t.Errorf("%s did not reach %s", n, p)
			}
		}
	}
	for _, p := range patterns {
		c.send("UNSUBSCRIBE\nid:" + p + "\n\n")
	}
	c.sync()
	if n := b.PatternNodes(); n != 1 {
		t.Errorf("%d nodes are left of patterns nobody subscribes to", n-1)
	}
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' })
}

func matches(p, n []string) bool {
	switch {
	case len(p) == 0:
		return len(n) == 0
	case p[0] == "#" || p[0] == ">" || p[0] == "**":
		return true
	case len(n) == 0:
		return false
	}
	return (p[0] == "*" || p[0] == n[0]) && matches(p[1:], n[1:])
}

// A message to a user is nobody else's, whatever pattern others subscribe to.
func TestUserDestinationIsPrivate(t *testing.T) {
	b := newBroker(t, broker.Options{})
	nosy := connect(t, b)
	nosy.send("SUBSCRIBE\nid:all\ndestination:/topic/#\nreceipt:r\n\n")
	nosy.expect("RECEIPT")
	bob := dial(t, b, 1<<20)
	bob.send("CONNECT\naccept-version:1.2\nlogin:bob\n\n", "SUBSCRIBE\nid:1\ndestination:/user/queue/x\nreceipt:r\n\n")
	bob.expect("CONNECTED", "user-name:bob")
	bob.expect("RECEIPT")
	nosy.send("SUBSCRIBE\nid:u\ndestination:/user/queue/x\n\n", "SEND\ndestination:/user/bob/queue/x\n\nhi")
	if f := bob.expect("MESSAGE", "subscription:1", "destination:/user/bob/queue/x"); f.body != "hi" {
		t.Errorf("body %q", f.body)
	}
	nosy.sync()
	nosy.send("SUBSCRIBE\nid:v\ndestination:/user/bob/queue/x\n\n")
	nosy.expect("ERROR", "message:not permitted")
}

// Whatever name may log in may be sent to: dots and spaces in it part nothing.
func TestUsersWithDots(t *testing.T) {
	b := newBroker(t, broker.Options{})
	sender := connect(t, b)
	for _, name := range []string{"a.b", "J. Smith", "Smith Jr.", ".x..y"} {
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:1.2\nlogin:"+name+"\n\n", "SUBSCRIBE\nid:1\ndestination:/user/queue/x\nreceipt:r\n\n")
		c.expect("CONNECTED", "user-name:"+name)
		c.expect("RECEIPT")
		sender.send("SEND\ndestination:/user/" + name + "/queue/x\n\nhi " + name)
		sender.sync()
		if f := c.expect("MESSAGE"); f.body != "hi "+name {
			t.Errorf("%q got %q", name, f.body)
		}
	}
	for _, to := range []string{"/user/a//queue/x", "/user/a/queue/x..y", "/user/a/queue", "/user/a /queue/x", "/user/*/queue/x"} {
		c := connect(t, b)
		c.send("SEND\ndestination:" + to + "\n\n")
		c.expect("ERROR", "message:bad destination")
	}
}
