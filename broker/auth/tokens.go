package auth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// Any, as issuer or audience, takes tokens whatever they say there, or if they say nothing.
const Any = "*"

const (
	maxTokenBytes = 8 << 10
	maxCandidates = 8 // keys that one token is tried with
)

// TokenOptions are the settings of tokens (JWT, RFC 7519).
type TokenOptions struct {
	// Issuer is what iss must be; Audience is what one of aud must be. Both are needed; see [Any].
	Issuer   string
	Audience []string
	// KeysFile is a JWK set or public keys in PEM; it is read again when it changes. KeysURL is a
	// JWK set that is fetched. One of them is needed.
	KeysFile, KeysURL string
	// Refresh is how often KeysURL is fetched [15 m].
	Refresh time.Duration
	// Algorithm is that of RSA keys that do not say theirs [RS256].
	Algorithm string
	// UserClaim names the claim that is the user's name [sub], GroupsClaim the one with the user's
	// groups; a dot leads into an object. KeepClaims are those for Principal.Claims.
	UserClaim, GroupsClaim string
	KeepClaims             []string
	// Leeway is what clocks may differ by [30 s; negative: nothing]. MaxAge is how long after its
	// iat a token is taken, whatever its exp says [24 h].
	Leeway, MaxAge time.Duration
	// Client fetches KeysURL; nil is a plain one. It never follows a redirect to another host.
	Client *http.Client
}

func (o TokenOptions) withDefaults() TokenOptions {
	if o.Refresh <= 0 {
		o.Refresh = 15 * time.Minute
	}
	if o.UserClaim == "" {
		o.UserClaim = "sub"
	}
	switch {
	case o.Leeway == 0:
		o.Leeway = 30 * time.Second
	case o.Leeway < 0:
		o.Leeway = 0
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 24 * time.Hour
	}
	return o
}

// tokens checks tokens. Any goroutine may use it.
type tokens struct {
	o         TokenOptions
	source    keySource
	validator *jwt.Validator
	methods   map[string]jwt.SigningMethod
	proof     uint64        // of the settings that say what holds
	turns     chan struct{} // one for each signature being checked
}

// newTokens takes over the keys of old, if they are fetched from the same place.
func newTokens(o TokenOptions, log *slog.Logger, old *tokens) (*tokens, error) {
	o = o.withDefaults()
	if o.Issuer == "" || len(o.Audience) == 0 {
		return nil, errors.New("tokens: issuer and audience are needed, if only " + Any)
	}
	t := &tokens{o: o, methods: methods(), turns: make(chan struct{}, max(1, cores/2))}
	t.proof = maphash.String(seed, fmt.Sprintf("%q %q %q %q", o.Issuer, o.Audience, o.UserClaim, o.GroupsClaim))
	if o.Algorithm != "" && t.methods[o.Algorithm] == nil {
		return nil, fmt.Errorf("tokens: there is no algorithm %q", o.Algorithm)
	}
	rules := []jwt.ParserOption{jwt.WithLeeway(o.Leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt()}
	if o.Issuer != Any && !mutant.Is(mutant.IssuerIgnored) {
		rules = append(rules, jwt.WithIssuer(o.Issuer))
	}
	if !slices.Contains(o.Audience, Any) && !mutant.Is(mutant.AudienceIgnored) {
		rules = append(rules, jwt.WithAudience(o.Audience...))
	}
	t.validator = jwt.NewValidator(rules...)
	switch {
	case o.KeysFile != "" && o.KeysURL != "" || o.KeysFile == "" && o.KeysURL == "":
		return nil, errors.New("tokens: either a file or a URL of keys is needed")
	case o.KeysFile != "":
		f, err := newKeyFile(o.KeysFile, o.Algorithm, log)
		if err != nil {
			return nil, err
		}
		t.source = f
	default:
		if err := CheckURL(o.KeysURL, false); err != nil {
			return nil, fmt.Errorf("tokens: the URL of keys %w", err)
		}
		if old != nil && old.o.KeysURL == o.KeysURL && old.o.Algorithm == o.Algorithm && old.o.Refresh == o.Refresh && old.o.Client == o.Client {
			t.source = old.source
			return t, old.source.reload()
		}
		t.source = newKeyURL(o.KeysURL, o.Algorithm, o.Refresh, o.Client, log)
	}
	return t, nil
}

// refusal is why a token was refused, for the log: a constant, and nothing of the token.
type refusal string

func (r refusal) Error() string { return string(r) }

// Unwrap makes a refusal bad credentials.
func (r refusal) Unwrap() error { return broker.ErrBadCredentials }

// check tells whose token it is and until when.
func (t *tokens) check(ctx context.Context, token string) (*broker.Principal, error) {
	signed, sig, h, err := t.open(token)
	if err != nil {
		return nil, err
	}
	k, err := t.verify(ctx, h, signed, sig)
	if err != nil {
		return nil, err
	}
	_, payload, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, refusal("the token's claims are not base64url")
	}
	c, err := object(text)
	if err != nil {
		return nil, refusal("the token's claims are damaged: " + err.Error())
	}
	return t.accept(c, k)
}

// header is what counts of a token's header. What else it says of keys (jku, jwk, x5u, x5c) is not
// looked at: nobody's own word says which key is to be believed.
type header struct{ alg, kid string }

// open takes a token apart without believing it.
func (t *tokens) open(token string) (signed string, sig []byte, h header, err error) {
	if len(token) > maxTokenBytes {
		return "", nil, h, refusal("the token is too long")
	}
	if strings.Count(token, ".") != 2 {
		return "", nil, h, refusal("it is not a token of three parts")
	}
	dot := strings.LastIndexByte(token, '.')
	signed = token[:dot]
	if sig, err = base64.RawURLEncoding.Strict().DecodeString(token[dot+1:]); err != nil {
		return "", nil, h, refusal("the token's signature is not base64url")
	}
	first, _, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return "", nil, h, refusal("the token's header is not base64url")
	}
	m, err := object(text)
	if err != nil {
		return "", nil, h, refusal("the token's header is damaged: " + err.Error())
	}
	for name, into := range map[string]*string{"alg": &h.alg, "kid": &h.kid} {
		v, there := m[name]
		s, ok := v.(string)
		if there && !ok {
			return "", nil, h, refusal("the token's header is damaged: " + name + " is no text")
		}
		*into = s
	}
	if _, ok := m["crit"]; ok { // RFC 7515, section 4.1.11: what must be understood is not
		return "", nil, h, refusal("the token's header demands an extension")
	}
	if t.methods[h.alg] == nil {
		return "", nil, h, refusal("the token's algorithm is none that is taken")
	}
	return signed, sig, h, nil
}

// verify finds the key whose signature it is.
func (t *tokens) verify(ctx context.Context, h header, signed string, sig []byte) (key, error) {
	all, err := t.source.keys()
	if err == nil {
		k, known, ok, late := t.pick(ctx, all, h, signed, sig)
		if late != nil {
			return key{}, late
		}
		if ok {
			return k, nil
		} else if known {
			return key{}, refusal("the token's signature is not its key's")
		}
	}
	if !t.source.refresh(ctx) {
		if err != nil {
			return key{}, err
		}
		return key{}, refusal("no key fits the token's header")
	}
	if all, err = t.source.keys(); err != nil {
		return key{}, err
	}
	k, _, ok, err := t.pick(ctx, all, h, signed, sig)
	if err != nil {
		return key{}, err
	}
	if !ok {
		return key{}, refusal("no key fits the token")
	}
	return k, nil
}

// pick is the package's pick, on half of the cores at most: a storm of logins leaves the others to the
// sessions there are. The error is ctx's, when that ends before there is a turn.
func (t *tokens) pick(ctx context.Context, all []key, h header, signed string, sig []byte) (found key, known, ok bool, err error) {
	select {
	case t.turns <- struct{}{}:
	case <-ctx.Done():
		return key{}, false, false, fmt.Errorf("wait to check a token: %w", ctx.Err())
	}
	defer func() { <-t.turns }()
	found, known, ok = pick(all, h, signed, sig)
	return found, known, ok, nil
}

// pick finds the key of a signature; known tells that there is one to try. A key without an id is
// tried with every token of its algorithm, and a token without one with every key.
func pick(all []key, h header, signed string, sig []byte) (found key, known, ok bool) {
	tried := 0
	for _, k := range all {
		if mutant.Is(mutant.AlgorithmOfToken) {
			k = k.as(h.alg)
		}
		if k.method.Alg() != h.alg || k.id != "" && h.kid != "" && k.id != h.kid && !mutant.Is(mutant.KidIgnored) {
			continue
		}
		known = true
		if tried++; tried > maxCandidates {
			break
		}
		if k.method.Verify(signed, sig, k.value) == nil {
			return k, true, true
		}
	}
	return key{}, known, false
}

// as is for a planted bug: a public key's text is nobody's secret.
func (k key) as(alg string) key {
	m, hmac := methods()[alg].(*jwt.SigningMethodHMAC)
	der, err := x509.MarshalPKIXPublicKey(k.value)
	if hmac && err == nil {
		k.method, k.value = m, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return k
}

// accept holds the claims of a signed token against the rules.
func (t *tokens) accept(c claims, k key) (*broker.Principal, error) {
	err := t.validator.Validate(c)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience):
		if mutant.Is(mutant.ExpIgnored) {
			break
		}
		return nil, broker.ErrExpired
	case err != nil:
		return nil, refusal("the token does not hold: " + complaint(err))
	}
	// The validator has seen both dates.
	exp, _ := c.GetExpirationTime()
	iat, _ := c.GetIssuedAt()
	now, end := time.Now(), exp.Time
	if iat == nil {
		if end.After(now.Add(t.o.MaxAge + t.o.Leeway)) {
			return nil, refusal("the token says no iat, and its exp is further away than a token may be old")
		}
	} else if last := iat.Add(t.o.MaxAge); last.Before(end) {
		end = last
	}
	end = end.Add(t.o.Leeway)
	if mutant.Is(mutant.ExpIgnored) {
		end = now.Add(24 * time.Hour)
	}
	if !now.Before(end) {
		return nil, broker.ErrExpired
	}
	name, err := c.user(t.o.UserClaim)
	if err != nil {
		return nil, err
	}
	p := &broker.Principal{Name: name, Expires: end, Via: broker.ViaToken, Proof: t.proof ^ k.proof}
	if p.Groups, err = c.list(t.o.GroupsClaim); err != nil {
		return nil, refusal("the token's groups are no texts")
	}
	if len(t.o.KeepClaims) > 0 {
		p.Claims = make(map[string][]string, len(t.o.KeepClaims))
	}
	for _, path := range t.o.KeepClaims {
		p.Claims[path] = c.values(path) // nil tells revalidate that it was looked for
	}
	return p, nil
}

// user reads the user's name.
func (c claims) user(path string) (string, error) {
	v, _ := c.find(path)
	name, ok := v.(string)
	if n, is := v.(json.Number); is && strings.Trim(n.String(), "0123456789") == "" {
		name, ok = n.String(), true
	}
	if !ok || name == "" {
		return "", refusal("the token does not say whose it is")
	}
	if err := broker.CheckName(name); err != nil {
		return "", refusal("the token's user has a name that cannot be one here")
	}
	return name, nil
}

// complaint is what a validator has to say, in words of ours.
func complaint(err error) string {
	for _, c := range []struct {
		err  error
		text string
	}{
		{jwt.ErrTokenRequiredClaimMissing, "exp, iss or aud is missing"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenNotValidYet, "its nbf is in the future"},
		{jwt.ErrTokenUsedBeforeIssued, "its iat is in the future"},
		{errClaim, errClaim.Error()},
	} {
		if errors.Is(err, c.err) {
			return c.text
		}
	}
	return "it is not valid"
}

// revalidate holds the keys and settings of the moment against a session's token, which is not
// there any more.
func (t *tokens) revalidate(p *broker.Principal) (*broker.Principal, error) {
	for _, path := range t.o.KeepClaims {
		if _, known := p.Claims[path]; !known {
			return nil, refusal("the token has to be read anew, for a claim that rules did not ask for before")
		}
	}
	all, err := t.source.keys()
	if err != nil {
		return p, nil // as long as keys are not known, none is known to be gone
	}
	for _, k := range all {
		if t.proof^k.proof == p.Proof {
			return p, nil
		}
	}
	return nil, refusal("the token's key is not there any more")
}

// looksLikeToken tells a token from a password where both may stand: three parts, the first of
// which is an object.
func looksLikeToken(s string) bool {
	if len(s) > maxTokenBytes || strings.Count(s, ".") != 2 {
		return false
	}
	first, _, _ := strings.Cut(s, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return false
	}
	_, err = object(text)
	return err == nil
}
