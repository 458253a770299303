package transport

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gudokmq/gudok/store/mutant"
)

// prefixes are the addresses of proxies that are believed.
type prefixes []netip.Prefix

// parsePrefix reads an address or a range of them.
func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	if a, no := netip.ParseAddr(s); no == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is not an address or a range such as 10.0.0.0/8", s)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%q is every address there is, and whoever connects would be believed", s)
	}
	return p.Masked(), nil
}

func (l prefixes) contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range l {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// requester is who sent a request, as far as that can be believed.
type requester struct {
	// addr is the client's address by the word of a trusted proxy, and nil where the connection's
	// own is the client's. Its port is 0 if no proxy told it.
	addr *net.TCPAddr
	// scheme is what the client used, https or http; empty if that is not known.
	scheme string
}

// place is the client's address for a log.
func (q requester) place(r *http.Request) string {
	if q.addr != nil {
		return q.addr.String()
	}
	return r.RemoteAddr
}

// requester finds who sent a request. Its headers count only if a trusted proxy brought it.
func (l prefixes) requester(r *http.Request) requester {
	var q requester
	if r.TLS != nil {
		q.scheme = "https"
	}
	if len(l) == 0 {
		return q
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	// Port 0 is who came through a proxy that does not know him; see proxied.
	if err != nil || peer.Port() == 0 || !l.contain(peer.Addr()) && !mutant.Is(mutant.ForwardedByAnyone) {
		return q
	}
	for _, s := range r.Header["X-Forwarded-Proto"] {
		s, _, _ = strings.Cut(s, ",")
		q.scheme = either(schemeOf(s), q.scheme)
		break
	}
	last, standard := l.chain(), l.chain()
	for _, line := range r.Header["X-Forwarded-For"] {
		for hop := range strings.SplitSeq(line, ",") {
			last.add(parseHop(strings.Trim(hop, " \t")))
		}
	}
	for _, line := range r.Header["Forwarded"] {
		proto, ok := standard.forwarded(line)
		if !ok {
			standard.add(netip.AddrPort{})
		}
		if r.Header["X-Forwarded-Proto"] == nil {
			q.scheme = either(proto, q.scheme)
		}
	}
	switch {
	case !last.any:
		last = standard
	case standard.any && standard.client.Addr() != last.client.Addr() && !mutant.Is(mutant.ForwardedEither):
		return q // a proxy sets one of them and hands on the other as it came: which is not known
	}
	if last.client.IsValid() {
		q.addr = net.TCPAddrFromAddrPort(last.client)
	}
	return q
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// schemeOf is the scheme of HTTP that a proxy means, or nothing.
func schemeOf(s string) string {
	switch s = strings.ToLower(strings.Trim(s, " \t")); s {
	case "https", "wss":
		return "https"
	case "http", "ws":
		return "http"
	}
	return ""
}

// chain is the hops of a request, from the client to the last proxy but one. The client is the last
// of them that is not a trusted proxy: what is said before it is anybody's word. Behind something that
// is no address, which somebody trusted has written, it is the proxy who wrote it, if it named itself.
type chain struct {
	trusted prefixes
	any     bool           // there was a hop
	client  netip.AddrPort // so far; invalid for the connection's own peer
}

func (l prefixes) chain() chain { return chain{trusted: l} }

// add adds the next hop; an invalid one is no address.
func (c *chain) add(hop netip.AddrPort) {
	if mutant.Is(mutant.ForwardedFirst) && c.any {
		return
	}
	if c.any = true; !hop.IsValid() || !c.client.IsValid() || !c.trusted.contain(hop.Addr()) {
		c.client = hop
	}
}

// parseHop reads an address, with or without a port; it is invalid if it is anything else.
func parseHop(s string) netip.AddrPort {
	a, err := netip.ParseAddr(s)
	if err == nil {
		return hopOf(a, 0)
	}
	if n := len(s); n > 1 && s[0] == '[' && s[n-1] == ']' {
		if a, err = netip.ParseAddr(s[1 : n-1]); err == nil && a.Is6() {
			return hopOf(a, 0)
		}
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return hopOf(ap.Addr(), ap.Port())
}

// hopOf leaves out what means something on one machine only, or is nobody's.
func hopOf(a netip.Addr, port uint16) netip.AddrPort {
	if a = a.Unmap(); a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, port)
}

// forwarded adds the hops of one Forwarded header (RFC 7239, section 4) and returns the first proto
// there is. ok is false if it is malformed; what came before the fault is then added.
func (c *chain) forwarded(s string) (proto string, ok bool) {
	node, named, pairs := netip.AddrPort{}, false, 0
	flush := func() bool {
		if pairs > 0 { // an element may be empty
			c.add(node) // one without a for names nobody
		}
		node, named, pairs = netip.AddrPort{}, false, 0
		return true
	}
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return proto, flush()
		}
		switch s[0] {
		case ',':
			flush()
			s = s[1:]
			continue
		case ';':
			s = s[1:]
			continue
		}
		name, rest, found := strings.Cut(s, "=")
		value, rest, whole := parameter(rest)
		if !found || !whole || name == "" || strings.ContainsFunc(name, notInToken) {
			return proto, false
		}
		s = strings.TrimLeft(rest, " \t")
		if s != "" && s[0] != ',' && s[0] != ';' {
			return proto, false
		}
		pairs++
		switch strings.ToLower(name) {
		case "for":
			if named {
				return proto, false
			}
			node, named = parseHop(value), true
		case "proto":
			proto = either(proto, schemeOf(value))
		}
	}
}

// parameter reads a token or a quoted string (RFC 9110, 5.6) at the start of s.
func parameter(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexFunc(s, notInToken)
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
