package broker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// handleConnect opens the session (STOMP 1.2, CONNECT or STOMP Frame). No host is no error:
// there is one virtual host.
func (s *session) handleConnect(f *stompframe.Frame) *ending {
	accept, present := f.Header.Get(frame.AcceptVersion)
	v, ok := stompframe.Negotiate(accept, present)
	if !ok {
		e := because(reasonVersion, "accept-version %s has none of %s", quote(string(accept)), stompframe.Supported)
		e.version = true
		return e
	}
	if v == stompframe.V10 {
		f.Header.Unpad() // its clients write "login: x"
	}
	sx, sy, out, in, bad := s.agreeHeartBeat(v, f)
	if bad != nil {
		return bad
	}
	by := s.b.access.Load()
	p, bad := s.authenticate(by, f)
	if bad != nil {
		return bad
	}
	own := p.Limits
	s.version = v
	s.become(p)
	if bad := s.revalidate(); bad != nil {
		return bad
	}
	if e := s.ending.Load(); e != nil { // its time was over before it had a principal, see ring
		return e
	}
	p = s.principal.Load()
	if mutant.Is(mutant.OwnLimitsOnly) && own != nil {
		everyones := Limits{}.withDefaults()
		s.limits = &everyones
	}
	if own != nil && !mutant.Is(mutant.OwnLimitsIgnored) {
		s.limits = s.limits.of(own)
		s.out.limit = s.limits.Outbox
	}
	if bad := s.b.census.name(&s.counted, p.Name, s.limits.ConnectionsPerUser); bad != nil {
		return bad
	}
	s.clientID = f.Header.String("client-id")
	s.acks.version = v
	s.soft = f.Header.String("gudok-errors") == "soft"
	s.connected = true
	s.conn.Accepted(v, s.limits.Frame)

	// STOMP 1.2, Value Encoding: CONNECTED is not escaped; version 0 writes it so.
	b := make([]byte, 0, 192)
	b = append(b, frame.CONNECTED+"\n"...)
	b = stompframe.AppendHeader(b, 0, frame.Version, v.String())
	b = stompframe.AppendHeader(b, 0, frame.Session, s.id)
	b = stompframe.AppendHeader(b, 0, frame.Server, s.b.server)
	b = append(b, "heart-beat:"...)
	b = stompframe.AppendHeartBeat(b, sx, sy)
	b = append(b, '\n')
	if p.Name != "" {
		b = stompframe.AppendHeader(b, 0, hdrUserName, p.Name)
	}
	if id := f.Header.String("request-id"); id != "" {
		b = stompframe.AppendHeader(b, 0, "response-id", id) // ActiveMQ's way
	}
	s.out.putFrame(append(b, '\n', 0))
	s.out.lastWrite.Store(s.conn.LastRead())
	s.startBeats(out, in, s.b.bounds.Load().heartBeat.Grace)
	return nil
}

// agreeHeartBeat reads the heart-beat header; STOMP 1.0 has none.
func (s *session) agreeHeartBeat(v stompframe.Version, f *stompframe.Frame) (sx, sy, out, in time.Duration, bad *ending) {
	value, ok := f.Header.Get(frame.HeartBeat)
	if v == stompframe.V10 {
		return 0, 0, 0, 0, nil
	}
	own := &s.b.bounds.Load().heartBeat
	if !ok {
		sx, sy, _, _ = own.agree(0, 0)
		return sx, sy, 0, 0, nil
	}
	cx, cy, err := stompframe.ParseHeartBeat(value)
	if err != nil {
		return 0, 0, 0, 0, because(reasonHeartBeatHeader, "%v", err)
	}
	sx, sy, out, in = own.agree(cx, cy)
	return sx, sy, out, in, nil
}

// authenticate finds out who the session acts for.
func (s *session) authenticate(by *access, f *stompframe.Frame) (*Principal, *ending) {
	c := Credentials{
		Login:         f.Header.String(frame.Login),
		Passcode:      Secret(f.Header.String(frame.Passcode)),
		Authorization: Secret(f.Header.String("Authorization")),
		Peer:          s.conn.Peer(),
	}
	if c.Authorization == "" {
		c.Authorization = Secret(f.Header.String("authorization"))
	}
	for _, name := range []string{c.Login, f.Header.String("client-id")} {
		if name == "" {
			continue
		}
		if err := CheckName(name); err != nil {
			return nil, because(reasonLogin, "login or client-id %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, s.within)
	defer cancel()
	p, err := by.auth.Authenticate(ctx, c)
	if err != nil {
		e := s.unproved(err)
		if mutant.Is(mutant.PasscodeLogged) {
			e.why += ": " + string(c.Passcode)
		}
		if mutant.Is(mutant.PasscodeTold) {
			e.detail += ": " + string(c.Passcode)
		}
		return nil, e
	}
	if p.Name != "" {
		if err := CheckName(p.Name); err != nil {
			return nil, because(reasonLogin, "the user's name %v", err)
		}
	}
	return p, by.checkDots(p)
}

// loginCounts are logins that failed.
type loginCounts struct{ refused, slowed, unchecked atomic.Uint64 }

// countLogin counts a login that failed.
func (b *Broker) countLogin(err error) {
	switch {
	case errors.Is(err, ErrTooMany):
		b.logins.slowed.Add(1)
	case errors.Is(err, ErrExpired), errors.Is(err, ErrBadCredentials):
		b.logins.refused.Add(1)
	default:
		b.logins.unchecked.Add(1)
	}
}

// unproved says why a login was refused, and counts it.
func (s *session) unproved(err error) (e *ending) {
	s.b.countLogin(err)
	switch {
	case errors.Is(err, ErrExpired):
		e = because(reasonExpired, "it was good once; connect with a new one")
	case errors.Is(err, ErrTooMany):
		e = because(reasonTooMany, "try again in a while")
	case errors.Is(err, ErrBadCredentials):
		e = because(reasonCredentials, "login, passcode or token is wrong or missing")
	default:
		e = because(reasonUnchecked, "try again in a while")
	}
	e.why = err.Error()
	return e
}

// user is the name of the session's user; empty for an anonymous one.
func (s *session) user() string { return s.principal.Load().Name }
