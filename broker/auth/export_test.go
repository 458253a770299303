package auth

import (
	"fmt"
	"sync/atomic"
)

// counted counts how often a hash is computed.
type counted struct {
	hash
	n *atomic.Int64
}

func (c counted) matches(password string) bool {
	c.n.Add(1)
	return c.hash.matches(password)
}

// Computed tells how many hashes p has computed since it was first asked.
func Computed(p *Passwords) int64 {
	var n int64
	for name, u := range p.users {
		c, ok := u.hash.(counted)
		if !ok {
			c = counted{u.hash, new(atomic.Int64)}
			u.hash = c
			p.users[name] = u
		}
		n += c.n.Load()
	}
	return n
}

// FillCache remembers n logins and tells how many are kept.
func FillCache(p *Passwords, n int) int {
	for i := range n {
		p.v.cache.add(p.v.cache.digest("u", 0, fmt.Sprint(i)))
	}
	return len(p.v.cache.good)
}

// TakeAllTurns makes logins wait until release is called.
func TakeAllTurns(p *Passwords) (release func()) {
	for range cap(p.v.turns) {
		p.v.turns <- struct{}{}
	}
	return func() {
		for range cap(p.v.turns) {
			<-p.v.turns
		}
	}
}

// StrangerKind tells the kind of hash that a login without a user costs.
func StrangerKind(p *Passwords, login string) string { return fmt.Sprintf("%T", p.stranger(login)) }
