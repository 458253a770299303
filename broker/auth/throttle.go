package auth

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// How many logins may fail: so many within failureWindow, then one in failurePause.
const (
	freeFailures  = 10 // where Options do not say
	failureWindow = time.Minute
	failurePause  = time.Second
	maxAccounts   = 1 << 16 // of each kind
)

// throttle slows logins that fail, by the address they come from and by the user they name. Any
// goroutine may use it; it never waits.
//
// A user who is under attack from elsewhere gets in all the same: whoever logged in from an address
// before has an account of his own there, and an address on whose account nothing is may try even
// where the user's is overdrawn.
type throttle struct {
	seed  maphash.Seed // immutable, like start
	start time.Time    // from which time is counted here

	mu    sync.Mutex
	cost  float64 // of a failure, as a share of an account; 0: none
	addrs accounts
	users accounts
	known accounts // of a user at an address who has logged in from there
}

func newThrottle() *throttle {
	return &throttle{seed: maphash.MakeSeed(), start: time.Now(), addrs: accounts{}, users: accounts{}, known: accounts{}}
}

// permit sets how many logins may fail in failureWindow: 0 means freeFailures, less than 0 any number.
func (t *throttle) permit(failures int) {
	if failures == 0 {
		failures = freeFailures
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cost = 0
	if failures > 0 {
		t.cost = 1 / float64(failures)
	}
}

// accounts are bounded; their keys are hashes.
type accounts map[uint64]account

// account is what failed lately.
type account struct {
	level float64 // what failures have cost, as of at: up to 1, which is forgotten in failureWindow
	at    time.Duration
}

// who is a login as the throttle sees it.
type who struct{ pair, addr, user uint64 }

// of makes a who; user may be empty.
func (t *throttle) of(addr, user string) who {
	w := who{addr: t.hash(addr)}
	if user != "" {
		w.user, w.pair = t.hash(user), t.hash(addr, user)
	}
	return w
}

// allows tells whether a login may be looked at. now says that it will be: where it is one in
// failurePause, that one is taken. familiar tells that the user has logged in from there before.
func (t *throttle) allows(w who, now bool) (familiar, ok bool) {
	at := time.Since(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, is := t.known[w.pair]; is && w.user != 0 {
		return true, t.known.allows(w.pair, t.cost, at, now)
	}
	clean := t.addrs[w.addr].now(at) == 0
	if !clean && w.user != 0 && !t.users.allows(w.user, t.cost, at, now) && !mutant.Is(mutant.UsersFree) {
		return false, false
	}
	return false, t.addrs.allows(w.addr, t.cost, at, now) || mutant.Is(mutant.AddressesFree)
}

// wrong counts a login that failed.
func (t *throttle) wrong(w who) {
	at := time.Since(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, is := t.known[w.pair]; is && w.user != 0 {
		t.known.charge(w.pair, t.cost, at)
		return
	}
	t.addrs.charge(w.addr, t.cost, at)
	if w.user != 0 {
		t.users.charge(w.user, t.cost, at)
	}
}

// right notes that the user was at the address.
func (t *throttle) right(w who) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, is := t.known[w.pair]; !is {
		t.known.put(w.pair, account{}, time.Since(t.start))
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

// allows tells whether an account is not overdrawn, or is and has its pause behind it, which take
// begins anew.
func (m accounts) allows(key uint64, cost float64, now time.Duration, take bool) bool {
	a := m[key]
	switch {
	case cost == 0 || a.now(now)+cost < 1+cost/2: // a sum of shares is not exact
		return true
	case now-a.at < failurePause:
		return false
	}
	if take {
		m.put(key, account{1, now}, now)
	}
	return true
}

func (m accounts) charge(key uint64, cost float64, now time.Duration) {
	if cost > 0 {
		m.put(key, account{min(m[key].now(now)+cost, 1), now}, now)
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
	return max(0, a.level-(now-a.at).Seconds()/failureWindow.Seconds())
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
