package security

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// listener is a session of alice's that hears what others get through.
func (w *world) listener(destinations ...string) *harness.Client {
	w.t.Helper()
	c := w.dial(harness.TCP, "")
	connect(c, "login:alice", "passcode:"+canary+"-alice")
	c.Expect("CONNECTED")
	for i, d := range destinations {
		c.Sendf("SUBSCRIBE\nid:%d\ndestination:%s\n\n\x00", i, d)
	}
	c.Sync()
	return c
}

// V1: nothing counts that comes before a CONNECT that succeeded, or behind one that failed, in the
// same packet or later (Vert.x CVE-2023-32081, Spring CVE-2025-41254); a second CONNECT ends the
// session (CVE-2022-22971) and changes nobody.
func TestV1BeforeConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	hears := w.listener("/topic/v1", "/queue/v1")
	frames := []string{
		"SEND\ndestination:/topic/v1\n\nthrough\x00", "SEND\ndestination:/queue/v1\nreceipt:r\n\nthrough\x00",
		"BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/queue/v1\ntransaction:t\n\nthrough\x00COMMIT\ntransaction:t\n\n\x00",
		"SUBSCRIBE\nid:0\ndestination:/topic/>\n\n\x00", "ACK\nid:1\n\n\x00", "DISCONNECT\nreceipt:r\n\n\x00",
	}
	failed := map[string]string{
		"bad credentials":            "CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:" + w.secret("v1") + "\n\n\x00",
		"no common protocol version": "CONNECT\naccept-version:9\nhost:h\nlogin:alice\npasscode:" + canary + "-alice\n\n\x00",
		"bad heart-beat header":      "CONNECT\naccept-version:1.2\nhost:h\nheart-beat:x\nlogin:alice\npasscode:" + canary + "-alice\n\n\x00",
		"bad login name":             "CONNECT\naccept-version:1.2\nhost:h\nlogin:#\npasscode:" + canary + "-alice\n\n\x00",
		"not connected":              "",
	}
	good := "CONNECT\naccept-version:1.2\nhost:h\nlogin:bob\npasscode:" + canary + "-bob\n\n\x00"
	t.Run("all", func(t *testing.T) {
		for _, tr := range harness.Transports {
			for reason, connect := range failed {
				t.Run(string(tr)+" "+reason, func(t *testing.T) {
					t.Parallel()
					for _, f := range frames {
						// Behind it all comes a CONNECT that is right: too late.
						c := w.dial(tr, "")
						c.T = t
						c.Sendf("%s%s%s%s", connect, f, good, frames[0])
						if got := c.Expect("ERROR").Value("message"); got != reason {
							t.Errorf("%q, want %q", got, reason)
						}
						c.ExpectClose()
					}
				})
			}
			t.Run(string(tr)+" again", func(t *testing.T) {
				t.Parallel()
				c := w.dial(tr, "")
				c.T = t
				c.Sendf("%s", good)
				c.Expect("CONNECTED", "user-name:bob")
				c.Sendf("CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:%s-alice\n\n\x00%s", canary, frames[0])
				c.Expect("ERROR", "message:already connected")
				c.ExpectClose()
			})
		}
	})
	hears.Sync() // nothing came through
}

// V2: before CONNECT a connection holds no more than its budget, in however many messages, fragments
// and frames it comes, the one that would complete the frame included (RabbitMQ CVE-2026-67230).
func TestV2BudgetBeforeConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const budget = 16 << 10
	head := "CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:" + canary + "-alice\n"
	padded := func(n int) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < n-2; i++ {
			name := fmt.Sprintf("x%d:", i)
			b.WriteString(name + strings.Repeat("y", min(4000, n-2-b.Len()-len(name)-1)) + "\n")
		}
		return b.String() + "\n\x00"
	}
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText, harness.WSBinary, harness.WSSplit, harness.WSFragmented, harness.WSPacked, harness.WSCompressed} {
		c := w.dial(tr, "")
		c.Sendf("%s", padded(budget))
		c.Expect("CONNECTED")
		c.Sync()
		c.Sendf("SEND\ndestination:/topic/v2\n\n%s\x00", strings.Repeat("x", 2*budget)) // after it other bounds hold
		c.Sync()
		c.Abort()
		c = w.dial(tr, "")
		c.Sendf("%s", padded(budget+1))
		c.Expect("ERROR", "message:frame too large")
		c.ExpectClose()
		// Without an end in sight it is over as soon.
		c = w.dial(tr, "")
		c.Sendf("%s", padded(budget + 100)[:budget+1])
		c.Expect("ERROR", "message:frame too large")
		c.ExpectClose()
	}
}

// V20: a token's end ends the session, idle or busy, in both directions, within a second; what it
// held goes back, its durable subscription stays (RabbitMQ #8292). A fraction in exp is an end, too
// (CVE-2026-67242).
func TestV20TokenExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		for _, busy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, busy %v", tr, busy), func(t *testing.T) {
				t.Parallel()
				feeder := w.listener()
				feeder.T = t
				user := fmt.Sprintf("%s-%v", tr, busy)
				end := time.UnixMilli(time.Now().UnixMilli() + 2500)
				exp := float64(end.UnixMilli()) / 1000
				c := w.dial(tr, "")
				c.T = t
				connect(c, "client-id:c", "passcode:"+w.token(user, map[string]any{"exp": exp}))
				c.Expect("CONNECTED")
				c.Sendf("SUBSCRIBE\nid:q\ndestination:/queue/%s\nack:client\n\n\x00", user)
				c.Sendf("SUBSCRIBE\nid:d\ndestination:/topic/%s.kept\ndurable:true\n\n\x00", user)
				c.Sendf("SUBSCRIBE\nid:t\ndestination:/topic/%s\nreceipt:s\n\n\x00", user)
				c.Receipt("s")
				feeder.Sendf("SEND\ndestination:/queue/%s\n\nheld\x00", user)
				c.Message("held")
				f := &harness.Frame{Command: "MESSAGE"}
				for f.Command == "MESSAGE" {
					if busy && time.Since(end) < 5*time.Second {
						feeder.Sendf("SEND\ndestination:/topic/%s\n\ntick\x00", user)
						feeder.Sync()
					}
					var err error
					if f, err = c.ReadFrame(harness.Patience); err != nil {
						t.Fatal(err)
					}
					if late := time.Since(end); f.Command == "MESSAGE" && late > time.Second {
						t.Errorf("a message %v after the end", late)
					}
				}
				if late := time.Since(end); f.Command != "ERROR" || f.Value("message") != "token expired" || late < 0 || late > time.Second {
					t.Errorf("%s, %v after the end", f, late)
				}
				if got := c.ExpectClose(); tr.WebSocket() && got.Code != 1008 {
					t.Errorf("closed with %d", got.Code)
				}
				feeder.Sendf("SEND\ndestination:/topic/%s.kept\nreceipt:k\n\nkept\x00", user)
				feeder.Receipt("k")
				c = w.dial(tr, "")
				connect(c, "client-id:c", "passcode:"+w.token(user, nil))
				c.Expect("CONNECTED")
				c.Sendf("SUBSCRIBE\nid:q\ndestination:/queue/%s\n\n\x00", user)
				c.Message("held", "redelivered:true")
				c.Sendf("SUBSCRIBE\nid:d\ndestination:/topic/%s.kept\ndurable:true\n\n\x00", user)
				c.Message("kept")
			})
		}
	}
}

// A new token within the session, before the old one ends.
func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		end := time.Now().Add(2 * time.Second)
		short := func() map[string]any { return map[string]any{"exp": float64(end.UnixMilli()) / 1000} }
		c := w.dial(tr, "")
		connect(c, "gudok-errors:soft", "passcode:"+w.token("tom", short()))
		c.Expect("CONNECTED")
		for _, bad := range []string{w.forged("tom"), w.token("tim", nil), "x", w.token("tom", map[string]any{"aud": "other"})} {
			c.Sendf("SEND\ndestination:/session/token\nreceipt:r\n\n%s\x00", bad)
			if f := c.Expect("ERROR", "message:token not accepted", "receipt-id:r", "fatal:false"); strings.Contains(f.String(), "eyJ") {
				t.Errorf("the ERROR repeats the token: %s", f)
			}
		}
		c.Sendf("SEND\ndestination:/session/token\nreceipt:ok\ncontent-type:application/jwt\n\n%s\x00", w.token("tom", nil))
		c.Receipt("ok")
		if f, err := c.ReadFrame(time.Until(end) + 1500*time.Millisecond); f != nil || time.Since(end) < time.Second {
			t.Errorf("%v, %v", f, err)
		}
		c.Sync()
		// A client that did not ask for soft errors is told and closed.
		c = w.dial(tr, "")
		connect(c, "passcode:"+w.token("tom", nil))
		c.Expect("CONNECTED")
		c.Sendf("SEND\ndestination:/session/token\n\n%s\x00", w.forged("tom"))
		c.Expect("ERROR", "message:token not accepted")
		c.ExpectClose()
	}
}

// V22: nobody is let in for where he seems to come from (RabbitMQ CVE-2026-57216, CVE-2026-67411):
// there is no default user, and no word of a client makes it local.
func TestV22NoGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, login := range []string{"guest", "admin", "system", "anonymous", "root", "user"} {
		for _, passcode := range []string{"", login, "password"} {
			for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
				c := w.dial(tr, "", "Sec-WebSocket-Protocol: v12.stomp", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: ::1", "X-Remote-User: alice", "X-Forwarded-User: alice")
				connect(c, "login:"+login, "passcode:"+passcode)
				c.Expect("ERROR", "message:bad credentials")
				c.ExpectClose()
			}
		}
	}
	for _, line := range []string{"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n", "\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x01"} {
		c := w.dial(harness.TCP, "")
		c.Sendf("%s", line)
		connect(c)
		c.Expect("ERROR")
		c.ExpectClose()
	}
	// Without any login the broker does not open to the network, whatever the address is called.
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0", "localhost.example.org:0", "127.0.0.1.example.org:0", "128.0.0.1:0"} {
		b, err := harness.TryStart(t, fmt.Sprintf("http: {listen: %q}", listen), harness.Options{Quiet: true})
		if err == nil {
			b.Stop()
			t.Errorf("it listens on %s", listen)
		} else if b.Exited(harness.Patience) == 0 || !strings.Contains(b.Output(), "nobody has to log in") {
			t.Errorf("%s: %v", listen, b.Output())
		}
	}
}
