package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/gudokmq/gudok/transport"
)

const proxyMark = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a PROXY header of version 2.
func v2(command, family byte, block string) string {
	return proxyMark + string([]byte{command, family, byte(len(block) >> 8), byte(len(block))}) + block
}

const (
	block4 = "\xC0\x00\x02\x01\x7F\x00\x00\x01\x30\x39\xEF\xAD"                                                                // 192.0.2.1:12345
	block6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "0123456789abcdef" + "\x30\x39" + "\xEF\xAD" // [2001:db8::1]:12345
)

var unixBlock = strings.Repeat("u", 216)

// proxyHeaders are headers and what they say: an address, "local", "unknown", or "" for a fault.
var proxyHeaders = map[string]string{
	"PROXY TCP4 192.0.2.1 127.0.0.1 12345 61613\r\n":                                                             "192.0.2.1:12345",
	"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n":                                                 "255.255.255.255:65535",
	"PROXY TCP4 127.0.0.1 127.0.0.1 0 0\r\n":                                                                     "127.0.0.1:0",
	"PROXY TCP6 2001:db8::1 ::1 12345 61613\r\n":                                                                 "[2001:db8::1]:12345",
	"PROXY TCP6 ::ffff:192.0.2.1 ::1 12345 61613\r\n":                                                            "192.0.2.1:12345",
	"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n": "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	"PROXY UNKNOWN\r\n":                                     "unknown",
	"PROXY UNKNOWN 192.0.2.1 whatever\r\n":                  "unknown",
	"PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n": "unknown",
	"PROXY UNKNOWN " + strings.Repeat("x", 107-15) + "\r\n": "",
	"PROXY UNKNOWNX\r\n":                                    "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 12345 61613\n":          "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 12345\r61613\r\n":       "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 12345\r\n":              "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 12345 61613 1\r\n":      "",
	"PROXY TCP4  192.0.2.1 127.0.0.1 12345 61613\r\n":       "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 012345 61613\r\n":       "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 65536 61613\r\n":        "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 -1 61613\r\n":           "",
	"PROXY TCP4 192.0.2.1 127.0.0.1 1 +61613\r\n":           "",
	"PROXY TCP4 192.0.2.01 127.0.0.1 1 2\r\n":               "",
	"PROXY TCP4 192.0.2.1 localhost 1 2\r\n":                "",
	"PROXY TCP4 2001:db8::1 ::1 1 2\r\n":                    "",
	"PROXY TCP6 192.0.2.1 127.0.0.1 1 2\r\n":                "",
	"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":                   "",
	"PROXY UDP4 192.0.2.1 127.0.0.1 1 2\r\n":                "",
	"proxy TCP4 192.0.2.1 127.0.0.1 1 2\r\n":                "",
	"PROXYTCP4 192.0.2.1 127.0.0.1 1 2\r\n":                 "",
	"CONNECT\naccept-version:1.2\n\n\x00":                   "",
	"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n":           "",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client": "",

	v2(0x21, 0x11, block4): "192.0.2.1:12345",
	v2(0x21, 0x21, block6): "[2001:db8::1]:12345",
	v2(0x21, 0x21, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xC0\x00\x02\x01"+block6[16:]): "192.0.2.1:12345",
	v2(0x21, 0x11, block4+strings.Repeat("\x04\x00\x05noop!", 100)):                                "192.0.2.1:12345",
	v2(0x21, 0x11, block4+strings.Repeat("x", 4096-12)):                                            "192.0.2.1:12345",
	v2(0x21, 0x11, block4+strings.Repeat("x", 4096-11)):                                            "",
	v2(0x21, 0x11, block4[:11]):                                                                    "",
	v2(0x21, 0x11, ""):                                                                             "",
	v2(0x21, 0x21, block6[:35]):                                                                    "",
	v2(0x21, 0x00, ""):                                                                             "unknown",
	v2(0x21, 0x00, block4):                                                                         "unknown",
	v2(0x21, 0x31, unixBlock):                                                                      "unknown",
	v2(0x21, 0x31, block4):                                                                         "",
	v2(0x20, 0x00, ""):                                                                             "local",
	v2(0x20, 0x11, block4):                                                                         "local",
	v2(0x20, 0x21, "x"):                                                                            "local",
	v2(0x20, 0x13, block4):                                                                         "",
	v2(0x21, 0x12, block4):                                                                         "",
	v2(0x21, 0x22, block6):                                                                         "",
	v2(0x21, 0x10, block4):                                                                         "",
	v2(0x21, 0x41, block4):                                                                         "",
	v2(0x22, 0x11, block4):                                                                         "",
	v2(0x11, 0x11, block4):                                                                         "",
	v2(0x01, 0x11, block4):                                                                         "",
	proxyMark + "\x21\x11\xff\xff" + block4:                                                        "",
}

// Each header, in one piece and byte by byte; what follows is not touched, and none that is cut is
// taken for a whole one.
func TestProxyHeaders(t *testing.T) {
	for header, want := range proxyHeaders {
		for _, bytewise := range []bool{false, true} {
			in := strings.NewReader(header + "rest")
			r := io.Reader(in)
			if bytewise {
				r = iotest.OneByteReader(in)
			}
			got, err := transport.ReadProxyHeader(r)
			if got != want || (err == nil) != (want != "") {
				t.Errorf("%.60q: %q, %v; want %q", header, got, err, want)
			}
			if want != "" && in.Len() != len("rest") {
				t.Errorf("%.60q: %d bytes are left behind it", header, in.Len())
			}
		}
		if want == "" {
			continue
		}
		for n := range len(header) {
			got, err := transport.ReadProxyHeader(strings.NewReader(header[:n]))
			if (n == 0) != (err == io.EOF) || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%.60q, %d bytes: %q, %v", header, n, got, err)
			}
		}
	}
}

// What a header declares is not allocated.
func TestProxyHeaderAllocates(t *testing.T) {
	header := []byte(v2(0x21, 0x11, block4+strings.Repeat("x", 4000)))
	r := bytes.NewReader(header)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(header)
		if _, err := transport.ReadProxyHeader(r); err != nil {
			t.Fatal(err)
		}
	}); n > 4 { // the buffer, and the text that the test reads
		t.Errorf("%v allocations", n)
	}
}

// FuzzProxyHeader: nothing crashes; bytes behind a header stay; what is read is what another library
// reads, where that reads anything.
func FuzzProxyHeader(f *testing.F) {
	for header := range proxyHeaders {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		in := bytes.NewReader(p)
		got, err := transport.ReadProxyHeader(in)
		used := len(p) - in.Len()
		if err == nil && (used < 15 || used > 16+4096) {
			t.Fatalf("%q in %d bytes", got, used)
		}
		if err == nil && p[0] == 'P' && (used > 107 || !bytes.HasSuffix(p[:used], []byte("\r\n"))) {
			t.Fatalf("line %q", p[:used])
		}
		theirs, no := proxyproto.Read(bufio.NewReader(bytes.NewReader(p)))
		switch {
		case err == nil && no != nil:
			// It does not take clients it does not know, nor a length of LOCAL it cannot read.
			if got != "unknown" && got != "local" {
				t.Errorf("%q, the library: %v", got, no)
			}
		case err == nil && theirs.Command == proxyproto.LOCAL:
			if got != "local" && got != "unknown" {
				t.Errorf("%q, the library: LOCAL", got)
			}
		case err == nil:
			a, ok := theirs.SourceAddr.(*net.TCPAddr)
			if !ok {
				if got != "unknown" {
					t.Errorf("%q, the library: %v", got, theirs.SourceAddr)
				}
				break
			}
			want := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port)).String()
			if got != want {
				t.Errorf("%q, the library: %q", got, want)
			}
		case no == nil && theirs.TransportProtocol.IsStream() && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%v, the library: %v", err, theirs.SourceAddr)
		}
	})
}

// proxied serves a listener behind ProxyListener in a bubble, in which every address is 127.0.0.1.
func proxied(t *testing.T, log *lockedBuffer) (in *pipeListener, out net.Listener) {
	t.Helper()
	in = newPipeListener()
	out, err := transport.ProxyListener(in, []string{"127.0.0.0/8", "fd00::/8"}, "tcp.trusted_proxies", logTo(log))
	if err != nil {
		t.Fatal(err)
	}
	return in, out
}

// from is the server's end of a pipe with an address.
type from struct {
	net.Conn
	addr string
}

func (c from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.addr))
}

func TestProxyListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		in, ln := proxied(t, &log)
		connect := func(addr string) net.Conn {
			server, client := net.Pipe()
			in.c <- from{server, addr}
			return client
		}
		start := time.Now()
		silent := connect("127.0.0.1:1") // holds up nobody
		half := connect("127.0.0.1:2")
		half.Write([]byte("PROXY TCP4 192."))
		for header, want := range map[string]string{
			"PROXY TCP4 192.0.2.1 127.0.0.1 12345 61613\r\n": "192.0.2.1:12345",
			v2(0x21, 0x21, block6):                           "[2001:db8::1]:12345",
			"PROXY UNKNOWN\r\n":                              "[fd00::7]:0",
			v2(0x21, 0x00, ""):                               "[fd00::7]:0",
			v2(0x20, 0x11, block4):                           "[fd00::7]:99",
		} {
			client := connect("[fd00::7]:99")
			go client.Write([]byte(header + "rest"))
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			rest := make([]byte, 4)
			if io.ReadFull(nc, rest); nc.RemoteAddr().String() != want || string(rest) != "rest" {
				t.Errorf("%.40q: %v, %q; want %s", header, nc.RemoteAddr(), rest, want)
			}
			// The time of the header is not the connection's.
			time.Sleep(10 * time.Second)
			go client.Write([]byte("more"))
			if _, err := io.ReadFull(nc, rest); string(rest) != "more" {
				t.Errorf("%.40q: %q, %v", header, rest, err)
			}
			nc.Close()
		}
		for _, c := range []net.Conn{silent, half} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a silent proxy was answered")
			}
		}
		if n := strings.Count(log.String(), "no PROXY header"); n != 2 || time.Since(start) < 5*time.Second {
			t.Errorf("log: %s", log.String())
		}
		for _, addr := range []string{"128.0.0.1:1", "[::1]:1", "[2001:db8::1]:1", "192.168.0.1:1"} {
			client := connect(addr)
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("something came")
			}
			synctest.Wait()
			if s := log.String(); !strings.Contains(s, "not a proxy that is trusted") || !strings.Contains(s, addr) || !strings.Contains(s, "setting=tcp.trusted_proxies") {
				t.Errorf("%s is not refused as one who is not trusted: %s", addr, s)
			}
		}
		// IPv4 in the clothes of IPv6 is the same address.
		client := connect("[::ffff:127.0.0.9]:5")
		go client.Write([]byte("PROXY UNKNOWN\r\n"))
		if nc, err := ln.Accept(); err != nil || nc.RemoteAddr().String() != "127.0.0.9:0" {
			t.Errorf("%v, %v", nc, err)
		}
		if client = connect("127.0.0.1:6"); true {
			client.Write([]byte("CONNECT\naccept-"))
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("something came")
			}
		}
		// Closing it closes who has not spoken, and ends Accept.
		start, client = time.Now(), connect("127.0.0.1:7")
		synctest.Wait()
		ln.Close()
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	if _, err := transport.ProxyListener(newPipeListener(), []string{"127.0.0.1", "x"}, "tcp.trusted_proxies", nil); err == nil ||
		err.Error() != `tcp.trusted_proxies: "x" is not an address or a range such as 10.0.0.0/8` {
		t.Error(err)
	}
}

// On real sockets a session has the client's address and the socket itself, with and without TLS, and
// behind Front.
func TestProxyOnTheWay(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 127.0.0.1 12345 61613\r\n"
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := transport.ProxyListener(ln, []string{"127.0.0.1"}, "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	shutdown := func(s interface{ Shutdown(context.Context) error }) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, o := range []transport.TCPOptions{{}, {TLS: certificates(t)}} {
		r := newRecorder()
		o.Logger = logTo(new(lockedBuffer))
		h, ln := transport.NewTCP(r, o), listen()
		served := make(chan error, 1)
		go func() { served <- h.Serve(ln) }()
		c := dial(t, ln.Addr().String())
		c.send([]byte(header))
		if o.TLS != nil {
			c.Conn = tls.Client(c.Conn, trusting)
		}
		c.send([]byte("SEND\n\nx\x00"))
		conn := receive(t, r.conns)
		if got := receive(t, r.got); got != `SEND "x"` || conn.Peer().Addr.String() != "192.0.2.1:12345" {
			t.Errorf("%s from %v", got, conn.Peer().Addr)
		}
		if raw := transport.HasRaw(conn); raw != (o.TLS == nil) {
			t.Errorf("TLS %v: the socket itself is used: %v", o.TLS != nil, raw)
		}
		c.Close()
		r.wait(t)
		shutdown(h)
		if err := receive(t, served); err != nil {
			t.Error(err)
		}
	}
	r := newRecorder()
	h := transport.NewWebSocket(r, quietly(transport.Options{}))
	front := h.Front(listen(), "/ws")
	c := dial(t, front.Addr().String())
	c.send([]byte(header + handshake("localhost") + string(ws(text, "SEND\n\nx\x00"))))
	conn := receive(t, r.conns)
	if got := receive(t, r.got); got != `SEND "x"` || conn.Peer().Addr.String() != "192.0.2.1:12345" || !transport.HasRaw(conn) {
		t.Errorf("%s from %v", got, conn.Peer().Addr)
	}
	c.Close()
	r.wait(t)
	front.Close()
	shutdown(h)
}
