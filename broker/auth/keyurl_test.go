package auth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// issuer is an HTTP server in memory that has keys, and whatever else a test wants.
type issuer struct {
	asked atomic.Int64

	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error)
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.asked.Add(1)
	i.mu.Lock()
	answer := i.answer
	i.mu.Unlock()
	return answer(r)
}

func (i *issuer) will(answer func(*http.Request) (*http.Response, error)) {
	i.mu.Lock()
	i.answer = answer
	i.mu.Unlock()
}

func response(r *http.Request, code int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(body), Request: r, ProtoMajor: 1, ProtoMinor: 1}
}

func says(code int, body []byte) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return response(r, code, bytes.NewReader(body)), nil }
}

const keysURL = "https://id.example.org/keys?tenant=s3cret"

func urlOptions(i *issuer) *auth.TokenOptions {
	o := tokenOptions("")
	o.KeysURL, o.Client, o.Refresh = keysURL, &http.Client{Transport: i}, 10*time.Minute
	return o
}

// V21: what goes wrong at the issuer never lets anybody in, nor keeps anybody out whose key is known.
func TestV21KeysURL(t *testing.T) {
	f := theForge()
	first, second := jwks(t, jwk("1", "ES256", f.ec)), jwks(t, jwk("1", "ES256", f.ec), jwk("2", "ES256", f.ec2))
	endless := func(r *http.Request) (*http.Response, error) {
		return response(r, 200, io.MultiReader(bytes.NewReader(second), zeros{})), nil
	}
	silent := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	stuck := func(r *http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
		return response(r, 200, body), nil
	}
	leads := func(to string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != keysURL {
				return response(r, 200, bytes.NewReader(second)), nil // what it must not come to
			}
			res := response(r, 302, strings.NewReader(""))
			res.Header.Set("Location", to)
			return res, nil
		}
	}
	withSecret := jwks(t, jwk("1", "ES256", f.ec), jwk("2", "HS256", f.secret))
	for name, wrong := range map[string]func(*http.Request) (*http.Response, error){
		"down":                  func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") },
		"500":                   says(500, second),
		"404 with keys":         says(404, second),
		"201 with keys":         says(201, second),
		"204":                   says(204, nil),
		"empty":                 says(200, nil),
		"no keys":               says(200, []byte(`{"keys":[]}`)),
		"null":                  says(200, []byte(`null`)),
		"HTML":                  says(200, []byte(`<html>`)),
		"cut":                   says(200, second[:len(second)-10]),
		"a shared secret":       says(200, withSecret),
		"PEM of a private key":  says(200, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")),
		"endless":               endless,
		"silent":                silent,
		"stuck":                 stuck,
		"leads to another":      leads("https://evil.example.org/keys"),
		"leads to this host":    leads("http://127.0.0.1:8080/keys"),
		"leads to plaintext":    leads("http://id.example.org/other"),
		"leads to another port": leads("https://id.example.org:8443/keys"),
		"leads to a file":       leads("file:///etc/passwd"),
		"leads in circles":      leads(keysURL),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedBuffer
				i := &issuer{}
				i.will(says(200, first))
				c := open(t, auth.Options{Tokens: urlOptions(i), Logger: slog.New(slog.NewTextHandler(&log, nil))})
				ask := func(kid string, key any) error {
					t.Helper()
					_, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, kid, key, good(nil))))
					return err
				}
				if err := ask("1", f.ec); err != nil {
					t.Fatal(err)
				}
				i.will(wrong)
				for range 100 {
					began := time.Now()
					if err := ask("2", f.ec2); !errors.Is(err, broker.ErrBadCredentials) && !errors.Is(err, broker.ErrTooMany) {
						t.Errorf("the unknown key: %v", err)
					}
					if d := time.Since(began); d > 3*time.Second {
						t.Errorf("a login waited for %v", d)
					}
					if err := ask("1", f.ec); err != nil {
						t.Errorf("the known key: %v", err)
					}
					time.Sleep(time.Minute)
				}
				// Nor does a secret that everybody can fetch make anybody a user.
				if _, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodHS256, "2", f.secret, good(nil)))); err == nil {
					t.Error("a fetched secret is a key")
				}
				i.will(says(200, second))
				time.Sleep(10 * time.Minute)
				if err := ask("2", f.ec2); err != nil {
					t.Errorf("after all: %v", err)
				}
				if strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), "AAAA") {
					t.Errorf("%s", log.String())
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Keys that rotate: the first token of a new key fetches it, for all who wait; a flood of keys that
// do not exist fetches once in half a minute.
func TestKeysRotate(t *testing.T) {
	f := theForge()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		slow := func(body []byte) func(*http.Request) (*http.Response, error) {
			return func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return response(r, 200, bytes.NewReader(body)), nil
			}
		}
		i.will(slow(jwks(t, jwk("1", "ES256", f.ec))))
		c := open(t, auth.Options{Tokens: urlOptions(i)})
		ask := func(kid string, key any) error {
			_, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, kid, key, good(nil))))
			return err
		}
		crowd := func(kid string, key any) {
			t.Helper()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if err := ask(kid, key); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		crowd("1", f.ec) // before the first fetch is over
		if n := i.asked.Load(); n != 1 {
			t.Errorf("asked %d times for the first", n)
		}
		i.will(slow(jwks(t, jwk("2", "ES256", f.ec2))))
		time.Sleep(time.Minute)
		crowd("2", f.ec2)
		if n := i.asked.Load(); n != 2 {
			t.Errorf("asked %d times for the second", n)
		}
		before := i.asked.Load()
		for range 3000 {
			_ = ask("nonsense", f.ec)
			time.Sleep(100 * time.Millisecond)
		}
		if n := i.asked.Load() - before; n > 11 {
			t.Errorf("a flood of five minutes asked %d times", n)
		}
		if err := ask("1", f.ec); err == nil {
			t.Error("the old key is still good")
		}
	})
}

// Until the keys have come, a login cannot be checked, and does not wait for ever.
func TestKeysNotThereYet(t *testing.T) {
	f := theForge()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		i.will(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") })
		c := open(t, auth.Options{Tokens: urlOptions(i)})
		synctest.Wait()
		token := mint(t, jwt.SigningMethodES256, "1", f.ec, good(nil))
		for range 5 {
			began := time.Now()
			_, err := c.Authenticate(t.Context(), byToken(token))
			if err == nil || errors.Is(err, broker.ErrBadCredentials) || time.Since(began) > 3*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			time.Sleep(time.Second)
		}
		i.will(says(200, jwks(t, jwk("1", "ES256", f.ec))))
		time.Sleep(30 * time.Second)
		if _, err := c.Authenticate(t.Context(), byToken(token)); err != nil {
			t.Error(err)
		}
		// An impatient client, and the end.
		i.will(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		time.Sleep(time.Minute)
		if _, err := c.Authenticate(ctx, byToken(mint(t, jwt.SigningMethodES256, "9", f.ec, good(nil)))); err == nil {
			t.Error("an unknown key is known")
		}
		began := time.Now()
		if err := c.Close(); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A redirect on the same host is followed.
func TestKeysMoved(t *testing.T) {
	f := theForge()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		i.will(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/v2/keys" {
				return response(r, 200, bytes.NewReader(jwks(t, jwk("1", "ES256", f.ec)))), nil
			}
			res := response(r, 307, strings.NewReader(""))
			res.Header.Set("Location", "/v2/keys")
			return res, nil
		})
		c := open(t, auth.Options{Tokens: urlOptions(i)})
		if _, err := c.Authenticate(t.Context(), byToken(mint(t, jwt.SigningMethodES256, "1", f.ec, good(nil)))); err != nil {
			t.Error(err)
		}
	})
}

// A reload with the same URL keeps the keys and fetches new ones; with another it begins anew.
func TestReloadOfKeysURL(t *testing.T) {
	f := theForge()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		i.will(says(200, jwks(t, jwk("1", "ES256", f.ec))))
		o := urlOptions(i)
		c := open(t, auth.Options{Tokens: o})
		token := byToken(mint(t, jwt.SigningMethodES256, "1", f.ec, good(nil)))
		p, err := c.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		i.will(says(500, nil))
		if err := c.Reload(auth.Options{Tokens: o}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := i.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		if _, err := c.Authenticate(t.Context(), token); err != nil {
			t.Error(err)
		}
		if q, err := c.Revalidate(p); q != p || err != nil {
			t.Errorf("%v", err)
		}
		narrower := *o
		narrower.Audience = []string{"other"}
		if err := c.Reload(auth.Options{Tokens: &narrower}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Revalidate(p); err == nil {
			t.Error("a session lives on whose audience is not taken any more")
		}
		elsewhere := *o
		elsewhere.KeysURL = "https://id.example.org/other"
		if err := c.Reload(auth.Options{Tokens: &elsewhere}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Authenticate(t.Context(), token); err == nil || errors.Is(err, broker.ErrBadCredentials) {
			t.Errorf("without keys: %v", err)
		}
		if err := c.Reload(auth.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Revalidate(p); err == nil {
			t.Error("a session lives on though there are no tokens any more")
		}
	})
}

func TestCheckURL(t *testing.T) {
	for address, problem := range map[string]string{
		"https://id.example.org/keys": "", "https://id.example.org:8443/a?b=c": "", "http://127.0.0.1:1/": "", "http://[::1]/": "", "http://localhost/x": "", "HTTPS://X/": "",
		"http://id.example.org/": "in the clear", "http://127.0.0.1.evil.example/": "in the clear", "http://localhost.evil/": "in the clear",
		"http://10.0.0.1/": "in the clear", "http://0.0.0.0/": "in the clear", "ftp://x/": "neither", "file:///etc/passwd": "not a URL", "": "not a URL", "id.example.org": "not a URL", "https:": "not a URL",
		"https:id.example.org": "not a URL", "https://": "not a URL", "https://u:p@x/": "password", "https://x/#f": "fragment", "https://x\x00/": "not a URL", "javascript:alert(1)": "not a URL",
	} {
		err := auth.CheckURL(address, false)
		if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if auth.CheckURL("http://auth:8080/login", true) != nil || auth.CheckURL("ftp://x/", true) == nil {
		t.Error("plain")
	}
}
