package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The kinds of hash.
const (
	Bcrypt   = "bcrypt"
	Argon2id = "argon2id"
)

// What a new hash costs, and what one of the configuration may cost at most: a login must not
// take seconds or a machine's memory.
const (
	newBcryptCost  = 10
	maxBcryptCost  = 14
	newArgonMemory = 19 << 10 // KiB
	newArgonTime   = 2
	maxArgonMemory = 256 << 10 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 16
	maxBcryptBytes = 72
)

// hash is a password hash that can be held against a password.
type hash interface {
	// matches computes the hash of a password, which takes tens of milliseconds, and compares in
	// constant time.
	matches(password string) bool
	// dummy is a hash of the same cost that no password is known for.
	dummy() hash
}

// Hash makes the hash of a password, of kind [Bcrypt] or [Argon2id], as it stands in a
// configuration. An empty password is refused; so is one of more than 72 bytes for bcrypt, which
// would ignore the rest.
func Hash(password, kind string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	switch kind {
	case Bcrypt:
		if len(password) > maxBcryptBytes {
			return "", fmt.Errorf("the password is longer than the %d bytes that bcrypt reads (use argon2id)", maxBcryptBytes)
		}
		h, err := bcrypt.GenerateFromPassword([]byte(password), newBcryptCost)
		return string(h), err
	case Argon2id:
		h := argonHash{memory: newArgonMemory, time: newArgonTime, lanes: 1, salt: random(16), key: make([]byte, 32)}
		h.key = h.derive(password)
		return h.String(), nil
	}
	return "", fmt.Errorf("%q is no kind of hash (use argon2id or bcrypt)", kind)
}

// Check tells why a text cannot serve as a password hash: it is of no known kind, damaged, or too
// costly. The error does not quote it.
func Check(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (hash, error) {
	if len(text) > 0 && text[0] == '$' && len(text) < 512 {
		if m := argonForm.FindStringSubmatch(text); m != nil {
			return parseArgon(m[1:])
		}
		if cost, err := bcrypt.Cost([]byte(text)); err == nil {
			return parseBcrypt(text, cost)
		}
	}
	return nil, errors.New("is not a bcrypt or argon2id hash (make one with: broker passwd)")
}

// bcryptHash is kept as its text, whose base 64 bcrypt itself reads.
type bcryptHash []byte

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$`)

func parseBcrypt(text string, cost int) (hash, error) {
	if !bcryptForm.MatchString(text) {
		return nil, errors.New("is a damaged bcrypt hash (make a new one with: broker passwd)")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("has a bcrypt cost of %d, and %d is the most (make a new one with: broker passwd)", cost, maxBcryptCost)
	}
	return bcryptHash(text), nil
}

func (h bcryptHash) matches(password string) bool {
	err := bcrypt.CompareHashAndPassword(h, []byte(password))
	// bcrypt reads 72 bytes; what follows them must not be ignored.
	return err == nil && len(password) <= maxBcryptBytes
}

func (h bcryptHash) dummy() hash {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	d := append(bcryptHash(nil), h...)
	for i, b := range random(53) {
		d[len(d)-53+i] = alphabet[b&63]
	}
	return d
}

// argonHash is argon2id with its parameters (RFC 9106).
type argonHash struct {
	memory, time uint32 // KiB, passes
	lanes        uint8
	salt, key    []byte
}

var argonForm = regexp.MustCompile(`^\$argon2id\$v=(\d{1,9})\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

func parseArgon(m []string) (hash, error) {
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i]) // nine digits at most
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(m[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(m[5])
	switch version, memory, time, lanes := n[0], n[1], n[2], n[3]; {
	case version != argon2.Version:
		return nil, fmt.Errorf("is argon2id of version %d, and only %d is read (make a new one with: broker passwd)", version, argon2.Version)
	case memory < 8*lanes || memory > maxArgonMemory || time < 1 || time > maxArgonTime || lanes < 1 || lanes > maxArgonLanes:
		return nil, fmt.Errorf("has argon2id costs m=%d,t=%d,p=%d, and m=%d,t=%d,p=%d are the most (make a new one with: broker passwd)",
			memory, time, lanes, maxArgonMemory, maxArgonTime, maxArgonLanes)
	case saltErr != nil || keyErr != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64:
		return nil, errors.New("is a damaged argon2id hash (make a new one with: broker passwd)")
	default:
		return argonHash{uint32(memory), uint32(time), uint8(lanes), salt, key}, nil // #nosec G115 -- their bounds are checked above
	}
}

func (h argonHash) derive(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, uint32(len(h.key))) // #nosec G115 -- 64 at most
}

func (h argonHash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password), h.key) == 1
}

func (h argonHash) dummy() hash {
	h.salt, h.key = random(len(h.salt)), random(len(h.key))
	return h
}

// String writes the hash in the PHC format.
func (h argonHash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.lanes, b64(h.salt), b64(h.key))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}
