package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

func hookOptions(i *issuer) *auth.HookOptions {
	return &auth.HookOptions{URL: "https://id.example.org/login", Client: &http.Client{Transport: i}, Header: http.Header{"X-Key": {"s3cret"}}}
}

// What the service answers decides; what it does not answer means that the login was not checked.
func TestHookAnswers(t *testing.T) {
	now := time.Now()
	given := broker.Credentials{Login: "dan", Passcode: "s3cret", Peer: from("192.0.2.1")}
	for name, x := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		want   error // nil: in; errUnchecked: any other
		p      broker.Principal
	}{
		"yes":               {says(200, []byte(`{}`)), nil, broker.Principal{Name: "dan"}},
		"yes, all":          {says(200, []byte(fmt.Sprintf(`{"user":"Dan","groups":["a","b"],"expires":%d,"more":1}`, now.Add(time.Hour).Unix()))), nil, broker.Principal{Name: "Dan", Groups: []string{"a", "b"}, Expires: time.Unix(now.Add(time.Hour).Unix(), 0)}},
		"yes, one group":    {says(200, []byte(`{"user":"dan","groups":"a"}`)), nil, broker.Principal{Name: "dan", Groups: []string{"a"}}},
		"yes, RFC 3339":     {says(200, []byte(`{"user":"dan","expires":"2099-01-01T00:00:00Z"}`)), nil, broker.Principal{Name: "dan", Expires: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"expired":           {says(200, []byte(`{"user":"dan","expires":1}`)), broker.ErrExpired, broker.Principal{}},
		"401":               {says(401, []byte(`{"user":"dan"}`)), broker.ErrBadCredentials, broker.Principal{}},
		"403":               {says(403, nil), broker.ErrBadCredentials, broker.Principal{}},
		"500":               {says(500, []byte(`{"user":"dan"}`)), errUnchecked, broker.Principal{}},
		"201":               {says(201, []byte(`{"user":"dan"}`)), errUnchecked, broker.Principal{}},
		"204":               {says(204, nil), errUnchecked, broker.Principal{}},
		"302":               {says(302, []byte(`{"user":"dan"}`)), errUnchecked, broker.Principal{}},
		"404":               {says(404, nil), errUnchecked, broker.Principal{}},
		"429":               {says(429, nil), errUnchecked, broker.Principal{}},
		"200, empty":        {says(200, nil), errUnchecked, broker.Principal{}},
		"200, text":         {says(200, []byte(`ok`)), errUnchecked, broker.Principal{}},
		"200, a list":       {says(200, []byte(`[]`)), errUnchecked, broker.Principal{}},
		"200, cut":          {says(200, []byte(`{"user":"dan"`)), errUnchecked, broker.Principal{}},
		"200, twice":        {says(200, []byte(`{"user":"dan","user":"root"}`)), errUnchecked, broker.Principal{}},
		"200, more":         {says(200, []byte(`{"user":"dan"}{"user":"root"}`)), errUnchecked, broker.Principal{}},
		"200, user empty":   {says(200, []byte(`{"user":""}`)), errUnchecked, broker.Principal{}},
		"200, user null":    {says(200, []byte(`{"user":null}`)), errUnchecked, broker.Principal{}},
		"200, user number":  {says(200, []byte(`{"user":7}`)), errUnchecked, broker.Principal{}},
		"200, groups":       {says(200, []byte(`{"groups":[1]}`)), errUnchecked, broker.Principal{}},
		"200, expires":      {says(200, []byte(`{"expires":"soon"}`)), errUnchecked, broker.Principal{}},
		"200, expires huge": {says(200, []byte(`{"expires":1e300}`)), errUnchecked, broker.Principal{}},
		"200, expires true": {says(200, []byte(`{"expires":true}`)), errUnchecked, broker.Principal{}},
		"200, too much":     {says(200, []byte(`{"x":"`+strings.Repeat("x", 70<<10)+`"}`)), errUnchecked, broker.Principal{}},
		"down":              {func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }, errUnchecked, broker.Principal{}},
		"silent": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, errUnchecked, broker.Principal{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{}
				i.will(x.answer)
				began := time.Now()
				c := open(t, auth.Options{Hook: hookOptions(i)})
				p, err := c.Authenticate(t.Context(), given)
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("took %v", d)
				}
				switch {
				case x.want == nil:
					x.p.Via = broker.ViaHook
					if err == nil {
						x.p.Proof = p.Proof
					}
					if err != nil || !p.Expires.Equal(x.p.Expires) {
						t.Fatalf("%+v, %v", p, err)
					}
					x.p.Expires = p.Expires
					if !reflect.DeepEqual(p, &x.p) {
						t.Errorf("%+v", p)
					}
				case x.want == errUnchecked && (err == nil || errors.Is(err, broker.ErrBadCredentials) || errors.Is(err, broker.ErrTooMany)),
					x.want != errUnchecked && !errors.Is(err, x.want):
					t.Errorf("%+v, %v", p, err)
				}
				if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "id.example.org/login")) {
					t.Errorf("%v", err)
				}
				if i.asked.Load() != 1 {
					t.Errorf("asked %d times", i.asked.Load())
				}
			})
		})
	}
}

var errUnchecked = errors.New("not checked")

// What the service is told, and when it is asked at all.
func TestHookQuestions(t *testing.T) {
	i := &issuer{}
	var got map[string]string
	i.will(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.URL.String() != "https://id.example.org/login" || r.Header.Get("X-Key") != "s3cret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v, %v", r.Method, r.URL, r.Header, err)
		}
		got = nil
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		return response(r, 200, bytes.NewReader([]byte(`{"user":"dan"}`))), nil
	})
	f := theForge()
	token := "eyJhbGciOiJub25lIn0.e30.x"
	peer := from("2001:db8::7")
	peer.Transport, peer.Origin = "websocket+tls", "https://app.example.org"
	with := func(o *broker.Offer) broker.Peer {
		p := peer
		p.Offer = o
		return p
	}
	users := []auth.User{{Name: "bea", PasswordHash: bcryptSecret}}
	common := map[string]string{"address": "2001:db8::7", "transport": "websocket+tls", "origin": "https://app.example.org"}
	for name, x := range map[string]struct {
		o     auth.Options
		given broker.Credentials
		want  map[string]string // nil: not asked
	}{
		"a password":                 {auth.Options{Users: users}, broker.Credentials{Login: "dan", Passcode: "p:w\n", Peer: peer}, map[string]string{"login": "dan", "passcode": "p:w\n", "source": "connect"}},
		"a token as passcode":        {auth.Options{}, broker.Credentials{Login: "x", Passcode: broker.Secret(token), Peer: peer}, map[string]string{"login": "x", "passcode": token, "source": "connect"}},
		"a bearer token":             {auth.Options{}, broker.Credentials{Authorization: broker.Secret("Bearer " + token), Peer: peer}, map[string]string{"token": token, "source": "connect"}},
		"a cookie":                   {auth.Options{}, broker.Credentials{Peer: with(&broker.Offer{Source: "cookie", Token: "opaque"})}, map[string]string{"token": "opaque", "source": "cookie"}},
		"Basic":                      {auth.Options{}, broker.Credentials{Peer: with(&broker.Offer{Source: "basic", Login: "dan", Passcode: "p"})}, map[string]string{"login": "dan", "passcode": "p", "source": "basic"}},
		"a user of ours":             {auth.Options{Users: users}, broker.Credentials{Login: "bea", Passcode: "secret", Peer: peer}, nil},
		"a user of ours, wrong":      {auth.Options{Users: users}, broker.Credentials{Login: "bea", Passcode: "wrong", Peer: peer}, nil},
		"a token of ours":            {auth.Options{Tokens: tokenOptions(file(t, publicPEM(t, &f.ec.PublicKey)))}, broker.Credentials{Authorization: broker.Secret("Bearer " + token), Peer: peer}, nil},
		"nothing":                    {auth.Options{}, broker.Credentials{Peer: peer}, nil},
		"nothing, anonymous":         {auth.Options{Anonymous: true}, broker.Credentials{Peer: peer}, nil},
		"a login alone":              {auth.Options{Anonymous: true}, broker.Credentials{Login: "dan", Peer: peer}, nil},
		"a login of ours without it": {auth.Options{Users: []auth.User{{Name: "bea"}}}, broker.Credentials{Login: "bea", Passcode: "x", Peer: peer}, map[string]string{"login": "bea", "passcode": "x", "source": "connect"}},
	} {
		x.o.Hook = hookOptions(i)
		got = nil
		_, _ = open(t, x.o).Authenticate(t.Context(), x.given)
		if x.want != nil {
			for k, v := range common {
				x.want[k] = v
			}
		}
		if !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A yes is remembered as long as it says, a no is not; and few are asked at once.
func TestHookIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		var now, most atomic.Int64
		i.will(func(r *http.Request) (*http.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(100 * time.Millisecond)
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte("right")) {
				return response(r, 200, strings.NewReader(fmt.Sprintf(`{"expires":%d}`, time.Now().Add(30*time.Second).Unix()))), nil
			}
			return response(r, 403, strings.NewReader("")), nil
		})
		o := hookOptions(i)
		o.Concurrency, o.Cache, o.Timeout = 3, time.Minute, time.Second
		c := open(t, auth.Options{Hook: o})
		ask := func(addr, login, passcode string) error {
			_, err := c.Authenticate(t.Context(), broker.Credentials{Login: login, Passcode: broker.Secret(passcode), Peer: from(addr)})
			return err
		}
		for range 5 {
			if err := ask("192.0.2.1", "dan", "right"); err != nil {
				t.Error(err)
			}
		}
		if n := i.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(31 * time.Second) // what it said is over, before the minute
		if err := ask("192.0.2.1", "dan", "right"); err != nil || i.asked.Load() != 2 {
			t.Errorf("%v, asked %d times", err, i.asked.Load())
		}
		for range 5 {
			if err := ask("192.0.2.2", "dan", "wrong"); !errors.Is(err, broker.ErrBadCredentials) {
				t.Error(err)
			}
		}
		if n := i.asked.Load(); n != 7 {
			t.Errorf("asked %d times", n)
		}
		for range 10 {
			_ = ask("192.0.2.2", "dan", "wrong")
		}
		if err := ask("192.0.2.2", "dan", "wrong"); !errors.Is(err, broker.ErrTooMany) {
			t.Error(err)
		}
		var wg sync.WaitGroup
		for k := range 30 {
			wg.Go(func() {
				if err := ask(fmt.Sprintf("10.0.0.%d", k), fmt.Sprint("u", k), "right"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := most.Load(); n != 3 {
			t.Errorf("%d were asked at once", n)
		}
		// A service that is down is not the client's fault.
		i.will(says(500, nil))
		for range 50 {
			if err := ask("192.0.2.3", "eve", "x"); errors.Is(err, broker.ErrTooMany) || errors.Is(err, broker.ErrBadCredentials) || err == nil {
				t.Error(err)
			}
		}
		p, err := c.Authenticate(t.Context(), broker.Credentials{Login: "u1", Passcode: "right", Peer: from("10.0.0.1")})
		if err != nil {
			t.Fatal(err)
		}
		if q, err := c.Revalidate(p); q != p || err != nil {
			t.Errorf("%v", err)
		}
		other := *o
		other.URL = "https://other.example.org/"
		if err := c.Reload(auth.Options{Hook: &other}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Revalidate(p); err == nil {
			t.Error("a session lives on that another service let in")
		}
	})
}
