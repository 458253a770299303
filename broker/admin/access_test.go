package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/store"
)

// secret is what nobody must see who may not.
const secret = "/queue/s3cret"

// asked counts what guarded asks, by name.
type asked map[string]int

// guarded is a handler where ann may see everything, mel metrics, others nothing.
func guarded(o admin.Options, count asked) http.Handler {
	o.Snapshot = func() broker.Snapshot { return broker.Snapshot{Version: "9.8.7", Sessions: 777} }
	o.Login = func() bool { return true }
	o.Store = secret
	o.Gauges = func(int) store.Gauges {
		return store.Gauges{Queues: 1, Deepest: []store.Depth{{Queue: secret, Stat: store.Stat{Ready: 5}}}}
	}
	o.May = func(_ context.Context, c broker.Credentials, name string) error {
		if count != nil {
			count[name]++
		}
		switch x := c.Peer.Offer; {
		case c.Peer.Addr == nil || c.Peer.Addr.String() != "192.0.2.1:1234" || c.Peer.Transport != "http":
			return fmt.Errorf("peer %+v", c.Peer)
		case x == nil:
			return broker.ErrBadCredentials
		case x.Source == broker.FromBearer && x.Token == "ann-token":
			return nil
		case x.Source == broker.FromBearer && x.Token == "old":
			return broker.ErrExpired
		case x.Source == broker.FromBearer:
			return broker.ErrBadCredentials
		case x.Login == "slow":
			return broker.ErrTooMany
		case x.Login == "down":
			return errors.New("the service is down: " + secret)
		case string(x.Passcode) != x.Login+" password":
			return broker.ErrBadCredentials
		case x.Login == "ann" || x.Login == "mel" && name == "/admin/metrics":
			return nil
		}
		return broker.ErrForbidden
	}
	return admin.New(o)
}

func as(path string, authorization ...string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	for _, a := range authorization {
		if login, ok := strings.CutPrefix(a, "login "); ok {
			r.SetBasicAuth(login, login+" password")
			continue
		}
		r.Header.Add("Authorization", a)
	}
	return r
}

// Everything but the shell of the page and the bare health needs a permitted login, and who has none gets one
// and the same answer, for what is there and what is not.
func TestWhoMaySee(t *testing.T) {
	for _, pprof := range []bool{false, true} {
		h := guarded(admin.Options{Pprof: pprof}, nil)
		paths := []string{"/metrics", "/api/status", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/cmdline", "/debug/pprof/no/such"}
		for _, c := range []struct {
			who  string
			code int
		}{
			{"", 401}, {"Basic", 401}, {"Basic !!!", 401}, {"Bearer", 401}, {"Bearer x", 401}, {"Bearer old", 401}, {"Digest username=ann", 401},
			{"Basic YW5uOg==", 401}, {"login bob", 403}, {"login slow", 429}, {"login down", 503},
		} {
			bodies := map[string]bool{}
			for _, path := range paths {
				r := as(path)
				if c.who != "" {
					r = as(path, c.who)
				}
				res, body := get(t, h, r)
				if res.StatusCode != c.code || res.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, secret) {
					t.Errorf("%q %s: %d %v %s", c.who, path, res.StatusCode, res.Header, body)
				}
				if challenge := res.Header.Values("WWW-Authenticate"); (c.code == 401) != slices.Equal(challenge, []string{`Basic realm="gudok", charset="UTF-8"`, `Bearer realm="gudok"`}) {
					t.Errorf("%q %s: %q", c.who, path, challenge)
				}
				bodies[body] = true
			}
			if len(bodies) != 1 {
				t.Errorf("%q: %v", c.who, bodies)
			}
		}
		for path, code := range map[string]int{
			"/metrics": 200, "/api/status": 200, "/debug/pprof/no/such": 404, "/debug/pprof/cmdline": 404, "/debug/pprof/symbol": 404,
			"/debug/pprof/": found(pprof), "/debug/pprof/heap": found(pprof), "/debug/pprof/goroutine?debug=2": found(pprof),
		} {
			for _, who := range []string{"login ann", "Bearer ann-token", "bearer  ann-token"} {
				if res, _ := get(t, h, as(path, who)); res.StatusCode != code || res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s %s with pprof %v: %d %v", who, path, pprof, res.StatusCode, res.Header)
				}
			}
		}
		if res, body := get(t, h, as("/metrics", "login mel")); res.StatusCode != 200 || !strings.Contains(body, secret) {
			t.Errorf("mel: %d", res.StatusCode)
		}
		if res, _ := get(t, h, as("/api/status", "login mel")); res.StatusCode != 403 {
			t.Errorf("mel: %d", res.StatusCode)
		}
		// The first of several counts, as at a handshake.
		if res, _ := get(t, h, as("/metrics", "Bearer x", "Bearer ann-token")); res.StatusCode != 401 {
			t.Errorf("two: %d", res.StatusCode)
		}
	}
}

func found(there bool) int {
	if there {
		return 200
	}
	return 404
}

// The page is for anyone, what is in it is not.
func TestShellOfThePage(t *testing.T) {
	h := guarded(admin.Options{}, nil)
	for _, r := range []*http.Request{as("/"), as("/", "login bob"), as("/", "login mel"), as("/", "Bearer x")} {
		res, body := get(t, h, r)
		if res.StatusCode != 200 || strings.Contains(body, secret) || strings.Contains(body, "777") || strings.Contains(body, "9.8.7") ||
			strings.Contains(body, "go1.") || !strings.Contains(body, `id="figures" hidden`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	}
	if _, body := get(t, h, as("/", "login ann")); !strings.Contains(body, secret) || !strings.Contains(body, "777") || strings.Contains(body, `id="figures" hidden`) {
		t.Error(body)
	}
	if _, body := get(t, h, as("/api/status", "login ann")); !strings.Contains(body, `"sessions":777`) || !strings.Contains(body, `"addresses":[]`) {
		t.Error(body)
	}
}

// Health is for anyone, why it is so is not; and while all is well nobody is asked who he is.
func TestHealthTellsWhyToSome(t *testing.T) {
	count := asked{}
	var fault error
	h := guarded(admin.Options{Ready: func() error { return fault }, Alive: func() error { return fault }}, count)
	for _, path := range []string{"/healthz", "/readyz"} {
		fault = nil
		if res, body := get(t, h, as(path, "login ann")); res.StatusCode != 200 || body != "ok\n" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
		if len(count) != 0 {
			t.Errorf("asked %v", count)
		}
		fault = errors.New("the disk is full: " + secret)
		for _, r := range []*http.Request{as(path), as(path, "login bob"), as(path, "login mel"), as(path, "login down")} {
			if res, body := get(t, h, r); res.StatusCode != 503 || body != "not ok\n" {
				t.Errorf("%s: %d %q", path, res.StatusCode, body)
			}
		}
		if res, body := get(t, h, as(path, "login ann")); res.StatusCode != 503 || body != "not ok: the disk is full: "+secret+"\n" {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
		clear(count)
	}
}

// Requests are read only, and bring little.
func TestRequestsAreBounded(t *testing.T) {
	h := guarded(admin.Options{Pprof: true}, nil)
	for _, path := range []string{"/", "/metrics", "/api/status", "/healthz", "/readyz", "/debug/pprof/heap", "/app.js"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			r := as(path, "login ann")
			r.Method = method
			if res, body := get(t, h, r); res.StatusCode != 405 || strings.Contains(body, secret) {
				t.Errorf("%s %s: %d", method, path, res.StatusCode)
			}
		}
		for size, code := range map[int]int{64 << 10: 200, 64<<10 + 1: 413} {
			r := httptest.NewRequest("GET", path, strings.NewReader(strings.Repeat("x", size)))
			r.SetBasicAuth("ann", "ann password")
			if res, _ := get(t, h, r); res.StatusCode != code {
				t.Errorf("%s with %d bytes: %d", path, size, res.StatusCode)
			}
		}
		r := as(path, "login ann")
		r.Method = "HEAD"
		if res, _ := get(t, h, r); res.StatusCode != 200 {
			t.Errorf("HEAD %s: %d", path, res.StatusCode)
		}
	}
}

// Profiles that take time are bounded, one at a time, and end with the broker.
func TestProfiles(t *testing.T) {
	stopping := make(chan struct{})
	h := guarded(admin.Options{Pprof: true, Stopping: stopping}, nil)
	for _, seconds := range []string{"0", "-1", "61", "x", "1e9", "99999999999999999999"} {
		if res, _ := get(t, h, as("/debug/pprof/profile?seconds="+seconds, "login ann")); res.StatusCode != 400 {
			t.Errorf("%s: %d", seconds, res.StatusCode)
		}
	}
	w := &begun{ResponseRecorder: httptest.NewRecorder(), first: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(w, as("/debug/pprof/trace?seconds=60", "login ann"))
	}()
	<-w.first
	if res, _ := get(t, h, as("/debug/pprof/profile?seconds=1", "login ann")); res.StatusCode != 409 {
		t.Errorf("a second one: %d", res.StatusCode)
	}
	start := time.Now()
	close(stopping)
	<-done
	if took := time.Since(start); took > 10*time.Second || w.Code != 200 || w.Body.Len() == 0 {
		t.Errorf("%v, %d, %d bytes", took, w.Code, w.Body.Len())
	}
	if res, body := get(t, h, as("/debug/pprof/profile?seconds=1", "login ann")); res.StatusCode != 200 || len(body) == 0 {
		t.Errorf("%d, %d bytes", res.StatusCode, len(body))
	}
}

// begun tells when the first byte of an answer is written.
type begun struct {
	*httptest.ResponseRecorder
	first chan struct{}
	wrote bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.wrote {
		b.wrote = true
		close(b.first)
	}
	return b.ResponseRecorder.Write(p)
}
