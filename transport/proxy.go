package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
)

// ProxyListener returns a listener for a port that is reached through proxies which begin each
// connection with a PROXY protocol header, version 1 or 2. trusted are those proxies, as addresses and
// ranges such as "10.0.0.0/8"; an error names the one that is neither. A connection of anyone else is
// closed, as is one whose header does not come within five seconds or is none; log, or slog's default
// logger, is told, with setting as the name of what sets trusted. The connections that Accept returns
// begin behind the header, and their RemoteAddr is the client's. Where the proxy speaks for itself
// (LOCAL) it is the proxy's; where it does not know its client (UNKNOWN), the proxy's with port 0.
// Closing the listener closes ln. TLS goes on top.
func ProxyListener(ln net.Listener, trusted []string, setting string, log *slog.Logger) (net.Listener, error) {
	if log == nil {
		log = slog.Default()
	}
	p := &proxies{log: log, setting: setting}
	for _, s := range trusted {
		one, err := parsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		p.trusted = append(p.trusted, one)
	}
	p.open(ln, p.look)
	return p, nil
}

// proxies is a listener that reads PROXY headers.
type proxies struct {
	gate
	trusted prefixes
	setting string
	log     *slog.Logger
}

// look reads the header, and not a byte more.
func (p *proxies) look(nc net.Conn) {
	peer, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	if !p.trusted.contain(peer.Addr()) && !mutant.Is(mutant.ProxyAnyone) {
		p.heard(nc)
		nc.Close()
		p.log.Warn("connection closed, its peer is not a proxy that is trusted", "listen", p.Addr().String(), "peer", nc.RemoteAddr().String(), "setting", p.setting)
		return
	}
	if !mutant.Is(mutant.ProxySilent) {
		nc.SetReadDeadline(time.Now().Add(defaultHandshakeTime))
	}
	said, err := readProxyHeader(nc)
	p.heard(nc)
	if mutant.Is(mutant.ProxyOptional) && err != nil {
		said, err = proxyWord{local: true}, nil
	}
	if err != nil {
		nc.Close()
		level := slog.LevelWarn
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) { // a port scan, or a check of health
			level = slog.LevelDebug
		}
		p.log.Log(context.Background(), level, "connection of a proxy closed, it has no PROXY header", "listen", p.Addr().String(), "peer", nc.RemoteAddr().String(), "err", err)
		return
	}
	nc.SetReadDeadline(time.Time{})
	switch {
	case said.local:
	case said.client.IsValid():
		nc = proxied(nc, said.client)
	default:
		port := uint16(0)
		if mutant.Is(mutant.ProxyUnknownBelieved) {
			port = peer.Port()
		}
		nc = proxied(nc, netip.AddrPortFrom(peer.Addr(), port))
	}
	p.hand(accepted{nc: nc})
}

// proxied is nc with the client's address. It keeps all else that a TCP connection can.
func proxied(nc net.Conn, client netip.AddrPort) net.Conn {
	addr := net.TCPAddrFromAddrPort(client)
	if tcp, ok := nc.(*net.TCPConn); ok {
		return &proxiedTCP{tcp, addr}
	}
	return &proxiedConn{nc, addr}
}

type proxiedTCP struct {
	*net.TCPConn
	client *net.TCPAddr
}

func (c *proxiedTCP) RemoteAddr() net.Addr { return c.client }

type proxiedConn struct {
	net.Conn
	client *net.TCPAddr
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.client }

const (
	proxyShortest = 15      // of all headers: "PROXY UNKNOWN\r\n"
	proxyLine     = 107     // bytes of a header of version 1
	proxyFixed    = 16      // of version 2, before addresses
	proxyRest     = 4 << 10 // of version 2, behind that; what is not addresses is skipped
)

var proxyMark = []byte("\r\n\r\n\x00\r\nQUIT\n")

var errNoProxyHeader = errors.New("not a PROXY header")

// proxyWord is what a PROXY header says.
type proxyWord struct {
	local  bool           // the proxy speaks for itself
	client netip.AddrPort // invalid: it does not know
}

// readProxyHeader reads one PROXY header from r (the PROXY protocol, haproxy.org, 2020/03/05) and not
// a byte of what follows. It holds no more than its addresses, whatever length it declares. An error
// is io.EOF if r ends before anything came.
func readProxyHeader(r io.Reader) (proxyWord, error) {
	var buf [proxyFixed + 216]byte
	if _, err := io.ReadFull(r, buf[:proxyShortest]); err != nil {
		return proxyWord{}, err
	}
	if bytes.HasPrefix(buf[:], []byte("PROXY ")) {
		return readProxyLine(r, buf[:proxyLine])
	}
	if !bytes.HasPrefix(buf[:], proxyMark) {
		return proxyWord{}, errNoProxyHeader
	}
	if _, err := io.ReadFull(r, buf[proxyShortest:proxyFixed]); err != nil {
		return proxyWord{}, unexpected(err)
	}
	rest := int(binary.BigEndian.Uint16(buf[14:]))
	if rest > proxyRest {
		return proxyWord{}, fmt.Errorf("a PROXY header of %d bytes is too long", proxyFixed+rest)
	}
	n := min(rest, len(buf)-proxyFixed)
	if _, err := io.ReadFull(r, buf[proxyFixed:proxyFixed+n]); err != nil {
		return proxyWord{}, unexpected(err)
	}
	w, err := parseProxyBlock(buf[12], buf[13], buf[proxyFixed:proxyFixed+n])
	for left := rest - n; left > 0 && err == nil && !mutant.Is(mutant.ProxyRestKept); {
		skip := buf[:min(left, len(buf))]
		_, err = io.ReadFull(r, skip)
		left -= len(skip)
	}
	return w, unexpected(err)
}

// unexpected is the error of an end within a header.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseProxyBlock reads the addresses of version 2.
func parseProxyBlock(command, family byte, p []byte) (w proxyWord, err error) {
	var size int
	switch family {
	case 0x00: // not known to the proxy
	case 0x11, 0x12:
		size = 12
	case 0x21, 0x22:
		size = 36
	case 0x31, 0x32:
		size = 216
	default:
		return w, fmt.Errorf("a PROXY header of family %#02x", family)
	}
	switch {
	case command == 0x20 && !(mutant.Is(mutant.ProxyLocalBelieved) && len(p) >= max(size, 1)):
		w.local = true // whatever addresses there are
		return w, nil
	case command != 0x21 && !mutant.Is(mutant.ProxyLocalBelieved):
		return w, fmt.Errorf("a PROXY header of version and command %#02x", command)
	case len(p) < size:
		return w, fmt.Errorf("a PROXY header of family %#02x with %d bytes of addresses", family, len(p))
	case family&0xF == 2:
		return w, fmt.Errorf("a PROXY header for datagrams, family %#02x", family)
	}
	switch family {
	case 0x11:
		w.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p)), binary.BigEndian.Uint16(p[8:]))
	case 0x21:
		w.client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(p)).Unmap(), binary.BigEndian.Uint16(p[32:]))
	}
	return w, nil
}

// readProxyLine reads the rest of a header of version 1, whose shortest part line begins with. It goes
// byte by byte, since what follows is not ours.
func readProxyLine(r io.Reader, line []byte) (w proxyWord, err error) {
	n := proxyShortest
	for ; line[n-1] != '\n'; n++ {
		if n == len(line) {
			return w, fmt.Errorf("a PROXY header without an end in %d bytes", n)
		}
		if _, err := io.ReadFull(r, line[n:n+1]); err != nil {
			return w, unexpected(err)
		}
	}
	text, ok := strings.CutSuffix(string(line[:n]), "\r\n")
	if !ok || strings.ContainsAny(text, "\r\n") {
		return w, errNoProxyHeader
	}
	f := strings.Split(text, " ")
	if f[1] == "UNKNOWN" {
		return w, nil // whatever follows
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return w, errNoProxyHeader
	}
	for i := range 2 {
		a, err := netip.ParseAddr(f[2+i])
		if err != nil || a.Zone() != "" || a.Is4() != (f[1] == "TCP4") && !mutant.Is(mutant.ProxyAnyFamily) {
			return proxyWord{}, fmt.Errorf("%q in a PROXY header for %s", f[2+i], f[1])
		}
		port, err := strconv.ParseUint(f[4+i], 10, 16)
		if err != nil || len(f[4+i]) > 1 && f[4+i][0] == '0' {
			return proxyWord{}, fmt.Errorf("%q in a PROXY header is no port", f[4+i])
		}
		if i == 0 {
			w.client = netip.AddrPortFrom(a.Unmap(), uint16(port))
		}
	}
	return w, nil
}
