package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"
)

// TestLeakFinds: a secret is found in each form in which a broker that is careless would let it out.
func TestLeakFinds(t *testing.T) {
	password := Canary + "-alice"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "a"}).SignedString([]byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	claims := strings.Split(token, ".")[1]
	asJSON, err := json.Marshal([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"text":              password,
		"quoted":            fmt.Sprintf("%q", "\x00"+password),
		"capitals":          strings.ToUpper(password),
		"hex":               fmt.Sprintf("%x", password),
		"capital hex":       fmt.Sprintf("%X", password),
		"bytes":             fmt.Sprint([]byte("x" + password)),
		"bytes as Go":       fmt.Sprintf("%#v", []byte("x"+password)),
		"JSON of bytes":     string(asJSON),
		"base 64":           base64.StdEncoding.EncodeToString([]byte("a:" + password)),
		"base 64, one on":   base64.StdEncoding.EncodeToString([]byte("al:" + password)),
		"base 64, two on":   base64.URLEncoding.EncodeToString([]byte("ali:" + password)),
		"token":             token,
		"token, cut":        token[:20],
		"token's claims":    claims,
		"bearer":            "Authorization: Bearer 0123456789abcdef0123",
		"subprotocol":       "bearer.0123456789abcdef0123",
		"basic":             "authorization: basic " + base64.StdEncoding.EncodeToString([]byte("alice:guess")),
		"bcrypt":            string(hash),
		"bcrypt, cut":       string(hash[:20]),
		"argon2id":          "$argon2id$v=19$m=65536,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0",
		"private key":       "-----BEGIN EC PRIVATE KEY-----",
		"behind other text": strings.Repeat("basic $2 eyJ bearer ", 100) + token,
	} {
		if Leak([]byte("level=INFO msg=x y="+text+" z=1")) == "" {
			t.Errorf("%s is not found in %q", name, text)
		}
	}
	for _, text := range []string{"passcode=guess", "passcode:guess", `passcode="a b"`, "/ws?access_token=x", "password=x", "Authorization=x", "access_token%3Dx"} {
		if LeakInLog([]byte("msg=x "+text)) == "" {
			t.Errorf("%q is not found in a log", text)
		}
	}
}

// TestLeakIsNotRash: what a broker says of its own is no secret.
func TestLeakIsNotRash(t *testing.T) {
	said := `time=2026-01-02T15:04:05.000Z level=WARN msg="login refused" reason="bad credentials" passcode=[redacted] path="/ws?access_token=[redacted]"
users[0].password_hash: has argon2id costs m=9999999,t=1,p=1, and m=262144,t=16,p=16 are the most (make a new one with: broker passwd)
password_hash: does not begin with $2a$, $2b$, $2y$ or $argon2id$
cannot reach 127.0.0.1:61613 (log in with -login and -passcode?); the password is empty; login, passcode or token is wrong or missing
WWW-Authenticate: Basic realm="gudok", charset="UTF-8"
WWW-Authenticate: Bearer realm="gudok"
id=eyJ4k2x9-QmA_3hdUeyJ session=eyJrandomrandomrandom credentials by bearer, basic and query; basic tables
-----BEGIN CERTIFICATE----- -----BEGIN PUBLIC KEY-----
`
	if at := LeakInLog([]byte(said)); at != "" {
		t.Error(at)
	}
	random := make([]byte, 1<<20)
	rand.Read(random)
	if at := LeakInLog([]byte(base64.RawURLEncoding.EncodeToString(random))); at != "" {
		t.Error(at)
	}
}

// TestSecretsOfConfiguration: what is secret in a configuration, and in the files that it names, is looked for.
func TestSecretsOfConfiguration(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	shared := base64.RawURLEncoding.EncodeToString(der[40:72])
	for name, text := range map[string]string{"key.pem": string(private), "keys.json": `{"keys":[{"kty":"oct","k":"` + shared + `"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	argon := "$argon2id$v=19$m=65536,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
	s := secretsOf(map[string]any{
		"users": []any{map[string]any{"name": "alice", "password_hash": argon}},
		"auth":  map[string]any{"http": map[string]any{"headers": []any{"X-Key: of the house"}}},
		"jwt":   map[string]any{"keys_file": "keys.json"},
		"tcp":   map[string]any{"tls": map[string]any{"key": filepath.Join(dir, "key.pem"), "cert": "none.pem"}},
	}, dir)
	lines := strings.Split(string(private), "\n")
	for name, text := range map[string]string{
		"salt": "MDEyMzQ1Njc4OWFiY2RlZg", "digest": argon[len(argon)-43:], "header": "[of the house]", "shared key": shared,
		"line of a key": lines[2], "key in hex": fmt.Sprintf("%x", der), "key as bytes": fmt.Sprint(der),
	} {
		if s.leak([]byte("x"+text)) == "" {
			t.Errorf("%s is not found: %q", name, text)
		}
		if Leak([]byte("x"+text)) != "" {
			t.Errorf("%s is found by its shape: this proves nothing", name)
		}
	}
}

// TestProcessesAreRead: a secret on a command line or in a variable is found, in a child's too.
func TestProcessesAreRead(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("missing: /proc")
	}
	t.Setenv("INHERITED", Canary)
	for name, c := range map[string]struct {
		env   string
		args  []string
		shown string
	}{
		"nothing":      {"X=y", []string{"-c", "echo up; read x", "sh"}, ""},
		"command line": {"X=y", []string{"-c", "echo up; read x", "sh", Canary}, "cmdline: "},
		"variable":     {"X=" + Canary, []string{"-c", "echo up; read x", "sh"}, "environ: "},
		"child":        {"X=y", []string{"-c", "sh -c 'echo up; read x' sh $(printf c4n4%s ry); true"}, "cmdline: "},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", c.args...)
			cmd.Env = append(os.Environ(), c.env)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, len("up"))); err != nil {
				t.Fatal(err)
			}
			at := secrets(nil).shownBy(cmd.Process.Pid)
			if !strings.HasPrefix(at, c.shown) || (at == "") != (c.shown == "") {
				t.Errorf("found %q, want %q", at, c.shown)
			}
			in.Close()
			_ = cmd.Wait() // read has got no line
		})
	}
}

// TestUsersAreKnown: a broker is not started for a user whose password the search would not find.
func TestUsersAreKnown(t *testing.T) {
	strange, err := bcrypt.GenerateFromPassword([]byte("1234"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash  string
		known bool
	}{{Hash(t, Canary+"-x"), true}, {Hashed(t, Canary, "$of$another$kind"), true}, {string(strange), false}} {
		err := checkUsers(map[string]any{"users": []any{map[string]any{"name": "carl"}, map[string]any{"name": "alice", "password_hash": c.hash}}})
		if (err == nil) != c.known {
			t.Errorf("%s: %v", c.hash, err)
		}
	}
}

// TestAnswersAreHeard: an answer, or an ERROR, with a secret in it is refused.
func TestAnswersAreHeard(t *testing.T) {
	frame := "ERROR\nmessage:no %s\n\n\x00"
	if _, _, err := parse(fmt.Appendf(nil, frame, Canary), "1.2"); err == nil {
		t.Error("an ERROR with a secret is taken")
	}
	if _, _, err := parse(fmt.Appendf(nil, frame, "way"), "1.2"); err != nil {
		t.Error(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Way", r.URL.Query().Get("header"))
		fmt.Fprint(w, r.URL.Query().Get("body"))
	}))
	defer s.Close()
	client := http.Client{Transport: Pages(http.DefaultTransport)}
	for query, found := range map[string]bool{"header=x&body=y": false, "header=" + Canary: true, "body=" + Canary: true} {
		res, err := client.Get(s.URL + "/?" + query)
		if (err != nil) != found {
			t.Errorf("%s: %v", query, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}
}

// TestWatched: what a suite's brokers print reaches the suite and is searched, to the last line; passwd may print
// a hash, and the broker is the very process that the suite started.
func TestWatched(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("missing: bash")
	}
	for name, c := range map[string]struct{ does, argument, says, finds string }{
		"harmless":  {"echo out; echo err >&2", "-config", "err", ""},
		"on stdout": {"echo early; seq 20000; echo " + Canary, "-config", Canary, "prints a secret"},
		"on stderr": {"echo early; seq 20000; echo passcode=guess >&2", "-config", "passcode=guess", "prints a secret"},
		"passwd":    {"echo " + Canary, "passwd", Canary, "no broker was run"},
		"silent":    {"true", "-config", "", "no broker was run"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := filepath.Join(t.TempDir(), "fake")
			if err := os.WriteFile(fake, []byte("#!"+bash+"\necho $$ >'"+fake+".pid'\n"+c.does+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			program, ended, err := watch(t.TempDir(), bash, fake)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, c.argument)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			pid, err := os.ReadFile(fake + ".pid")
			if err != nil || strings.TrimSpace(string(pid)) != strconv.Itoa(cmd.Process.Pid) {
				t.Errorf("process %d became %s, %v", cmd.Process.Pid, pid, err)
			}
			if !strings.Contains(string(out), c.says) {
				t.Errorf("%q does not reach the suite: %.100q", c.says, out)
			}
			if err := ended(); (err == nil) != (c.finds == "") || err != nil && !strings.Contains(err.Error(), c.finds) {
				t.Errorf("found %v, want %q", err, c.finds)
			}
		})
	}
}
