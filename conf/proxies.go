package conf

import (
	"fmt"
	"net/netip"
	"strings"
)

// proxied is the proxies in front of one group of listeners.
type proxied struct {
	key      string
	trusted  []string
	protocol string
	listens  bool
}

func (c *Config) proxied() []proxied {
	return []proxied{
		{"http", c.HTTP.TrustedProxies, c.HTTP.ProxyProtocol, c.HTTP.Listen != ""},
		{"tcp", c.TCP.TrustedProxies, c.TCP.ProxyProtocol, c.TCP.Listen != "" || c.TCP.TLSListen != ""},
	}
}

func (c *Config) checkProxies() *Error {
	for _, p := range c.proxied() {
		key := p.key + ".trusted_proxies"
		for i, s := range p.trusted {
			if problem := proxyProblem(s); problem != "" {
				return c.element(key, i, problem)
			}
		}
		switch {
		case p.protocol == "on" && len(p.trusted) == 0:
			return c.fault(p.key+".proxy_protocol", fmt.Sprintf(`"on" lets nobody in, because no proxy is trusted (set %s)`, key))
		case p.key == "tcp" && p.protocol != "on" && len(p.trusted) > 0:
			return c.fault(key, `are of no use without the PROXY protocol (set tcp.proxy_protocol: on)`)
		}
	}
	return nil
}

func proxyProblem(s string) string {
	a, err := netip.ParseAddr(s)
	one := err == nil && a.Zone() == "" && !a.Is4In6()
	p, err := netip.ParsePrefix(s)
	switch {
	case one || err == nil && !p.Addr().Is4In6() && p.Bits() > 0:
		return ""
	case err == nil && p.Bits() == 0:
		return fmt.Sprintf("%s is every address there is, and whoever connects would be believed (write the proxies' own)", quote(s))
	case strings.Contains(s, "/"):
		return fmt.Sprintf("%s is not a range of addresses (write 10.0.0.0/8)", quote(s))
	}
	return fmt.Sprintf("%s is not an address (write 10.0.0.1 or 10.0.0.0/8)", quote(s))
}

// checkProxiesOpen is checkOpen for listeners on loopback that a proxy opens to other machines.
func (c *Config) checkProxiesOpen() *Error {
	for _, p := range c.proxied() {
		if p.listens && len(p.trusted) > 0 {
			return c.fault(p.key+".trusted_proxies", "let other machines in through a proxy, and nobody has to log in (set users, jwt or auth.http)")
		}
	}
	return nil
}
