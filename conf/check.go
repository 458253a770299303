package conf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// check judges what no single value shows: whether the values fit one another, and the files.
func (c *Config) check() error {
	for _, check := range []func() *Error{
		c.checkListeners, c.checkCertificates, c.checkWeb, c.checkProxies, c.checkStore, c.checkHeartBeat, c.checkLimits, c.checkWatchdog,
		c.checkUsers, c.checkJWT, c.checkAuth, c.checkRules, c.checkPolicies, c.checkOpen,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// listener is one address to listen on and the key that sets it.
type listener struct{ key, address, example string }

func (c *Config) listeners() []listener {
	return []listener{
		{"http.listen", c.HTTP.Listen, "127.0.0.1:15674"},
		{"tcp.listen", c.TCP.Listen, "127.0.0.1:61613"},
		{"tcp.tls_listen", c.TCP.TLSListen, "127.0.0.1:61614"},
		{"admin.listen", c.Admin.Listen, "127.0.0.1:15680"},
	}
}

func (c *Config) checkListeners() *Error {
	seen := map[string]string{}
	for _, l := range c.listeners() {
		if l.address == "" {
			continue
		}
		if problem := addressProblem(l); problem != "" {
			return c.fault(l.key, problem)
		}
		if other := seen[l.address]; other != "" && !strings.HasSuffix(l.address, ":0") {
			return c.fault(l.key, fmt.Sprintf("%s is the address of %s already (give it a port of its own)", quote(l.address), other))
		}
		seen[l.address] = l.key
	}
	if c.HTTP.Listen == "" && c.TCP.Listen == "" && c.TCP.TLSListen == "" {
		return c.fault("http.listen", `"" turns it off, and tcp.listen is off too: there is nothing to listen on (set one of them)`)
	}
	return nil
}

func addressProblem(l listener) string {
	host, port, err := net.SplitHostPort(l.address)
	if err != nil {
		var ae *net.AddrError
		if errors.As(err, &ae) && strings.Contains(ae.Err, "missing port") {
			return fmt.Sprintf("%s has no port (write %s)", quote(l.address), l.example)
		}
		return fmt.Sprintf("%s is not an address (write %s)", quote(l.address), l.example)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%s has no port from 0 to 65535 (write %s)", quote(l.address), l.example)
	}
	if host != "" && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil && !hostName.MatchString(host) {
		return fmt.Sprintf("%s is not an address (write %s)", quote(l.address), l.example)
	}
	return ""
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$`)

// originPattern is what may stand for the pages that may connect: no path, at most one wildcard,
// in front.
var originPattern = regexp.MustCompile(`^(\*|null|[a-z][a-z0-9+.-]*://((\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?)$`)

// checkOpen refuses to let the network in without a login. It comes last, when the rest is sound.
func (c *Config) checkOpen() *Error {
	if c.Logins() || c.Auth.Anonymous == "yes" {
		return nil
	}
	for _, l := range c.listeners() {
		if l.address != "" && !loopback(l.address) {
			return c.fault(l.key, fmt.Sprintf("%s is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on %s)",
				quote(l.address), l.example))
		}
	}
	return c.checkProxiesOpen()
}

// loopback tells whether only this machine can reach an address. A name that is not localhost
// may mean anything, so it counts as open.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(strings.SplitN(host, "%", 2)[0])
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (c *Config) checkCertificates() *Error {
	for _, t := range []struct {
		key, listenKey, listen string
		TLS
		must bool
	}{
		{"http.tls", "http.listen", c.HTTP.Listen, c.HTTP.TLS, false},
		{"tcp.tls", "tcp.tls_listen", c.TCP.TLSListen, c.TCP.TLS, true},
	} {
		switch {
		case t.ClientCA != "" && t.Cert == "" && t.Key == "":
			return c.fault(t.key+".client_ca", fmt.Sprintf("%s is of no use without TLS (set %s.cert and %[2]s.key)", quote(t.ClientCA), t.key))
		case t.Cert == "" && t.Key == "":
			if t.must && t.listen != "" {
				return c.fault(t.listenKey, fmt.Sprintf("%s needs a certificate (set %s.cert and %[2]s.key)", quote(t.listen), t.key))
			}
			continue
		case t.Key == "":
			return c.fault(t.key+".cert", fmt.Sprintf("%s is there without its key (set %s.key)", quote(t.Cert), t.key))
		case t.Cert == "":
			return c.fault(t.key+".key", fmt.Sprintf("%s is there without its certificate (set %s.cert)", quote(t.Key), t.key))
		case t.listen == "":
			return c.fault(t.key+".cert", fmt.Sprintf("%s is not used, because %s is empty (set it, or remove the certificate)",
				quote(t.Cert), t.listenKey))
		}
		if err := c.checkPair(t.key, t.TLS); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkPair(key string, t TLS) *Error {
	for _, f := range []struct{ key, path string }{{key + ".cert", t.Cert}, {key + ".key", t.Key}, {key + ".client_ca", t.ClientCA}} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err == nil && strings.HasSuffix(f.key, ".client_ca") && !x509.NewCertPool().AppendCertsFromPEM(text) {
			return c.fault(f.key, fmt.Sprintf("%s has no certificate in it (PEM is wanted)", quote(f.path)))
		}
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return c.fault(f.key, fmt.Sprintf("%s cannot be read: %v", quote(f.path), err))
		}
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		return c.fault(key+".cert", fmt.Sprintf("%s and %s are not a certificate and its key: %v",
			quote(t.Cert), quote(t.Key), err))
	}
	return nil
}

func (c *Config) checkWeb() *Error {
	for i, h := range c.HTTP.PublicHosts {
		name, port, err := net.SplitHostPort(h)
		if err != nil {
			name, port = h, "0"
		}
		_, err = strconv.ParseUint(port, 10, 16)
		if err != nil || !hostName.MatchString(name) && net.ParseIP(strings.Trim(name, "[]")) == nil {
			return c.element("http.public_hosts", i, fmt.Sprintf("%s is not a host (write broker.example.org)", quote(h)))
		}
	}
	for i, o := range c.HTTP.AllowedOrigins {
		if !originPattern.MatchString(o) {
			return c.element("http.allowed_origins", i,
				fmt.Sprintf("%s is not an origin (write https://app.example.org, https://*.example.org, null or *)", quote(o)))
		}
	}
	p := c.WebSocket.Path
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, " {}?#%\"<>\\") || path.Clean(p) != p {
		return c.fault("websocket.path", fmt.Sprintf("%s is not a path (write /ws)", quote(p)))
	}
	switch p {
	case "/", "/healthz", "/readyz", "/metrics", "/app.js", "/style.css", "/api/status":
		return c.fault("websocket.path", fmt.Sprintf("%s is taken by something else (write /ws)", quote(p)))
	}
	return nil
}

// element is fault for one of a list, which a variable sets as a whole.
func (c *Config) element(key string, i int, problem string) *Error {
	if c.where[key] == envName(key) {
		return c.fault(key, problem)
	}
	return c.fault(index(key, i), problem)
}

func (c *Config) checkStore() *Error {
	const write = "(write bolt or memory)"
	switch c.Store.Engine {
	case "memory":
		return nil
	case "bolt":
		if c.Store.Path == "" {
			return c.fault("store.path", `"" is no directory (write data)`)
		}
		return nil
	case "jetstream":
		return c.fault("store.engine", fmt.Sprintf("%s is not there yet in this version %s", quote(c.Store.Engine), write))
	}
	return c.fault("store.engine", fmt.Sprintf("%s is not known %s", quote(c.Store.Engine), write))
}

func (c *Config) checkWatchdog() *Error {
	if w := c.Watchdog; w.Exit != 0 && w.Exit < w.Warn {
		key, value, word, other, bound := "watchdog.exit", w.Exit, "less", "watchdog.warn", w.Warn
		if c.where[key] == "" {
			key, value, word, other, bound = "watchdog.warn", w.Warn, "more", "watchdog.exit", w.Exit
		}
		return c.fault(key, fmt.Sprintf("%s is %s than %s, which is %s", quote(value.String()), word, other, bound))
	}
	return nil
}

func (c *Config) checkHeartBeat() *Error {
	h := c.HeartBeat
	if h.Min > h.Max {
		key, value, word, other, bound := "heartbeat.min", h.Min, "more", "heartbeat.max", h.Max
		if c.where[key] == "" {
			key, value, word, other, bound = "heartbeat.max", h.Max, "less", "heartbeat.min", h.Min
		}
		return c.fault(key, fmt.Sprintf("%s is %s than %s, which is %s", quote(value.String()), word, other, bound))
	}
	for _, d := range []struct {
		key   string
		value Duration
	}{{"heartbeat.send", h.Send}, {"heartbeat.receive", h.Receive}} {
		if d.value == 0 || d.value >= h.Min && d.value <= h.Max {
			continue
		}
		if c.where[d.key] != "" {
			return c.fault(d.key, fmt.Sprintf("%s is not between heartbeat.min and heartbeat.max (write 0 or a value from %s to %s)",
				quote(d.value.String()), h.Min, h.Max))
		}
		key, value, word := "heartbeat.min", h.Min, "more"
		if d.value > h.Max {
			key, value, word = "heartbeat.max", h.Max, "less"
		}
		return c.fault(key, fmt.Sprintf("%s is %s than %s, which is %s", quote(value.String()), word, d.key, d.value))
	}
	return nil
}

// leastMemory is the least that limits.memory may be.
const leastMemory Size = 16 << 20

func (c *Config) checkLimits() *Error {
	l := c.Limits
	if m := l.Memory; m != 0 && m < leastMemory {
		return c.fault("limits.memory", fmt.Sprintf("%s is less than the broker itself needs (write 0 or a value from %s)", quote(m.String()), leastMemory))
	}
	return c.checkLines("limits", l.HeaderLine, l.HeaderBytes)
}

// checkLines refuses a header line that is longer than all of them may be together.
func (c *Config) checkLines(group string, line, all Size) *Error {
	if line <= all {
		return nil
	}
	key, value, word, other, bound := group+".header_line", line, "more", "header_bytes", all
	if c.where[key] == "" {
		key, value, word, other, bound = group+".header_bytes", all, "less", "header_line", line
	}
	where := group
	if c.where[group+"."+other] == "" {
		where = "limits"
	}
	return c.fault(key, fmt.Sprintf("%s is %s than %s, which is %s", quote(value.String()), word, where+"."+other, bound))
}
