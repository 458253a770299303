package harness

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Client is a raw STOMP client: what a test sends goes out as it is, what comes is parsed
// strictly. It belongs to one goroutine; every failure ends the test.
type Client struct {
	T         testing.TB
	Transport Transport
	// Version is what CONNECTED said; empty before.
	Version string
	// Beats counts the heart-beats received so far.
	Beats int
	// WS gives the WebSocket's frames; nil on TCP.
	WS *WS
	// BeforeSend and BeforeRead, if not nil, run before each Send and each read: a test with
	// several packing clients uses them to keep the order of what they send.
	BeforeSend, BeforeRead func()

	wire   wire
	in     []byte // bytes received, not parsed
	out    []byte // bytes to be sent with the next flush (WSPacked)
	closed *Close
	synced int
}

// Send sends raw bytes.
func (c *Client) Send(raw []byte) {
	c.T.Helper()
	if c.BeforeSend != nil {
		c.BeforeSend()
	}
	if c.Transport == WSPacked {
		c.out = append(c.out, raw...)
		return
	}
	if err := c.wire.send(raw); err != nil {
		c.T.Fatalf("send: %v", err)
	}
}

// Sendf sends what the format gives.
func (c *Client) Sendf(format string, args ...any) {
	c.T.Helper()
	c.Send(fmt.Appendf(nil, format, args...))
}

// Flush sends what a packing client has collected.
func (c *Client) Flush() {
	c.T.Helper()
	if len(c.out) == 0 {
		return
	}
	raw := c.out
	c.out = nil
	if err := c.wire.send(raw); err != nil {
		c.T.Fatalf("send: %v", err)
	}
}

// ReadFrame returns the next frame; an error if none comes within d, if the broker closed the
// connection (*Close), or if what came is not a frame that a broker may send.
func (c *Client) ReadFrame(d time.Duration) (*Frame, error) {
	c.Flush()
	if c.BeforeRead != nil {
		c.BeforeRead()
	}
	deadline := time.Now().Add(d)
	for {
		if c.Transport.WebSocket() {
			f, err := c.readMessage(deadline)
			if f != nil || err != nil {
				return f, err
			}
			continue
		}
		for len(c.in) > 0 && c.in[0] == '\n' {
			c.Beats++
			c.in = c.in[1:]
		}
		if len(c.in) > 0 {
			f, n, err := parse(c.in, c.Version)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				c.in = c.in[n:]
				c.learn(f)
				return f, nil
			}
		}
		chunk, _, err := c.receive(deadline)
		if err != nil {
			return nil, err
		}
		c.in = append(c.in, chunk...)
	}
}

// readMessage reads one WebSocket message, which is one frame or one heart-beat (nil, nil).
func (c *Client) readMessage(deadline time.Time) (*Frame, error) {
	msg, binary, err := c.receive(deadline)
	if err != nil {
		return nil, err
	}
	if string(msg) == "\n" {
		c.Beats++
		return nil, nil
	}
	f, n, err := parse(msg, c.Version)
	if err != nil {
		return nil, err
	}
	if n != len(msg) || n == 0 {
		return nil, fmt.Errorf("not one frame in one message: %.300q", msg)
	}
	f.Binary = binary
	c.learn(f)
	return f, nil
}

func (c *Client) receive(deadline time.Time) ([]byte, bool, error) {
	if c.closed != nil {
		return nil, false, c.closed
	}
	chunk, binary, err := c.wire.receive(deadline)
	if errors.As(err, &c.closed) && len(c.in) > 0 {
		return nil, false, fmt.Errorf("closed within a frame: %.300q", c.in)
	}
	return chunk, binary, err
}

func (c *Client) learn(f *Frame) {
	if f.Command == "CONNECTED" {
		c.Version = f.Value("version")
	}
}

// Expect reads the next frame and fails unless it has this command and these headers:
// "name:value" must be there (the value unescaped, the first of that name), "name" must be there
// with any value, "!name" must not.
func (c *Client) Expect(command string, headers ...string) *Frame {
	c.T.Helper()
	f, err := c.ReadFrame(Patience)
	if err != nil {
		c.T.Fatalf("expected %s %q: %v", command, headers, err)
	}
	if f.Command != command {
		c.T.Fatalf("expected %s %q, got %s", command, headers, f)
	}
	for _, h := range headers {
		name, want, valued := strings.Cut(h, ":")
		absent := strings.HasPrefix(name, "!")
		got, ok := f.Get(strings.TrimPrefix(name, "!"))
		if ok == absent || valued && got != want {
			c.T.Fatalf("expected %s with %q, got %s", command, h, f)
		}
	}
	return f
}

// Message expects a MESSAGE with this body and these headers.
func (c *Client) Message(body string, headers ...string) *Frame {
	c.T.Helper()
	f := c.Expect("MESSAGE", headers...)
	if string(f.Body) != body {
		c.T.Fatalf("expected a MESSAGE of %.100q, got %.500s", body, f)
	}
	return f
}

// Receipt expects the RECEIPT of that id.
func (c *Client) Receipt(id string) *Frame {
	c.T.Helper()
	return c.Expect("RECEIPT", "receipt-id:"+id)
}

// Sync sends a frame without effect and expects its RECEIPT as the very next frame: whatever the
// broker had for this session before has been read, and nothing else came.
func (c *Client) Sync() {
	c.T.Helper()
	c.synced++
	id := fmt.Sprintf("sync-%d", c.synced)
	c.Sendf("SEND\ndestination:/topic/harness.nobody\nreceipt:%s\n\n\x00", id)
	c.Receipt(id)
}

// ExpectClose fails unless the broker ends the connection, in good order and without another
// frame.
func (c *Client) ExpectClose() Close {
	c.T.Helper()
	f, err := c.ReadFrame(Patience)
	if f != nil {
		c.T.Fatalf("expected the end of the connection, got %s", f)
	}
	var end *Close
	if !errors.As(err, &end) {
		c.T.Fatalf("expected the end of the connection: %v", err)
	}
	c.wire.abort()
	return *end
}

// Abort cuts the connection without a word, after sending what was collected.
func (c *Client) Abort() {
	c.T.Helper()
	c.Flush()
	c.wire.abort()
}
