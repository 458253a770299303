package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// vector is a token that somebody might try.
type vector struct {
	name    string
	token   string
	expired bool
}

// vectors are tokens that must not get in, where all keys but those of an attacker are known.
func vectors(t testing.TB) []vector {
	f := theForge()
	es := jwt.SigningMethodES256
	var all []vector
	add := func(name, token string) { all = append(all, vector{name: name, token: token}) }
	claimed := func(name string, changes map[string]any) { add(name, mint(t, es, "es", f.ec, good(changes))) }
	text := func(name, claims string) { add(name, raw(t, es, f.ec, `{"alg":"ES256","kid":"es"}`, claims)) }
	head := func(name, header string) { add(name, raw(t, es, f.ec, header, asJSON(t, good(nil)))) }
	valid := mint(t, es, "es", f.ec, good(nil))
	parts := strings.Split(valid, ".")
	body := asJSON(t, good(nil))
	expires := regexp.MustCompile(`"exp":\d+`)

	// The algorithm is the key's, not the token's.
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", " none", "none\x00", "null", "false", "es256", "ES256 ", "HS256 ", "RS1", "ES256K", "A128KW", "dir"} {
		add("alg "+alg, b64([]byte(`{"alg":`+asJSON(t, alg)+`,"kid":"es"}`))+"."+parts[1]+"."+parts[2])
		add("alg without a signature "+alg, b64([]byte(`{"alg":`+asJSON(t, alg)+`}`))+"."+parts[1]+".")
	}
	add("no alg", b64([]byte(`{"kid":"es"}`))+"."+parts[1]+"."+parts[2])
	head("alg is no text", `{"alg":256,"kid":"es"}`)
	head("alg is a list", `{"alg":["ES256"],"kid":"es"}`)
	head("alg is JSON's null", `{"alg":null,"kid":"es"}`)
	head("alg twice", `{"alg":"none","alg":"ES256","kid":"es"}`)
	for _, kid := range []string{"rs", "", "ps"} {
		for i, public := range [][]byte{publicPEM(t, &f.rsa.PublicKey), bytes.TrimSpace(publicPEM(t, &f.rsa.PublicKey)), f.rsa.N.Bytes()} {
			add(fmt.Sprintf("HS256 with the public RSA key as secret, form %d, kid %q", i, kid), mint(t, jwt.SigningMethodHS256, kid, public, good(nil)))
		}
	}
	ecPublic, _ := f.ec.PublicKey.Bytes()
	add("HS256 with the public EC key as secret", mint(t, jwt.SigningMethodHS256, "es", ecPublic, good(nil)))
	add("HS256 with the public Ed25519 key as secret", mint(t, jwt.SigningMethodHS256, "ed", []byte(f.ed.Public().(ed25519.PublicKey)), good(nil)))
	add("HS256 with an empty secret", mint(t, jwt.SigningMethodHS256, "hs", []byte{}, good(nil)))
	add("HS256 with the kid as secret", mint(t, jwt.SigningMethodHS256, "hs", []byte("hs"), good(nil)))
	add("RS256 with the key of PS256", mint(t, jwt.SigningMethodRS256, "ps", f.rsa, good(nil)))

	// Nobody's own word says which key counts.
	add("another's key", mint(t, es, "es", f.ec2, good(nil)))
	add("another's key without kid", mint(t, es, "", f.ec2, good(nil)))
	add("another's RSA key", mint(t, jwt.SigningMethodRS256, "rs", f.rsa2, good(nil)))
	for _, kid := range []string{"../../../../dev/null", "/dev/null", "es\x00", "ES", "' OR '1'='1", "es|whoami", "http://evil/", "${x}", strings.Repeat("k", 4000)} {
		add("kid "+fmt.Sprintf("%.20q", kid), mint(t, es, kid, f.ec2, good(nil)))
		add("kid and nothing else wrong "+fmt.Sprintf("%.20q", kid), mint(t, es, kid, f.ec, good(nil)))
	}
	head("kid is no text", `{"alg":"ES256","kid":7}`)
	head("kid is an object", `{"alg":"ES256","kid":{"a":1}}`)
	for name, v := range map[string]any{"jwk": jwk("es", "ES256", f.ec2), "jku": "https://evil.example/keys", "x5u": "https://evil.example/c.pem", "x5c": []string{"MII"}} {
		h := asJSON(t, map[string]any{"alg": "ES256", "kid": "es", name: v})
		add(name, raw(t, es, f.ec2, h, body))
		h = asJSON(t, map[string]any{"alg": "ES256", name: v})
		add(name+" without kid", raw(t, es, f.ec2, h, body))
	}
	head("crit", `{"alg":"ES256","kid":"es","crit":["exp"]}`)
	head("crit b64", `{"alg":"ES256","kid":"es","b64":false,"crit":["b64"]}`)
	head("header no object", `["ES256"]`)
	head("header with more behind", `{"alg":"ES256","kid":"es"}{}`)
	head("header not UTF-8", "{\"alg\":\"ES256\",\"kid\":\"es\",\"x\":\"\xff\"}")

	// Signatures.
	add("no signature", parts[0]+"."+parts[1]+".")
	add("signature of zeros", parts[0]+"."+parts[1]+"."+b64(make([]byte, 64)))
	add("signature cut", valid[:len(valid)-4])
	add("signature of another token", parts[0]+"."+b64([]byte(asJSON(t, good(map[string]any{"sub": "root"}))))+"."+parts[2])
	add("signature in DER", parts[0]+"."+parts[1]+"."+b64(append([]byte{0x30, 0x44}, make([]byte, 68)...)))
	add("signature with other base64", strings.NewReplacer("-", "+", "_", "/").Replace(valid)+"=")
	add("padded", valid+"=")

	// The form.
	add("empty", "")
	add("dots", "..")
	add("two parts", parts[0]+"."+parts[1])
	add("four parts", valid+"."+parts[2])
	add("five parts", valid+"."+parts[2]+"."+parts[2])
	add("a million dots", strings.Repeat(".", 1_000_000))
	add("a million parts", strings.Repeat("a.", 1_000_000))
	add("8 KiB of dots", strings.Repeat(".", 8<<10))
	add("too long", mint(t, es, "es", f.ec, good(map[string]any{"x": strings.Repeat("x", 8<<10)})))
	add("a space within", parts[0]+". "+parts[1]+"."+parts[2])
	add("a newline within", parts[0]+".\n"+parts[1]+"."+parts[2])
	add("Bearer twice", "Bearer "+valid)
	add("quotes", `"`+valid+`"`)

	// The claims.
	text("claims are a list", `[]`)
	text("claims are null", `null`)
	text("no claims", ``)
	text("claims cut", body[:len(body)-1])
	text("more behind the claims", body+`{"sub":"root"}`)
	text("claims not UTF-8", strings.Replace(body, "ann", "a\xffn", 1))
	text("claims nested deep", strings.Replace(body, `"ann"`, `"ann","x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000), 1))
	for _, name := range []string{"sub", "exp", "iss", "aud"} {
		text(name+" twice", `{`+fmt.Sprintf("%q:%s", name, asJSON(t, good(nil)[name]))+","+body[1:])
	}
	text("a name twice, once escaped", `{"\u0073ub":"root",`+body[1:])
	text("a name twice, deeper", strings.Replace(body, `"ann"`, `"ann","x":{"a":1,"a":2}`, 1))
	claimed("no exp", map[string]any{"exp": nil})
	for _, v := range []any{"never", fmt.Sprint(time.Now().Add(time.Hour).Unix()), true, []int64{time.Now().Unix() + 60}, map[string]any{}, 0, -1, -1e300, 1e300} {
		claimed(fmt.Sprintf("exp %v", v), map[string]any{"exp": v})
	}
	for _, n := range []string{"null", "1e400", "-0", "99999999999999999999", "253402300800", "1e20", "0.5e-400"} {
		text("exp "+n, expires.ReplaceAllString(body, `"exp":`+n))
	}
	claimed("exp in milliseconds", map[string]any{"exp": time.Now().UnixMilli() + 60_000})
	claimed("exp too far away without iat", map[string]any{"iat": nil, "exp": time.Now().Add(25 * time.Hour).Unix()})
	for _, v := range []any{"x", true, []int{1}, time.Now().Add(time.Minute).Unix()} {
		claimed(fmt.Sprintf("nbf %v", v), map[string]any{"nbf": v})
		claimed(fmt.Sprintf("iat %v", v), map[string]any{"iat": v})
	}
	for _, v := range []any{nil, "", "https://evil.example/", "https://id.example.org", "HTTPS://ID.EXAMPLE.ORG/", 7, []string{"https://id.example.org/"}, "https://id.example.org/\x00"} {
		claimed(fmt.Sprintf("iss %v", v), map[string]any{"iss": v})
	}
	for _, v := range []any{nil, "", "other", "gudok2", "GUDOK", 7, []string{}, []string{"other"}, []any{"other", 7}, map[string]any{"gudok": 1}, []any{[]string{"gudok"}}} {
		claimed(fmt.Sprintf("aud %v", v), map[string]any{"aud": v})
	}
	for _, v := range []any{nil, "", " ", 7.5, -1, true, []string{"ann"}, map[string]any{"id": "ann"}, "queue", "*", "a/b", "#", "a\nb", "a\x00", "a\ufffdb", "{user}", strings.Repeat("n", 300)} {
		claimed(fmt.Sprintf("sub %.20v", v), map[string]any{"sub": v})
	}
	text("sub is half a character", strings.Replace(body, `"ann"`, `"\ud800"`, 1))
	for _, v := range []any{7, true, []any{"a", 7}, map[string]any{"a": 1}} {
		claimed(fmt.Sprintf("groups %v", v), map[string]any{"groups": v})
	}

	// Good once.
	old := func(name string, changes map[string]any) {
		all = append(all, vector{name, mint(t, es, "es", f.ec, good(changes)), true})
	}
	now := time.Now()
	old("expired", map[string]any{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Minute).Unix()})
	old("expired, a fraction", map[string]any{"iat": now.Add(-2 * time.Hour).Unix(), "exp": float64(now.Add(-time.Minute).Unix()) + .5})
	old("expired long ago", map[string]any{"iat": nil, "exp": 1})
	old("expired, small", map[string]any{"iat": nil, "exp": 0.25})
	old("too old", map[string]any{"iat": now.Add(-25 * time.Hour).Unix()})
	return all
}

func TestTokenAttacks(t *testing.T) {
	keys := file(t, allKeys(t))
	all := vectors(t)
	seen := map[string]bool{}
	for _, v := range all {
		if seen[v.name] {
			t.Errorf("%s is there twice", v.name)
		}
		seen[v.name] = true
		// A chain for each, so that nothing is slowed.
		c := open(t, auth.Options{Tokens: tokenOptions(keys), Anonymous: true})
		want := broker.ErrBadCredentials
		if v.expired {
			want = broker.ErrExpired
		}
		for way, given := range map[string]broker.Credentials{
			"Authorization": {Authorization: broker.Secret("Bearer " + v.token)},
			"passcode":      {Login: "ann", Passcode: broker.Secret(v.token)},
			"handshake":     {Peer: broker.Peer{Offer: &broker.Offer{Source: broker.FromQuery, Token: broker.Secret(v.token)}}},
		} {
			trimmed := strings.TrimSpace(v.token) != v.token
			if way == "Authorization" && trimmed {
				continue
			}
			p, err := c.Authenticate(t.Context(), given)
			if p != nil || !errors.Is(err, want) {
				t.Errorf("%s in %s: %+v, %v", v.name, way, p, err)
			}
			if err != nil && (len(err.Error()) > 200 || len(v.token) > 8 && strings.Contains(err.Error(), v.token)) {
				t.Errorf("%s in %s: an error of %d bytes", v.name, way, len(err.Error()))
			}
		}
	}
	if len(all) < 120 {
		t.Errorf("only %d vectors", len(all))
	}
	t.Logf("%d vectors", len(all))
}
