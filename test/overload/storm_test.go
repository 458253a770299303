package overload

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// stormOrder is what a storm is to do.
type stormOrder struct {
	At     at
	N      int
	Login  []string // header lines of CONNECT of all
	Issuer string   // PEM of a private key: each has a token of its own, signed with it
}

// stormReport is what it saw.
type stormReport struct {
	Connected int
	Faults    []string
	All       time.Duration // from the first connect to the last CONNECTED
	P50, P99  time.Duration
	Most      time.Duration
	Dropped   int // connections that ended before they were told to
}

// storm connects all at once when it gets a line, tells, and closes all at the next; and again.
func storm(order []byte, in *bufio.Scanner, out io.Writer) error {
	var o stormOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return err
	}
	logins := make([][]string, o.N)
	for i := range logins {
		logins[i] = append(logins[i], "heart-beat:0,0")
		logins[i] = append(logins[i], o.Login...)
		if o.Issuer != "" {
			token, err := tokenOf(o.Issuer, fmt.Sprintf("user-%d", i))
			if err != nil {
				return err
			}
			logins[i] = append(logins[i], "passcode:"+token)
		}
	}
	reply := json.NewEncoder(out)
	if err := reply.Encode("ready"); err != nil {
		return err
	}
	for in.Scan() {
		r, peers := o.connect(logins)
		if err := reply.Encode(r); err != nil {
			return err
		}
		in.Scan()
		for _, p := range peers {
			if _, err := p.read(time.Nanosecond); !timedOut(err) {
				r.Dropped++
			}
			p.nc.Close()
		}
		if err := reply.Encode(r); err != nil {
			return err
		}
	}
	return in.Err()
}

// connect makes all connections at once.
func (o stormOrder) connect(logins [][]string) (r stormReport, peers []*peer) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	times := new(delays)
	begin := time.Now()
	for i := range o.N {
		wg.Go(func() {
			to := o.At
			to.From = crowdAddress(i)
			p, err := open(to, logins[i]...)
			took := time.Since(begin)
			times.add(took)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if len(r.Faults) < 10 {
					r.Faults = append(r.Faults, err.Error())
				}
				return
			}
			r.All = max(r.All, took)
			peers = append(peers, p)
		})
	}
	wg.Wait()
	r.Connected, r.P50, r.P99, r.Most = len(peers), times.quantile(0.5), times.quantile(0.99), times.quantile(1)
	return r, peers
}

// tokenOf signs a token that holds for ten minutes.
func tokenOf(issuer, name string) (string, error) {
	block, _ := pem.Decode([]byte(issuer))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "test", "aud": "gudok", "sub": name,
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}).SignedString(key)
}

// issuer is a key for tokens, and the configuration that believes it.
func issuer(t testing.TB) (private, config string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		fmt.Sprintf("jwt: {issuer: test, audience: gudok, keys_file: %q}\n", harness.PEM(t, "PUBLIC KEY", public))
}

// TestConnectStorm: ten thousand clients connect at the same moment, with a password, which is one, or with
// tokens, of which each is another. All get in, those who are there notice nothing, and what the
// crowd took is free when it has gone.
func TestConnectStorm(t *testing.T) {
	const crowd = 10_000
	const passcode = "passcode:" + harness.Canary
	hash, err := auth.Hash(harness.Canary, auth.Bcrypt) // as costly as people's
	if err != nil {
		t.Fatal(err)
	}
	private, believe := issuer(t)
	token, err := tokenOf(private, "honest")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, config string
		honest       string
		order        stormOrder
	}{
		{"password", fmt.Sprintf("users: [{name: alice, password_hash: %q}]\n", harness.Hashed(t, harness.Canary, hash)), passcode, stormOrder{Login: []string{"login:alice", passcode}}},
		{"token", believe, "passcode:" + token, stormOrder{Issuer: private}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, "log: {level: info}\nlimits: {connections: 12000}\n"+c.config, harness.Options{Quiet: true})
			login := []string{c.honest}
			if c.name == "password" {
				login = append(login, "login:alice")
			}
			f := startFeed(t, wsAt(b.Broker), "/topic/storm", 50, 200, 64, login...)
			c.order.At, c.order.N = wsAt(b.Broker), crowd
			// The crowd has machines of its own in truth: here it gets what the others leave.
			a := act(t, "storm", c.order, tool(t, "nice"), "-n", "10")
			var ready string
			a.hear(&ready)
			_, live := b.collect(t)
			for round := range 2 {
				before, quiet, cpu := b.anonymous(t), f.measure(), b.cpu(t)
				var r stormReport
				a.say("go")
				a.hear(&r)
				during, used, with := f.measure(), b.cpu(t)-cpu, b.anonymous(t)
				a.say("close")
				a.hear(&r)
				// What maps and pools keep is no more after the second crowd than after the first.
				most := live + live/10 + crowd*1024
				if round > 0 {
					most = live + live/10 + mib
				}
				var goroutines, left int64
				if !becomes(2*harness.Patience, func() bool {
					goroutines, left = b.collect(t)
					return left < most
				}) {
					t.Errorf("%d bytes are alive after the storm, %d goroutines; before it %d bytes", left, goroutines, live)
				}
				t.Logf("%d of %d connected in %v (p50 %v, p99 %v, most %v), %d dropped, CPU %v; memory %d MiB before, %d MiB with them: %.1f KiB each",
					r.Connected, crowd, r.All.Round(time.Millisecond), r.P50, r.P99, r.Most, r.Dropped, used, before/mib, with/mib, float64(with-before)/1024/crowd)
				anonymous, back := b.freed(t, before)
				t.Logf("feed before: %v; during: %v; alive %d KiB before, %d KiB after they left; RssAnon %d MiB after %v",
					quiet, during, live>>10, left>>10, anonymous/mib, back.Round(time.Millisecond))
				live = left
				if r.Connected != crowd || r.Dropped != 0 {
					t.Errorf("%v", r.Faults)
				}
				if r.All > 30*time.Second { // 10 s are asked for; the crowd shares the machine
					t.Errorf("the last was in after %v", r.All)
				}
				if p99 := during.quantile(0.99); p99 > 5*time.Second { // 250 ms, and the crowd asks for more than the two cores there may be
					t.Errorf("p99 of the feed was %v", p99)
				}
				if each := (with - before) / crowd; each > 64<<10 {
					t.Errorf("%d bytes for each connection", each)
				}
			}
			t.Logf("feed: %d messages to each of 50, none lost, doubled or out of order", f.stop())
		})
	}
}

// returners are clients that come back by themselves, as stomp.js does: after a fixed pause.
const returnPause = 500 * time.Millisecond

// TestReconnectStorm: the broker of 2,000 clients is killed and started again. All are back soon after, what
// they had a receipt for is there, and receipts go on.
func TestReconnectStorm(t *testing.T) {
	const crowd = 2000
	dir := t.TempDir()
	config := "log: {level: info}\nstore: {path: data, min_free: 0}\n"
	b := start(t, config, harness.Options{Dir: dir, Quiet: true})
	// The same addresses, as a client's URL is the same.
	config += fmt.Sprintf("http: {listen: %q}\n", b.WS)
	to := wsAt(b.Broker)
	var up, receipts, doubled atomic.Int64
	var killed atomic.Bool
	quit := make(chan struct{})
	var wg sync.WaitGroup
	promised := make([]atomic.Int64, crowd) // how many receipts each has, in all its lives
	for i := range crowd {
		wg.Go(func() {
			next := int64(0)
			to := to
			to.From = crowdAddress(i)
			for life := 0; ; life++ {
				if p, err := open(to, "heart-beat:0,0"); err == nil {
					if life > 0 || !killed.Load() {
						up.Add(1)
					}
					for err == nil {
						err = p.call(fmt.Sprint(next), "SEND\ndestination:/queue/storm.%d\nreceipt:%d\n\n%d %d \x00", i%20, next, i, next)
						if err == nil {
							receipts.Add(1)
							next++
							promised[i].Store(next)
						}
						select {
						case <-quit:
							p.nc.Close()
							return
						case <-time.After(300 * time.Millisecond):
						}
					}
					up.Add(-1)
					p.nc.Close()
				}
				select {
				case <-quit:
					return
				case <-time.After(returnPause):
				}
			}
		})
	}
	end := func() {
		select {
		case <-quit:
		default:
			close(quit)
		}
		wg.Wait()
	}
	defer end()
	if !becomes(6*harness.Patience, func() bool { return up.Load() == crowd && receipts.Load() > 2*crowd }) {
		t.Fatalf("%d clients are up, with %d receipts", up.Load(), receipts.Load())
	}
	killed.Store(true)
	b.Kill()
	if !becomes(2*harness.Patience, func() bool { return up.Load() == 0 }) {
		t.Fatalf("%d clients do not notice", up.Load())
	}
	had := receipts.Load()
	begin := time.Now()
	b = start(t, config, harness.Options{Dir: dir, Quiet: true})
	listening := time.Since(begin)
	begin = time.Now()
	if !becomes(6*harness.Patience, func() bool { return up.Load() == crowd }) {
		t.Errorf("%d of %d are back", up.Load(), crowd)
	}
	back := time.Since(begin)
	if !becomes(2*harness.Patience, func() bool { return receipts.Load() >= had+crowd }) {
		t.Errorf("%d receipts after the storm", receipts.Load()-had)
	}
	end()
	lost := int64(0)
	seen := make([]map[int64]int, crowd)
	total := 0
	for q := range 20 {
		for i, n := range drainQueue(t, tcpAt(b.Broker), fmt.Sprintf("/queue/storm.%d", q)) {
			if seen[i] == nil {
				seen[i] = n
			}
			for _, times := range n {
				total += times
			}
		}
	}
	for i := range promised {
		for n := range promised[i].Load() {
			switch times := seen[i][n]; {
			case times == 0:
				lost++
			case times > 1: // sent again by a client that had no receipt
				doubled.Add(1)
			}
		}
	}
	t.Logf("%d clients back %v after the broker listens (which it does %v after its start); %d receipts before, %d after; %d messages stored, %d lost, %d sent twice",
		crowd, back.Round(time.Millisecond), listening.Round(time.Millisecond), had, receipts.Load()-had, total, lost, doubled.Load())
	if lost > 0 {
		t.Errorf("%d messages with a receipt are not there", lost)
	}
	if back > 15*time.Second {
		t.Errorf("the last was back after %v", back)
	}
	if doubled.Load() > crowd {
		t.Errorf("%d messages are there twice", doubled.Load())
	}
}

// drainQueue takes all of a queue whose messages begin with two numbers: how often each second one came,
// by the first.
func drainQueue(t testing.TB, to at, queue string) map[int]map[int64]int {
	t.Helper()
	p, err := open(to, "heart-beat:0,0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.nc.Close()
	if err := p.call("end", "SEND\ndestination:%s\nreceipt:end\n\nend\x00", queue); err != nil {
		t.Fatal(err)
	}
	if err := p.subscribe(queue, "ack:client", "prefetch-count:1000"); err != nil {
		t.Fatal(err)
	}
	all := map[int]map[int64]int{}
	for n := 0; ; n++ {
		m, err := p.expect("MESSAGE")
		if err != nil {
			t.Fatalf("%s: %v", queue, err)
		}
		end := string(m.body()) == "end"
		if n%100 == 0 || end {
			if err := p.sendf("ACK\nid:%s\n\n\x00", m.header("ack")); err != nil {
				t.Fatal(err)
			}
		}
		if end {
			break
		}
		var who, what int64
		if !parseTwo(m.body(), &who, &what) {
			t.Fatalf("%s: %.300q", queue, m)
		}
		if all[int(who)] == nil {
			all[int(who)] = map[int64]int{}
		}
		all[int(who)][what]++
	}
	if err := p.call("bye", "DISCONNECT\nreceipt:bye\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	return all
}
