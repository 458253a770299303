package auth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// User is someone who may log in.
type User struct {
	Name string
	// PasswordHash is as Hash makes it; empty for a user who has another way to log in.
	PasswordHash string
	Groups       []string
	// Limits replace those for everyone in the user's sessions; see broker.Principal. Nil: none does.
	Limits *broker.Limits
}

// Passwords is the broker.Authenticator of a list of users. It may be called from any goroutine;
// it holds no goroutine of its own.
type Passwords struct {
	users   map[string]user // immutable, like dummies
	dummies []hash
	v       *verifier
}

var (
	_ broker.Authenticator = (*Passwords)(nil)
	_ broker.Revalidator   = (*Passwords)(nil)
)

type user struct {
	hash      hash              // nil without a password
	principal *broker.Principal // shared by all of the user's sessions
}

// verifier computes hashes: few at once, so that the rest of the broker keeps its share of the
// machine, and none for a login that was right a moment ago.
type verifier struct {
	cache *cache
	lines [2]line // for those who are familiar, and for all others: no crowd holds up the former

	mu      sync.Mutex // guards what follows
	flights map[digest]*flight
}

// line is where logins wait for their turn to have a hash computed.
type line struct {
	turns chan struct{} // a token for each hash being computed
	all   chan struct{} // and for each that is, or waits for its turn
}

// flight is a login being checked, for all who offer the same.
type flight struct {
	done chan struct{} // closed when what follows is set
	p    *broker.Principal
	err  error
}

// lineLength bounds how many logins wait for each turn: more would wait in vain, since the time to
// CONNECT is over first.
const lineLength = 128

// cores is how many the process may use; GOMAXPROCS may be more later on.
var cores = runtime.GOMAXPROCS(0)

func newVerifier() *verifier {
	v := &verifier{cache: newCache(), flights: map[digest]*flight{}}
	for i, n := range []int{1, max(1, cores/2)} {
		v.lines[i] = line{turns: make(chan struct{}, n), all: make(chan struct{}, n*lineLength)}
	}
	return v
}

func (v *verifier) line(familiar bool) line {
	if familiar {
		return v.lines[0]
	}
	return v.lines[1]
}

// wait waits for a turn, which leave gives back. Too many who wait, or ctx, is an error.
func (l line) wait(ctx context.Context) error {
	select {
	case l.all <- struct{}{}:
	default:
		return errBusy
	}
	select {
	case l.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-l.all
		return fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
}

func (l line) leave() {
	<-l.turns
	<-l.all
}

// together does check once for all who come while it runs with the same d. What was not the login's
// fault counts for who met it alone.
func (v *verifier) together(ctx context.Context, d digest, check func() (*broker.Principal, error)) (*broker.Principal, error) {
	for {
		v.mu.Lock()
		f := v.flights[d]
		if f == nil {
			f = &flight{done: make(chan struct{}), err: errAborted}
			v.flights[d] = f
			v.mu.Unlock()
			defer func() {
				v.mu.Lock()
				delete(v.flights, d)
				v.mu.Unlock()
				close(f.done)
			}()
			f.p, f.err = check()
			return f.p, f.err
		}
		v.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
		}
		if f.err == nil || errors.Is(f.err, broker.ErrBadCredentials) || errors.Is(f.err, errBusy) {
			return f.p, f.err
		}
	}
}

// errAborted is a check that panicked.
var errAborted = errors.New("check a password: it did not end")

// errBusy is a login that found too many waiting before it.
var errBusy = errors.New("check a password: too many are waiting to be checked")

// seed makes the Proof of a principal, which means nothing outside of this process.
var seed = maphash.MakeSeed()

// New takes the users who may log in; with none, nobody may. A name that is empty or there twice,
// and a hash that [Check] refuses, is an error that names the user.
func New(users []User) (*Passwords, error) { return newPasswords(users, newVerifier()) }

func newPasswords(users []User, v *verifier) (*Passwords, error) {
	p := &Passwords{users: make(map[string]user, len(users)), v: v}
	for _, u := range users {
		if _, ok := p.users[u.Name]; ok || u.Name == "" {
			return nil, fmt.Errorf("user %q: the name is empty or there twice", u.Name)
		}
		entry := user{principal: &broker.Principal{
			Name:   u.Name,
			Groups: slices.Clone(u.Groups),
			Limits: u.Limits,
			Via:    broker.ViaPassword,
			Proof:  maphash.String(seed, u.PasswordHash),
		}}
		if u.PasswordHash != "" {
			h, err := parse(u.PasswordHash)
			if err != nil {
				return nil, fmt.Errorf("user %q: the password hash %w", u.Name, err)
			}
			entry.hash = h
			p.dummies = append(p.dummies, h.dummy())
		}
		p.users[u.Name] = entry
	}
	return p, nil
}

// Authenticate compares the passcode with the user's hash. It waits for its turn when many log in
// at once; ctx ends the waiting. All wrong logins get broker.ErrBadCredentials.
func (p *Passwords) Authenticate(ctx context.Context, c broker.Credentials) (*broker.Principal, error) {
	if u := p.remembered(c.Login, c.Passcode); u != nil {
		return u, nil
	}
	return p.check(ctx, c.Login, c.Passcode, false, nil, nil)
}

// remembered is the user of a login that was right a moment ago, or nil.
func (p *Passwords) remembered(login string, passcode broker.Secret) *broker.Principal {
	u, known := p.users[login]
	if !known || u.hash == nil || !p.v.cache.has(p.digest(u, passcode)) {
		return nil
	}
	return u.principal
}

// digest stands for the passcode that was right for a user, as long as the user has this hash.
func (p *Passwords) digest(u user, passcode broker.Secret) digest {
	return p.v.cache.digest(u.principal.Name, u.principal.Proof, string(passcode))
}

// check computes a hash, whatever the login, unless may, asked when it is the login's turn, says
// that too many were wrong by then. Before the turn ends learn hears what came of it, so that who is
// next is judged by that, too.
func (p *Passwords) check(ctx context.Context, login string, passcode broker.Secret, familiar bool, may func() bool, learn func(error)) (*broker.Principal, error) {
	if login == "" || len(p.dummies) == 0 {
		return nil, broker.ErrBadCredentials
	}
	u, known := p.users[login]
	d := p.v.cache.digest(login, 0, string(passcode))
	if known = known && u.hash != nil; known {
		d = p.digest(u, passcode)
	} else {
		if mutant.Is(mutant.StrangersCheap) {
			return nil, broker.ErrBadCredentials
		}
		u.hash = p.stranger(login)
	}
	return p.v.together(ctx, d, func() (*broker.Principal, error) {
		line := p.v.line(familiar)
		if err := line.wait(ctx); err != nil {
			return nil, err
		}
		defer line.leave()
		if known && p.v.cache.has(d) { // checked between our look and our turn
			return u.principal, nil
		}
		if may != nil && !may() {
			return nil, broker.ErrTooMany
		}
		var err error
		if right := u.hash.matches(string(passcode)); !right || !known {
			err = broker.ErrBadCredentials
		}
		if learn != nil {
			learn(err)
		}
		if err != nil {
			return nil, err
		}
		p.v.cache.add(d)
		return u.principal, nil
	})
}

// Revalidate implements broker.Revalidator: the user must be there and have the same hash.
func (p *Passwords) Revalidate(old *broker.Principal) (*broker.Principal, error) {
	u, known := p.users[old.Name]
	switch {
	case !known || u.hash == nil || u.principal.Proof != old.Proof || old.Via != broker.ViaPassword:
		return nil, broker.ErrBadCredentials
	case slices.Equal(u.principal.Groups, old.Groups):
		return old, nil
	}
	return u.principal, nil
}

// stranger picks the hash that is computed for a login that does not exist: always the same one
// for the same login, of any user's cost, so that hashes of two kinds do not tell either.
func (p *Passwords) stranger(login string) hash {
	d := p.v.cache.digest(login, 0, "")
	n := int(d[0])<<16 | int(d[1])<<8 | int(d[2])
	return p.dummies[n%len(p.dummies)]
}

// has tells whether a name is one of the users with a password.
func (p *Passwords) has(name string) bool { return p.users[name].hash != nil }

// any tells whether there is a user with a password.
func (p *Passwords) any() bool { return len(p.dummies) > 0 }

// groups are those of a user, with or without a password.
func (p *Passwords) groups(name string) []string {
	if u := p.users[name].principal; u != nil {
		return u.Groups
	}
	return nil
}

// limits are those of a user, with or without a password; nil for none.
func (p *Passwords) limits(name string) *broker.Limits {
	if u := p.users[name].principal; u != nil {
		return u.Limits
	}
	return nil
}
