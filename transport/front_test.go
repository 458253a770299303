package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/transport"
)

// counting counts what comes out of a listener.
type counting struct {
	net.Listener
	n atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return nc, err
}

// What browsers and clients send.
var browsers = map[string]string{
	"Chromium": "GET /ws HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nUpgrade: websocket\r\nOrigin: http://HOST\r\nSec-WebSocket-Version: 13\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: de,en;q=0.9\r\nCookie: a=b; c=d\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp\r\n\r\n",
	"Firefox": "GET /ws HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Language: en-US\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Sec-WebSocket-Version: 13\r\nOrigin: http://HOST\r\nSec-WebSocket-Protocol: v12.stomp\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nDNT: 1\r\nSec-GPC: 1\r\nConnection: keep-alive, Upgrade\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: websocket\r\n" +
		"Sec-Fetch-Site: same-origin\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nUpgrade: websocket\r\n\r\n",
	"Go":         "GET /ws HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nSec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-Websocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
	"with query": "GET /ws?a=b%20c HTTP/1.1\r\nhost:HOST\r\nCONNECTION:\tupgrade \r\nupgrade: WebSocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
}

// A handshake has the same answer whether it was plain or net/http read it.
func TestFront(t *testing.T) {
	plain := handshake("HOST")
	odd := map[string]string{
		"another path":             strings.Replace(plain, "/ws", "/wsx", 1),
		"escaped path":             strings.Replace(plain, "/ws", "/%77s", 1),
		"absolute target":          strings.Replace(plain, "/ws", "http://HOST/ws", 1),
		"POST":                     strings.Replace(plain, "GET", "POST", 1),
		"HTTP/1.0":                 strings.Replace(plain, "HTTP/1.1", "HTTP/1.0", 1),
		"page":                     "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"no host":                  strings.Replace(plain, "Host: HOST\r\n", "", 1),
		"two hosts":                strings.Replace(plain, "Host: HOST\r\n", "Host: HOST\r\nHost: HOST\r\n", 1),
		"foreign host":             strings.Replace(plain, "Host: HOST", "Host: evil.example", 1),
		"foreign origin":           handshake("HOST", "Origin: https://evil.example"),
		"two origins":              handshake("HOST", "Origin: http://HOST", "Origin: https://evil.example"),
		"plain, empty origin":      handshake("HOST", "Origin:"),
		"no key":                   strings.Replace(plain, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"short key":                strings.Replace(plain, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1),
		"two keys":                 handshake("HOST", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
		"version 8":                strings.Replace(plain, "Version: 13", "Version: 8", 1),
		"no upgrade":               strings.Replace(plain, "Upgrade: websocket\r\n", "", 1),
		"not connection":           strings.Replace(plain, "Connection: Upgrade", "Connection: close", 1),
		"plain, another protocol":  handshake("HOST", "Sec-WebSocket-Protocol: mqtt"),
		"plain, protocol and more": handshake("HOST", "Sec-WebSocket-Protocol: v12.stomp, mqtt"),
		"plain, token as protocol": handshake("HOST", "Sec-WebSocket-Protocol: v12.stomp, bearer.abc"),
		"plain, authorization":     handshake("HOST", "Authorization: Bearer abc"),
		"expectation":              handshake("HOST", "Expect: 100-continue"),
		"plain, forwarded":         handshake("HOST", "X-Forwarded-For: 10.0.0.1"),
		"space in name":            handshake("HOST", "Accept : x"),
		"plain, folded":            handshake("HOST", "Accept: x\r\n y"),
		"no colon":                 handshake("HOST", "Accept"),
		"control character":        handshake("HOST", "Accept: \x01"),
		"plain, long name":         handshake("HOST", "Sec-WebSocket-Protocol-"+strings.Repeat("x", 40)+": a"),
		"bare LF":                  strings.ReplaceAll(plain, "\r\n", "\n"),
		"nonsense":                 "\x16\x03\x01\x02\x00\r\n\r\n",
		"long":                     handshake("HOST", "User-Agent: "+strings.Repeat("x", 17<<10)),
	}
	serve := func(front bool) (addr string, accepted *counting, r *recorder) {
		r = newRecorder()
		h := transport.NewWebSocket(r, quietly(transport.Options{}))
		srv := httptest.NewUnstartedServer(http.NewServeMux())
		srv.Config.Handler.(*http.ServeMux).Handle("/ws", h)
		srv.Config.MaxHeaderBytes = 16 << 10
		ln := srv.Listener
		if front {
			ln = h.Front(ln, "/ws")
		}
		accepted = &counting{Listener: ln}
		srv.Listener = accepted
		srv.Start()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := h.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			srv.Close()
		})
		return ln.Addr().String(), accepted, r
	}
	fronted, accepted, first := serve(true)
	bare, _, second := serve(false)
	for name, request := range browsers {
		odd["plain "+name] = request
	}
	for name, request := range odd {
		isPlain := strings.HasPrefix(name, "plain")
		answers := map[string]*http.Response{}
		before := accepted.n.Load()
		for addr, r := range map[string]*recorder{fronted: first, bare: second} {
			c := dial(t, addr)
			// The request's first frame comes with it.
			c.send([]byte(strings.ReplaceAll(request, "HOST", addr) + string(ws(text, "SEND\n\n"+name+"\x00"))))
			c.answer()
			c.resp.Header.Del("Date")
			if c.resp.StatusCode != 101 {
				c.resp.Header.Del("Content-Length") // the other has another port in its text
			}
			answers[addr] = c.resp
			if c.resp.StatusCode == 101 {
				if got := receive(t, r.got); got != fmt.Sprintf("SEND %q", name) {
					t.Errorf("%s: got %s", name, got)
				}
				if conn := receive(t, r.conns); conn.Peer().Addr.String() != c.LocalAddr().String() {
					t.Errorf("%s: peer %v", name, conn.Peer())
				}
			}
			c.Close()
			if c.resp.StatusCode == 101 {
				r.wait(t)
			}
		}
		a, b := answers[fronted], answers[bare]
		if a.Status != b.Status || !reflect.DeepEqual(a.Header, b.Header) {
			t.Errorf("%s: %s %v, without Front %s %v", name, a.Status, a.Header, b.Status, b.Header)
		}
		if n := accepted.n.Load() - before; isPlain != (n == 0) {
			t.Errorf("%s: %d connections for net/http", name, n)
		}
		if isPlain && a.StatusCode != 101 {
			t.Errorf("%s: %s", name, a.Status)
		}
	}
	// A request that comes in pieces is net/http's, as is a connection with more than one.
	c := dial(t, fronted)
	for _, p := range []string{"GET /x HTTP/1.1\r\nHo", "st: localhost\r\n", "\r\n"} {
		c.send([]byte(p))
	}
	c.answer()
	io.Copy(io.Discard, c.resp.Body)
	c.send([]byte(handshake("localhost")))
	if c.answer(); c.resp.StatusCode != 101 {
		t.Errorf("second request: %s", c.resp.Status)
	}
}

// Credentials are not for Front to read.
func TestFrontLeavesCredentials(t *testing.T) {
	for _, o := range []transport.Options{{TokenCookie: "token"}, {TokenQuery: "token"}} {
		offers := make(chan *broker.Offer, 1)
		addr := serveWS(t, serverFunc(func(_ context.Context, c broker.Conn) { offers <- c.Peer().Offer }), o)
		c := dial(t, addr)
		c.send([]byte(strings.Replace(handshake(addr, "Cookie: token=abc"), "/ws", "/ws?token=abc", 1)))
		c.answer()
		if offer := receive(t, offers); offer == nil || offer.Token != "abc" {
			t.Errorf("%+v: offer %v", o, offer)
		}
	}
}

// A connection that says nothing is closed after a while, and at once with the listener.
func TestFrontSilence(t *testing.T) {
	for _, shut := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := transport.NewWebSocket(newRecorder(), quietly(transport.Options{}))
			ln := newPipeListener()
			front := h.Front(ln, "/ws")
			server, client := net.Pipe()
			ln.c <- server
			start := time.Now()
			if shut {
				synctest.Wait()
				front.Close()
			}
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("something came")
			}
			if d := time.Since(start); shut != (d == 0) || !shut && d != 5*time.Second {
				t.Errorf("shutdown %v: closed after %v", shut, d)
			}
			front.Close()
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Errors of the listener are for who accepts; what nobody accepts is closed with the listener.
func TestFrontCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := transport.NewWebSocket(newRecorder(), quietly(transport.Options{}))
		ln := newPipeListener()
		front := h.Front(ln, "/ws")
		go func() { ln.c <- temporary{errors.New("too many open files")} }()
		if _, err := front.Accept(); err == nil || !strings.Contains(err.Error(), "too many") {
			t.Error(err)
		}
		server, client := net.Pipe()
		ln.c <- server
		client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		nc, err := front.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go client.Write([]byte("more"))
		in := bufio.NewReader(nc)
		for _, want := range []string{"GET / HTTP/1.1\r\n\r\n", "more"} {
			got := make([]byte, len(want))
			if io.ReadFull(in, got); string(got) != want {
				t.Errorf("read %q, want %q", got, want)
			}
		}
		nc.Close()
		server, client = net.Pipe()
		ln.c <- server
		client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		synctest.Wait()
		front.Close()
		front.Close()
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("something came")
		}
		if _, err := front.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzFront: what is taken for a plain handshake is a request with which an http.Server calls its
// handler, too, and the same one.
func FuzzFront(f *testing.F) {
	for _, request := range browsers {
		f.Add([]byte(request))
	}
	for _, line := range []string{"Host: b", "Content-Length: 3", "Transfer-Encoding: chunked", "Expect: 100-continue", "A: \x80", "A : b", "A: b\r\n c", "a_b:c"} {
		f.Add([]byte(handshake("localhost", line)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		mine := transport.PlainRequest(p, "/ws")
		if mine == nil {
			return
		}
		called := make(chan *http.Request, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r }), ErrorLog: log.New(io.Discard, "", 0)}
		ln := newPipeListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		server, client := net.Pipe()
		ln.c <- server
		go client.Write(p)
		answer := make([]byte, 12)
		io.ReadFull(client, answer)
		client.Close()
		srv.Close()
		<-served
		select {
		case theirs := <-called:
			if mine.Method != theirs.Method || mine.ContentLength != theirs.ContentLength || mine.Host != theirs.Host || mine.RequestURI != theirs.RequestURI ||
				mine.URL.Path != theirs.URL.Path || !reflect.DeepEqual(mine.Header, theirs.Header) {
				t.Errorf("%+v, net/http reads %+v", mine, theirs)
			}
		default:
			t.Errorf("%+v, net/http answers %q", mine, answer)
		}
	})
}
