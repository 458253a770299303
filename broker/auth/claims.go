package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/store/mutant"
)

// claims are the payload of a token whose signature is good.
type claims map[string]any

var _ jwt.Claims = claims(nil)

const maxNesting = 16

// object reads a JSON object strictly: two of one name could be read in two ways, by us and by who
// signed or checked it before.
func object(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than an object")
	}
	return m, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, errors.New("not JSON")
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxNesting {
		return nil, errors.New("nested too deep")
	}
	var list []any
	m := map[string]any{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return nil, errors.New("not JSON")
			}
			k := name.(string) // the decoder sees to it
			if _, twice := m[k]; twice {
				return nil, errors.New("a name is there twice")
			}
			if m[k], err = value(d, depth+1); err != nil {
				return nil, err
			}
			continue
		}
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("not JSON")
	}
	if delim == '{' {
		return m, nil
	}
	return list, nil
}

// maxDate is the year 9999.
const maxDate = 253_402_300_799

var errClaim = errors.New("a claim is of another type than RFC 7519 has it")

// date reads a NumericDate: seconds, or a fraction of them (RFC 7519, section 2).
func (c claims) date(name string) (*jwt.NumericDate, error) {
	v, ok := c[name]
	if !ok {
		return nil, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return nil, errClaim
	}
	f, err := n.Float64()
	if err != nil || !(f > 0 && f <= maxDate) {
		return nil, errClaim
	}
	whole, part := math.Modf(f)
	if mutant.Is(mutant.FloatExpIgnored) && part != 0 {
		whole = maxDate
	}
	return &jwt.NumericDate{Time: time.Unix(int64(whole), int64(part*1e9))}, nil
}

// GetExpirationTime implements jwt.Claims, as do the next five.
func (c claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.date("exp") }

// GetIssuedAt gives iat.
func (c claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.date("iat") }

// GetNotBefore gives nbf.
func (c claims) GetNotBefore() (*jwt.NumericDate, error) { return c.date("nbf") }

// GetIssuer gives iss.
func (c claims) GetIssuer() (string, error) { return c.text("iss") }

// GetSubject gives sub.
func (c claims) GetSubject() (string, error) { return c.text("sub") }

// GetAudience gives aud, which may be one or many.
func (c claims) GetAudience() (jwt.ClaimStrings, error) {
	list, ok := texts(c["aud"])
	if !ok {
		return nil, errClaim
	}
	return list, nil
}

func (c claims) text(name string) (string, error) {
	v, ok := c[name]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", errClaim
	}
	return s, nil
}

// find follows a dotted path, such as realm_access.roles; a claim whose name has the dots itself
// comes first.
func (c claims) find(path string) (any, bool) {
	at := map[string]any(c)
	for {
		if v, ok := at[path]; ok {
			return v, true
		}
		head, rest, more := strings.Cut(path, ".")
		next, ok := at[head].(map[string]any)
		if !more || !ok {
			return nil, false
		}
		at, path = next, rest
	}
}

// list reads a claim of one or many texts; those of scope stand in one, with spaces between
// (RFC 8693, section 4.2). A claim that is not there is an empty list.
func (c claims) list(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	v, _ := c.find(path)
	if s, ok := v.(string); ok && (path == "scope" || path == "scp") {
		return strings.Fields(s), nil
	}
	list, ok := texts(v)
	if !ok {
		return nil, errClaim
	}
	return list, nil
}

// values reads a claim that rules may ask for, of one value or many, whatever they are: a deny may
// hang on them. Numbers and truth values are what JSON writes; objects and null are none.
func (c claims) values(path string) (all []string) {
	if list, err := c.list(path); err == nil {
		return list
	}
	v, _ := c.find(path)
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	for _, e := range list {
		switch e := e.(type) {
		case string:
			all = append(all, e)
		case json.Number:
			all = append(all, e.String())
		case bool:
			all = append(all, strconv.FormatBool(e))
		}
	}
	return all
}

// texts is v as a list of texts, if it is one, or one text, or nothing.
func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
		return list, true
	}
	return nil, false
}
