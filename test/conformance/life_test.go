package conformance

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// TestShutdown: SIGTERM ends every session in good order (1012) and the process with 0.
func TestShutdown(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	var clients []*harness.Client
	for _, tr := range harness.Transports {
		e := &env{T: t, b: b, tr: tr, v: "1.2"}
		c := e.connect()
		e.subscribe(c, "0", e.topic())
		clients = append(clients, c)
	}
	var wg sync.WaitGroup
	wg.Go(b.Stop)
	for _, c := range clients {
		end := c.ExpectClose()
		if c.Transport.WebSocket() && end.Code != 1012 {
			t.Errorf("%s: close code %d, not 1012", c.Transport, end.Code)
		}
	}
	wg.Wait()
}

// TestSlowConsumer: a subscriber that does not read ends; its neighbours and the publisher go on.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "limits: { outbox: 256KiB, send_time: 2s }\n")
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			e := &env{T: t, b: b, tr: tr, v: "1.2"}
			topic := e.topic()
			slow, quick, pub := e.connect(), e.connect(), e.connect()
			e.subscribe(slow, "0", topic)
			e.subscribe(quick, "0", topic)
			body := strings.Repeat("x", 128<<10)
			for i := range 150 {
				r := fmt.Sprint(i)
				pub.Sendf("SEND\ndestination:%s\nn:%d\nreceipt:%s\n\n%s\x00", topic, i, r, body)
				pub.Receipt(r)
				quick.Message(body, "n:"+r)
			}
			quick.Sync()
			// What the slow one has not lost is whole frames in order; then its connection ends.
			for i := 0; ; i++ {
				f, err := slow.ReadFrame(harness.Patience)
				if err != nil {
					if err.Error() == "nothing came in time" {
						t.Error("the slow subscriber was not ended")
					}
					break
				}
				if f.Command != "MESSAGE" || f.Value("n") != fmt.Sprint(i) {
					t.Fatalf("message %d of the slow subscriber is %.200s", i, f)
				}
			}
		})
	}
}
