package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/gudokmq/gudok/store/mutant"
)

// ErrForbidden is what [Broker.Permit] returns for who has proved who he is.
var ErrForbidden = errors.New("not permitted")

// Permit decides, for who brings these credentials in Peer.Offer or as a certificate, about something that is no place for messages, such as
// /admin/metrics: it needs the grant of a SUBSCRIBE to that name. Without rules it needs a login, and
// without logins nothing. A login that fails is counted and slowed as any. The error is ErrForbidden,
// one of those of an [Authenticator] (ErrBadCredentials too where an anonymous client may not), or why
// that could not be found out. It takes as long as a CONNECT may.
func (b *Broker) Permit(ctx context.Context, c Credentials, name string) error {
	by := b.access.Load()
	if o, ok := by.auth.(Opener); ok && o.Open() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.bounds.Load().limits.ConnectTime)
	defer cancel()
	p, err := by.auth.Authenticate(ctx, c)
	if err != nil {
		if c.Peer.Offer != nil { // else nobody has tried
			b.countLogin(err)
		}
		return err
	}
	switch {
	case p.Name == "" && by.rules == nil:
		return ErrBadCredentials
	case p.Name != "" && CheckName(p.Name) != nil, by.rules != nil && strings.Contains(p.Name, "."):
		return ErrForbidden
	case by.rules == nil, p.Name != "" && mutant.Is(mutant.PermitEveryone):
		return nil
	}
	if _, ok := by.rules.Grants(p, p.Name).MaySubscribe(name, false); ok {
		return nil
	}
	if p.Name == "" {
		return ErrBadCredentials // a login may help
	}
	return ErrForbidden
}
