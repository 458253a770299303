package limits

import (
	"fmt"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// TestV30OneAccounting: limits of connections hold for the sum over all ways in, whatever the order in
// which they are used. (RabbitMQ's stream and Web STOMP listeners once had no part in them.)
func TestV30OneAccounting(t *testing.T) {
	ways := []harness.Transport{harness.TCP, harness.TCPTLS, harness.WSText}
	for _, x := range []struct {
		name, config, reason string
		login                string
		shared               bool // all come from one address
	}{
		{"in all", "connections: 6", "too many connections", "", false},
		{"of an address", "connections_per_address: 6", "too many connections of one address", "", true},
		{"of a user", "connections_per_user: 6", "too many connections of one user", "bob", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cert, key := harness.Certificate(t, "localhost")
			b := harness.Start(t, fmt.Sprintf("limits: {%s}\ntcp: {tls_listen: \"127.0.0.1:0\", tls: {cert: %q, key: %q}}\n%s",
				x.config, cert, key, users(t, "", "")))
			from := place()
			open := func(tr harness.Transport) (c *harness.Client, refused bool) {
				t.Helper()
				if !x.shared {
					from = place()
				}
				at := &harness.Broker{WS: b.WS, Path: b.Path, TCP: b.TCP, TLS: b.TLS, From: from}
				c = at.Dial(t, tr)
				c.Sendf("CONNECT\naccept-version:1.2\n%s\n\x00", map[bool]string{true: "login:bob\npasscode:" + password + "\n"}[x.login != ""])
				f, err := c.ReadFrame(harness.Patience)
				switch {
				case err != nil:
					t.Fatal(err)
				case f.Command == "CONNECTED":
					return c, false
				case f.Value("message") != x.reason:
					t.Fatalf("got %s", f)
				}
				if end := c.ExpectClose(); c.Transport.WebSocket() && end.Code != 1013 {
					t.Errorf("closed with %d", end.Code)
				}
				return nil, true
			}
			var all []*harness.Client
			for i := range 6 {
				c, refused := open(ways[i%3])
				if refused {
					t.Fatalf("connection %d of 6 was refused", i+1)
				}
				all = append(all, c)
			}
			for _, tr := range ways {
				if _, refused := open(tr); !refused {
					t.Fatalf("a seventh connection came in by %s", tr)
				}
			}
			// The place of any is anyone's.
			for i, tr := range []harness.Transport{harness.WSText, harness.TCP, harness.TCPTLS} {
				c := all[i]
				c.Sendf("DISCONNECT\nreceipt:bye\n\n\x00")
				c.Receipt("bye")
				c.ExpectClose()
				w := &world{Broker: b, users: true, page: pageClient(), sessions: 5}
				w.settled(t)
				if _, refused := open(tr); refused {
					t.Fatalf("nobody can take by %s the place of one who came by %s", tr, c.Transport)
				}
				for _, tr := range ways {
					if _, refused := open(tr); !refused {
						t.Fatalf("a seventh connection came in by %s", tr)
					}
				}
				w.sessions = 6
				w.settled(t)
			}
		})
	}
}
