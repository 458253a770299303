package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
)

func TestHeartBeatAgreement(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name            string
		h               broker.HeartBeat
		cx, cy          time.Duration
		sx, sy, out, in time.Duration
	}{
		{"stomp.js", broker.HeartBeat{}, 10 * s, 10 * s, 10 * s, 10 * s, 10 * s, 10 * s},
		{"none", broker.HeartBeat{}, 0, 0, 10 * s, 10 * s, 0, 0},
		{"faster than the default", broker.HeartBeat{}, 2 * s, 3 * s, 3 * s, 2 * s, 3 * s, 2 * s},
		{"faster than the minimum", broker.HeartBeat{}, s / 1000, s / 1000, s, s, s, s},
		{"slower", broker.HeartBeat{}, 60 * s, 60 * s, 10 * s, 10 * s, 60 * s, 60 * s},
		{"slower than the maximum", broker.HeartBeat{}, 3600 * s, 3600 * s, 10 * s, 10 * s, 300 * s, 3600 * s},
		{"off", broker.HeartBeat{Send: -1, Receive: -1}, 5 * s, 5 * s, 0, 0, 0, 0},
		{"one direction", broker.HeartBeat{}, 0, 5 * s, 5 * s, 10 * s, 5 * s, 0},
	} {
		sx, sy, out, in := c.h.Agree(c.cx, c.cy)
		if sx != c.sx || sy != c.sy || out != c.out || in != c.in {
			t.Errorf("%s: says %v,%v agrees %v,%v; want %v,%v and %v,%v", c.name, sx, sy, out, in, c.sx, c.sy, c.out, c.in)
		}
	}
}

// A silent client is cut after its grace and not before; a beating one lives for hours.
func TestHeartBeatsOverHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n")
		c.expect("CONNECTED", "heart-beat:10000,10000")
		start := time.Now()
		beats := make(chan int)
		go func() {
			n := 0
			for {
				p, err := c.p.out.take()
				if err != nil {
					beats <- n
					return
				}
				for _, x := range p {
					if x == '\n' {
						n++
					}
				}
			}
		}()
		const life = 2 * time.Hour
		for time.Since(start) < life {
			time.Sleep(10 * time.Second)
			c.p.in.write([]byte("\n"))
		}
		silence := time.Now()
		<-c.done
		if d := time.Since(silence); d < 30*time.Second || d > 36*time.Second {
			t.Errorf("silent client was cut after %v, want 30 s and a little", d)
		}
		n := <-beats
		if least, most := int(life/(10*time.Second)), int(life/(8*time.Second)); n < least || n > most {
			t.Errorf("%d beats in %v, want %d to %d", n, life, least, most)
		}
	})
}

func TestConnectTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		c := dial(t, b, 1<<20)
		start := time.Now()
		c.expect("ERROR", "message:no CONNECT in time")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("after %v, want 10 s", d)
		}
		if code := c.ended(); code != 1008 {
			t.Errorf("close code %d", code)
		}
	})
}

// Sessions of all intervals, coming and going: each gets its beats in time, one that falls silent is
// cut when its grace is over and none before, and none of them needs a goroutine for it.
func TestHeartBeatsOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{
			HeartBeat: broker.HeartBeat{Min: 50 * time.Millisecond, Send: time.Hour, Receive: time.Hour, Max: time.Hour},
		})
		rnd := rand.New(rand.NewPCG(1, 2))
		between := func(least, most time.Duration) time.Duration {
			return least + time.Duration(rnd.Int64N(int64(most-least)))
		}
		const late = 50 * time.Millisecond // a tick of the wheel, and the fraction of a millisecond a header cannot say
		var group sync.WaitGroup
		before := runtime.NumGoroutine()
		for range 300 {
			time.Sleep(between(0, 300*time.Millisecond))
			out, in := between(50*time.Millisecond, 90*time.Second).Truncate(time.Millisecond), between(2*time.Second, 90*time.Second).Truncate(time.Millisecond)
			life := between(0, 10*time.Minute)
			c := dial(t, b, 1<<20)
			c.send(fmt.Sprintf("CONNECT\naccept-version:1.2\nheart-beat:%d,%d\n\n", in.Milliseconds(), out.Milliseconds()))
			group.Go(func() { // the client's beats
				for end := time.Now().Add(life); time.Now().Before(end); {
					time.Sleep(in)
					c.p.in.write([]byte("\n"))
				}
				silence := time.Now()
				<-c.done
				if d, grace := time.Since(silence), max(3*in, 5*time.Second); d < grace || d > grace+late {
					t.Errorf("cut after %v of silence, want %v", d, grace)
				}
			})
			group.Go(func() { // the broker's
				for last := time.Now(); ; last = time.Now() {
					if _, err := c.p.out.take(); err != nil {
						return
					}
					if d := time.Since(last); d > out {
						t.Errorf("%v between beats, agreed %v", d, out)
					}
				}
			})
		}
		synctest.Wait()
		// Ours: two above, one in dial; the session's: the reader, which is that in dial.
		if n := runtime.NumGoroutine() - before; n > 300*3+2 {
			t.Errorf("%d goroutines", n)
		}
		group.Wait()
		if n := b.Snapshot().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// lateAuth is an Authenticator that takes longer than there is time to CONNECT, and minds no context.
type lateAuth struct{ broker.Authenticator }

func (lateAuth) Authenticate(context.Context, broker.Credentials) (*broker.Principal, error) {
	time.Sleep(11 * time.Second)
	return &broker.Principal{Name: "late"}, nil
}

// A client is told that it is connected, or that its time is over, and never both.
func TestConnectedOrTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Auth: lateAuth{}})
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:1.2\nlogin:late\n\n")
		c.expect("ERROR", "message:no CONNECT in time")
		c.ended()
	})
}
