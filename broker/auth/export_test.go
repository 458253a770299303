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

// Computed tells how many hashes p has computed since it was first asked, those of strangers too.
func Computed(p *Passwords) int64 {
	var n int64
	count := func(h hash) hash {
		c, ok := h.(counted)
		if !ok && h != nil {
			c = counted{h, new(atomic.Int64)}
		}
		if c.n != nil {
			n += c.n.Load()
			return c
		}
		return h
	}
	for name, u := range p.users {
		u.hash = count(u.hash)
		p.users[name] = u
	}
	for i, h := range p.dummies {
		p.dummies[i] = count(h)
	}
	return n
}

// ComputedBy is Computed for a chain.
func ComputedBy(c *Chain) int64 { return Computed(c.state.Load().users) }

// Accounts is how many accounts of failed logins a chain keeps.
func Accounts(c *Chain) int {
	t := c.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(len(t.addrs), len(t.users), len(t.known))
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
	for _, l := range p.v.lines {
		for range cap(l.turns) {
			l.turns <- struct{}{}
		}
	}
	return func() {
		for _, l := range p.v.lines {
			for range cap(l.turns) {
				<-l.turns
			}
		}
	}
}

// StrangerKind tells the kind of hash that a login without a user costs.
func StrangerKind(p *Passwords, login string) string {
	if c, ok := p.stranger(login).(counted); ok {
		return fmt.Sprintf("%T", c.hash)
	}
	return fmt.Sprintf("%T", p.stranger(login))
}

// TakeAllTurnsOf is TakeAllTurns for a chain.
func TakeAllTurnsOf(c *Chain) (release func()) { return TakeAllTurns(c.state.Load().users) }

// ParseKeys is parseKeys; it tells how many.
func ParseKeys(text []byte, algorithm string) (int, error) {
	keys, err := parseKeys(text, algorithm, false)
	return len(keys), err
}
