package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

func basic(login, passcode string) broker.Secret {
	return broker.Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+passcode)))
}

// presented is the state of a connection with a client certificate; verified says whether its chain
// was.
func presented(t testing.TB, subject pkix.Name, emails, names []string, verified bool) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, EmailAddresses: emails, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	if verified {
		s.VerifiedChains = [][]*x509.Certificate{{c}}
	}
	return s
}

// Of several credentials the first in order counts, and what is wrong never passes for nothing.
func TestPrecedence(t *testing.T) {
	f := theForge()
	users := []auth.User{{Name: "bea", PasswordHash: bcryptSecret, Groups: []string{"staff"}}, {Name: "carl", Groups: []string{"machines"}}}
	all := auth.Options{Users: users, Tokens: tokenOptions(file(t, allKeys(t))), Certificates: auth.UserCN, Anonymous: true}
	token := func(name string) string {
		return mint(t, jwt.SigningMethodES256, "es", f.ec, good(map[string]any{"sub": name}))
	}
	ann, wrong := token("ann"), mint(t, jwt.SigningMethodES256, "es", f.ec2, good(nil))
	carl := presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)
	stranger := presented(t, pkix.Name{CommonName: "carl"}, nil, nil, false)
	offer := func(source, token string) *broker.Offer {
		return &broker.Offer{Source: source, Token: broker.Secret(token)}
	}
	offerBasic := func(login, passcode string) *broker.Offer {
		return &broker.Offer{Source: broker.FromBasic, Login: login, Passcode: broker.Secret(passcode)}
	}
	for name, x := range map[string]struct {
		given broker.Credentials
		want  string // VIA NAME, or nothing
	}{
		"nothing":                           {broker.Credentials{}, "anonymous "},
		"a login alone":                     {broker.Credentials{Login: "bea"}, ""},
		"a passcode alone":                  {broker.Credentials{Passcode: "secret"}, ""},
		"login and passcode":                {broker.Credentials{Login: "bea", Passcode: "secret"}, "password bea"},
		"a wrong passcode":                  {broker.Credentials{Login: "bea", Passcode: "wrong"}, ""},
		"a stranger":                        {broker.Credentials{Login: "eve", Passcode: "secret"}, ""},
		"a user without a password":         {broker.Credentials{Login: "carl", Passcode: "secret"}, ""},
		"a user without a password, none":   {broker.Credentials{Login: "carl"}, ""},
		"a token as passcode":               {broker.Credentials{Passcode: broker.Secret(ann)}, "token ann"},
		"a token as passcode, any login":    {broker.Credentials{Login: "jwt", Passcode: broker.Secret(ann)}, "token ann"},
		"a token as passcode, a user":       {broker.Credentials{Login: "bea", Passcode: broker.Secret(ann)}, "token ann"},
		"a wrong token as passcode":         {broker.Credentials{Login: "bea", Passcode: broker.Secret(wrong)}, ""},
		"Bearer":                            {broker.Credentials{Authorization: broker.Secret("Bearer " + ann)}, "token ann"},
		"bearer":                            {broker.Credentials{Authorization: broker.Secret("  bearer   " + ann + " ")}, "token ann"},
		"Bearer wrong":                      {broker.Credentials{Authorization: broker.Secret("Bearer " + wrong)}, ""},
		"Bearer of nothing":                 {broker.Credentials{Authorization: "Bearer"}, ""},
		"Bearer wrong, all else right":      {broker.Credentials{Login: "bea", Passcode: "secret", Authorization: broker.Secret("Bearer " + wrong), Peer: broker.Peer{Offer: offer(broker.FromCookie, ann), TLS: carl}}, ""},
		"Bearer beside a passcode":          {broker.Credentials{Login: "bea", Passcode: "secret", Authorization: broker.Secret("Bearer " + ann)}, "token ann"},
		"Bearer beside a wrong passcode":    {broker.Credentials{Login: "bea", Passcode: "wrong", Authorization: broker.Secret("Bearer " + ann)}, "token ann"},
		"Basic in CONNECT":                  {broker.Credentials{Authorization: basic("bea", "secret")}, "password bea"},
		"Basic in CONNECT wrong":            {broker.Credentials{Authorization: basic("bea", "wrong"), Peer: broker.Peer{TLS: carl}}, ""},
		"Basic in CONNECT damaged":          {broker.Credentials{Authorization: "Basic !!!"}, ""},
		"Basic in CONNECT without colon":    {broker.Credentials{Authorization: "Basic YmVh"}, ""},
		"another scheme":                    {broker.Credentials{Authorization: "Digest x"}, ""},
		"a token without a scheme":          {broker.Credentials{Authorization: broker.Secret(ann)}, ""},
		"passcode before the handshake":     {broker.Credentials{Login: "bea", Passcode: "secret", Peer: broker.Peer{Offer: offer(broker.FromCookie, wrong)}}, "password bea"},
		"wrong passcode, right handshake":   {broker.Credentials{Login: "bea", Passcode: "wrong", Peer: broker.Peer{Offer: offer(broker.FromBearer, token("bea"))}}, ""},
		"Basic at the handshake":            {broker.Credentials{Peer: broker.Peer{Offer: offerBasic("bea", "secret")}}, "password bea"},
		"Basic at the handshake, and login": {broker.Credentials{Login: "bea", Peer: broker.Peer{Offer: offerBasic("bea", "secret")}}, "password bea"},
		"Basic at the handshake, another":   {broker.Credentials{Login: "ann", Peer: broker.Peer{Offer: offerBasic("bea", "secret")}}, ""},
		"Basic at the handshake, wrong":     {broker.Credentials{Peer: broker.Peer{Offer: offerBasic("bea", "wrong"), TLS: carl}}, ""},
		"Basic at the handshake, damaged":   {broker.Credentials{Peer: broker.Peer{Offer: offerBasic("", "")}}, ""},
		"a cookie":                          {broker.Credentials{Peer: broker.Peer{Offer: offer(broker.FromCookie, ann)}}, "token ann"},
		"a cookie, and login":               {broker.Credentials{Login: "ann", Peer: broker.Peer{Offer: offer(broker.FromCookie, ann)}}, "token ann"},
		"a cookie of another":               {broker.Credentials{Login: "bea", Peer: broker.Peer{Offer: offer(broker.FromCookie, ann)}}, ""},
		"a wrong cookie":                    {broker.Credentials{Peer: broker.Peer{Offer: offer(broker.FromCookie, wrong), TLS: carl}}, ""},
		"an empty offer":                    {broker.Credentials{Peer: broker.Peer{Offer: offer(broker.FromBearer, "")}}, ""},
		"a certificate":                     {broker.Credentials{Peer: broker.Peer{TLS: carl}}, "certificate carl"},
		"a certificate, and login":          {broker.Credentials{Login: "carl", Peer: broker.Peer{TLS: carl}}, "certificate carl"},
		"a certificate of another":          {broker.Credentials{Login: "bea", Peer: broker.Peer{TLS: carl}}, ""},
		"a certificate nobody vouches for":  {broker.Credentials{Peer: broker.Peer{TLS: stranger}}, ""},
		"a certificate beside a passcode":   {broker.Credentials{Login: "bea", Passcode: "secret", Peer: broker.Peer{TLS: carl}}, "password bea"},
		"TLS without a certificate":         {broker.Credentials{Peer: broker.Peer{TLS: &tls.ConnectionState{}}}, "anonymous "},
	} {
		c := open(t, all)
		p, err := c.Authenticate(t.Context(), x.given)
		got := ""
		if err == nil {
			got = p.Via + " " + p.Name
		} else if !errors.Is(err, broker.ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q (%v)", name, got, x.want, err)
		}
		if p != nil {
			if q, err := c.Revalidate(p); q != p || err != nil {
				t.Errorf("%s: revalidated %v, %v", name, q, err)
			}
			if strings.HasSuffix(got, " carl") && !reflect.DeepEqual(p.Groups, []string{"machines"}) {
				t.Errorf("%s: groups %v", name, p.Groups)
			}
		}
	}
}

// What there is no way for proves nothing, and never counts as nothing.
func TestOnlyWaysThatAreConfigured(t *testing.T) {
	f := theForge()
	token := broker.Secret(mint(t, jwt.SigningMethodES256, "es", f.ec, good(nil)))
	carl := presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)
	all := map[string]broker.Credentials{
		"password":    {Login: "bea", Passcode: "secret"},
		"basic":       {Peer: broker.Peer{Offer: &broker.Offer{Source: broker.FromBasic, Login: "bea", Passcode: "secret"}}},
		"passcode":    {Passcode: token},
		"bearer":      {Authorization: "Bearer " + token},
		"cookie":      {Peer: broker.Peer{Offer: &broker.Offer{Source: broker.FromCookie, Token: token}}},
		"certificate": {Peer: broker.Peer{TLS: carl}},
		"login":       {Login: "bea"},
		"nothing":     {},
	}
	tokens := tokenOptions(file(t, allKeys(t)))
	for _, x := range []struct {
		o    auth.Options
		want string
	}{
		{auth.Options{}, "password basic passcode bearer cookie certificate login nothing"},
		{auth.Options{Anonymous: true}, "certificate nothing"}, // a certificate that nobody asked for says nothing
		{auth.Options{Users: []auth.User{{Name: "bea", PasswordHash: bcryptSecret}}}, "password basic"},
		{auth.Options{Users: []auth.User{{Name: "bea", PasswordHash: bcryptSecret}}, Anonymous: true}, "password basic certificate nothing"},
		{auth.Options{Tokens: tokens}, "passcode bearer cookie"},
		{auth.Options{Tokens: tokens, Anonymous: true}, "passcode bearer cookie certificate nothing"},
		{auth.Options{Certificates: auth.UserCN}, "certificate"},
		{auth.Options{Certificates: auth.UserCN, Users: []auth.User{{Name: "carl"}}, Anonymous: true}, "certificate nothing"},
	} {
		for name, given := range all {
			p, err := open(t, x.o).Authenticate(t.Context(), given)
			if want := strings.Contains(" "+x.want+" ", " "+name+" "); (err == nil) != want {
				t.Errorf("%+v: %s: %+v, %v", x.o, name, p, err)
			}
		}
	}
}

func TestCertificateNames(t *testing.T) {
	for _, x := range []struct {
		field, want string
		state       *tls.ConnectionState
	}{
		{auth.UserCN, "carl", presented(t, pkix.Name{CommonName: "carl"}, []string{"c@x"}, []string{"h"}, true)},
		{auth.UserCN, "", presented(t, pkix.Name{}, []string{"c@x"}, []string{"h"}, true)},
		{auth.UserCN, "", presented(t, pkix.Name{CommonName: "a/b"}, nil, nil, true)},
		{auth.UserCN, "", presented(t, pkix.Name{CommonName: "*"}, nil, nil, true)},
		{auth.UserCN, "", presented(t, pkix.Name{CommonName: "carl", ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: []int{2, 5, 4, 3}, Value: "carl"}, {Type: []int{2, 5, 4, 3}, Value: "root"}}}, nil, nil, true)},
		{auth.UserEmail, "c@x", presented(t, pkix.Name{CommonName: "carl"}, []string{"c@x"}, []string{"h"}, true)},
		{auth.UserEmail, "", presented(t, pkix.Name{CommonName: "carl"}, []string{"c@x", "d@x"}, nil, true)},
		{auth.UserEmail, "", presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)},
		{auth.UserDNS, "h.example", presented(t, pkix.Name{}, nil, []string{"h.example"}, true)},
		{auth.UserDNS, "", presented(t, pkix.Name{}, nil, []string{"*.example"}, true)},
	} {
		c := open(t, auth.Options{Certificates: x.field, Anonymous: true})
		p, err := c.Authenticate(t.Context(), broker.Credentials{Peer: broker.Peer{TLS: x.state}})
		got := ""
		if err == nil {
			got = p.Name
			if !p.Expires.Equal(x.state.PeerCertificates[0].NotAfter) {
				t.Errorf("%s: until %v", got, p.Expires)
			}
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q (%v)", x.field, got, x.want, err)
		}
	}
	old := presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)
	old.VerifiedChains[0][0].NotAfter = time.Now().Add(-time.Second)
	c := open(t, auth.Options{Certificates: auth.UserCN})
	if _, err := c.Authenticate(t.Context(), broker.Credentials{Peer: broker.Peer{TLS: old}}); !errors.Is(err, broker.ErrExpired) {
		t.Errorf("%v", err)
	}
}

// A reload: who is gone, has another password or lost his way to log in does not stay; groups change.
func TestReloadUsers(t *testing.T) {
	user := func(name, hash string, groups ...string) auth.User {
		return auth.User{Name: name, PasswordHash: hash, Groups: groups}
	}
	before := auth.Options{Users: []auth.User{user("bea", bcryptSecret, "staff"), user("ada", argonGeheim), user("carl", "")}, Certificates: auth.UserCN, Anonymous: true}
	c := open(t, before)
	login := func(given broker.Credentials) *broker.Principal {
		t.Helper()
		p, err := c.Authenticate(t.Context(), given)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	bea := login(broker.Credentials{Login: "bea", Passcode: "secret"})
	ada := login(broker.Credentials{Login: "ada", Passcode: "geheim"})
	carl := login(broker.Credentials{Peer: broker.Peer{TLS: presented(t, pkix.Name{CommonName: "carl"}, nil, nil, true)}})
	nobody := login(broker.Credentials{})
	for i, x := range []struct {
		o    auth.Options
		gone []*broker.Principal
		want map[*broker.Principal][]string
	}{
		{before, nil, nil},
		{auth.Options{Users: []auth.User{user("bea", bcryptSecret, "boss"), user("ada", argonGeheim), user("carl", "", "m")}, Certificates: auth.UserCN},
			[]*broker.Principal{nobody}, map[*broker.Principal][]string{bea: {"boss"}, carl: {"m"}}},
		{auth.Options{Users: []auth.User{user("bea", argonGeheim, "staff")}, Certificates: auth.UserDNS}, []*broker.Principal{bea, ada, carl, nobody}, nil},
		{auth.Options{Users: []auth.User{user("bea", "", "staff"), user("ada", argonGeheim)}, Anonymous: true}, []*broker.Principal{bea, carl}, nil},
		{auth.Options{}, []*broker.Principal{bea, ada, carl}, nil},
	} {
		if err := c.Reload(x.o); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*broker.Principal{bea, ada, carl, nobody} {
			q, err := c.Revalidate(p)
			gone := false
			for _, g := range x.gone {
				gone = gone || g == p
			}
			switch want, changes := x.want[p]; {
			case gone:
				if err == nil {
					t.Errorf("%d: %s by %s stays", i, p.Name, p.Via)
				}
			case err != nil:
				t.Errorf("%d: %s by %s: %v", i, p.Name, p.Via, err)
			case !changes && q != p:
				t.Errorf("%d: %s by %s is another", i, p.Name, p.Via)
			case changes && (!reflect.DeepEqual(q.Groups, want) || q.Name != p.Name || q.Via != p.Via || !q.Expires.Equal(p.Expires)):
				t.Errorf("%d: %+v", i, q)
			}
		}
	}
	if err := c.Reload(auth.Options{Users: []auth.User{user("x", "plain")}}); err == nil {
		t.Error("a bad reload is taken")
	}
	if _, err := c.Authenticate(t.Context(), broker.Credentials{Login: "anyone"}); err != nil {
		t.Errorf("a bad reload changed something: %v", err)
	}
}

// A login that was right is remembered over a reload, but not with another password.
func TestRememberedOverReload(t *testing.T) {
	users := []auth.User{{Name: "bea", PasswordHash: bcryptSecret}}
	c := open(t, auth.Options{Users: users})
	if _, err := c.Authenticate(t.Context(), broker.Credentials{Login: "bea", Passcode: "secret"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(auth.Options{Users: users}); err != nil {
		t.Fatal(err)
	}
	release := auth.TakeAllTurnsOf(c)
	if _, err := c.Authenticate(t.Context(), broker.Credentials{Login: "bea", Passcode: "secret"}); err != nil {
		t.Error(err)
	}
	release()
	if err := c.Reload(auth.Options{Users: []auth.User{{Name: "bea", PasswordHash: argonGeheim}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Authenticate(t.Context(), broker.Credentials{Login: "bea", Passcode: "secret"}); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("%v", err)
	}
}

func TestRenew(t *testing.T) {
	f := theForge()
	tokens := tokenOptions(file(t, allKeys(t)))
	c := open(t, auth.Options{Tokens: tokens})
	token := func(changes map[string]any) broker.Secret {
		return broker.Secret(mint(t, jwt.SigningMethodES256, "es", f.ec, good(changes)))
	}
	p, err := c.Authenticate(t.Context(), broker.Credentials{Passcode: token(nil)})
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.Renew(t.Context(), p, token(map[string]any{"groups": "boss"}), broker.Peer{})
	if err != nil || q.Name != "ann" || !reflect.DeepEqual(q.Groups, []string{"boss"}) {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := c.Renew(t.Context(), p, "x.y.z", broker.Peer{}); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("%v", err)
	}
	if err := c.Reload(auth.Options{Users: []auth.User{{Name: "ann", PasswordHash: bcryptSecret}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Renew(t.Context(), p, token(nil), broker.Peer{}); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("%v", err)
	}
}
