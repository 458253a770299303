package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// tokens is an Authenticator whose tokens say all: NAME:SECONDS, from now on. "old" is expired.
type tokens struct {
	mu      sync.Mutex
	revoked map[string]bool
}

func (a *tokens) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	name, after, ok := strings.Cut(string(c.Passcode), ":")
	if name == "old" {
		return nil, fmt.Errorf("look at the token: %w", broker.ErrExpired)
	}
	d, err := time.ParseDuration(after)
	if !ok || err != nil {
		return nil, broker.ErrBadCredentials
	}
	p := &broker.Principal{Name: name, Via: broker.ViaToken}
	if d > 0 {
		p.Expires = time.Now().Add(d)
	}
	return p, nil
}

func (a *tokens) Renew(ctx context.Context, _ *broker.Principal, token broker.Secret, _ broker.Peer) (*broker.Principal, error) {
	return a.Authenticate(ctx, broker.Credentials{Passcode: token})
}

func (a *tokens) Revalidate(p *broker.Principal) (*broker.Principal, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked[p.Name] {
		return nil, broker.ErrBadCredentials
	}
	return p, nil
}

// V20: a session ends when its token does, idle or busy, in both directions, within a second; what
// it had not acknowledged and its durable subscription stay.
func TestV20TokenExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Options{})
		b := newBroker(t, broker.Options{Engine: engine, Auth: &tokens{}})
		defer engine.Close()
		feeder := login(t, b, "passcode:feeder:0s\n")
		const sessions, life = 100, 3 * time.Second
		var wg sync.WaitGroup
		for i := range sessions {
			user := fmt.Sprintf("u%d", i)
			c := login(t, b, "client-id:c\npasscode:"+user+":3s\n")
			began := time.Now()
			c.send("SUBSCRIBE\nid:t\ndestination:/topic/ticks\n\n",
				"SUBSCRIBE\nid:d\ndestination:/topic/kept\ndurable:true\n\n",
				"SUBSCRIBE\nid:q\ndestination:/queue/"+user+"\nack:client\nreceipt:s\n\n",
				"SEND\ndestination:/queue/"+user+"\n\nheld")
			c.expect("RECEIPT")
			c.expect("MESSAGE", "subscription:q")
			wg.Go(func() {
				defer func() { <-c.done }()
				ticks := 0
				for {
					f, ok := c.next()
					switch at := time.Since(began); {
					case !ok:
						t.Errorf("session %d ended without a word after %v", i, at)
						return
					case f.command == "MESSAGE":
						ticks++
						if at > life+time.Second {
							t.Errorf("session %d got a message after %v", i, at)
						}
						if i%2 == 0 { // busy in the other direction, too
							c.send("SEND\ndestination:/topic/echo\n\nx")
						}
						continue
					case f.command != "ERROR" || f.header["message"] != "token expired":
						t.Errorf("session %d: %v", i, f)
					case at < life || at > life+time.Second:
						t.Errorf("session %d was ended after %v", i, at)
					case ticks == 0:
						t.Errorf("session %d heard nothing", i)
					}
					if code := c.ended(); code != 1008 {
						t.Errorf("session %d: close code %d", i, code)
					}
					return
				}
			})
		}
		stop := time.After(5 * time.Second)
		for sent := 0; ; sent++ {
			select {
			case <-stop:
				wg.Wait()
			case <-time.After(10 * time.Millisecond):
				feeder.send("SEND\ndestination:/topic/ticks\n\ntick")
				continue
			}
			break
		}
		feeder.send("SEND\ndestination:/topic/kept\nreceipt:k\n\nkept")
		feeder.expect("RECEIPT", "receipt-id:k")
		if n := b.Snapshot().Expired; n != sessions {
			t.Errorf("%d sessions counted", n)
		}
		if n := b.Expiring(); n != 0 {
			t.Errorf("%d sessions held", n)
		}
		c := login(t, b, "client-id:c\npasscode:u7:0s\n")
		c.send("SUBSCRIBE\nid:q\ndestination:/queue/u7\n\n")
		if f := c.expect("MESSAGE", "redelivered:true"); f.body != "held" {
			t.Errorf("%v", f)
		}
		c.send("SUBSCRIBE\nid:d\ndestination:/topic/kept\ndurable:true\n\n")
		if f := c.expect("MESSAGE"); f.body != "kept" {
			t.Errorf("%v", f)
		}
	})
}

// What waits in the outbox of a client that does not read is not written after the end.
func TestNothingIsWrittenAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Auth: &tokens{}})
		feeder := login(t, b, "passcode:feeder:0s\n")
		c := dial(t, b, 256)
		c.send("CONNECT\naccept-version:1.2\npasscode:slow:3s\n\n")
		c.expect("CONNECTED")
		c.send("SUBSCRIBE\nid:t\ndestination:/topic/t\nreceipt:s\n\n")
		c.expect("RECEIPT")
		for i := range 200 {
			feeder.send(fmt.Sprintf("SEND\ndestination:/topic/t\n\n%d %s", i, strings.Repeat("x", 1000)))
		}
		feeder.sync()
		time.Sleep(3100 * time.Millisecond)
		n := 0
		for f, ok := c.next(); f.command != "ERROR"; f, ok = c.next() {
			if !ok {
				t.Fatal("ended without a word")
			}
			n++
		}
		if n > 64 { // one write's worth was under way
			t.Errorf("%d messages after the end", n)
		}
		if code := c.ended(); code != 1008 {
			t.Errorf("close code %d", code)
		}
	})
}

func TestTokenRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Auth: &tokens{}})
		c := login(t, b, "passcode:ann:3s\n")
		began := time.Now()
		for i := range 5 {
			time.Sleep(2 * time.Second)
			c.send(fmt.Sprintf("SEND\ndestination:/session/token\nreceipt:%d\n\nann:3s\n", i))
			c.expect("RECEIPT", fmt.Sprintf("receipt-id:%d", i))
		}
		c.expect("ERROR", "message:token expired")
		if at := time.Since(began); at < 13*time.Second || at > 14*time.Second {
			t.Errorf("ended after %v", at)
		}
		c.ended()

		// One without an end leaves the session without one.
		c = login(t, b, "passcode:ann:3s\n")
		c.send("SEND\ndestination:/session/token\nreceipt:r\n\nann:0s")
		c.expect("RECEIPT")
		time.Sleep(time.Hour)
		c.sync()
		if n := b.Expiring(); n != 0 {
			t.Errorf("%d sessions held", n)
		}
		c.drop()
	})
}

func TestBadRenewals(t *testing.T) {
	long := strings.Repeat("a", 8<<10)
	for body, detail := range map[string]string{
		"bob:3s": "another user", "x": "does not hold", "": "0 bytes", " \n": "0 bytes", "old": "expired already",
		long + "a": "8193 bytes", long: "does not hold",
	} {
		b := newBroker(t, broker.Options{Auth: &tokens{}})
		c := login(t, b, "passcode:ann:1m\n")
		c.send("SEND\ndestination:/session/token\nreceipt:r\n\n" + body)
		f := c.expect("ERROR", "message:token not accepted", "receipt-id:r")
		if !strings.Contains(f.body, detail) || body != "" && len(body) < 100 && strings.Contains(f.body, body) && body != "x" && body != " \n" {
			t.Errorf("%.20q: %s", body, f.body)
		}
		if code := c.ended(); code != 1008 {
			t.Errorf("close code %d", code)
		}
		soft := login(t, b, "gudok-errors:soft\npasscode:ann:1m\n")
		soft.send("SEND\ndestination:/session/token\nreceipt:r\n\n" + body)
		soft.expect("ERROR", "message:token not accepted", "receipt-id:r", "fatal:false")
		soft.send("SEND\ndestination:/session/token\nreceipt:s\n\nann:1m")
		soft.expect("RECEIPT", "receipt-id:s")
	}
	b := newBroker(t, broker.Options{Auth: &tokens{}})
	c := login(t, b, "passcode:ann:1m\n")
	c.send("BEGIN\ntransaction:x\n\n", "SEND\ndestination:/session/token\ntransaction:x\n\nann:3s")
	c.expect("ERROR", "message:bad header value")
	c = login(t, newBroker(t, broker.Options{}), "login:ann\n")
	c.send("SEND\ndestination:/session/token\n\nann:3s")
	c.expect("ERROR", "message:token not accepted")
	c = login(t, b, "passcode:ann:1m\n")
	c.send("SUBSCRIBE\nid:0\ndestination:/session/token\n\n")
	c.expect("ERROR", "message:unknown destination prefix")
}

// A reload while a login or a renewal is under way is not missed.
func TestRevokedMeanwhile(t *testing.T) {
	a := &tokens{revoked: map[string]bool{}}
	b := newBroker(t, broker.Options{Auth: a})
	c := login(t, b, "passcode:ann:1m\n")
	a.mu.Lock()
	a.revoked["ann"] = true
	a.mu.Unlock()
	c.send("SEND\ndestination:/session/token\nreceipt:r\n\nann:1m")
	c.expect("ERROR", "message:bad credentials", "receipt-id:r")
	c = dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:1.2\npasscode:ann:1m\n\n")
	c.expect("ERROR", "message:bad credentials")
	c = dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:1.2\npasscode:old\n\n")
	c.expect("ERROR", "message:token expired")
	if s := b.Snapshot(); s.LoginsRefused != 3 {
		t.Errorf("%d refused", s.LoginsRefused)
	}
}
