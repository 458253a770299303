package broker_test

import (
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
		if least, most := int(life/(10*time.Second)), int(life/(4*time.Second)); n < least || n > most {
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
