package main_test

import (
	"os"
	"strings"
	"testing"
)

// The example of rules in the README does what it says when it is pasted.
func TestReadmeRules(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Who may do what\n")
	_, example, found2 := strings.Cut(section, "```yaml\n")
	example, _, found3 := strings.Cut(example, "```\n")
	if !found || !found2 || !found3 {
		t.Fatal("the README has no example of rules")
	}
	file := write(t, "gudok.yaml", example)
	if r := runProgram(t, "check", "-config", file); r.code != 0 || r.stderr != "" {
		t.Errorf("check: %+v", r)
	}
	s := serve(t, nil, "-config", file)
	as := func(name string, args ...string) []string {
		return append([]string{"-addr", s.tcp(), "-login", name, "-passcode", "secret"}, args...)
	}
	pub := func(name string, args ...string) result {
		return runProgram(t, append([]string{"pub"}, as(name, args...)...)...)
	}
	sub := func(name string, args ...string) result {
		return runProgram(t, append([]string{"sub"}, as(name, args...)...)...)
	}
	if r := pub("bob", "/queue/orders", "two of them"); r != (result{}) {
		t.Errorf("%+v", r)
	}
	if r := sub("alice", "/queue/orders", "-n", "1"); r != (result{stdout: "two of them\n"}) {
		t.Errorf("%+v", r)
	}
	for what, r := range map[string]result{
		`SEND to "/topic/chat.board"`:        pub("bob", "/topic/chat.board", "hello"),
		`SUBSCRIBE to "/queue/orders"`:       sub("bob", "/queue/orders", "-n", "1"),
		`SUBSCRIBE to "/topic/staff.x"`:      sub("bob", "/topic/staff.x", "-n", "1"),
		`SUBSCRIBE to "/queue/inbox.alice"`:  sub("bob", "/queue/inbox.alice", "-n", "1"),
		`SEND to "/user/alice/queue/orders"`: pub("bob", "/user/alice/queue/orders", "x"),
	} {
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "not permitted: no rule permits "+what) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	for _, args := range [][]string{{"/topic/chat", "x"}, {"/topic/chat.board", "x"}, {"/user/bob/queue/chat", "x"}} {
		if r := pub("alice", args...); r != (result{}) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := runProgram(t, "pub", "-addr", s.tcp(), "/topic/chat", "x"); r.code != 1 || !strings.Contains(r.stderr, "log in with -login and -passcode?") {
		t.Errorf("%+v", r)
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// The example of logins in the README passes the check, with a certificate where it names one.
func TestReadmeLogins(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Who may connect\n")
	_, example, found2 := strings.Cut(section, "```yaml\n")
	example, _, found3 := strings.Cut(example, "```\n")
	if !found || !found2 || !found3 {
		t.Fatal("the README has no example of logins")
	}
	cert, key := certificate(t)
	file := write(t, "gudok.yaml", strings.NewReplacer("gudok-key.pem", key, "gudok.pem", cert, "clients.pem", cert).Replace(example))
	if r := runProgram(t, "check", "-config", file); r.code != 0 || r.stderr != "" || r.stdout != "ok\n" {
		t.Errorf("check: %+v", r)
	}
}
