package conformance

import (
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// TestHeartBeating: STOMP 1.2, Heart-beating, with intervals short enough to wait for. Silence is
// forgiven for 5 seconds at least.
func TestHeartBeating(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "heartbeat: { send: 200ms, receive: 200ms, min: 100ms, max: 1s, grace: 3 }\n")
	for _, tr := range harness.Transports {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				name string
				run  func(*env)
			}{
				{"the server sends what it agreed to", serverBeats},
				{"none where the client wants none", noBeats},
				{"a silent client is closed", silentClient},
				{"a client that beats lives on", beatingClient},
				{"frames count as beats", talkingClient},
				{"a client that promised nothing may be silent", quietClient},
			} {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(&env{T: t, b: b, tr: tr, v: "1.2"})
				})
			}
		})
	}
}

// silence is longer than any grace here; nothing but the passing of time can show what these
// cases show.
const silence = 7 * time.Second

// listen reads for d and fails if a frame or the end of the connection comes.
func listen(e *env, c *harness.Client, d time.Duration) {
	e.Helper()
	f, err := c.ReadFrame(d)
	if f != nil {
		e.Fatalf("got %s", f)
	}
	if err == nil || err.Error() != "nothing came in time" {
		e.Fatal(err)
	}
}

func serverBeats(e *env) {
	c := e.connect("heart-beat:0,200")
	for c.Beats < 5 {
		before := c.Beats
		listen(e, c, 2*time.Second)
		if c.Beats == before {
			e.Fatalf("no heart-beat in 2 s after %d", before)
		}
	}
	c.Sync()
}

func noBeats(e *env) {
	c := e.connect("heart-beat:0,0")
	listen(e, c, time.Second)
	if c.Beats > 0 {
		e.Errorf("%d heart-beats", c.Beats)
	}
}

func silentClient(e *env) {
	c := e.connect("heart-beat:200,0")
	e.refused(c, "heart-beat", "")
}

func beatingClient(e *env) {
	c := e.connect("heart-beat:200,0")
	for end := time.Now().Add(silence); time.Now().Before(end); {
		c.Sendf("\n")
		listen(e, c, 500*time.Millisecond)
	}
	c.Sync()
}

func talkingClient(e *env) {
	c := e.connect("heart-beat:200,0")
	for end := time.Now().Add(silence); time.Now().Before(end); {
		c.Sync()
		listen(e, c, 500*time.Millisecond)
	}
}

func quietClient(e *env) {
	c := e.connect("heart-beat:0,0")
	listen(e, c, silence)
	c.Sync()
}
