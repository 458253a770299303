package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

// clientHelp is what the flags of all clients have in common.
const clientHelp = `  -addr ADDRESS    the broker (127.0.0.1:61613); HOST:PORT, stomp://HOST:PORT,
                   stomp+ssl://HOST:PORT, ws://HOST:PORT/ws or wss://HOST:PORT/ws
  -login NAME      log in as NAME
  -passcode WORD   the password, which the list of processes then shows
  -passcode-file FILE
                   the password is the first line of FILE
  -timeout TIME    how long connecting and each answer may take (10s)
`

// client is how to reach a broker.
type client struct {
	addr, login, passcode string
	timeout               time.Duration
}

func (c *client) flags(f *flag.FlagSet) {
	f.StringVar(&c.addr, "addr", "127.0.0.1:61613", "")
	f.StringVar(&c.login, "login", "", "")
	f.StringVar(&c.passcode, "passcode", "", "")
	f.Func("passcode-file", "", func(path string) (err error) {
		c.passcode, err = passwordIn(path)
		return err
	})
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "")
}

// passwordIn is the first line of a file.
func passwordIn(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	password, err := readLine(bufio.NewReaderSize(f, maxPassword))
	if err == nil && password == "" {
		err = errors.New("its first line is empty")
	}
	return password, err
}

// connect makes a session. Its error is for the user.
func (c *client) connect() (*stomp.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	stream, host, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	// The library waits for CONNECTED as long as it takes: closing ends that.
	late := context.AfterFunc(ctx, func() { _ = stream.Close() })
	conn, err := stomp.Connect(stream,
		stomp.ConnOpt.Login(c.login, c.passcode),
		stomp.ConnOpt.Host(host),
		stomp.ConnOpt.HeartBeat(10*time.Second, 10*time.Second),
		stomp.ConnOpt.MsgSendTimeout(c.timeout),
		stomp.ConnOpt.RcvReceiptTimeout(c.timeout),
		stomp.ConnOpt.DisconnectReceiptTimeout(c.timeout),
		stomp.ConnOpt.UnsubscribeReceiptTimeout(c.timeout),
		stomp.ConnOpt.Logger(silent{}))
	if !late() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		_ = stream.Close()
		return nil, c.noSession(ctx, err)
	}
	return conn, nil
}

func (c *client) noSession(ctx context.Context, err error) error {
	var answer stomp.Error
	switch {
	case errors.As(err, &answer) && answer.Frame != nil && c.login == "":
		return fmt.Errorf("%s answered: %w (log in with -login and -passcode?)", load.Shown(c.addr), said(err))
	case errors.As(err, &answer) && answer.Frame != nil:
		return fmt.Errorf("%s answered: %w", load.Shown(c.addr), said(err))
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not answer within %v (is it a STOMP port?)", load.Shown(c.addr), c.timeout)
	}
	return fmt.Errorf("%s does not speak STOMP: %w (is it a STOMP port?)", load.Shown(c.addr), err)
}

// said adds to an ERROR's message what its body explains; a body may begin with the message.
func said(err error) error {
	var answer stomp.Error
	if !errors.As(err, &answer) || answer.Frame == nil || len(answer.Frame.Body) == 0 {
		return err
	}
	body := strings.TrimSpace(string(answer.Frame.Body))
	return fmt.Errorf("%w: %s", err, strings.TrimPrefix(body, answer.Message+": "))
}

// dial opens the stream that an address names, and tells the host for CONNECT.
func (c *client) dial(ctx context.Context) (stream io.ReadWriteCloser, host string, err error) {
	addr := c.addr
	if !strings.Contains(addr, "://") {
		addr = "stomp://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Hostname() == "" {
		return nil, "", fmt.Errorf("-addr: %q is not an address (write 127.0.0.1:61613 or ws://127.0.0.1:15674/ws)", load.Shown(c.addr))
	}
	switch u.Scheme {
	case "stomp", "tcp":
		stream, err = new(net.Dialer).DialContext(ctx, "tcp", withPort(u, "61613"))
	case "stomp+ssl", "stomps", "tls", "ssl":
		stream, err = new(tls.Dialer).DialContext(ctx, "tcp", withPort(u, "61614"))
	case "ws", "wss":
		stream, err = dialWebSocket(ctx, u.String())
	default:
		return nil, "", fmt.Errorf("-addr: %q begins with no way in that is known (use stomp://, stomp+ssl://, ws:// or wss://)", load.Shown(c.addr))
	}
	if err != nil {
		return nil, "", c.unreachable(err)
	}
	return stream, u.Hostname(), nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *client) unreachable(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		err = no
	}
	hint := ""
	if errors.Is(err, syscall.ECONNREFUSED) {
		hint = " (is the broker running? start it with: broker)"
	}
	return fmt.Errorf("cannot reach %s: %w%s", load.Shown(c.addr), err, hint)
}

// messages makes a STOMP stream of a WebSocket: what is written goes in binary messages, which may
// cut a frame anywhere; what is read may be of either kind.
type messages struct {
	ws  *websocket.Conn
	now io.Reader // the rest of the message being read
}

func dialWebSocket(ctx context.Context, address string) (io.ReadWriteCloser, error) {
	ws, answer, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{"v12.stomp", "v11.stomp", "v10.stomp"}})
	if answer != nil && err != nil {
		return nil, fmt.Errorf("no WebSocket there, it answered %s", answer.Status)
	}
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	return &messages{ws: ws}, nil
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.now == nil {
			_, r, err := m.ws.Reader(context.Background())
			if err != nil {
				return 0, err
			}
			m.now = r
		}
		n, err := m.now.Read(p)
		if errors.Is(err, io.EOF) {
			m.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (m *messages) Write(p []byte) (int, error) {
	if err := m.ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m *messages) Close() error { return m.ws.CloseNow() }

// headers is a flag that may be repeated: -header name:value.
type headers [][2]string

func (h *headers) String() string { return "" }

func (h *headers) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if !ok || name == "" {
		return errors.New("write it as NAME:VALUE")
	}
	*h = append(*h, [2]string{name, value})
	return nil
}

// silent drops what the client library would log; all it knows reaches us as errors.
type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}
func (silent) Debug(string)            {}
func (silent) Info(string)             {}
func (silent) Warning(string)          {}
func (silent) Error(string)            {}
