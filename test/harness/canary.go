package harness

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Canary is in every password, key and token of the tests that is not recognised by its shape. Whatever
// a broker lets out is searched for it, and for what else a secret looks like: see [Leak].
const Canary = "c4n4ry"

// canaries are the forms in which the canary may come out.
var canaries = formsOf(Canary)

// formsOf is a text as it is, in capitals, in base 64 wherever it stands in what was encoded, in hex, and
// as fmt prints bytes.
func formsOf(text string) [][]byte {
	raw := []byte(text)
	forms := [][]byte{raw, bytes.ToUpper(raw), fmt.Append(nil, hex.EncodeToString(raw)), fmt.Appendf(nil, "%X", raw),
		bytes.Trim(fmt.Append(nil, raw), "[]"), bytes.TrimSuffix(bytes.TrimPrefix(fmt.Appendf(nil, "%#v", raw), []byte("[]byte{")), []byte("}"))}
	for before := range 3 {
		// Characters at either end that are partly of what stands beside it are left out.
		code := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), raw...))
		code = code[(before*8+5)/6 : (before+len(raw))*8/6]
		forms = append(forms, []byte(code), []byte(strings.NewReplacer("+", "-", "/", "_").Replace(code)))
	}
	return forms
}

// shape is what a secret looks like that no test made up.
type shape struct {
	begins string // in small letters: searched for first, since that is fast
	is     func(rest []byte) bool
}

var (
	hashes  = regexp.MustCompile(`^\$(2[abxy]\$\d\d\$[./A-Za-z0-9]{8}|argon2(id?|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{8})`)
	bearers = regexp.MustCompile(`^(?i:bearer)[ .][A-Za-z0-9_.~+/-]{16}`) // what asks for one goes on with realm=
	basics  = regexp.MustCompile(`^(?i:basic) ([A-Za-z0-9+/]{4,})`)
	keys    = regexp.MustCompile(`^(?i:-----begin [a-z ]*private key)`)
	values  = regexp.MustCompile(`^(?i:[a-z_]+)(=|:|%3[aAdD])"?[^\s"\[]`) // [redacted] may come
	members = regexp.MustCompile(`^\{"\w+":`)
)

// shapes are those that may be nowhere; in a log, the name before a value tells that it is a secret, too.
var (
	shapes = []shape{{"eyj", isToken}, {"$2", hashes.Match}, {"$argon2", hashes.Match}, {"bearer", bearers.Match}, {"basic ", isBasic},
		{"-----begin ", keys.Match}}
	named = []shape{{"passcode", values.Match}, {"password", values.Match}, {"access_token", values.Match}, {"authorization", values.Match}}
)

// isToken tells whether a JWT, or the second part of one, begins here.
func isToken(rest []byte) bool {
	n := len(rest) - len(bytes.TrimLeft(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
	text, err := base64.RawURLEncoding.DecodeString(string(rest[:n/4*4]))
	return err == nil && members.Match(text)
}

// isBasic tells whether a login and a password begin here.
func isBasic(rest []byte) bool {
	m := basics.FindSubmatch(rest)
	if m == nil {
		return false
	}
	text, err := base64.StdEncoding.DecodeString(string(m[1][:len(m[1])/4*4]))
	return err == nil && bytes.IndexByte(text, ':') >= 0
}

// Leak finds the first secret in what a broker let out: the canary in any form, a token, the hash of a password,
// an Authorization header, a private key. It gives the place, or "" if there is none.
func Leak(text []byte) string { return leak(text, canaries, shapes) }

func leak(text []byte, texts [][]byte, shapes []shape) string {
	for _, secret := range texts {
		if i := bytes.Index(text, secret); i >= 0 {
			return around(text, i)
		}
	}
	lower := make([]byte, len(text)) // of letters of ASCII alone, so that places stay
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	for _, s := range shapes {
		for i := 0; ; i++ {
			next := bytes.Index(lower[i:], []byte(s.begins))
			if next < 0 {
				break
			}
			if i += next; s.is(text[i:min(len(text), i+512)]) {
				return around(text, i)
			}
		}
	}
	return ""
}

// LeakInLog is [Leak] for what the program printed, where the name before a value tells that it is a secret, too.
func LeakInLog(text []byte) string { return secrets(nil).leak(text) }

// secrets are those of one broker: what its configuration has.
type secrets [][]byte

// leak is [LeakInLog] for the broker that has them.
func (s secrets) leak(text []byte) string {
	return leak(text, slices.Concat(canaries, s), slices.Concat(shapes, named))
}

// around is a place in a text with what stands beside it.
func around(text []byte, i int) string {
	return fmt.Sprintf("%q", text[max(0, i-100):min(len(text), i+100)])
}

// secretsOf are the secrets of a configuration: hashes of passwords, headers for a service, and what is
// private in the files that it names, which lie in dir if they are not elsewhere.
func secretsOf(config any, dir string) (s secrets) {
	switch v := config.(type) {
	case map[string]any:
		for key, inner := range v {
			if text, ok := inner.(string); ok && key == "password_hash" {
				s = append(s, piecesOf(text)...)
				continue
			}
			if list, ok := inner.([]any); ok && key == "headers" {
				for _, header := range list {
					if _, value, ok := strings.Cut(fmt.Sprint(header), ":"); ok {
						s = append(s, []byte(strings.TrimSpace(value)))
					}
				}
				continue
			}
			s = append(s, secretsOf(inner, dir)...)
		}
	case []any:
		for _, inner := range v {
			s = append(s, secretsOf(inner, dir)...)
		}
	case string:
		if !strings.Contains(v, ".") || strings.ContainsAny(v, "\n*") {
			break // no file of the tests
		}
		if !filepath.IsAbs(v) {
			v = filepath.Join(dir, v)
		}
		if text, err := os.ReadFile(v); err == nil {
			s = append(s, privateIn(text)...)
		}
	}
	return s
}

// piecesOf are the salt and the digest of a password's hash, without their ends: a log may cut them.
func piecesOf(hash string) (s secrets) {
	for piece := range strings.SplitSeq(hash, "$") {
		if len(piece) >= 20 && !strings.Contains(piece, ",") { // that would be costs
			s = append(s, []byte(piece[:12]))
		}
	}
	return s
}

// privateIn are the lines of private keys in PEM, and the private members of a set of keys in JSON.
func privateIn(text []byte) (s secrets) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if json.Unmarshal(text, &set) == nil {
		for _, key := range set.Keys {
			for _, name := range []string{"k", "d"} {
				if v, ok := key[name].(string); ok && len(v) >= 12 {
					s = append(s, []byte(v[:12]))
				}
			}
		}
		return s
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		for line := range bytes.Lines(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: block.Bytes})) {
			if line = bytes.TrimSpace(line); len(line) == 64 {
				s = append(s, line)
			}
		}
		// The same as other encodings have it; what begins it is the kind of key, and no secret.
		if n := len(block.Bytes); n > 64 {
			s = append(s, fmt.Appendf(nil, "%x", block.Bytes[40:56]), bytes.Trim(fmt.Append(nil, block.Bytes[40:56]), "[]"))
		}
	}
	return s
}

// shownBy looks for secrets in what everybody on the machine may see of a process and of those that it runs, and
// in what variables they have that this process has not. Where there is no /proc nothing is seen.
func (s secrets) shownBy(pid int) string {
	for pids := []string{strconv.Itoa(pid)}; len(pids) > 0; pids = pids[1:] {
		dir := filepath.Join("/proc", pids[0])
		for _, name := range []string{"cmdline", "comm", "environ"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue // it has ended
			}
			for word := range bytes.SplitSeq(text, []byte{0}) {
				if at := s.leak(word); at != "" && !slices.Contains(os.Environ(), string(word)) {
					return name + ": " + at
				}
			}
		}
		children, _ := os.ReadFile(filepath.Join(dir, "task", pids[0], "children"))
		pids = append(pids, strings.Fields(string(children))...)
	}
	return ""
}
