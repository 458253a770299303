package broker_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

// faulty is a Conn that panics where a fault of ours would.
type faulty struct {
	*pipe
	onRead, onWrite string // panic at a frame that contains it
}

func (f *faulty) ReadFrame(g *stompframe.Frame) error {
	err := f.pipe.ReadFrame(g)
	if f.onRead != "" && strings.Contains(string(g.Body), f.onRead) {
		panic("planted")
	}
	return err
}

func (f *faulty) AppendFrame(dst, head, tail []byte, text bool) []byte {
	if f.onWrite != "" && bytes.Contains(tail, []byte(f.onWrite)) {
		panic("planted")
	}
	return f.pipe.AppendFrame(dst, head, tail, text)
}

// A panic ends the session it happens in, in order, with a line in the log; nobody else notices,
// and what the session held goes to others.
func TestPanicEndsOneSession(t *testing.T) {
	for where, conn := range map[string]*faulty{
		"reading": {onRead: "evil"},
		"writing": {onWrite: "evil"},
	} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				e := memory.New(memory.Options{})
				defer e.Close()
				b := newBroker(t, broker.Options{Engine: e, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				conn.pipe = newPipe(1 << 20)
				c := &client{t: t, p: conn.pipe, dec: stompframe.NewDecoder(stompframe.V12, stompframe.Limits{}), done: make(chan struct{})}
				go func() {
					defer close(c.done)
					b.Serve(context.Background(), conn)
				}()
				c.send("CONNECT\naccept-version:1.2\n\n")
				c.expect("CONNECTED")
				c.send("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n\n", "SEND\ndestination:/queue/q\n\ngood")
				c.expect("MESSAGE")
				c.send("SEND\ndestination:/queue/q\n\nevil")
				if where == "reading" {
					c.expect("ERROR", "message:internal error")
					if code := c.ended(); code != 1011 {
						t.Errorf("close code %d", code)
					}
				}
				<-c.done
				synctest.Wait()
				if n := strings.Count(log.String(), "session panicked"); n != 1 || !strings.Contains(log.String(), "panic_test.go") {
					t.Errorf("log: %s", log.String())
				}
				d := connect(t, b)
				d.send("SUBSCRIBE\nid:0\ndestination:/queue/q\n\n")
				if f := d.expect("MESSAGE", "redelivered:true"); f.body != "good" {
					t.Errorf("got %q", f.body)
				}
				if where == "writing" {
					d.expect("MESSAGE")
				}
				d.sync()
			})
		})
	}
}

// silent is an engine that never says that a message is stored.
type silent struct{ *memory.Engine }

func (silent) Publish(*store.Message, func(bool, error)) {}

// Shutdown ends when its time is over, whatever its sessions wait for.
func TestShutdownHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := silent{memory.New(memory.Options{})}
		defer e.Close()
		b, err := broker.New(broker.Options{Engine: e, Limits: broker.Limits{SendTime: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, b)
		c.send("SEND\ndestination:/queue/q\nreceipt:never\n\nx")
		d := connect(t, b)
		d.send("SEND\ndestination:/queue/q\nreceipt:never\n\nx", "SUBSCRIBE\nid:0\ndestination:/topic/x\nreceipt:neither\n\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := b.Shutdown(ctx); err == nil {
			t.Error("no error from a shutdown that had to cut")
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		<-c.done
		<-d.done
	})
}

// A soft ERROR comes in the order of the frames that asked for a receipt.
func TestSoftErrorInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slow{Engine: memory.New(memory.Options{})}
		defer e.Close()
		b := newBroker(t, broker.Options{Engine: e})
		c := login(t, b, "gudok-errors:soft\n")
		c.send("SEND\ndestination:/queue/q\nreceipt:1\n\nx", "SEND\ndestination:nowhere\nreceipt:2\n\nx", "SEND\ndestination:/topic/q\nreceipt:3\n\nx")
		c.expect("RECEIPT", "receipt-id:1")
		c.expect("ERROR", "receipt-id:2")
		c.expect("RECEIPT", "receipt-id:3")
	})
}

// slow is an engine that takes a second to store a message.
type slow struct{ *memory.Engine }

func (e *slow) Publish(m *store.Message, done func(bool, error)) {
	time.AfterFunc(time.Second, func() { e.Engine.Publish(m, done) })
}
