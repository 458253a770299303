package broker_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
)

// from is a connection from an address, on which the test can plant a panic.
type from struct {
	*faulty
	addr net.Addr
}

func (f *from) Peer() broker.Peer { return broker.Peer{Transport: "pipe", Addr: f.addr} }

func tcp(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

// dialFrom is dial from an address.
func dialFrom(t testing.TB, b *broker.Broker, addr net.Addr) *client {
	p := newPipe(1 << 20)
	c := &client{t: t, p: p, dec: stompframe.NewDecoder(stompframe.V12, stompframe.Limits{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		b.Serve(context.Background(), &from{&faulty{pipe: p, onRead: "evil"}, addr})
	}()
	return c
}

// oddAddr is an address that has no IP, or one that is no TCPAddr.
type oddAddr string

func (oddAddr) Network() string  { return "odd" }
func (o oddAddr) String() string { return string(o) }

func TestPlaces(t *testing.T) {
	for addr, want := range map[net.Addr]string{
		tcp("192.0.2.1"):                  "192.0.2.1",
		tcp("::ffff:192.0.2.1"):           "192.0.2.1",
		tcp("2001:db8:1:2:3:4:5:6"):       "2001:db8:1:2::/64",
		tcp("2001:db8:1:2::"):             "2001:db8:1:2::/64",
		&net.TCPAddr{}:                    "",
		oddAddr("192.0.2.1:4"):            "192.0.2.1",
		oddAddr("[fe80::1:2:3:4%eth0]:4"): "fe80::/64",
		oddAddr("192.0.2.1"):              "192.0.2.1",
		oddAddr("pipe"):                   "",
		oddAddr("@"):                      "",
		&net.UnixAddr{Name: "/x"}:         "",
		&net.IPAddr{IP: net.IPv6zero}:     "::/64",
		&net.TCPAddr{IP: net.IPv4bcast}:   "255.255.255.255",
	} {
		if got := broker.Place(addr); got != want {
			t.Errorf("%v: %q, want %q", addr, got, want)
		}
	}
	if got := broker.Place(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}

// The rate is a bucket of one second's worth, which fills with time; what is refused takes nothing.
func TestConnectsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{ConnectsPerSecond: 4}})
		begin := func() (accepted int) {
			for range 9 {
				c := dial(t, b, 1<<20)
				c.send("CONNECT\naccept-version:1.2\n\n")
				f, ok := c.next()
				switch {
				case !ok:
					t.Fatal("ended without a word")
				case f.command == "CONNECTED":
					accepted++
					c.drop()
				case f.header["message"] != "too many connects":
					t.Fatalf("%+v", f)
				default:
					if code := c.ended(); code != 1013 {
						t.Errorf("code %d", code)
					}
				}
			}
			return accepted
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 4}, {0, 0}, {249 * time.Millisecond, 0}, {time.Millisecond, 1}, {500 * time.Millisecond, 2}, {time.Hour, 4}} {
			time.Sleep(step.wait)
			if got := begin(); got != step.want {
				t.Errorf("after %v: %d, want %d", step.wait, got, step.want)
			}
		}
		if err := b.SetLimits(broker.Limits{}, broker.HeartBeat{}); err != nil {
			t.Fatal(err)
		}
		if got := begin(); got != 9 {
			t.Errorf("without a limit: %d", got)
		}
	})
}

// doorman knows everybody but mallory.
type doorman struct{}

func (doorman) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	switch c.Login {
	case "mallory":
		return nil, broker.ErrBadCredentials
	case "evil":
		panic("planted")
	case "big":
		return &broker.Principal{Name: c.Login, Limits: &broker.Limits{Connections: 5}}, nil
	}
	return &broker.Principal{Name: c.Login}, nil
}

// ways in which a session can end.
var ways = []string{"disconnect", "drop", "panic", "error", "shutdown of the connection"}

// TestCensus drives sessions that come and go in random order, one step at a time, against a model of
// who is there: who may come in is known each time, and what is counted.
func TestCensus(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { censusRound(t, rand.New(rand.NewPCG(seed, round))) })
	}
}

func censusRound(t *testing.T, rnd *rand.Rand) {
	const total, perAddress, perUser, perBig = 12, 4, 3, 5
	b := newBroker(t, broker.Options{Auth: doorman{}, Limits: broker.Limits{
		Connections: total, ConnectionsPerAddress: perAddress, ConnectionsPerUser: perUser}})
	type session struct {
		c          *client
		addr, user string
	}
	var live []session
	addresses, users := map[string]int{}, map[string]int{}
	for step := range 300 {
		if rnd.IntN(5) < 3 {
			ip := []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", ""}[rnd.IntN(5)]
			user := []string{"ann", "bob", "big", "", "mallory", "evil"}[rnd.IntN(6)]
			addr := tcp(ip)
			where := broker.Place(addr)
			want := "CONNECTED"
			most := perUser
			if user == "big" {
				most = perBig
			}
			switch {
			case len(live) >= total:
				want = "too many connections"
			case where != "" && addresses[where] >= perAddress:
				want = "too many connections of one address"
			case user == "mallory":
				want = "bad credentials"
			case user == "evil":
				want = "internal error"
			case user != "" && users[user] >= most:
				want = "too many connections of one user"
			}
			c := dialFrom(t, b, addr)
			c.send("CONNECT\naccept-version:1.2\nlogin:" + user + "\n\n")
			f, ok := c.next()
			if got := f.command; !ok || got != want && f.header["message"] != want {
				t.Fatalf("step %d: %s from %q got %+v, want %q", step, user, where, f, want)
			}
			if want == "CONNECTED" {
				live = append(live, session{c, where, user})
				addresses[where]++
				users[user]++
			} else {
				c.ended()
			}
		} else if len(live) > 0 {
			i := rnd.IntN(len(live))
			s := live[i]
			live = append(live[:i], live[i+1:]...)
			addresses[s.addr]--
			users[s.user]--
			endBy(s.c, ways[rnd.IntN(len(ways))])
		}
		synctest.Wait()
		n, byAddress, byUser := b.Counted()
		if n != len(live) || !maps.Equal(byAddress, positive(addresses)) || !maps.Equal(byUser, positive(users)) {
			t.Fatalf("step %d: counted %d %v %v, there are %d %v %v", step, n, byAddress, byUser, len(live), addresses, users)
		}
	}
	for _, s := range live {
		endBy(s.c, "drop")
	}
	if n, byAddress, byUser := b.Counted(); n+len(byAddress)+len(byUser) != 0 {
		t.Errorf("counted in the end: %d %v %v", n, byAddress, byUser)
	}
}

func endBy(c *client, way string) {
	switch way {
	case "disconnect":
		c.send("DISCONNECT\n\n")
		c.ended()
	case "panic":
		c.send("SEND\ndestination:/topic/x\n\nevil")
		c.ended()
	case "error":
		c.send("SEND\ndestination:nowhere\n\n")
		c.ended()
	case "shutdown of the connection":
		c.p.in.close()
		c.ended()
	default:
		c.drop()
	}
}

func positive(m map[string]int) map[string]int {
	n := maps.Clone(m)
	maps.DeleteFunc(n, func(k string, v int) bool { return v == 0 || k == "" })
	return n
}

// TestCensusAtOnce has many come and go at once: never more are let in than may be, and in the end
// nothing is counted.
func TestCensusAtOnce(t *testing.T) {
	const total, perAddress, perUser = 20, 7, 5
	b := newBroker(t, broker.Options{Auth: doorman{}, Limits: broker.Limits{
		Connections: total, ConnectionsPerAddress: perAddress, ConnectionsPerUser: perUser}})
	var mu sync.Mutex
	in := map[string]int{}
	add := func(n int, keys ...string) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range keys {
			in[k] += n
		}
		if in["all"] > total || in["192.0.2.0"] > perAddress || in["192.0.2.1"] > perAddress || in["user0"] > perUser || in["user1"] > perUser {
			t.Errorf("too many: %v", in)
		}
	}
	var wg sync.WaitGroup
	let := make([]int, 32)
	for w := range let {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for range 60 {
				ip, user := fmt.Sprintf("192.0.2.%d", rnd.IntN(6)), fmt.Sprintf("user%d", rnd.IntN(8))
				c := dialFrom(t, b, tcp(ip))
				c.send("CONNECT\naccept-version:1.2\nlogin:" + user + "\n\n")
				if f, ok := c.next(); !ok || f.command != "CONNECTED" {
					c.ended()
					continue
				}
				let[w]++
				add(1, "all", ip, user)
				c.sync()
				add(-1, "all", ip, user) // the broker counts it for longer
				endBy(c, ways[rnd.IntN(len(ways))])
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range let {
		sum += n
	}
	if sum < 100 {
		t.Errorf("only %d of %d were let in", sum, 32*60)
	}
	if n, byAddress, byUser := b.Counted(); n+len(byAddress)+len(byUser) != 0 {
		t.Errorf("counted in the end: %d %v %v", n, byAddress, byUser)
	}
}
