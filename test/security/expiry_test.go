package security

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// V20: 200 sessions, by TCP and by WebSocket, idle and busy in both directions, end with their token, all
// of them: none is told so before, and none gets a message that was sent a second after.
func TestV20TwoHundredSessions(t *testing.T) {
	w := newWorld(t, "limits: {connections: 1000}")
	const sessions, life = 200, 6 * time.Second
	feeder := w.dial(harness.TCP, "")
	connect(feeder, "login:alice", "passcode:"+canary+"-alice")
	feeder.Expect("CONNECTED")
	end := time.UnixMilli(time.Now().Add(life).UnixMilli())
	exp := map[string]any{"exp": float64(end.UnixMilli()) / 1000}
	var work sync.WaitGroup
	var mu sync.Mutex
	ends := map[string]int{}
	messages := 0
	for i := range sessions {
		tr := []harness.Transport{harness.TCP, harness.WSText}[i%2]
		busy := i%4 < 2
		c := w.dial(tr, "")
		connect(c, "passcode:"+w.token(fmt.Sprintf("u%d", i), exp))
		c.Expect("CONNECTED")
		if busy {
			c.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/v20.feed\nreceipt:s\n\n\x00")
			c.Receipt("s")
		}
		work.Go(func() {
			for {
				f, err := c.ReadFrame(life + 2*harness.Patience)
				if err != nil {
					t.Errorf("session %d: %v, not told that its token has expired", i, err)
					return
				}
				if f.Command == "MESSAGE" {
					at, err := strconv.ParseInt(string(f.Body), 10, 64)
					if late := time.UnixMilli(at).Sub(end); err != nil || late > time.Second {
						t.Errorf("session %d got what was sent %v after its end (%v)", i, late, err)
					}
					if time.Until(end) > 100*time.Millisecond { // afterwards the broker may not read any more
						c.Sendf("SEND\ndestination:/topic/v20.answers\n\nx\x00")
					}
					mu.Lock()
					messages++
					mu.Unlock()
					continue
				}
				if f.Command != "ERROR" || f.Value("message") != "token expired" || time.Now().Before(end) {
					t.Errorf("session %d, %v before its end: %s", i, time.Until(end), f)
				}
				c.Abort()
				mu.Lock()
				ends[fmt.Sprintf("%s, busy %v", tr, busy)]++
				mu.Unlock()
				return
			}
		})
	}
	if left := time.Until(end); left < time.Second {
		t.Fatalf("the sessions were connected %v before their end: this machine is too slow", left)
	}
	ended := make(chan struct{})
	go func() { work.Wait(); close(ended) }()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		feeder.Sendf("SEND\ndestination:/topic/v20.feed\nreceipt:f\n\n%d\x00", time.Now().UnixMilli())
		feeder.Receipt("f")
		select {
		case <-tick.C:
			continue
		case <-ended:
			tick.Stop()
		}
		break
	}
	if t.Logf("%v, %d messages", ends, messages); len(ends) != 4 || messages < sessions {
		t.Error("the sessions were not of four kinds, or nothing was sent")
	}
}
