package auth

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"

	"github.com/gudokmq/gudok/broker"
)

// User is someone who may log in.
type User struct {
	Name         string
	PasswordHash string // as Hash makes it
	Groups       []string
}

// Passwords is the broker.Authenticator of a list of users. It may be called from any goroutine;
// it holds no goroutine of its own.
type Passwords struct {
	users   map[string]user // immutable, like dummies
	dummies []hash
	cache   *cache
	turns   chan struct{} // a token for each hash being computed
}

var (
	_ broker.Authenticator = (*Passwords)(nil)
	_ broker.Revalidator   = (*Passwords)(nil)
)

type user struct {
	hash      hash
	principal *broker.Principal // shared by all of the user's sessions
}

// New takes the users who may log in; with none, nobody may. A name that is empty or there twice,
// and a hash that [Check] refuses, is an error that names the user.
func New(users []User) (*Passwords, error) {
	p := &Passwords{
		users: make(map[string]user, len(users)),
		cache: newCache(),
		turns: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	for _, u := range users {
		h, err := parse(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("user %q: the password hash %w", u.Name, err)
		}
		if _, ok := p.users[u.Name]; ok || u.Name == "" {
			return nil, fmt.Errorf("user %q: the name is empty or there twice", u.Name)
		}
		p.users[u.Name] = user{h, &broker.Principal{
			Name:   u.Name,
			Groups: slices.Clone(u.Groups),
			Via:    broker.ViaPassword,
			Proof:  maphash.String(seed, u.PasswordHash),
		}}
		p.dummies = append(p.dummies, h.dummy())
	}
	return p, nil
}

// Authenticate compares the passcode with the user's hash. It waits for its turn when many log in
// at once; ctx ends the waiting. All wrong logins get broker.ErrBadCredentials.
func (p *Passwords) Authenticate(ctx context.Context, c broker.Credentials) (*broker.Principal, error) {
	u, known := p.users[c.Login]
	if c.Login == "" || len(p.dummies) == 0 {
		return nil, broker.ErrBadCredentials
	}
	d := p.cache.digest(c.Login, string(c.Passcode))
	if known && p.cache.has(d) {
		return u.principal, nil
	}
	if !known {
		u.hash = p.stranger(c.Login)
	}
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	// Another connection of this user may have been checked while this one waited.
	if known && p.cache.has(d) {
		return u.principal, nil
	}
	if right := u.hash.matches(string(c.Passcode)); !right || !known {
		return nil, broker.ErrBadCredentials
	}
	p.cache.add(d)
	return u.principal, nil
}

// seed makes the Proof of a principal, which means nothing outside of this process.
var seed = maphash.MakeSeed()

// Revalidate implements broker.Revalidator: the user must be there and have the same hash.
func (p *Passwords) Revalidate(old *broker.Principal) (*broker.Principal, error) {
	u, known := p.users[old.Name]
	switch {
	case !known || u.principal.Proof != old.Proof || old.Via != broker.ViaPassword:
		return nil, broker.ErrBadCredentials
	case slices.Equal(u.principal.Groups, old.Groups):
		return old, nil
	}
	return u.principal, nil
}

// stranger picks the hash that is computed for a login that does not exist: always the same one
// for the same login, of any user's cost, so that hashes of two kinds do not tell either.
func (p *Passwords) stranger(login string) hash {
	d := p.cache.digest(login, "")
	n := int(d[0])<<16 | int(d[1])<<8 | int(d[2])
	return p.dummies[n%len(p.dummies)]
}
