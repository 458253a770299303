package auth_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/auth"
)

func from(addr string) broker.Peer {
	return broker.Peer{Transport: "tcp", Addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))}
}

// usersOnly has bea, whose password is secret, and ada, whose is geheim.
func usersOnly(t testing.TB) *auth.Chain {
	return open(t, auth.Options{Users: []auth.User{{Name: "bea", PasswordHash: bcryptSecret}, {Name: "ada", PasswordHash: argonGeheim}}})
}

// outcome is what became of a login.
func outcome(t testing.TB, c *auth.Chain, addr, login, passcode string) string {
	t.Helper()
	p, err := c.Authenticate(t.Context(), broker.Credentials{Login: login, Passcode: broker.Secret(passcode), Peer: from(addr)})
	switch {
	case err == nil && p.Name == login:
		return "in"
	case errors.Is(err, broker.ErrTooMany):
		return "slowed"
	case errors.Is(err, broker.ErrBadCredentials):
		return "wrong"
	}
	return fmt.Sprint(p, err)
}

// V23: ten may be wrong in a minute, then one in a second is looked at; a user of whom somebody
// guesses passwords gets in from elsewhere.
func TestV23FailedLoginsAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usersOnly(t)
		expect := func(want, addr, login, passcode string) {
			t.Helper()
			if got := outcome(t, c, addr, login, passcode); got != want {
				t.Errorf("%s from %s with %s: %s, want %s", login, addr, passcode, got, want)
			}
		}
		before := auth.ComputedBy(c)
		for range 10 {
			expect("wrong", "192.0.2.1", "bea", "guess")
		}
		for range 1000 {
			expect("slowed", "192.0.2.1", "bea", "guess")
		}
		expect("slowed", "192.0.2.1", "ada", "guess") // whoever it is for
		expect("slowed", "192.0.2.1", "bea", "secret")
		if n := auth.ComputedBy(c) - before; n != 10 {
			t.Errorf("%d hashes computed", n)
		}
		expect("in", "192.0.2.2", "bea", "secret")
		for range 100 { // a second each
			time.Sleep(time.Second)
			expect("wrong", "192.0.2.1", "bea", "guess")
			expect("slowed", "192.0.2.1", "bea", "guess")
		}
		time.Sleep(time.Second)
		expect("in", "192.0.2.1", "bea", "secret")
		// What is remembered as right costs nothing, wherever it comes from.
		expect("in", "192.0.2.1", "bea", "secret")
		time.Sleep(2 * time.Minute)
		for range 10 {
			expect("wrong", "192.0.2.1", "ada", "guess")
		}
		expect("slowed", "192.0.2.1", "ada", "guess")
		// She was here before: what others do at this address is not put on her account.
		expect("in", "192.0.2.1", "bea", "secret")
	})
}

// How many may be wrong is a setting, which a reload changes for those who were slowed, too.
func TestFailedLoginsSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usersOnly(t)
		o := auth.Options{Users: []auth.User{{Name: "bea", PasswordHash: bcryptSecret}}}
		for _, s := range []struct{ setting, wrong int }{{3, 3}, {1, 1}, {7, 7}, {0, 10}, {-1, 50}} {
			time.Sleep(2 * time.Minute)
			o.FailedLogins = s.setting
			if err := c.Reload(o); err != nil {
				t.Fatal(err)
			}
			wrong := 0
			for range 50 {
				if outcome(t, c, "192.0.2.1", "bea", "guess") == "wrong" {
					wrong++
				}
			}
			if wrong != s.wrong {
				t.Errorf("failed logins %d: %d were looked at, want %d", s.setting, wrong, s.wrong)
			}
		}
	})
}

// A user whom a thousand addresses guess at gets in from an address that has done nothing wrong.
func TestV23GuessedAtFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usersOnly(t)
		wrong := 0
		for range 20 {
			for i := range 200 {
				if outcome(t, c, fmt.Sprintf("10.0.1.%d", i), "bea", "guess") == "wrong" {
					wrong++
				}
			}
		}
		if wrong > 10+200 { // ten of hers, then one of each address
			t.Errorf("%d guesses were looked at", wrong)
		}
		if got := outcome(t, c, "192.0.2.9", "bea", "secret"); got != "in" {
			t.Error(got)
		}
	})
}

// Of a thousand guesses at once ten are looked at, and those whose hash was being computed then; the
// same guess a thousand times is one. A thousand right logins, all of them new, are none.
func TestV23AtOnce(t *testing.T) { synctest.Test(t, atOnce) } // whatever the machine, no second passes

func atOnce(t *testing.T) {
	c := usersOnly(t)
	before := auth.ComputedBy(c)
	var wg sync.WaitGroup
	var wrong, slowed atomic.Int64
	for i := range 1000 {
		wg.Go(func() {
			switch outcome(t, c, "192.0.2.1", "bea", fmt.Sprint("guess", i)) {
			case "wrong":
				wrong.Add(1)
			case "slowed":
				slowed.Add(1)
			}
		})
	}
	wg.Wait()
	turns := int64(max(1, runtime.GOMAXPROCS(0)/2))
	if n := auth.ComputedBy(c) - before; n > 10+turns-1 || wrong.Load() != n || slowed.Load() == 0 {
		t.Errorf("%d hashes, %d wrong, %d slowed", n, wrong.Load(), slowed.Load())
	}
	c = usersOnly(t)
	before = auth.ComputedBy(c)
	for range 1000 {
		wg.Go(func() { _ = outcome(t, c, "192.0.2.1", "bea", "guess") })
	}
	wg.Wait()
	if n := auth.ComputedBy(c) - before; n > 10+turns-1 {
		t.Errorf("%d hashes for one guess", n)
	}
	var many []auth.User
	for i := range 100 {
		many = append(many, auth.User{Name: fmt.Sprint("u", i), PasswordHash: bcryptSecret})
	}
	c = open(t, auth.Options{Users: many})
	for i := range 1000 {
		wg.Go(func() {
			if got := outcome(t, c, "192.0.2.1", fmt.Sprint("u", i%100), "secret"); got != "in" {
				t.Error(got)
			}
		})
	}
	wg.Wait()
}

// IPv6 counts by the network a customer has; what is kept is bounded.
func TestV23Accounts(t *testing.T) {
	c := usersOnly(t)
	for i := range 10 {
		if got := outcome(t, c, fmt.Sprintf("2001:db8:1:2::%x", i+1), "x", "guess"); got != "wrong" {
			t.Error(got)
		}
	}
	for addr, want := range map[string]string{"2001:db8:1:2:ffff::1": "slowed", "2001:db8:1:3::1": "wrong", "::ffff:192.0.2.1": "wrong"} {
		if got := outcome(t, c, addr, "y", "guess"); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	o := tokenOptions(file(t, allKeys(t)))
	c = open(t, auth.Options{Tokens: o})
	for i := range 80_000 {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		_, err := c.Authenticate(t.Context(), broker.Credentials{Passcode: "x", Peer: from(ip.String())})
		if !errors.Is(err, broker.ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	if n := auth.Accounts(c); n > 1<<16 {
		t.Errorf("%d accounts", n)
	}
}

// V23: a login without a user costs a hash of a user's, like one with a wrong password.
func TestV23StrangersCostTheSame(t *testing.T) {
	p := passwords(t)
	logins := 2000
	if race { // the detector makes a hash cost twenty times as much
		logins = 100
	}
	computed := func(login string) int64 {
		before := auth.Computed(p)
		for i := range logins {
			name := login
			if login == "" {
				name = fmt.Sprintf("stranger%d", i)
			}
			_, err := p.Authenticate(t.Context(), broker.Credentials{Login: name, Passcode: "guess"})
			if !errors.Is(err, broker.ErrBadCredentials) {
				t.Fatal(err)
			}
		}
		return auth.Computed(p) - before
	}
	for _, login := range []string{"ada", "nobody", ""} {
		if n := computed(login); n != int64(logins) {
			t.Errorf("%q: %d hashes for %d logins", login, n, logins)
		}
	}
}

// At most half of the cores check passwords, whoever asks, and those who would wait too long are
// told so at once.
func TestV23VerifiersAreFew(t *testing.T) {
	c := usersOnly(t)
	release := auth.TakeAllTurnsOf(c)
	turns := max(1, runtime.GOMAXPROCS(0)/2)
	const crowd = 1000
	results := make(chan string, crowd)
	for i := range crowd {
		go func() { results <- outcome(t, c, fmt.Sprintf("10.1.%d.%d", i/250, i%250), fmt.Sprint("u", i), "guess") }()
	}
	for range crowd - 128*turns { // these do not wait
		if got := <-results; got == "wrong" || got == "slowed" {
			t.Error(got)
		}
	}
	release()
	for range 128 * turns {
		if got := <-results; got != "wrong" {
			t.Error(got)
		}
	}
}
