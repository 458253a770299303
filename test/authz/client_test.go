package authz

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gudokmq/gudok/test/harness"
)

// way is a transport of the matrix.
type way struct {
	name string
	dial func(b *harness.Broker) (net.Conn, error)
}

// insecure trusts any certificate: who is at the other end is not what is proved here.
var insecure = &tls.Config{InsecureSkipVerify: true}

var ways = []way{
	{"tcp", func(b *harness.Broker) (net.Conn, error) { return net.Dial("tcp", b.TCP) }},
	{"websocket", func(b *harness.Broker) (net.Conn, error) { return webSocket("ws://" + b.WS + b.Path) }},
	{"tcp+tls", func(b *harness.Broker) (net.Conn, error) { return tls.Dial("tcp", b.TCP, insecure) }},
	{"websocket+tls", func(b *harness.Broker) (net.Conn, error) { return webSocket("wss://" + b.WS + b.Path) }},
}

var web = &http.Client{Transport: harness.Pages(&http.Transport{TLSClientConfig: insecure}), Timeout: harness.Patience}

// webSocket is a connection whose writes are one message each.
func webSocket(url string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: web, Subprotocols: []string{"v12.stomp"}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	return websocket.NetConn(context.Background(), ws, websocket.MessageBinary), nil
}

// client is a STOMP client that reads answers in order. It belongs to one goroutine; what goes
// wrong ends the test.
type client struct {
	t       testing.TB
	conn    net.Conn
	in      []byte
	version string
	// messages are those that came between the answers, if they are to be kept.
	messages []*harness.Frame
	keep     bool
}

func (w way) open(t testing.TB, b *harness.Broker) *client {
	t.Helper()
	conn, err := w.dial(b)
	if err != nil {
		t.Fatalf("dial %s: %v", w.name, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn}
}

// connect opens a session with these headers of CONNECT and gives its id.
func (w way) connect(t testing.TB, b *harness.Broker, headers string) (*client, string) {
	t.Helper()
	c := w.open(t, b)
	c.send("CONNECT\naccept-version:1.2\nhost:x\n" + headers + "\n\x00")
	f, err := c.next()
	if err != nil || f.Command != "CONNECTED" {
		t.Fatalf("%s: CONNECT with %q got %v, %v", w.name, headers, f, err)
	}
	return c, f.Value("session")
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, raw); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// next reads the next frame.
func (c *client) next() (*harness.Frame, error) {
	for {
		for len(c.in) > 0 && c.in[0] == '\n' {
			c.in = c.in[1:]
		}
		if len(c.in) > 0 {
			f, n, err := harness.Parse(c.in, c.version)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				c.in = c.in[n:]
				if f.Command == "CONNECTED" {
					c.version = f.Value("version")
				}
				return f, nil
			}
		}
		chunk := make([]byte, 32<<10)
		n, err := c.conn.Read(chunk)
		if c.in = append(c.in, chunk[:n]...); err != nil && n == 0 {
			return nil, err
		}
	}
}

// answer reads up to the RECEIPT or ERROR for a receipt, and gives the ERROR's message; empty for a
// RECEIPT.
func (c *client) answer(receipt string) string {
	c.t.Helper()
	for {
		f, err := c.next()
		switch {
		case err != nil:
			c.t.Fatalf("waiting for %s: %v", receipt, err)
		case f.Command == "MESSAGE":
			if c.keep {
				c.messages = append(c.messages, f)
			}
		case f.Value("receipt-id") != receipt:
			c.t.Fatalf("waiting for %s: got %s", receipt, f)
		case f.Command == "RECEIPT":
			return ""
		case f.Command == "ERROR" && f.Value("fatal") == "false":
			return f.Value("message")
		default:
			c.t.Fatalf("waiting for %s: got %s", receipt, f)
		}
	}
}

// does sends a frame (without its NUL) with a receipt, and gives the ERROR's message.
func (c *client) does(frame string) string {
	c.t.Helper()
	c.send(withReceipt(frame, "does"))
	return c.answer("does")
}

// must is does for what has to succeed.
func (c *client) must(frame string) {
	c.t.Helper()
	if refusal := c.does(frame); refusal != "" {
		c.t.Fatalf("%q: %s", frame, refusal)
	}
}

func withReceipt(frame, receipt string) string {
	for i := range len(frame) {
		if frame[i] == '\n' {
			return frame[:i+1] + "receipt:" + receipt + frame[i:] + "\x00"
		}
	}
	panic(fmt.Sprintf("no frame: %q", frame))
}

// ended expects the end of the connection and nothing before.
func (c *client) ended() {
	c.t.Helper()
	f, err := c.next()
	var closed websocket.CloseError
	if f != nil || !errors.Is(err, io.EOF) && !errors.As(err, &closed) {
		c.t.Fatalf("got %v, %v, want the end", f, err)
	}
}
