package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var (
	made   sync.Map // password to hash, by Hash
	hashed sync.Map // hashes whose password has the canary in it
)

// Hash is a hash of a password, one that is quickly compared. The [Canary] must be in the password.
func Hash(t testing.TB, password string) string {
	t.Helper()
	if h, ok := made.Load(password); ok {
		return h.(string)
	}
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	made.Store(password, string(h))
	return Hashed(t, password, string(h))
}

// Hashed is a hash that something else than [Hash] made of a password: a broker is started with known ones
// alone, so that no password escapes the search of what it prints.
func Hashed(t testing.TB, password, hash string) string {
	t.Helper()
	if !strings.Contains(password, Canary) {
		t.Fatalf("the canary is not in the password %q", password)
	}
	hashed.Store(hash, true)
	return hash
}

// checkUsers tells of the first user whose password the harness does not know.
func checkUsers(config map[string]any) error {
	users, _ := config["users"].([]any)
	for _, u := range users {
		user, _ := u.(map[string]any)
		hash, ok := user["password_hash"].(string)
		if _, known := hashed.Load(hash); ok && !known {
			return fmt.Errorf("the password of user %v is not known here (make the hash with harness.Hash)", user["name"])
		}
	}
	return nil
}

// Certificate makes a certificate for a host that vouches for itself, and gives its files in PEM.
func Certificate(t testing.TB, host string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return PEM(t, "CERTIFICATE", der), PEM(t, "PRIVATE KEY", private)
}

// PEM writes a block to a file of the test's own.
func PEM(t testing.TB, kind string, der []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), strings.ReplaceAll(strings.ToLower(kind), " ", "-")+".pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
