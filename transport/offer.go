package transport

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gudokmq/gudok/broker"
)

// Subprotocols that bring a token: browsers let a page set no other header of the handshake. The
// second form takes tokens of any characters.
const (
	bearerProtocol  = "bearer."
	encodedProtocol = "base64url.bearer.authorization.gudok."
)

// offer finds what a handshake offers as credentials, in the order of broker's From constants. What
// is there but cannot be read is an offer too, which nobody will accept: it must not pass for none.
func (o Options) offer(r *http.Request) *broker.Offer {
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		return authorization(h[0])
	}
	for _, p := range offeredProtocols(r) {
		if secret, ok := cutFold(p, encodedProtocol); ok {
			text, err := base64.RawURLEncoding.DecodeString(secret)
			if err != nil {
				text = nil
			}
			return tokenFrom(broker.FromSubprotocol, string(text))
		}
		if secret, ok := cutFold(p, bearerProtocol); ok {
			return tokenFrom(broker.FromSubprotocol, secret)
		}
	}
	if o.TokenQuery != "" {
		if all := r.URL.Query()[o.TokenQuery]; len(all) > 0 && all[0] != "" {
			return tokenFrom(broker.FromQuery, only(all))
		}
	}
	if o.TokenCookie != "" {
		var all []string
		for _, c := range r.CookiesNamed(o.TokenCookie) {
			if c.Value != "" {
				all = append(all, c.Value)
			}
		}
		if len(all) > 0 {
			return tokenFrom(broker.FromCookie, only(all))
		}
	}
	return nil
}

// only is the one value, or nothing if there are several: who set which is not known.
func only(all []string) string {
	for _, s := range all {
		if s != all[0] {
			return ""
		}
	}
	return all[0]
}

// tokenFrom keeps a token without the request it came in.
func tokenFrom(source, token string) *broker.Offer {
	return &broker.Offer{Source: source, Token: broker.Secret(strings.Clone(token))}
}

// authorization reads an Authorization header.
func authorization(h string) *broker.Offer {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
	rest = strings.TrimSpace(rest)
	if !strings.EqualFold(scheme, "Basic") {
		if !strings.EqualFold(scheme, "Bearer") {
			rest = ""
		}
		return tokenFrom(broker.FromBearer, rest)
	}
	o := &broker.Offer{Source: broker.FromBasic}
	if text, err := base64.StdEncoding.DecodeString(rest); err == nil { // RFC 7617, section 2
		login, passcode, ok := strings.Cut(string(text), ":")
		if ok {
			o.Login, o.Passcode = login, broker.Secret(passcode)
		}
	}
	return o
}

// offeredProtocols are the words of Sec-WebSocket-Protocol.
func offeredProtocols(r *http.Request) []string {
	var all []string
	for _, h := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			all = append(all, strings.TrimSpace(p))
		}
	}
	return all
}

// visibleProtocols shows them without tokens.
func visibleProtocols(all []string) string {
	shown := make([]string, len(all))
	for i, p := range all {
		shown[i] = p
		if len(p) > 32 || strings.Contains(strings.ToLower(p), "bearer") {
			shown[i] = "[redacted]"
		}
	}
	return cut(strings.Join(shown, ","))
}

// cutFold cuts a prefix, whatever its case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
