package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// key verifies tokens. Its algorithm is its own, whatever a token says: so a public RSA key can
// never serve as the secret of an HMAC.
type key struct {
	id     string // kid, or empty
	method jwt.SigningMethod
	value  any    // as method wants it
	proof  uint64 // the same for the same key
}

const (
	maxKeys      = 64
	maxKeysBytes = 256 << 10
	minRSABits   = 2048
	maxRSABits   = 8192
)

// methods are the algorithms of tokens (RFC 7518, section 3.1; RFC 8037). "none" is not among them.
func methods() map[string]jwt.SigningMethod {
	m := map[string]jwt.SigningMethod{}
	for _, s := range []jwt.SigningMethod{
		jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512,
		jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
		jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
		jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodES512,
		jwt.SigningMethodEdDSA,
	} {
		m[s.Alg()] = s
	}
	return m
}

// parseKeys reads a JWK set (RFC 7517) or PEM blocks. algorithm is that of RSA keys that do not say
// theirs; empty means RS256. public refuses shared secrets. The error quotes nothing of a key.
func parseKeys(text []byte, algorithm string, public bool) ([]key, error) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	var keys []key
	var err error
	if bytes.HasPrefix(text, []byte("{")) {
		keys, err = parseJWKS(text, algorithm, public)
	} else {
		keys, err = parsePEM(text, algorithm)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("no key in it can verify tokens")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("%d keys are in it, %d is the most", len(keys), maxKeys)
	}
	return keys, nil
}

func parsePEM(text []byte, algorithm string) ([]key, error) {
	var keys []key
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		var value any
		var err error
		switch b.Type {
		case "PUBLIC KEY":
			value, err = x509.ParsePKIXPublicKey(b.Bytes)
		case "RSA PUBLIC KEY":
			value, err = x509.ParsePKCS1PublicKey(b.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(b.Bytes); err == nil {
				value = c.PublicKey
			}
		default:
			return nil, fmt.Errorf("the block %q is no public key (openssl pkey -pubout makes one of a private key)", b.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("the block %q is damaged", b.Type)
		}
		own := "" // the only one of its kind
		if _, is := value.(*rsa.PublicKey); is {
			own = algorithm
		}
		k, err := newKey("", own, value)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("it is neither a JWK set nor a public key in PEM")
	}
	return keys, nil
}

// jwk is a key of a JWK set (RFC 7517, RFC 7518 section 6, RFC 8037).
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Alg    string   `json:"alg"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	N, E   string
	Crv    string `json:"crv"`
	X, Y   string
	K      string
	D      string
}

func parseJWKS(text []byte, algorithm string, public bool) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("it is not a JWK set: no JSON")
	}
	if set.Keys == nil {
		return nil, errors.New(`it is not a JWK set: "keys" is missing`)
	}
	if len(set.Keys) > 4*maxKeys {
		return nil, fmt.Errorf("%d keys are in it, %d is the most", len(set.Keys), maxKeys)
	}
	var keys []key
	for i, raw := range set.Keys {
		var j jwk
		if err := json.Unmarshal(raw, &j); err != nil {
			return nil, fmt.Errorf("key %d is not a JWK", i+1)
		}
		k, use, err := j.key(algorithm, public)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if use {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// key makes a key of a JWK; use is false for one that is of a kind or for a purpose that is none of
// ours, which a set may have too.
func (j jwk) key(algorithm string, public bool) (k key, use bool, err error) {
	if j.Use != "" && j.Use != "sig" || len(j.KeyOps) > 0 && !slices.Contains(j.KeyOps, "verify") {
		return key{}, false, nil
	}
	if j.Alg == "" && j.Kty == "RSA" {
		j.Alg = algorithm
	}
	if j.Alg != "" && methods()[j.Alg] == nil {
		return key{}, false, nil
	}
	if len(j.Kid) > maxTokenBytes {
		return key{}, false, errors.New("its kid is too long")
	}
	var value any
	switch j.Kty {
	case "RSA":
		value, err = j.rsa()
	case "EC":
		value, err = j.ecdsa()
	case "OKP":
		if j.Crv != "Ed25519" {
			return key{}, false, nil
		}
		value, err = j.ed25519()
	case "oct":
		if public {
			return key{}, false, errors.New("a shared secret cannot come from a URL")
		}
		value, err = bits(j.K)
	default:
		return key{}, false, nil
	}
	if err != nil {
		return key{}, false, fmt.Errorf("it is damaged: %w", err)
	}
	if j.D != "" {
		return key{}, false, errors.New("it is a private key, which only who signs tokens needs to have")
	}
	k, err = newKey(j.Kid, j.Alg, value)
	return k, err == nil, err
}

// bits reads a number or text of a JWK.
func bits(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, errors.New("a value is missing or not base64url")
	}
	return b, nil
}

func (j jwk) rsa() (*rsa.PublicKey, error) {
	n, err := bits(j.N)
	if err != nil {
		return nil, err
	}
	e, err := bits(j.E)
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, errors.New("its exponent is too large")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func (j jwk) ecdsa() (*ecdsa.PublicKey, error) {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Crv]
	if curve == nil {
		return nil, errors.New("its curve is not known")
	}
	x, err := bits(j.X)
	if err != nil {
		return nil, err
	}
	y, err := bits(j.Y)
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, errors.New("it has not the length of its curve")
	}
	return ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
}

func (j jwk) ed25519() (ed25519.PublicKey, error) {
	x, err := bits(j.X)
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, errors.New("it has not the length of an Ed25519 key")
	}
	return ed25519.PublicKey(x), nil
}

// newKey ties a key to its algorithm, which is the only one of its kind, or the one named, or
// RS256.
func newKey(id, algorithm string, value any) (key, error) {
	var fits []string
	switch v := value.(type) {
	case *rsa.PublicKey:
		if n := v.N.BitLen(); n < minRSABits || n > maxRSABits {
			return key{}, fmt.Errorf("it is an RSA key of %d bits, and %d to %d are wanted", n, minRSABits, maxRSABits)
		}
		if v.E < 3 || v.E&1 == 0 {
			return key{}, errors.New("it is an RSA key with a bad exponent")
		}
		fits = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch v.Curve {
		case elliptic.P256():
			fits = []string{"ES256"}
		case elliptic.P384():
			fits = []string{"ES384"}
		case elliptic.P521():
			fits = []string{"ES512"}
		default:
			return key{}, errors.New("it is of a curve that no algorithm has")
		}
	case ed25519.PublicKey:
		fits = []string{"EdDSA"}
	case []byte:
		fits = []string{"HS256", "HS384", "HS512"}
	default:
		return key{}, errors.New("it is of a kind that is not known")
	}
	if algorithm == "" {
		algorithm = fits[0]
	}
	if !slices.Contains(fits, algorithm) {
		return key{}, fmt.Errorf("its algorithm %q does not fit its kind", algorithm)
	}
	k := key{id: id, method: methods()[algorithm], value: value}
	// RFC 7518, section 3.2: a secret is as long as the hash at least.
	if secret, is := value.([]byte); is {
		if want := k.method.(*jwt.SigningMethodHMAC).Hash.Size(); len(secret) < want {
			return key{}, fmt.Errorf("its secret has %d bytes, and %s wants %d at least", len(secret), algorithm, want)
		}
	}
	text, is := value.([]byte)
	if !is {
		var err error
		if text, err = x509.MarshalPKIXPublicKey(value); err != nil {
			return key{}, fmt.Errorf("it is of no use: %w", err)
		}
	}
	k.proof = maphash.String(seed, algorithm+":"+string(text))
	return k, nil
}
