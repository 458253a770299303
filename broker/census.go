package broker

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// census counts the sessions there are, on all transports together: in all, by address and by user,
// and how many begin in a second. What was counted is given back once, by dismiss.
type census struct {
	mu        sync.Mutex // guards what follows; nothing is called under it
	total     int
	byAddress map[netip.Prefix]int
	byUser    map[string]int
	tokens    float64   // connects that may begin now
	filled    time.Time // when tokens was reckoned; zero: never
}

// counted is what a session is counted as.
type counted struct {
	in      bool
	address netip.Prefix // zero: no address
	user    string       // empty before CONNECT is accepted, and for anonymous sessions
}

func newCensus() *census {
	return &census{byAddress: make(map[netip.Prefix]int), byUser: make(map[string]int)}
}

// place is what counts as one address: an IPv4 address, or the /64 that an IPv6 host can choose
// from. The zero Prefix is that of peers without an IP address, which are not counted by it.
func place(a net.Addr) netip.Prefix {
	var ip netip.Addr
	switch a := a.(type) {
	case nil:
		return netip.Prefix{}
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	default:
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			ip = ap.Addr()
		} else if ip, err = netip.ParseAddr(a.String()); err != nil {
			return netip.Prefix{}
		}
	}
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	if mutant.Is(mutant.HostsApart) {
		bits = ip.BitLen()
	}
	p, err := ip.Prefix(bits)
	if err != nil { // no address at all
		return netip.Prefix{}
	}
	return p
}

// shown is a place for people.
func shown(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// enter counts a connection from a place, or tells why there may not be one more.
func (c *census) enter(s *counted, p netip.Prefix, l *Limits, now time.Time) *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.total >= l.Connections && !mutant.Is(mutant.ConnectionsUncounted):
		return because(reasonConnections, "the broker serves %d connections, its limit", l.Connections)
	case l.ConnectionsPerAddress > 0 && p.IsValid() && c.byAddress[p] >= l.ConnectionsPerAddress && !mutant.Is(mutant.AddressesUncounted):
		return because(reasonAddress, "%s has %d connections, the limit", shown(p), l.ConnectionsPerAddress)
	case !c.fill(l.ConnectsPerSecond, now):
		return because(reasonConnects, "%d connections have begun within a second, the limit; try again", l.ConnectsPerSecond)
	}
	c.total++
	if p.IsValid() {
		c.byAddress[p]++
	}
	*s = counted{in: true, address: p}
	return nil
}

// fill takes a token from the bucket, which fills at rate a second up to one second's worth; rate 0
// asks for none. c.mu is held.
func (c *census) fill(rate int, now time.Time) bool {
	if rate <= 0 || mutant.Is(mutant.ConnectsFree) {
		c.filled = time.Time{}
		return true
	}
	most := float64(rate)
	if c.filled.IsZero() {
		c.tokens = most
	} else if d := now.Sub(c.filled); d > 0 {
		c.tokens += d.Seconds() * most
	}
	c.tokens, c.filled = min(c.tokens, most), now
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

// name counts a session for its user, of whom there may be most (0: any number).
func (c *census) name(s *counted, user string, most int) *ending {
	if user == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 0 && c.byUser[user] >= most && !mutant.Is(mutant.UsersUncounted) {
		return because(reasonUser, "%s has %d connections, the limit", quote(user), most)
	}
	c.byUser[user]++
	s.user = user
	return nil
}

// leave gives back what the session was counted as.
func (c *census) leave(s *counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.in || mutant.Is(mutant.LeaversCounted) {
		return
	}
	c.total--
	if s.address.IsValid() {
		decrease(c.byAddress, s.address)
	}
	if s.user != "" {
		decrease(c.byUser, s.user)
	}
	*s = counted{}
}

func decrease[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}
