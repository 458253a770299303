package broker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// knows lets in who is in it by the name that stands for the password too; nobody without a name, unless
// there is a "".
type knows []string

func (k knows) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	for _, name := range k {
		if o := c.Peer.Offer; o == nil && name == "" || o != nil && name == o.Login {
			return &broker.Principal{Name: name}, nil
		}
	}
	if o := c.Peer.Offer; o != nil && o.Login == "down" {
		return nil, errors.New("down")
	}
	return nil, broker.ErrBadCredentials
}

func TestPermit(t *testing.T) {
	down := errors.New("any other")
	for _, c := range []struct {
		name  string
		auth  broker.Authenticator
		rules []string
		want  map[string]error // by user, for /admin/metrics
	}{
		{"nobody logs in", nil, nil, map[string]error{"": nil, "a": nil}},
		{"nobody logs in, rules bind nobody", nil, []string{"* deny /admin/**"}, map[string]error{"": nil, "a": nil}},
		{"logins, no rules", knows{"a"}, nil, map[string]error{"": broker.ErrBadCredentials, "a": nil, "b": broker.ErrBadCredentials, "down": down}},
		{"who is anonymous has not logged in", knows{"", "a"}, nil, map[string]error{"": broker.ErrBadCredentials, "a": nil}},
		{"rules", knows{"", "a", "b", "c", "d", "e"}, []string{
			"a subscribe /admin/metrics", "b subscribe /admin/status send /admin/metrics", "c subscribe /admin/**", "d subscribe /admin/* deny /admin/metrics",
			"* subscribe /topic/**"},
			map[string]error{"": broker.ErrBadCredentials, "a": nil, "b": broker.ErrForbidden, "c": nil, "d": broker.ErrForbidden, "e": broker.ErrForbidden,
				"f": broker.ErrBadCredentials}},
		{"a grant for all", knows{"", "a"}, []string{"* subscribe /**"}, map[string]error{"": nil, "a": nil}},
		{"a grant for the anonymous", knows{"", "a"}, []string{"anonymous subscribe /admin/metrics"}, map[string]error{"": nil, "a": broker.ErrForbidden}},
		{"names that are none", knows{"a.b", "a/b"}, []string{"* subscribe /**"}, map[string]error{"a.b": broker.ErrForbidden, "a/b": broker.ErrForbidden}},
	} {
		var may broker.Authorizer
		if c.rules != nil {
			may = ruled(t, c.rules...)
		}
		b := newBroker(t, broker.Options{Auth: c.auth, Rules: may})
		refused, unchecked := uint64(0), uint64(0)
		for user, want := range c.want {
			var given broker.Credentials
			if user != "" {
				given.Peer.Offer = &broker.Offer{Source: broker.FromBasic, Login: user, Passcode: "x"}
			}
			err := b.Permit(t.Context(), given, "/admin/metrics")
			if !errors.Is(err, want) && (want != down || err == nil || errors.Is(err, broker.ErrForbidden)) {
				t.Errorf("%s: %q: %v, want %v", c.name, user, err, want)
			}
			switch {
			case want == down:
				unchecked++
			case errors.Is(want, broker.ErrBadCredentials) && user != "":
				refused++
			}
		}
		if s := b.Snapshot(); s.LoginsRefused != refused || s.LoginsUnchecked != unchecked {
			t.Errorf("%s: %d refused, %d unchecked; want %d and %d", c.name, s.LoginsRefused, s.LoginsUnchecked, refused, unchecked)
		}
	}
}
