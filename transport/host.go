package transport

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/gudokmq/gudok/store/mutant"
)

// hostPort is a host in lower case, an IP address in its canonical form without brackets, and a
// port, or 0 if none was named.
type hostPort struct {
	host string
	port uint16
}

// splitHost reads what may stand in a Host header.
func splitHost(s string) (hostPort, bool) {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return hostPort{}, false
		}
		host, port = s[1:end], s[end+1:]
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() {
			return hostPort{}, false
		}
		if port != "" && port[0] != ':' {
			return hostPort{}, false
		}
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		host, port = s[:colon], s[colon:]
	}
	hp := hostPort{host: strings.ToLower(host)}
	if port = strings.TrimPrefix(port, ":"); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 { // which nobody listens on, and stands for none here
			return hostPort{}, false
		}
		hp.port = uint16(n)
	}
	if ip, err := netip.ParseAddr(hp.host); err == nil {
		hp.host = ip.String()
		return hp, true
	}
	hp.host = strings.TrimSuffix(hp.host, ".") // the root of DNS may be spelt out
	return hp, validName(hp.host)
}

// validName tells whether s can be a name in DNS or a hosts file.
func validName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// isLocalName tells whether a name is one that resolvers keep on this machine (RFC 6761, 6.3).
func isLocalName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hostList is the names under which this server may be asked.
type hostList []hostPort

func newHostList(public []string) hostList {
	var l hostList
	for _, s := range public {
		if hp, ok := splitHost(strings.TrimSpace(s)); ok {
			l = append(l, hp)
		}
	}
	return l
}

func (l hostList) allows(h hostPort) bool {
	if _, err := netip.ParseAddr(h.host); err == nil || isLocalName(h.host) {
		return true
	}
	for _, p := range l {
		// Without a port the client means its scheme's, which a proxy in front may have changed.
		portFits := p.port == 0 || p.port == h.port || h.port == 0 && (p.port == 80 || p.port == 443)
		if (p.host == h.host || mutant.Is(mutant.HostSuffix) && strings.HasSuffix(h.host, "."+p.host)) && portFits {
			return true
		}
	}
	return false
}
