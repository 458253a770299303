package auth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// Options are the ways to log in. With none of them anyone gets in, with any login or none; with
// any of them only who proves who he is, and, where Anonymous says so, who claims nothing at all.
type Options struct {
	// Users have a password each, or are known for their groups and limits alone. Limits hold for the
	// user of that name whatever proved it.
	Users []User
	// Tokens are JWTs; nil takes none.
	Tokens *TokenOptions
	// Hook is a service that is asked for logins that are not among Users, and for tokens where
	// Tokens is nil; nil asks none.
	Hook *HookOptions
	// Certificates says what of a verified client certificate is the user's name: one of
	// [UserCN], [UserEmail] and [UserDNS]; empty takes none for a login. Such a user has the
	// groups of the one of the same name among Users.
	Certificates string
	// Anonymous lets in who offers nothing.
	Anonymous bool
	// FailedLogins is how many logins may fail in a minute, of an address and of a user, before only
	// one a second is looked at; 0 means 10, less than 0 any number.
	FailedLogins int
	// Logger gets what goes wrong with keys; default slog.Default().
	Logger *slog.Logger
}

// Chain is the broker.Authenticator of all ways to log in. Of several credentials that a client
// offers, the first of this list counts that there is a way for, and no other is looked at when it
// is wrong:
//
//  1. CONNECT's Authorization header, Bearer or Basic
//  2. CONNECT's passcode, a token or the password of login
//  3. the handshake's, in the order of the From constants of package broker
//  4. the client's certificate
//
// A login beside 3 or 4 must be the user's name; beside a token in 1 or 2 it may be anything.
type Chain struct {
	log      *slog.Logger
	verifier *verifier
	throttle *throttle
	state    atomic.Pointer[state]

	mu     sync.Mutex // of Reload and Close
	closed bool
}

var (
	_ broker.Authenticator = (*Chain)(nil)
	_ broker.Revalidator   = (*Chain)(nil)
	_ broker.Renewer       = (*Chain)(nil)
	_ broker.Opener        = (*Chain)(nil)
)

// state is what a reload replaces.
type state struct {
	o       Options
	users   *Passwords
	tokens  *tokens // nil for none, like hook
	hook    *hook
	open    bool   // anyone gets in
	byCerts uint64 // Proof of users with certificates
}

// Open makes a Chain, which must be closed. Keys that are fetched need not be there when it returns.
func Open(o Options) (*Chain, error) {
	c := &Chain{log: o.Logger, verifier: newVerifier(), throttle: newThrottle()}
	if c.log == nil {
		c.log = slog.Default()
	}
	if err := c.Reload(o); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload replaces the ways to log in; keys in files are read again. An error changes nothing. What
// becomes of live sessions is the broker's: see broker.Revalidator.
func (c *Chain) Reload(o Options) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("logins are closed")
	}
	old := c.state.Load()
	s, err := c.build(o, old)
	if err != nil {
		return err
	}
	c.state.Store(s)
	c.throttle.permit(o.FailedLogins)
	if old != nil {
		old.release(s)
	}
	return nil
}

func (c *Chain) build(o Options, old *state) (*state, error) {
	s := &state{o: o, byCerts: maphash.String(seed, "certificate:"+o.Certificates)}
	s.open = len(o.Users) == 0 && o.Tokens == nil && o.Hook == nil && o.Certificates == "" && !o.Anonymous
	var err error
	if s.users, err = newPasswords(o.Users, c.verifier); err != nil {
		return nil, err
	}
	if o.Hook != nil {
		if err := CheckURL(o.Hook.URL, true); err != nil {
			return nil, fmt.Errorf("the URL that is asked for logins %w", err)
		}
		s.hook = newHook(*o.Hook)
		if old != nil && old.hook != nil && reflect.DeepEqual(old.o.Hook, o.Hook) {
			s.hook = old.hook
		}
	}
	if o.Tokens != nil {
		var before *tokens
		if old != nil {
			before = old.tokens
		}
		if s.tokens, err = newTokens(*o.Tokens, c.log, before); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// release gives up what the next state, if there is one, has no use for.
func (s *state) release(next *state) {
	if s.tokens != nil && (next == nil || next.tokens == nil || next.tokens.source != s.tokens.source) {
		s.tokens.source.close()
	}
	if s.hook != nil && (next == nil || next.hook != s.hook) {
		s.hook.client.CloseIdleConnections()
	}
}

// Close ends what fetches keys. Later logins may fail.
func (c *Chain) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.state.Load().release(nil)
	}
	return nil
}

// Authenticate implements broker.Authenticator.
func (c *Chain) Authenticate(ctx context.Context, given broker.Credentials) (*broker.Principal, error) {
	s := c.state.Load()
	if s.open && given.Login == "" {
		return nobody, nil
	}
	if s.open {
		return &broker.Principal{Name: given.Login, Via: broker.ViaAnonymous}, nil
	}
	addr := place(given.Peer.Addr)
	x, err := s.choose(given)
	if err != nil {
		return nil, c.failed(addr, err)
	}
	var p *broker.Principal
	switch x.kind {
	case anonymous:
		return nobody, nil
	case password:
		p, err = c.password(ctx, s, x, given.Peer, addr)
	case token:
		p, err = c.token(ctx, s, x, given.Peer, addr)
	case certificate:
		if p, err = s.certificate(given.Peer); err != nil {
			err = c.failed(addr, err)
		}
	}
	if err != nil {
		return nil, err
	}
	if x.named && given.Login != "" && given.Login != p.Name && !mutant.Is(mutant.LoginIgnored) {
		return nil, c.failed(addr, refusal("the login is not the user's who is proved"))
	}
	if l := s.users.limits(p.Name); l != nil && p.Limits != l { // who proved it in another way
		limited := *p
		limited.Limits = l
		p = &limited
	}
	return p, nil
}

var nobody = &broker.Principal{Via: broker.ViaAnonymous}

// failed counts a login that was wrong in a way that costs nothing to find out.
func (c *Chain) failed(addr string, err error) error {
	if !errors.Is(err, broker.ErrBadCredentials) || errors.Is(err, errNothing) {
		return err
	}
	w := c.throttle.of(addr, "")
	_, ok := c.throttle.allows(w, true)
	c.throttle.wrong(w)
	if !ok {
		return broker.ErrTooMany
	}
	return err
}

// password checks a login that has one, unless too many were wrong.
func (c *Chain) password(ctx context.Context, s *state, x credential, peer broker.Peer, addr string) (*broker.Principal, error) {
	local := s.hook == nil || s.users.has(x.login)
	q := x.question(peer)
	if local {
		if p := s.users.remembered(x.login, x.secret); p != nil {
			return p, nil
		}
	} else if p := s.hook.remembered(q); p != nil {
		return p, nil
	}
	w := c.throttle.of(addr, x.login)
	familiar, ok := c.throttle.allows(w, false)
	if !ok {
		return nil, broker.ErrTooMany
	}
	may := func() bool {
		_, ok := c.throttle.allows(w, true)
		return ok
	}
	learned := false
	learn := func(err error) {
		c.learn(w, err)
		learned = true
	}
	var p *broker.Principal
	var err error
	if local {
		p, err = s.users.check(ctx, x.login, x.secret, familiar, may, learn)
	} else {
		p, err = s.hook.ask(ctx, q, may, learn)
	}
	if !learned { // another's turn was this one's, too
		c.learn(w, err)
	}
	return p, err
}

// learn notes what became of a login that was looked at.
func (c *Chain) learn(w who, err error) {
	switch {
	case errors.Is(err, broker.ErrBadCredentials):
		c.throttle.wrong(w)
	case err == nil && w.user != 0:
		c.throttle.right(w)
	}
}

// token checks a token. That costs less than to be unfair to all who come from one address: only
// what is wrong counts.
func (c *Chain) token(ctx context.Context, s *state, x credential, peer broker.Peer, addr string) (*broker.Principal, error) {
	if s.tokens != nil {
		p, err := s.tokens.check(ctx, string(x.secret))
		if err != nil {
			err = c.failed(addr, err)
		}
		return p, err
	}
	q := x.question(peer)
	if p := s.hook.remembered(q); p != nil {
		return p, nil
	}
	w := c.throttle.of(addr, "")
	if _, ok := c.throttle.allows(w, false); !ok {
		return nil, broker.ErrTooMany
	}
	return s.hook.ask(ctx, q, func() bool {
		_, ok := c.throttle.allows(w, true)
		return ok
	}, func(err error) { c.learn(w, err) })
}

func (s *state) certificate(peer broker.Peer) (*broker.Principal, error) {
	name, until, err := certificateUser(peer.TLS, s.o.Certificates)
	if err != nil {
		return nil, err
	}
	return &broker.Principal{Name: name, Groups: s.users.groups(name), Expires: until, Via: broker.ViaCertificate, Proof: s.byCerts}, nil
}

// Open implements broker.Opener: without any way to log in, anyone gets in by any name.
func (c *Chain) Open() bool { return c.state.Load().open }

// Renew implements broker.Renewer.
func (c *Chain) Renew(ctx context.Context, p *broker.Principal, secret broker.Secret, peer broker.Peer) (*broker.Principal, error) {
	s := c.state.Load()
	if p.Via == broker.ViaToken && s.tokens == nil || p.Via == broker.ViaHook && (s.hook == nil || s.tokens != nil) {
		return nil, refusal("the session did not log in with what would take the token now")
	}
	return c.token(ctx, s, credential{kind: token, secret: secret, source: "session"}, peer, place(peer.Addr))
}

// Revalidate implements broker.Revalidator.
func (c *Chain) Revalidate(p *broker.Principal) (*broker.Principal, error) {
	s := c.state.Load()
	switch p.Via {
	case broker.ViaAnonymous:
		if s.open || s.o.Anonymous && p.Name == "" {
			return p, nil
		}
	case broker.ViaPassword:
		return s.users.Revalidate(p)
	case broker.ViaToken:
		if s.tokens != nil {
			return s.tokens.revalidate(p)
		}
	case broker.ViaCertificate:
		if s.o.Certificates == "" || p.Proof != s.byCerts {
			break
		}
		groups := s.users.groups(p.Name)
		if slices.Equal(groups, p.Groups) {
			return p, nil
		}
		now := *p
		now.Groups = groups
		return &now, nil
	case broker.ViaHook:
		if s.hook != nil && p.Proof == s.hook.proof {
			return p, nil
		}
	}
	return nil, refusal("there is no such way to log in any more")
}
