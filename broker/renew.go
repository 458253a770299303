package broker

import (
	"bytes"
	"context"
	"errors"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

const (
	// renewDestination is where a session sends a new token before the one it came with expires.
	renewDestination = "/session/token"
	maxToken         = 8 << 10 // bytes
)

// become makes p the session's principal. Only the reader calls it.
func (s *session) become(p *Principal) {
	old := s.principal.Swap(p)
	if !p.Expires.IsZero() || old != nil && !old.Expires.IsZero() {
		s.b.expiry.set(s)
	}
}

// revalidate holds the session's principal against users and keys as they are now, from any
// goroutine. The reader does so after it has made a principal known, since a reload that began
// while the login was under way has not seen it.
func (s *session) revalidate() *ending {
	for {
		p := s.principal.Load()
		if p == nil {
			return nil
		}
		a, now := s.b.access.Load(), p
		if r, ok := a.auth.(Revalidator); ok {
			var err error
			if now, err = r.Revalidate(p); err != nil {
				bad := s.unproved(err)
				bad.detail, bad.mute = "this login is not accepted any more", true
				return bad
			}
		}
		if bad := a.checkDots(now); bad != nil || now == p {
			return bad
		}
		if s.principal.CompareAndSwap(p, now) { // or else it has been renewed meanwhile
			s.b.expiry.set(s)
			return nil
		}
	}
}

// handleRenew takes a new token of the session's user: the body of a SEND. Its groups, claims and
// end hold from now on.
func (s *session) handleRenew(f *stompframe.Frame) *ending {
	if f.Header.Has(frame.Transaction) {
		return because(reasonBadHeader, "a token cannot be sent within a transaction")
	}
	r, ok := s.b.access.Load().auth.(Renewer)
	if !ok {
		return because(reasonRenewal, "no tokens are taken here")
	}
	old := s.principal.Load()
	if old.Via != ViaToken && old.Via != ViaHook {
		return because(reasonRenewal, "this session did not log in with a token")
	}
	token := bytes.TrimSpace(f.Body)
	if len(token) == 0 || len(token) > maxToken {
		return because(reasonRenewal, "%d bytes are no token", len(token))
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, s.limits.ConnectTime)
	defer cancel()
	p, err := r.Renew(ctx, old, Secret(token), s.conn.Peer())
	if err == nil && p.Name != old.Name && !mutant.Is(mutant.RenewAnyone) {
		return because(reasonRenewal, "it is another user's")
	}
	if err != nil {
		return s.unrenewed(err)
	}
	s.become(p)
	if bad := s.review(); bad != nil {
		return bad
	}
	s.confirm(f)
	return nil
}

// unrenewed says why a new token was refused.
func (s *session) unrenewed(err error) *ending {
	detail := "it could not be checked; try again in a while"
	switch {
	case errors.Is(err, ErrExpired):
		detail = "it has expired already"
	case errors.Is(err, ErrTooMany):
		detail = "too many failed before it; try again in a while"
	case errors.Is(err, ErrBadCredentials):
		detail = "it does not hold"
	}
	e := because(reasonRenewal, "%s", detail)
	e.why = err.Error()
	return e
}
