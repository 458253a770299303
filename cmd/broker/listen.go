package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/transport"
)

// listeners are the addresses a broker has taken; nil for those it does not listen on.
type listeners struct {
	ways
	// beyond gives the connections for which no file descriptor can be spared, to be told so.
	beyond ways
}

// ways are the ways in.
type ways struct{ http, tcp, tls, admin net.Listener }

// keepAlive finds a peer that is gone without a word within a minute, whether or not it has agreed on
// heart-beats. What was written and is not acknowledged is bounded by unackedTime.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 25 * time.Second, Interval: 10 * time.Second, Count: 3}

// listen takes all addresses of the configuration or none.
func listen(c *conf.Config, log *slog.Logger) (l listeners, err error) {
	clients, admins := capacities(c, log)
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: boundUnacked}
	lc.SetMultipathTCP(false) // whose sockets do not know that bound
	for _, one := range []struct {
		into, beyond *net.Listener
		room         *transport.Capacity
		address, key string
	}{
		{&l.http, &l.beyond.http, clients, c.HTTP.Listen, "http.listen"},
		{&l.tcp, &l.beyond.tcp, clients, c.TCP.Listen, "tcp.listen"},
		{&l.tls, &l.beyond.tls, clients, c.TCP.TLSListen, "tcp.tls_listen"},
		{&l.admin, &l.beyond.admin, admins, c.Admin.Listen, "admin.listen"},
	} {
		if one.address == "" {
			continue
		}
		ln, err := lc.Listen(context.Background(), "tcp", one.address)
		if err != nil {
			l.close()
			return listeners{}, refused(one.address, one.key, err)
		}
		*one.into, *one.beyond = one.room.Listener(ln.(*net.TCPListener))
	}
	if err := l.proxied(c, log); err != nil {
		l.close()
		return listeners{}, err
	}
	return l, nil
}

// proxied has connections begin with a PROXY header where the configuration says so.
func (l *listeners) proxied(c *conf.Config, log *slog.Logger) (err error) {
	for _, one := range []struct {
		ln      *net.Listener
		on      string
		trusted []string
		key     string
	}{
		{&l.http, c.HTTP.ProxyProtocol, c.HTTP.TrustedProxies, "http.trusted_proxies"},
		{&l.tcp, c.TCP.ProxyProtocol, c.TCP.TrustedProxies, "tcp.trusted_proxies"},
		{&l.tls, c.TCP.ProxyProtocol, c.TCP.TrustedProxies, "tcp.trusted_proxies"},
		{&l.beyond.http, c.HTTP.ProxyProtocol, c.HTTP.TrustedProxies, "http.trusted_proxies"},
		{&l.beyond.tcp, c.TCP.ProxyProtocol, c.TCP.TrustedProxies, "tcp.trusted_proxies"},
		{&l.beyond.tls, c.TCP.ProxyProtocol, c.TCP.TrustedProxies, "tcp.trusted_proxies"},
	} {
		if *one.ln == nil || one.on != "on" {
			continue
		}
		ln, err := transport.ProxyListener(*one.ln, one.trusted, one.key, log)
		if err != nil {
			return err
		}
		*one.ln = ln
	}
	return nil
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.http, l.tcp, l.tls, l.admin, l.beyond.http, l.beyond.tcp, l.beyond.tls, l.beyond.admin} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// refused tells why an address could not be taken, and what to do.
func refused(address, key string, err error) error {
	cure := fmt.Sprintf("set %s to an address of this machine", key)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		cure = fmt.Sprintf("another broker? stop it or set %s", key)
	case errors.Is(err, syscall.EACCES):
		cure = fmt.Sprintf("the system keeps low ports for itself: set %s to one above 1023", key)
	}
	var no syscall.Errno
	var name *net.DNSError
	switch {
	case errors.As(err, &no):
		err = no
	case errors.As(err, &name):
		err = errors.New(name.Err)
	}
	return fmt.Errorf("listen tcp %s: %w: %s", address, err, cure)
}

// loopbackOnly tells whether only this machine can reach a listener.
func loopbackOnly(ln net.Listener) bool {
	a, ok := ln.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// visible is an address to connect to from this machine.
func visible(a net.Addr) string {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil && ap.Addr().IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", ap.Port())
	}
	return a.String()
}

// everywhere says that visible shows one address of many.
func everywhere(a net.Addr) string {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil && ap.Addr().IsUnspecified() {
		return "  (and every other address of this machine)"
	}
	return ""
}
