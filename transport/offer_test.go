package transport_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// What a handshake offers as credentials; it is gone once CONNECT is accepted, and is nowhere in the
// answer or the log.
func TestOffers(t *testing.T) {
	var log lockedBuffer
	offers := make(chan *broker.Offer, 1)
	server := serverFunc(func(_ context.Context, c broker.Conn) {
		o := c.Peer().Offer
		c.Accepted(stompframe.V12, stompframe.Limits{})
		if c.Peer().Offer != nil {
			t.Error("the offer is kept")
		}
		c.Close(1000, "", 0)
		offers <- o
	})
	o := transport.Options{Logger: logTo(&log), TokenCookie: "session", TokenQuery: "access_token"}
	addr := serveWS(t, server, o)
	basic := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	encoded := base64.RawURLEncoding.EncodeToString([]byte("a t0k3n, any"))
	for _, row := range []struct {
		path    string
		headers []string
		want    string // SOURCE LOGIN PASSCODE TOKEN, or nothing
	}{
		{"/ws", nil, ""},
		{"/ws?x=1", []string{"Cookie: other=t0k3n", "Sec-WebSocket-Protocol: v12.stomp"}, ""},
		{"/ws", []string{"Authorization: Basic " + basic("ann:t0:k3n")}, "basic ann t0:k3n "},
		{"/ws", []string{"authorization:basic " + basic("ann:")}, "basic ann  "},
		{"/ws", []string{"Authorization: Basic " + basic("ann")}, "basic   "},
		{"/ws", []string{"Authorization: Basic !"}, "basic   "},
		{"/ws", []string{"Authorization: Basic"}, "basic   "},
		{"/ws", []string{"Authorization: Bearer t0k3n"}, "bearer   t0k3n"},
		{"/ws", []string{"Authorization: bearer  t0k3n "}, "bearer   t0k3n"},
		{"/ws", []string{"Authorization: Bearer"}, "bearer   "},
		{"/ws", []string{"Authorization: Digest t0k3n"}, "bearer   "},
		{"/ws", []string{"Authorization: t0k3n"}, "bearer   "},
		{"/ws", []string{"Authorization:"}, "bearer   "},
		{"/ws", []string{"Sec-WebSocket-Protocol: v12.stomp, bearer.t0k3n"}, "subprotocol   t0k3n"},
		{"/ws", []string{"Sec-WebSocket-Protocol: v12.stomp", "Sec-WebSocket-Protocol: Bearer.t0k3n"}, "subprotocol   t0k3n"},
		{"/ws", []string{"Sec-WebSocket-Protocol: bearer.t0k3n"}, "subprotocol   t0k3n"},
		{"/ws", []string{"Sec-WebSocket-Protocol: bearer."}, "subprotocol   "},
		{"/ws", []string{"Sec-WebSocket-Protocol: base64url.bearer.authorization.gudok." + encoded + ", v11.stomp"}, "subprotocol   a t0k3n, any"},
		{"/ws", []string{"Sec-WebSocket-Protocol: base64url.bearer.authorization.gudok.t0k3n=, v11.stomp"}, "subprotocol   "},
		{"/ws?access_token=t0k3n", nil, "query   t0k3n"},
		{"/ws?a=b&access_token=t0k3n%2e&c", nil, "query   t0k3n."},
		{"/ws?access_token=t0k3n&access_token=t0k3n", nil, "query   t0k3n"},
		{"/ws?access_token=t0k3n&access_token=other", nil, "query   "},
		{"/ws?access_token=", nil, ""},
		{"/ws?Access_Token=t0k3n", nil, ""},
		{"/ws", []string{"Cookie: a=b; session=t0k3n"}, "cookie   t0k3n"},
		{"/ws", []string{"Cookie: session=t0k3n; session=t0k3n"}, "cookie   t0k3n"},
		{"/ws", []string{"Cookie: session=t0k3n; session=other"}, "cookie   "},
		{"/ws", []string{"Cookie: session="}, ""},
		{"/ws", []string{"Cookie: Session=t0k3n"}, ""},
		// Of several the first in order.
		{"/ws?access_token=q", []string{"Cookie: session=c", "Sec-WebSocket-Protocol: bearer.s", "Authorization: Bearer a"}, "bearer   a"},
		{"/ws?access_token=q", []string{"Cookie: session=c", "Sec-WebSocket-Protocol: bearer.s"}, "subprotocol   s"},
		{"/ws?access_token=q", []string{"Cookie: session=c"}, "query   q"},
	} {
		c := dial(t, addr)
		c.send([]byte(strings.Replace(handshake(addr, row.headers...), "/ws", row.path, 1)))
		if c.answer(); c.resp.StatusCode != 101 {
			t.Fatalf("%s %q: %s", row.path, row.headers, c.resp.Status)
		}
		got := ""
		if o := receive(t, offers); o != nil {
			got = fmt.Sprintf("%s %s %s %s", o.Source, o.Login, string(o.Passcode), string(o.Token))
		}
		if got != row.want {
			t.Errorf("%s %q: %q, want %q", row.path, row.headers, got, row.want)
		}
		for name, values := range c.resp.Header {
			if all := strings.Join(values, ","); strings.Contains(all, "t0k3n") || strings.Contains(strings.ToLower(all), "bearer") {
				t.Errorf("%s: %s: %s", row.path, name, all)
			}
		}
	}
	if s := log.String(); strings.Contains(s, "t0k3n") || strings.Contains(s, encoded) || !strings.Contains(s, "[redacted]") {
		t.Errorf("%s", s)
	}
	// Without names, neither is looked at.
	addr = serveWS(t, server, transport.Options{Logger: logTo(&log)})
	c := dial(t, addr)
	c.send([]byte(strings.Replace(handshake(addr, "Cookie: session=t0k3n", "Cookie: =t0k3n"), "/ws", "/ws?access_token=t0k3n&=t0k3n", 1)))
	c.answer()
	if o := receive(t, offers); o != nil {
		t.Errorf("%s", o.Source)
	}
}

// A cookie that is a login makes the check of origins strict, whatever else is set.
func TestCookieNeedsAnOrigin(t *testing.T) {
	for _, row := range []struct {
		o      transport.Options
		origin string
		want   int
	}{
		{transport.Options{Loopback: true}, "http://localhost:3000", 101},
		{transport.Options{Loopback: true, TokenCookie: "c"}, "http://localhost:3000", 403},
		{transport.Options{Loopback: true, TokenCookie: "c"}, "http://{}", 101},
		{transport.Options{AllowedOrigins: []string{"*"}}, "https://evil.example", 101},
		{transport.Options{AllowedOrigins: []string{"*"}, TokenCookie: "c"}, "https://evil.example", 403},
		{transport.Options{AllowedOrigins: []string{"null"}, TokenCookie: "c"}, "null", 403},
		{transport.Options{AllowedOrigins: []string{"https://app.example"}, TokenCookie: "c"}, "https://app.example", 101},
		{transport.Options{TokenCookie: "c"}, "", 101}, // no browser
	} {
		addr := serveWS(t, newRecorder(), row.o)
		c := dial(t, addr)
		var headers []string
		if row.origin != "" {
			headers = []string{"Cookie: c=x", "Origin: " + strings.ReplaceAll(row.origin, "{}", addr)}
		}
		c.send([]byte(handshake(addr, headers...)))
		if c.answer(); c.resp.StatusCode != row.want {
			t.Errorf("%+v: %s: %s", row.o, row.origin, c.resp.Status)
		}
		c.Close()
	}
	for _, origin := range []string{"*", "null", " NULL "} {
		if (transport.Options{TokenCookie: "c", AllowedOrigins: []string{origin}}).Validate() == nil {
			t.Errorf("%q is fine with a cookie", origin)
		}
	}
}

// A handshake of any bytes in what may hold a credential has an answer, and no credential in the log.
func FuzzOffer(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "Bearer x.y.z", "Basic", "", "\x00", "Bearer \xff", "bearer.a,bearer.b", "session=a; session=b", "access_token=%zz&access_token=a;b"} {
		f.Add(s, s, s, s)
	}
	f.Fuzz(func(t *testing.T, authorization, protocol, query, cookie string) {
		o := transport.Options{TokenCookie: "session", TokenQuery: "access_token"}
		r := &http.Request{Header: http.Header{"Authorization": {authorization}, "Sec-Websocket-Protocol": {protocol}, "Cookie": {cookie}}, URL: transport.URL("/ws", query)}
		if authorization == "" {
			delete(r.Header, "Authorization")
		}
		got, shown := transport.OfferOf(o, r)
		if authorization != "" && got == nil {
			t.Error("an offer that is none")
		}
		if got == nil {
			return
		}
		if got.Source == broker.FromSubprotocol && len(got.Token) > 8 && strings.Contains(shown, string(got.Token)) {
			t.Errorf("%q", shown)
		}
	})
}
