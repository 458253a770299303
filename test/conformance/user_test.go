package conformance

import (
	"fmt"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// users is a configuration with users alice and bob, whose passwords are those of [passcode].
func users(t *testing.T) string {
	t.Helper()
	hash := func(name string) string { return harness.Hash(t, harness.Canary+"-"+name) }
	return fmt.Sprintf("users:\n- { name: alice, password_hash: %q }\n- { name: bob, password_hash: %q }\n", hash("alice"), hash("bob"))
}

// passcode is the header with the password of a user.
func passcode(name string) string { return "passcode:" + harness.Canary + "-" + name }

// as connects as a user.
func (e *env) as(name string) *client {
	e.Helper()
	return &client{e.connect("login:"+name, passcode(name)), name}
}

func TestUsers(t *testing.T) {
	var cases []tcase
	refuse := func(name, headers string) {
		cases = append(cases, tcase{"Login", name, nil, func(e *env) {
			q := e.queue()
			c := e.dialAlone()
			// What comes behind a refused CONNECT in the same packet must not run.
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\n%s\n\x00SEND\ndestination:%s\nreceipt:r\n\nsmuggled\x00", e.v, headers, q)
			e.refused(c, "credentials", "")
			ok := e.as("bob")
			e.subscribe(ok.Client, "0", q)
			e.expectMarker(ok.Client, q)
		}})
	}
	refuse("no login", "")
	refuse("wrong passcode", "login:alice\n"+passcode("bob")+"\n")
	refuse("no passcode", "login:alice\n")
	refuse("empty passcode", "login:alice\npasscode:\n")
	refuse("unknown user", "login:carol\n"+passcode("carol")+"\n")
	refuse("empty login", "login:\n"+passcode("alice")+"\n")
	cases = append(cases, []tcase{
		{"Login", "CONNECTED carries user-name", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\nlogin:alice\n%s\n\n\x00", e.v, passcode("alice"))
			c.Expect("CONNECTED", "version:"+e.v, "user-name:alice")
		}},
		{"User_Destinations", "reach every session of the user and no other", nil, func(e *env) {
			a1, a2, b := e.as("alice"), e.as("alice"), e.as("bob")
			name := unique("/queue/u")
			for _, c := range []*client{a1, a2, b} {
				e.subscribe(c.Client, "0", "/user"+name)
			}
			e.send(b.Client, "/user/alice"+name, "for alice")
			a1.Message("for alice", "subscription:0")
			a2.Message("for alice", "subscription:0")
			b.Sync()
			e.send(a1.Client, "/user/bob"+name, "for bob")
			b.Message("for bob")
			a1.Sync()
			a2.Sync()
		}},
		{"User_Destinations", "other names do not get it", nil, func(e *env) {
			a, b := e.as("alice"), e.as("bob")
			name := unique("/queue/u")
			e.subscribe(a.Client, "0", "/user"+name)
			e.send(b.Client, "/user/alice"+name+"x", "no")
			e.send(b.Client, "/user/alice"+name, "yes")
			a.Message("yes")
		}},
		{"User_Destinations", "of a user who is not there", nil, func(e *env) {
			e.send(e.as("bob").Client, "/user/carol/queue/x", "nobody")
		}},
		{"User_Destinations", "another user's may not be subscribed to", nil, func(e *env) {
			b := e.as("bob")
			b.Sendf("SUBSCRIBE\nid:0\ndestination:/user/alice/queue/x\nreceipt:r\n\n\x00")
			e.refused(b.Client, "forbidden", "r")
		}},
	}...)
	t.Parallel()
	runUsers(t, cases)
}

// client is a session and whose it is.
type client struct {
	*harness.Client
	user string
}

// runUsers runs the cases in 1.2 and 1.0.
func runUsers(t *testing.T, cases []tcase) {
	b := harness.Start(t, users(t))
	for _, v := range []string{"1.2", "1.0"} {
		t.Run(v, func(t *testing.T) { run(t, b, v, cases) })
	}
}
