package main_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// oneLine checks that a failure is told in exactly one line of stderr.
func oneLine(t *testing.T, r result, code int, want string) {
	t.Helper()
	if r.code != code || r.stdout != "" || r.stderr != want+"\n" {
		t.Errorf("exit %d, stdout %q\n got %swant %s", r.code, r.stdout, r.stderr, want)
	}
}

func TestMisuseIsToldInOneLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"frob"}, `broker: "frob" is no subcommand (use one of serve, bench, check, compact, passwd, pub, recover, sub, version; broker help tells more)`},
		{[]string{"help", "frob"}, `broker: "frob" is no subcommand (use one of serve, bench, check, compact, passwd, pub, recover, sub, version; broker help tells more)`},
		{[]string{"-frob"}, `broker serve: flag provided but not defined: -frob (see: broker serve -h)`},
		{[]string{"serve", "now"}, `broker serve: "now" is one argument too many (see: broker serve -h)`},
		{[]string{"check", "-config"}, `broker check: flag needs an argument: -config (see: broker check -h)`},
		{[]string{"pub"}, `broker pub: needs DESTINATION and at most one BODY (quote a body with blanks in it) (see: broker pub -h)`},
		{[]string{"pub", "/topic/a", "b", "c"}, `broker pub: needs DESTINATION and at most one BODY (quote a body with blanks in it) (see: broker pub -h)`},
		{[]string{"pub", "/topic/a", "-header", "x"}, `broker pub: invalid value "x" for flag -header: write it as NAME:VALUE (see: broker pub -h)`},
		{[]string{"sub"}, `broker sub: needs one DESTINATION (see: broker sub -h)`},
		{[]string{"sub", "/topic/a", "-ack", "never"}, `broker sub: -ack: "never" is not auto, client or client-individual (see: broker sub -h)`},
		{[]string{"sub", "/topic/a", "-n", "-1"}, `broker sub: -n: -1 is less than 0 (see: broker sub -h)`},
		{[]string{"passwd", "-kind", "md5"}, `broker passwd: -kind: "md5" is no kind of hash: use argon2id or bcrypt (see: broker passwd -h)`},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) { oneLine(t, runProgram(t, c.args...), 2, c.want) })
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}} {
		r := runProgram(t, args...)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%v: %+v", args, r)
		}
		for _, name := range []string{"serve", "bench", "check", "passwd", "pub", "sub", "version"} {
			if !strings.Contains(r.stdout, "\n  "+name+" ") {
				t.Errorf("%v does not list %s", args, name)
			}
		}
	}
	for _, name := range []string{"serve", "bench", "check", "passwd", "pub", "sub", "version"} {
		a, b := runProgram(t, name, "-h"), runProgram(t, "help", name)
		if a.code != 0 || a.stderr != "" || a.stdout != b.stdout || !strings.Contains(strings.ToLower(a.stdout), "usage: broker") {
			t.Errorf("%s -h: %+v\nhelp %[1]s: %+v", name, a, b)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "-version"} {
		if r := runProgram(t, arg); r.code != 0 || !strings.HasPrefix(r.stdout, "Gudok 0.1.0 (go1.") {
			t.Errorf("%+v", r)
		}
	}
}

func TestCheck(t *testing.T) {
	good := write(t, "gudok.yaml", "http: {listen: \"127.0.0.1:0\"}\n")
	if r := runProgram(t, "check", "-config", good); r.code != 0 || r.stdout != "ok\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	bad := write(t, "bad.yaml", "limits:\n  body: 64XB\n")
	costly := write(t, "costly.yaml", "users:\n  - name: a\n    password_hash: $argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA\n")
	for _, sub := range []string{"check", "serve"} {
		oneLine(t, runProgram(t, sub, "-config", bad), 1,
			fmt.Sprintf(`broker %s: %s:2: limits.body: "64XB" is not a size (write 64KiB, 1MiB)`, sub, bad))
		oneLine(t, runProgram(t, sub, "-config", costly), 1,
			fmt.Sprintf(`broker %s: %s:3: users[0].password_hash: has argon2id costs m=9999999,t=1,p=1, and m=262144,t=16,p=16 are the most (make a new one with: broker passwd)`, sub, costly))
		oneLine(t, runProgram(t, sub, "-config", "none.yaml"), 1,
			fmt.Sprintf("broker %s: configuration file none.yaml: no such file or directory", sub))
	}
	oneLine(t, finish(t, command(t, []string{"GUDOK_LIMIT_BODY=1MiB"}, "check")), 1,
		"broker check: GUDOK_LIMIT_BODY: no setting has this name (did you mean GUDOK_LIMITS_BODY?)")
	oneLine(t, finish(t, command(t, []string{"GUDOK_TCP_LISTEN=:61613"}, "serve")), 1,
		`broker serve: GUDOK_TCP_LISTEN: ":61613" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:61613)`)
}

// A limit that another one makes pointless is warned of, one that was not set is not.
func TestCheckLimits(t *testing.T) {
	const user = "users:\n- {name: alice, password_hash: $2a$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234, limits: {connections: 5, wildcard_subscriptions: 9}}\n"
	odd := write(t, "odd.yaml", user+"limits:\n  connections: 4\n  connections_per_address: 5\n  connections_per_user: 6\n"+
		"  subscriptions: 8\n  wildcard_subscriptions: 9\n  body: 2MiB\n  transaction_bytes: 1MiB\n")
	r := runProgram(t, "check", "-config", odd)
	want := strings.ReplaceAll(`warning: odd.yaml:5: limits.connections_per_address: 5 can never be reached, because limits.connections is 4
warning: odd.yaml:6: limits.connections_per_user: 6 can never be reached, because limits.connections is 4
warning: odd.yaml:8: limits.wildcard_subscriptions: 9 can never be reached, because limits.subscriptions is 8
warning: odd.yaml:10: limits.transaction_bytes: 1MiB has no room for one message of limits.body, which is 2MiB
warning: odd.yaml:2: users[0].limits.connections: 5 can never be reached, because limits.connections is 4
warning: odd.yaml:2: users[0].limits.wildcard_subscriptions: 9 can never be reached, because limits.subscriptions is 8
`, "odd.yaml", odd)
	if r.code != 0 || r.stdout != "ok\n" || r.stderr != want {
		t.Errorf("exit %d, %s\n got %s\nwant %s", r.code, r.stdout, r.stderr, want)
	}
	many := write(t, "many.yaml", "limits: {connections: 10000000}\n")
	if r := runProgram(t, "check", "-config", many); r.code != 0 || !strings.Contains(r.stderr, many+":1: limits.connections: 10000000 can never be reached here, because ") {
		t.Errorf("%+v", r)
	}
	for _, sound := range []string{"limits: {subscriptions: 3}\n", "limits: {connections: 2, connections_per_user: 2}\n"} {
		if r := runProgram(t, "check", "-config", write(t, "sound.yaml", sound)); r.code != 0 || r.stderr != "" {
			t.Errorf("%s: %+v", sound, r)
		}
	}
}

// A rule that makes no sense is refused with its place; one that is for nobody is warned of.
func TestCheckRules(t *testing.T) {
	const user = "users:\n- {name: alice, groups: [staff], password_hash: $2a$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234}\n"
	bad := write(t, "bad.yaml", user+"rules:\n- who: \"*\"\n  send: [/topic/a, /topic/**.b]\n")
	who := write(t, "who.yaml", user+"rules:\n- {who: \"group:\"}\n")
	name := write(t, "name.yaml", "users:\n- {name: a/b, password_hash: $2a$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234}\n")
	for _, sub := range []string{"check", "serve"} {
		oneLine(t, runProgram(t, sub, "-config", bad), 1, fmt.Sprintf(
			`broker %s: %s:5: rules[0].send[1]: "/topic/**.b" has "**" before its end (it stands for any number of segments)`, sub, bad))
		oneLine(t, runProgram(t, sub, "-config", who), 1, fmt.Sprintf(
			`broker %s: %s:4: rules[0].who: "group:" names nobody (write *, NAME, group:NAME, claim:NAME=VALUE or anonymous)`, sub, who))
		oneLine(t, runProgram(t, sub, "-config", name), 1, fmt.Sprintf(
			`broker %s: %s:2: users[0].name: "a/b" has the character '/' in it`, sub, name))
	}
	odd := write(t, "odd.yaml", user+`rules:
- {who: "*", send: [/topic/a]}
- {who: alice, send: [/topic/a]}
- {who: alcie, send: [/topic/a]}
- {who: "group:staff", send: [/topic/a]}
- {who: "group:boss", send: [/topic/a]}
- {who: anonymous, send: [/topic/a]}
- {who: "claim:a=b", send: [/topic/a]}
- {who: alice}
`)
	r := runProgram(t, "check", "-config", odd)
	want := strings.ReplaceAll(`warning: odd.yaml:6: rules[2].who: "alcie" is no user's name
warning: odd.yaml:8: rules[4].who: no user is in the group "boss"
warning: odd.yaml:9: rules[5].who: nobody can connect without a login
warning: odd.yaml:10: rules[6].who: no user has claims (set jwt)
warning: odd.yaml:11: rules[7]: grants nothing and denies nothing
`, "odd.yaml", odd)
	if r.code != 0 || r.stdout != "ok\n" || r.stderr != want {
		t.Errorf("exit %d, %s\n got %s\nwant %s", r.code, r.stdout, r.stderr, want)
	}
	open := write(t, "open.yaml", "rules: [{who: alice, send: [/topic/a]}]\n")
	if r := runProgram(t, "check", "-config", open); r.code != 0 || !strings.Contains(r.stderr, "no password is asked of anyone") {
		t.Errorf("%+v", r)
	}
}

func TestTakenPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, key := range map[string]string{"GUDOK_TCP_LISTEN": "tcp.listen", "GUDOK_HTTP_LISTEN": "http.listen"} {
		env := []string{"GUDOK_TCP_LISTEN=127.0.0.1:0", "GUDOK_HTTP_LISTEN=127.0.0.1:0", name + "=" + ln.Addr().String()}
		oneLine(t, finish(t, command(t, env)), 1,
			fmt.Sprintf("broker serve: listen tcp %s: address already in use: another broker? stop it or set %s", ln.Addr(), key))
	}
}

func TestPasswd(t *testing.T) {
	for kind, prefix := range map[string]string{"argon2id": "$argon2id$v=19$", "bcrypt": "$2a$10$"} {
		c := command(t, nil, "passwd", "-kind", kind)
		c.Stdin = strings.NewReader("secret\n")
		r := finish(t, c)
		if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, prefix) || strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("%s: %+v", kind, r)
		}
		conf := write(t, "gudok.yaml", "users:\n  - name: a\n    password_hash: "+r.stdout)
		if r := runProgram(t, "check", "-config", conf); r.code != 0 {
			t.Errorf("%s: check: %+v", kind, r)
		}
	}
	c := command(t, nil, "passwd")
	c.Stdin = strings.NewReader("\n")
	oneLine(t, finish(t, c), 1, "broker passwd: the password is empty")
	c = command(t, nil, "passwd")
	c.Stdin = strings.NewReader(strings.Repeat("x", 5000))
	oneLine(t, finish(t, c), 1, "broker passwd: the password is longer than 4096 bytes")
	c = command(t, nil, "passwd", "-kind", "bcrypt")
	c.Stdin = strings.NewReader(strings.Repeat("x", 73))
	oneLine(t, finish(t, c), 1, "broker passwd: the password is longer than the 72 bytes that bcrypt reads (use argon2id)")
}
