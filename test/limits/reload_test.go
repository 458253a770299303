package limits

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// A reload changes the limits of sessions that begin from then on, for everyone and for a user; who is
// there keeps what he had, and is counted.
func TestLimitsReload(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "limits: {subscriptions: 2, connections_per_user: 2}\n"+users(t, "subscriptions: 3, connections: 1", ""))
	open := func(login string) *harness.Client {
		c := b.Dial(t, harness.TCP)
		c.Sendf("CONNECT\naccept-version:1.2\ngudok-errors:soft\nlogin:%s\npasscode:%s\n\n\x00", login, password)
		return c
	}
	subscribes := func(c *harness.Client, n int) {
		t.Helper()
		for i := range n + 1 {
			c.Sendf("SUBSCRIBE\nid:%d\ndestination:/topic/x\nreceipt:r\n\n\x00", i)
			if i < n {
				c.Receipt("r")
			} else {
				c.Expect("ERROR", "message:too many subscriptions", "receipt-id:r")
			}
		}
		for i := range n {
			c.Sendf("UNSUBSCRIBE\nid:%d\n\n\x00", i)
		}
	}
	refused := func(login string) {
		t.Helper()
		open(login).Expect("ERROR", "message:too many connections of one user")
	}
	ann, bob := open("ann"), open("bob")
	ann.Expect("CONNECTED")
	bob.Expect("CONNECTED")
	subscribes(ann, 3)
	subscribes(bob, 2)
	refused("ann")

	file := filepath.Join(b.Dir(), "gudok.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := string(text)
	for _, change := range [][2]string{{"subscriptions: 2", "subscriptions: 5"}, {"subscriptions: 3", "subscriptions: 4"},
		{"connections_per_user: 2", "connections_per_user: 1"}, {" connections: 1\n", " connections: 3\n"}} {
		if strings.Count(next, change[0]) != 1 {
			t.Fatalf("no %q in\n%s", change[0], next)
		}
		next = strings.Replace(next, change[0], change[1], 1)
	}
	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.Says("configuration reloaded")

	subscribes(ann, 3)
	subscribes(bob, 2)
	refused("bob") // there is one
	for range 2 {
		c := open("ann")
		c.Expect("CONNECTED")
		subscribes(c, 4)
	}
	refused("ann")
	c := open("cat")
	c.Expect("CONNECTED")
	subscribes(c, 5)
}
