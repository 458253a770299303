// Package gostomp runs the go-stomp client against the broker, over TCP and over WebSocket.
package gostomp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// site is a broker and one way to reach it.
type site struct {
	broker *harness.Broker
	dial   func(t *testing.T) net.Conn
}

func dialTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func dialWebSocket(t *testing.T, url string, kind websocket.MessageType) net.Conn {
	t.Helper()
	c, _, err := websocket.Dial(context.Background(), url, &websocket.DialOptions{
		Subprotocols: []string{"v12.stomp", "v11.stomp", "v10.stomp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	return websocket.NetConn(context.Background(), c, kind)
}

// ways runs a test over every way in, against one broker. go-stomp cuts what it writes where its
// buffer ends, so over WebSocket a frame may span messages and a message may end within a character.
func ways(t *testing.T, config string, test func(t *testing.T, s site)) {
	t.Helper()
	b := harness.Start(t, config)
	url := "ws://" + b.WS + b.Path
	for name, dial := range map[string]func(t *testing.T) net.Conn{
		"TCP":             func(t *testing.T) net.Conn { return dialTCP(t, b.TCP) },
		"WebSocketBinary": func(t *testing.T) net.Conn { return dialWebSocket(t, url, websocket.MessageBinary) },
	} {
		t.Run(name, func(t *testing.T) { test(t, site{b, dial}) })
	}
}

// connect makes a connection that is ended with the test.
func (s site) connect(t *testing.T, opts ...func(*stomp.Conn) error) *stomp.Conn {
	t.Helper()
	conn := s.dial(t)
	c, err := stomp.Connect(conn, append([]func(*stomp.Conn) error{quiet}, opts...)...)
	if err != nil {
		conn.Close()
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = c.Disconnect() })
	return c
}

// drop makes a connection that the caller ends without a DISCONNECT.
func (s site) drop(t *testing.T, opts ...func(*stomp.Conn) error) (c *stomp.Conn, end func()) {
	t.Helper()
	conn := s.dial(t)
	c, err := stomp.Connect(conn, append([]func(*stomp.Conn) error{quiet}, opts...)...)
	if err != nil {
		conn.Close()
		t.Fatalf("connect: %v", err)
	}
	return c, func() { conn.Close() }
}

// silent keeps what go-stomp would log out of the test's output.
type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}
func (silent) Debug(string)            {}
func (silent) Info(string)             {}
func (silent) Warning(string)          {}
func (silent) Error(string)            {}

func quiet(c *stomp.Conn) error { return stomp.ConnOpt.Logger(silent{})(c) }

var names atomic.Int64

// unique is a destination nobody else uses.
func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, names.Add(1)) }

func send(t *testing.T, c *stomp.Conn, destination, body string, opts ...func(*frame.Frame) error) {
	t.Helper()
	opts = append(opts, stomp.SendOpt.Receipt)
	if err := c.Send(destination, "text/plain", []byte(body), opts...); err != nil {
		t.Fatalf("send %q to %s: %v", body, destination, err)
	}
}

// subscribe returns once the broker has taken the SUBSCRIBE in: go-stomp asks for no receipt, but a
// connection's frames are worked through in order.
func subscribe(t *testing.T, c *stomp.Conn, destination string, ack stomp.AckMode, opts ...func(*frame.Frame) error) *stomp.Subscription {
	t.Helper()
	s, err := c.Subscribe(destination, ack, opts...)
	if err != nil {
		t.Fatalf("subscribe %s: %v", destination, err)
	}
	sync(t, c)
	return s
}

// sync returns once the broker has worked through all that was written before.
func sync(t *testing.T, c *stomp.Conn) {
	t.Helper()
	send(t, c, "/topic/nobody.listens", "")
}

func next(t *testing.T, s *stomp.Subscription) *stomp.Message {
	t.Helper()
	select {
	case m, ok := <-s.C:
		if !ok {
			t.Fatal("subscription ended")
		}
		if m.Err != nil {
			t.Fatalf("subscription: %v", m.Err)
		}
		return m
	case <-time.After(harness.Patience):
		t.Fatalf("no message from %s", s.Destination())
		return nil
	}
}

func expect(t *testing.T, s *stomp.Subscription, bodies ...string) []*stomp.Message {
	t.Helper()
	var got []*stomp.Message
	for _, want := range bodies {
		m := next(t, s)
		if string(m.Body) != want {
			t.Fatalf("body %.80q, want %.80q", m.Body, want)
		}
		got = append(got, m)
	}
	return got
}

// settle acknowledges a message (or not) and returns once the broker has done so.
func settle(t *testing.T, c *stomp.Conn, how func(*stomp.Message) error, m *stomp.Message) {
	t.Helper()
	if err := how(m); err != nil {
		t.Fatalf("ACK or NACK: %v", err)
	}
	sync(t, c)
}

// refused is the ERROR frame in what go-stomp says.
func refused(t *testing.T, err error) *frame.Frame {
	t.Helper()
	var value stomp.Error
	var pointer *stomp.Error
	switch {
	case errors.As(err, &value) && value.Frame != nil:
		return value.Frame
	case errors.As(err, &pointer) && pointer.Frame != nil:
		return pointer.Frame
	}
	t.Fatalf("no ERROR frame but %v", err)
	return nil
}
