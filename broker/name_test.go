package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// V16: a user's name and a client-id cannot be a wildcard, nor anything else that means something
// in a destination or a rule.
func TestV16Names(t *testing.T) {
	b := newBroker(t, broker.Options{Auth: nameless{}})
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"alice", true}, {"a", true}, {"Alice Doe", true}, {"alice@example.org", true}, {"auth0|123", true},
		{"구독", true}, {"é", true}, {"a.b", true}, {"a-b_c~d", true}, {"Queue", true}, {"queues", true},
		{"a%2Fb", true}, {"ID:host-1:2", true}, {"\\", true}, {strings.Repeat("n", 200), true},
		{"*", false}, {"#", false}, {">", false}, {"a*", false}, {"a#b", false}, {"a>", false}, {"**", false},
		{"a+b", false}, {"a$b", false}, {"$", false}, {"{user}", false}, {"{", false}, {"}", false},
		{"/", false}, {"a/b", false}, {"../a", false}, {"queue", false}, {"topic", false},
		{" a", false}, {"a ", false}, {" ", false}, {"a\tb", false}, {"a\x7fb", false}, {"a\u0085b", false},
		{"a\u202eb", false}, {"a\u200bb", false}, {"a\u00a0b", false}, {"\ufeffa", false}, {"a\ufffdb", false},
		{"\ue000", false}, {strings.Repeat("n", 201), false},
	} {
		if err := broker.CheckName(c.name); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.name, err)
		}
		for _, header := range []string{"login", "client-id", "passcode"} { // nameless takes the passcode for a name
			s := dial(t, b, 1<<20)
			s.send("CONNECT\naccept-version:1.2\n" + header + ":" + c.name + "\n\n")
			if c.ok {
				s.expect("CONNECTED")
				s.drop()
				continue
			}
			if f := s.expect("ERROR", "message:bad login name"); strings.ContainsFunc(f.body, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q: %q", c.name, f.body)
			}
		}
	}
	for _, bad := range []string{"", "a\x00b", "a\nb", "a\rb", "\xff", "a\xc3"} {
		if broker.CheckName(bad) == nil {
			t.Errorf("%q can be a name", bad)
		}
	}
}

// nameless is an Authenticator that takes any name.
type nameless struct{ broker.Authenticator }

func (nameless) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	return &broker.Principal{Name: string(c.Passcode)}, nil
}

func TestSecretsDoNotPrint(t *testing.T) {
	const canary = "c4n4ry"
	s := broker.Secret(canary)
	offer := &broker.Offer{Source: broker.FromBasic, Login: "ann", Passcode: s, Token: s}
	all := []any{s, &s, offer, *offer, []broker.Secret{s}, map[string]broker.Secret{"x": s},
		broker.Credentials{Login: "ann", Passcode: s, Authorization: s, Peer: broker.Peer{Offer: offer}}}
	var b strings.Builder
	logs := []*slog.Logger{slog.New(slog.NewTextHandler(&b, nil)), slog.New(slog.NewJSONHandler(&b, nil))}
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		for _, l := range logs {
			l.Info("x", "v", v)
		}
		j, err := json.Marshal(v)
		fmt.Fprintf(&b, "%s %v\n", j, err)
	}
	hex := fmt.Sprintf("%x", canary)
	if out := strings.ToLower(b.String()); strings.Contains(out, canary) || strings.Contains(out, hex) || strings.Contains(out, "99 52 110") {
		t.Errorf("%s", out)
	}
	if string(s) != canary {
		t.Error("the secret is lost")
	}
}
