package main_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

func (s *server) pub(t *testing.T, args ...string) result {
	t.Helper()
	return runProgram(t, append([]string{"pub", "-addr", s.tcp()}, args...)...)
}

func (s *server) sub(t *testing.T, args ...string) result {
	t.Helper()
	return runProgram(t, append([]string{"sub", "-addr", s.tcp()}, args...)...)
}

func TestPubAndSubThroughAQueue(t *testing.T) {
	s := serve(t, nil)
	for _, addr := range []string{s.tcp(), s.at["TCP"], "tcp://" + s.tcp(), s.at["WebSocket"]} {
		if r := runProgram(t, "pub", "/queue/a", "hello", "-addr", addr, "-header", "colour:red", "-header", "a:b:c"); r != (result{}) {
			t.Errorf("pub %s: %+v", addr, r)
		}
		r := runProgram(t, "sub", "-addr", addr, "/queue/a", "-n", "1", "-v")
		if r.code != 0 || r.stderr != "" || !strings.HasSuffix(r.stdout, "\n\nhello\n") {
			t.Errorf("sub %s: %+v", addr, r)
		}
		for _, line := range []string{"destination: /queue/a\n", "colour: red\n", "a: b:c\n", "content-type: text/plain\n"} {
			if !strings.Contains(r.stdout, line) {
				t.Errorf("sub %s lacks %q in %q", addr, line, r.stdout)
			}
		}
	}
}

// sub -n takes no more from a queue than it prints, and leaves the rest as it was.
func TestSubTakesWhatItPrints(t *testing.T) {
	s := serve(t, nil)
	for i := range 5 {
		if r := s.pub(t, "/queue/n", fmt.Sprint(i)); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	for _, c := range []struct{ n, mode, want string }{{"2", "client-individual", "0\n1\n"}, {"1", "client", "2\n"}, {"2", "client-individual", "3\n4\n"}} {
		if r := s.sub(t, "/queue/n", "-n", c.n, "-ack", c.mode); r != (result{stdout: c.want}) {
			t.Errorf("%+v, want %q", r, c.want)
		}
	}
}

func TestPubReadsStandardInput(t *testing.T) {
	s := serve(t, nil)
	c := command(t, nil, "pub", "-addr", s.tcp(), "/queue/in", "-type", "application/octet-stream")
	c.Stdin = strings.NewReader("a\x00b\xff\n")
	if r := finish(t, c); r != (result{}) {
		t.Fatalf("%+v", r)
	}
	if r := runProgram(t, "sub", "-addr", s.at["WebSocket"], "/queue/in", "-n", "1", "-ack", "auto"); r != (result{stdout: "a\x00b\xff\n"}) {
		t.Errorf("%+v", r)
	}
	if r := s.pub(t, "/queue/in", "--", "-x"); r != (result{}) {
		t.Fatalf("%+v", r)
	}
	if r := s.sub(t, "/queue/in", "-n", "1"); r != (result{stdout: "-x\n"}) {
		t.Errorf("%+v", r)
	}
}

func TestClientFaultsAreOneLine(t *testing.T) {
	s := serve(t, nil)
	web := strings.TrimSuffix(strings.TrimPrefix(s.at["Open"], "http://"), "/")
	ln, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	free.Close()
	for _, c := range []struct {
		args   []string
		prefix string
	}{
		{[]string{"pub", "-addr", closed, "/topic/a", "b"}, "broker pub: cannot reach " + closed + ": connection refused (is the broker running? start it with: broker)"},
		{[]string{"sub", "-addr", closed, "/topic/a"}, "broker sub: cannot reach " + closed + ": connection refused (is the broker running? start it with: broker)"},
		{[]string{"pub", "-addr", "ws://" + web + "/nothing", "/topic/a", "b"}, "broker pub: cannot reach ws://" + web + "/nothing: no WebSocket there, it answered 404 Not Found"},
		{[]string{"pub", "-addr", "ftp://x", "/topic/a", "b"}, `broker pub: -addr: "ftp://x" begins with no way in that is known (use stomp://, stomp+ssl://, ws:// or wss://)`},
		{[]string{"pub", "-addr", ":1", "/topic/a", "b"}, `broker pub: -addr: ":1" is not an address (write 127.0.0.1:61613 or ws://127.0.0.1:15674/ws)`},
		{[]string{"pub", "-addr", ln.Addr().String(), "-timeout", "100ms", "/topic/a", "b"}, "broker pub: " + ln.Addr().String() + " did not answer within 100ms (is it a STOMP port?)"},
		{[]string{"pub", "-addr", web, "/topic/a", "b"}, "broker pub: " + web + " does not speak STOMP: "},
		{[]string{"pub", "-addr", s.tcp(), "/nowhere/a", "b"}, "broker pub: not sent: unknown destination prefix: destination "},
		{[]string{"sub", "-addr", s.tcp(), "/nowhere/a"}, "broker sub: " + s.tcp() + " ended the subscription: unknown destination prefix: destination "},
	} {
		r := runProgram(t, c.args...)
		if r.code != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, c.prefix) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, stdout %q\n got %s\nwant %s", c.args, r.code, r.stdout, r.stderr, c.prefix)
		}
	}
}

func TestUsersMustLogIn(t *testing.T) {
	hash, err := auth.Hash(harness.Canary, auth.Argon2id)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil, "-config", write(t, "gudok.yaml", "users: [{name: alice, password_hash: \""+hash+"\"}]"))
	if s.at["Users"] != "1" {
		t.Errorf("%q", s.said)
	}
	if r := s.pub(t, "/queue/a", "b", "-login", "alice", "-passcode", harness.Canary); r != (result{}) {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		args []string
		hint string
	}{
		{nil, " (log in with -login and -passcode?)\n"},
		{[]string{"-login", "alice", "-passcode", harness.Canary + "-guessed"}, "\n"},
		{[]string{"-login", "bob", "-passcode", harness.Canary}, "\n"},
	} {
		r := s.pub(t, append([]string{"/queue/a", "b"}, c.args...)...)
		if r.code != 1 || !strings.HasPrefix(r.stderr, "broker pub: "+s.tcp()+" answered: bad credentials") ||
			!strings.HasSuffix(r.stderr, c.hint) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	s.stop(t)
}
