package auth

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How many logins may fail: freeFailures within failureWindow, then one in failurePause.
const (
	freeFailures  = 10
	failureWindow = time.Minute
	failurePause  = time.Second
	maxAccounts   = 1 << 16 // of each kind
)

// throttle slows logins that fail, by the address they come from and by the user they name. A login
// is paid for in advance and paid back if it was right. Any goroutine may use it; it never waits.
//
// A user who is under attack from elsewhere gets in all the same: whoever logged in from an address
// before has an account of his own there, and an address on whose account nothing is may try even
// where the user's is overdrawn.
type throttle struct {
	seed  maphash.Seed // immutable, like start
	start time.Time    // from which time is counted here

	mu    sync.Mutex
	addrs accounts
	users accounts
	known accounts // of a user at an address who has logged in from there
}

func newThrottle() *throttle {
	return &throttle{seed: maphash.MakeSeed(), start: time.Now(), addrs: accounts{}, users: accounts{}, known: accounts{}}
}

// accounts are bounded; their keys are hashes.
type accounts map[uint64]account

// account is what failed lately.
type account struct {
	level float64 // failures, as of at; they are forgotten at freeFailures in failureWindow
	at    time.Duration
}

// attempt is a login that has been let through. If it was wrong, nothing is to be done.
type attempt struct {
	t    *throttle
	pair uint64
	paid [2]payment
}

type payment struct {
	by  accounts
	key uint64
}

// try lets a login through, or not. user may be empty.
func (t *throttle) try(addr, user string) (*attempt, bool) {
	a := &attempt{t: t, pair: t.hash(addr, user)}
	now := time.Since(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.known[a.pair]; known {
		a.paid[0] = payment{t.known, a.pair}
		return a, t.known.take(a.pair, now)
	}
	from, of := t.hash(addr), t.hash(user)
	clean := t.addrs[from].now(now) == 0
	if !t.addrs.take(from, now) {
		return nil, false
	}
	a.paid[0] = payment{t.addrs, from}
	switch {
	case user == "":
	case t.users.take(of, now):
		a.paid[1] = payment{t.users, of}
	case !clean:
		t.addrs.repay(from)
		return nil, false
	}
	return a, true
}

// right pays back: the login was right, or nobody can say that it was wrong. known tells that the
// user has proved to be at this address.
func (a *attempt) right(known bool) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	for _, p := range a.paid {
		if p.by != nil {
			p.by.repay(p.key)
		}
	}
	if _, ok := a.t.known[a.pair]; known && !ok {
		a.t.known.put(a.pair, account{}, time.Since(a.t.start))
	}
}

func (t *throttle) hash(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// take lets one login through on an account, unless it is overdrawn.
func (m accounts) take(key uint64, now time.Duration) bool {
	a := m[key]
	level := a.now(now)
	switch {
	case level+1 <= freeFailures:
		level++
	case now-a.at < failurePause:
		return false
	default:
		level = freeFailures
	}
	m.put(key, account{level, now}, now)
	return true
}

func (m accounts) repay(key uint64) {
	if a, ok := m[key]; ok {
		a.level = max(0, a.level-1)
		m[key] = a
	}
}

// put writes an account. When there are too many, some on which nothing is are closed, or else any
// one.
func (m accounts) put(key uint64, a account, now time.Duration) {
	if _, there := m[key]; !there && len(m) >= maxAccounts {
		looked := 0
		for k, a := range m {
			if a.now(now) == 0 {
				delete(m, k)
			}
			if looked++; looked == 64 {
				break
			}
		}
		for k := range m {
			if len(m) < maxAccounts {
				break
			}
			delete(m, k)
		}
	}
	m[key] = a
}

// now is what is on the account by now.
func (a account) now(now time.Duration) float64 {
	return max(0, a.level-(now-a.at).Seconds()*freeFailures/failureWindow.Seconds())
}

// place is what stands for the address of a peer: an IPv4 address, or the 64 bits of IPv6 that
// belong to one customer.
func place(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if a := ap.Addr().Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return ip(addr)
}

// ip is the address of a peer without its port.
func ip(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return ap.Addr().Unmap().WithZone("").String()
}
