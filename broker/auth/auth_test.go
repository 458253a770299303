package auth_test

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

// Cheap hashes, so that the tests are quick: of "secret" and of "geheim".
const (
	bcryptSecret = "$2a$04$XLB3Zg4mlJ84bJj49/rdsOrn/M6YIlpcjzls1qe0MCxGW1UTcIS/S"
	argonGeheim  = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$qSJbcI99I1xLy5fQ2NopCBApLAioogdiaz+ucf3k5zc"
)

func passwords(t testing.TB) *auth.Passwords {
	t.Helper()
	p, err := auth.New([]auth.User{
		{Name: "bea", PasswordHash: bcryptSecret, Groups: []string{"staff"}},
		{Name: "ada", PasswordHash: argonGeheim},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAuthenticate(t *testing.T) {
	p := passwords(t)
	for _, c := range []struct {
		login, passcode string
		want            *broker.Principal
		ok              bool
	}{
		{"bea", "secret", &broker.Principal{Name: "bea", Groups: []string{"staff"}, Via: "password"}, true},
		{"bea", "secret", &broker.Principal{Name: "bea", Groups: []string{"staff"}, Via: "password"}, true}, // remembered
		{"ada", "geheim", &broker.Principal{Name: "ada", Via: "password"}, true},
		{"bea", "geheim", nil, false},
		{"ada", "secret", nil, false},
		{"ada", "", nil, false},
		{"bea", "", nil, false},
		{"", "secret", nil, false},
		{"", "", nil, false},
		{"eve", "secret", nil, false},
		{"Bea", "secret", nil, false},
		{"bea", "secret" + strings.Repeat("x", 100), nil, false},
		{"beas", "ecret", nil, false}, // the digest keeps login and passcode apart
	} {
		got, err := p.Authenticate(t.Context(), broker.Credentials{Login: c.login, Passcode: broker.Secret(c.passcode)})
		if got != nil {
			known := *got
			known.Proof = 0
			got = &known
		}
		if !reflect.DeepEqual(got, c.want) || c.ok != (err == nil) || !c.ok && !errors.Is(err, broker.ErrBadCredentials) {
			t.Errorf("%s, %.10s: %+v, %v", c.login, c.passcode, got, err)
		}
	}
}

func TestHashes(t *testing.T) {
	for kind, prefix := range map[string]string{auth.Bcrypt: "$2a$10$", auth.Argon2id: "$argon2id$v=19$m=19456,t=2,p=1$"} {
		h, err := auth.Hash("påssword", kind)
		if err != nil || !strings.HasPrefix(h, prefix) {
			t.Fatalf("%s: %s, %v", kind, h, err)
		}
		if again, _ := auth.Hash("påssword", kind); again == h {
			t.Errorf("%s: two hashes with one salt", kind)
		}
		p, err := auth.New([]auth.User{{Name: "u", PasswordHash: h}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Authenticate(t.Context(), broker.Credentials{Login: "u", Passcode: "påssword"}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, c := range [][2]string{{"", auth.Bcrypt}, {"", auth.Argon2id}, {strings.Repeat("x", 73), auth.Bcrypt}, {"x", "md5"}} {
		if h, err := auth.Hash(c[0], c[1]); err == nil {
			t.Errorf("%q as %s: %s", c[0], c[1], h)
		}
	}
}

// A password of more than 72 bytes must not be taken for its first 72.
func TestLongPasswordIsNotCut(t *testing.T) {
	long := strings.Repeat("x", 72)
	h, err := auth.Hash(long, auth.Bcrypt)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := auth.New([]auth.User{{Name: "u", PasswordHash: h}})
	if _, err := p.Authenticate(t.Context(), broker.Credentials{Login: "u", Passcode: broker.Secret(long) + "y"}); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("%v", err)
	}
}

func TestCheck(t *testing.T) {
	const b64 = "c2FsdHNhbHRzYWx0$qSJbcI99I1xLy5fQ2NopCBApLAioogdiaz+ucf3k5zc"
	for hash, want := range map[string]string{
		bcryptSecret: "",
		argonGeheim:  "",
		strings.Replace(bcryptSecret, "$04$", "$14$", 1): "",
		"$argon2id$v=19$m=262144,t=3,p=4$" + b64:         "",
		"":                                               "is not a bcrypt or argon2id hash (make one with: broker passwd)",
		"secret":                                         "is not a bcrypt or argon2id hash (make one with: broker passwd)",
		"$1$abc$def":                                     "is not a bcrypt or argon2id hash (make one with: broker passwd)",
		bcryptSecret + "x":                               "is a damaged bcrypt hash (make a new one with: broker passwd)",
		bcryptSecret[:59] + "?":                          "is a damaged bcrypt hash (make a new one with: broker passwd)",
		strings.Replace(bcryptSecret, "$04$", "$15$", 1): "has a bcrypt cost of 15, and 14 is the most (make a new one with: broker passwd)",
		"$argon2i$v=19$m=64,t=1,p=1$" + b64:              "is not a bcrypt or argon2id hash (make one with: broker passwd)",
		"$argon2id$v=16$m=64,t=1,p=1$" + b64:             "is argon2id of version 16, and only 19 is read (make a new one with: broker passwd)",
		"$argon2id$v=19$m=262145,t=1,p=1$" + b64:         "has argon2id costs m=262145,t=1,p=1, and m=262144,t=16,p=16 are the most (make a new one with: broker passwd)",
		"$argon2id$v=19$m=64,t=0,p=1$" + b64:             "has argon2id costs m=64,t=0,p=1, and m=262144,t=16,p=16 are the most (make a new one with: broker passwd)",
		"$argon2id$v=19$m=64,t=1,p=17$" + b64:            "has argon2id costs m=64,t=1,p=17, and m=262144,t=16,p=16 are the most (make a new one with: broker passwd)",
		"$argon2id$v=19$m=64,t=1,p=1$c2Fs$c2Fs":          "is a damaged argon2id hash (make a new one with: broker passwd)",
	} {
		got := ""
		if err := auth.Check(hash); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", hash, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, users := range [][]auth.User{
		{{Name: "a", PasswordHash: "secret"}},
		{{Name: "", PasswordHash: bcryptSecret}},
		{{Name: "a", PasswordHash: bcryptSecret}, {Name: "a", PasswordHash: bcryptSecret}},
	} {
		if _, err := auth.New(users); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", users, err)
		}
	}
	p, err := auth.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Authenticate(t.Context(), broker.Credentials{Login: "a"}); !errors.Is(err, broker.ErrBadCredentials) {
		t.Errorf("nobody: %v", err)
	}
}

// A storm of reconnects of one user costs a hash or two: as many as can be computed at once.
func TestReconnectStormIsCheap(t *testing.T) {
	p := passwords(t)
	auth.Computed(p)
	var wg sync.WaitGroup
	for range 2000 {
		wg.Go(func() {
			if _, err := p.Authenticate(t.Context(), broker.Credentials{Login: "bea", Passcode: "secret"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := auth.Computed(p); n < 1 || n > int64(runtime.GOMAXPROCS(0)) {
		t.Errorf("2000 logins of one user computed %d hashes", n)
	}
}

func TestRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := passwords(t)
		login := func() bool {
			before := auth.Computed(p)
			if _, err := p.Authenticate(t.Context(), broker.Credentials{Login: "bea", Passcode: "secret"}); err != nil {
				t.Error(err)
			}
			return auth.Computed(p) > before
		}
		steps := []struct {
			after    time.Duration
			computed bool
		}{{0, true}, {59 * time.Second, false}, {time.Second, true}, {time.Second, false}}
		for i, s := range steps {
			time.Sleep(s.after) // fake time
			if got := login(); got != s.computed {
				t.Errorf("step %d: computed %v", i, got)
			}
		}
	})
}

func TestFullCacheForgets(t *testing.T) {
	if n := auth.FillCache(passwords(t), 10000); n != 4096 {
		t.Errorf("%d logins remembered", n)
	}
}

func TestWaitingEndsWithContext(t *testing.T) {
	p := passwords(t)
	release := auth.TakeAllTurns(p)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Authenticate(ctx, broker.Credentials{Login: "bea", Passcode: "secret"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Of users with hashes of two kinds, strangers get either, and each the same at every try.
func TestStrangersCostLikeUsers(t *testing.T) {
	p := passwords(t)
	kinds := map[string]int{}
	for i := range 100 {
		login := strings.Repeat("x", i+1)
		kind := auth.StrangerKind(p, login)
		if kind != auth.StrangerKind(p, login) {
			t.Error("a stranger's kind changes")
		}
		kinds[kind]++
	}
	if len(kinds) != 2 {
		t.Errorf("%v", kinds)
	}
}
