package broker_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
)

// Begin returns while the session waits for its client; the session ends as any other, and tells that once.
func TestBeginReturnsWhileTheSessionWaits(t *testing.T) {
	var log bytes.Buffer
	for _, c := range []struct {
		how    string
		end    func(*client, *broker.Broker, context.CancelFunc)
		reason string // logged
	}{
		{"DISCONNECT", func(c *client, _ *broker.Broker, _ context.CancelFunc) {
			c.send("DISCONNECT\nreceipt:bye\n\n")
			c.expect("RECEIPT", "receipt-id:bye")
		}, "goodbye"},
		{"the connection breaks", func(c *client, _ *broker.Broker, _ context.CancelFunc) { c.p.Abort() }, ""},
		{"its context ends", func(_ *client, _ *broker.Broker, cancel context.CancelFunc) { cancel() }, ""},
		{"a malformed frame", func(c *client, _ *broker.Broker, _ context.CancelFunc) {
			c.send("NONSENSE\n\n")
			c.expect("ERROR")
		}, ""},
		{"shutdown", func(_ *client, b *broker.Broker, _ context.CancelFunc) {
			if err := b.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}, ""},
		{"no heart-beat", func(*client, *broker.Broker, context.CancelFunc) { time.Sleep(time.Minute) }, "heart-beat"},
		{"a fault while it waits", func(c *client, _ *broker.Broker, _ context.CancelFunc) {
			c.p.evil = true
			c.send("SEND\ndestination:/topic/nobody\n\nx")
		}, "session panicked"},
	} {
		t.Run(c.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log.Reset()
				b := newBroker(t, broker.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				peer := &client{t: t, p: newPipe(1 << 20), dec: newClientDecoder()}
				over, returned := 0, false
				go func() {
					b.Begin(ctx, peer.p, func() { over++ })
					returned = true
				}()
				peer.send("CONNECT\naccept-version:1.2\nheart-beat:10000,0\n\n")
				peer.expect("CONNECTED")
				for range 3 { // it comes back each time
					synctest.Wait()
					peer.sync()
				}
				synctest.Wait()
				if !returned || over != 0 || b.Snapshot().Sessions != 1 {
					t.Fatalf("Begin has returned: %v; over %d times, %d sessions", returned, over, b.Snapshot().Sessions)
				}
				c.end(peer, b, cancel)
				synctest.Wait()
				time.Sleep(5 * time.Second) // what lingers
				synctest.Wait()
				if over != 1 || b.Snapshot().Sessions != 0 {
					t.Errorf("over %d times, %d sessions", over, b.Snapshot().Sessions)
				}
				if !strings.Contains(log.String(), c.reason) {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

// Who is not admitted is told so, and so is who brought them.
func TestBeginRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{Connections: 1}})
		connect(t, b)
		peer := dial(t, b, 1<<20)
		peer.expect("ERROR")
		<-peer.done
	})
}

// Serve keeps its goroutine: there is one for each session, and none that waits beside it.
func TestServeWaitsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{})
		before := runtime.NumGoroutine()
		peer := &client{t: t, p: newPipe(1 << 20), dec: newClientDecoder(), done: make(chan struct{})}
		go func() {
			defer close(peer.done)
			b.Serve(context.Background(), peer.p)
		}()
		peer.send("CONNECT\naccept-version:1.2\n\n")
		peer.expect("CONNECTED")
		peer.sync()
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n != 1 || peer.p.leaves {
			t.Errorf("%d goroutines, it leaves: %v", n, peer.p.leaves)
		}
		peer.drop()
	})
}
