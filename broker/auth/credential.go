package auth

import (
	"encoding/base64"
	"strings"

	"github.com/gudokmq/gudok/broker"
)

// kind is a kind of proof.
type kind uint8

const (
	anonymous kind = iota // none is offered, and none is needed
	password
	token
	certificate
)

// credential is the one of those offered that counts.
type credential struct {
	kind   kind
	login  string        // with a password
	secret broker.Secret // password or token
	source string        // for the hook
	named  bool          // CONNECT's login must be the user's name
}

// fromConnect is the source of what CONNECT says.
const fromConnect = "connect"

// errNothing is a client that offers nothing where something is needed.
var errNothing = refusal("nothing is offered that could prove who it is")

// choose picks what counts. What there is no way for is passed over, but does not count as nothing.
func (s *state) choose(c broker.Credentials) (credential, error) {
	passwords, tokens := s.hook != nil || s.users.any(), s.hook != nil || s.tokens != nil
	offered := c.Login != "" || c.Passcode != "" || c.Authorization != ""

	switch scheme, rest := authorization(string(c.Authorization)); {
	case scheme == "bearer" && tokens:
		return credential{kind: token, secret: broker.Secret(rest), source: fromConnect}, nil
	case scheme == "basic" && passwords:
		login, secret, ok := basic(rest)
		if !ok {
			return credential{}, refusal("the Authorization header is damaged")
		}
		return credential{kind: password, login: login, secret: secret, source: fromConnect}, nil
	}
	switch {
	case c.Passcode == "":
	case s.tokens != nil && (!passwords || looksLikeToken(string(c.Passcode))):
		return credential{kind: token, secret: c.Passcode, source: fromConnect}, nil
	case passwords:
		if c.Login == "" {
			return credential{}, refusal("a passcode is offered without a login")
		}
		return credential{kind: password, login: c.Login, secret: c.Passcode, source: fromConnect}, nil
	}
	if o := c.Peer.Offer; o != nil {
		offered = true
		switch {
		case o.Source == broker.FromBasic && passwords:
			return credential{kind: password, login: o.Login, secret: o.Passcode, source: o.Source, named: true}, nil
		case o.Source != broker.FromBasic && tokens:
			return credential{kind: token, secret: o.Token, source: o.Source, named: true}, nil
		}
	}
	if t := c.Peer.TLS; t != nil && len(t.PeerCertificates) > 0 && s.o.Certificates != "" {
		return credential{kind: certificate, named: true}, nil
	}
	switch {
	case offered:
		return credential{}, refusal("what is offered proves nothing here")
	case !s.o.Anonymous:
		return credential{}, errNothing
	}
	return credential{kind: anonymous}, nil
}

// authorization splits an Authorization header into its scheme, in lower case, and the rest.
func authorization(h string) (scheme, rest string) {
	scheme, rest, _ = strings.Cut(strings.TrimSpace(h), " ")
	return strings.ToLower(scheme), strings.TrimSpace(rest)
}

// basic reads the credentials of HTTP Basic (RFC 7617).
func basic(s string) (login string, secret broker.Secret, ok bool) {
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", "", false
	}
	login, rest, ok := strings.Cut(string(text), ":")
	return login, broker.Secret(rest), ok && login != ""
}

// question is what the hook is asked for x.
func (x credential) question(peer broker.Peer) question {
	q := question{Login: x.login, Source: x.source, Transport: peer.Transport, Origin: peer.Origin, Address: ip(peer.Addr)}
	if x.kind == token {
		q.Token = string(x.secret)
	} else {
		q.Passcode = string(x.secret)
	}
	return q
}
