package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// withAlice starts a broker for alice, whose password is the canary.
func withAlice(t *testing.T) *server {
	t.Helper()
	hash, err := auth.Hash(harness.Canary, auth.Argon2id)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, nil, "-config", write(t, "gudok.yaml", "users: [{name: alice, password_hash: \""+hash+"\"}]"))
}

// TestPasswordFromAFile: every client takes the password from a file, and then it is not in the process list.
func TestPasswordFromAFile(t *testing.T) {
	s := withAlice(t)
	file := write(t, "password", harness.Canary+"\nmore\n")
	login := []string{"-login", "alice", "-passcode-file", file}

	sub := command(t, nil, append([]string{"sub", "-addr", s.tcp(), "-n", "2", "/queue/a"}, login...)...)
	var bad bytes.Buffer
	sub.Stderr = &bad
	out, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	// Once it has said something it runs: until then the list of processes may have nothing of it.
	if r := s.pub(t, append([]string{"/queue/a", "first"}, login...)...); r != (result{}) {
		t.Errorf("%+v", r)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "first\n" {
		t.Errorf("%q, %v", line, err)
	}
	if runtime.GOOS == "linux" {
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", sub.Process.Pid, name))
			if err != nil || name == "cmdline" && !bytes.Contains(text, []byte("alice")) || harness.Leak(text) != "" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
	}
	if r := s.pub(t, append([]string{"/queue/a", "hello"}, login...)...); r != (result{}) {
		t.Errorf("%+v", r)
	}
	line, err := lines.ReadString('\n')
	if gone := sub.Wait(); gone != nil || err != nil || line != "hello\n" || bad.Len() > 0 {
		t.Errorf("%v, %v: %q, %s", gone, err, line, &bad)
	}
	if r := runProgram(t, append([]string{"bench", "send", "-url", "stomp://" + s.tcp(), "-duration", "100ms"}, login...)...); r.code != 0 {
		t.Errorf("%+v", r)
	}

	for text, want := range map[string]string{
		"":                        "is empty",
		"\n" + harness.Canary:     "is empty",
		strings.Repeat("x", 5000): "longer than 4096 bytes",
	} {
		bad := write(t, "bad", text)
		for _, args := range [][]string{{"pub", "/queue/a", "b"}, {"bench", "send"}} {
			r := runProgram(t, append(args, "-passcode-file", bad)...)
			if r.code != 2 || !strings.Contains(r.stderr, "-passcode-file") || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%q: %+v", want, r)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	if r := runProgram(t, "sub", "/queue/a", "-passcode-file", none); r.code != 2 || !strings.Contains(r.stderr, none+": no such file") {
		t.Errorf("%+v", r)
	}
}

// TestPasswordInAnAddress: an address is told without the password in it; that nothing has it, finish looks at.
func TestPasswordInAnAddress(t *testing.T) {
	s := withAlice(t)
	at := "alice:" + harness.Canary + "@" + s.tcp()
	web := "alice:" + harness.Canary + "@" + strings.Trim(strings.TrimPrefix(s.at["Open"], "http:"), "/")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"bench", "send", "-duration", "100ms", "-url", "stomp://" + at}, 0, "stomp://[redacted]@" + s.tcp()},
		{[]string{"bench", "send", "-duration", "100ms", "-json", "-url", "ws://" + web + "/ws"}, 0, `"url":"ws://[redacted]@`},
		{[]string{"bench", "send", "-url", "stomp://" + at + "/x"}, 2, "stomp://[redacted]@"},
		{[]string{"bench", "send", "-url", "gopher://" + at}, 2, "gopher://[redacted]@"},
		{[]string{"bench", "send", "-url", "stomp://" + at + "\x7f"}, 2, "stomp://[redacted]@"},
		{[]string{"bench", "send", "-url", "stomp://alice:" + harness.Canary + "@127.0.0.1:1"}, 1, "127.0.0.1:1"},
		{[]string{"pub", "/queue/a", "b", "-addr", "alice:" + harness.Canary + "@127.0.0.1:1"}, 1, "cannot reach [redacted]@127.0.0.1:1"},
		{[]string{"pub", "/queue/a", "b", "-addr", "ws://alice:" + harness.Canary + "@127.0.0.1:1/ws"}, 1, "cannot reach ws://[redacted]@127.0.0.1:1/ws"},
		{[]string{"pub", "/queue/a", "b", "-addr", "ws://" + web + "/nothing"}, 1, "ws://[redacted]@"},
		{[]string{"pub", "/queue/a", "b", "-addr", "stomp://" + at + "\x7f"}, 1, "stomp://[redacted]@"},
		{[]string{"pub", "/queue/a", "b", "-addr", "gopher://" + at}, 1, "gopher://[redacted]@"},
		{[]string{"pub", "/queue/a", "b", "-addr", "stomp://" + at}, 1, "stomp://[redacted]@" + s.tcp() + " answered"},
		{[]string{"pub", "/queue/a", "b", "-addr", "ws://127.0.0.1:1/ws?access_token=" + harness.Canary}, 1, "ws://127.0.0.1:1/ws?[redacted]: "},
		{[]string{"sub", "/queue/a", "-addr", at}, 1, "[redacted]@" + s.tcp() + " answered"},
	} {
		r := runProgram(t, c.args...)
		if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.says) {
			t.Errorf("%q: %+v, want %d and %q", c.args, r, c.code, c.says)
		}
	}
}
