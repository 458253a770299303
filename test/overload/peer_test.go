package overload

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// peer is a client in few bytes and without a goroutine: there may be thousands. Its methods give errors,
// for any goroutine; one reads, any write. Bodies have no NUL.
type peer struct {
	nc    net.Conn
	in    *bufio.Reader
	ws    bool
	beats int // heart-beats read

	payload []byte     // of the WebSocket message that was read last
	mu      sync.Mutex // guards writing
}

// at says where a peer connects to and how.
type at struct {
	Addr string // of the broker
	Path string // of its WebSocket; empty is TCP
	From string // local address; empty is any
	Rcv  int    // SO_RCVBUF; 0 is the system's
}

func tcpAt(b *harness.Broker) at { return at{Addr: b.TCP} }
func wsAt(b *harness.Broker) at  { return at{Addr: b.WS, Path: b.Path} }

// crowdAddress is the local address of one of many.
func crowdAddress(n int) string { return fmt.Sprintf("127.9.%d.%d", n/200%200, 2+n%200) }

// dial connects without a word of STOMP.
func dial(to at) (*peer, error) {
	d := net.Dialer{Timeout: 2 * harness.Patience}
	if to.From != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(to.From)}
	}
	if to.Rcv > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, to.Rcv)
			}), err)
		}
	}
	nc, err := d.Dial("tcp", to.Addr)
	if err != nil {
		return nil, err
	}
	p := &peer{nc: nc, in: bufio.NewReaderSize(nc, 2048), ws: to.Path != ""}
	if !p.ws {
		return p, nil
	}
	nc.SetDeadline(time.Now().Add(6 * harness.Patience))
	defer nc.SetDeadline(time.Time{})
	if _, err := io.WriteString(nc, harness.Upgrade(to.Addr, to.Path, "Sec-WebSocket-Protocol: v12.stomp")); err != nil {
		nc.Close()
		return nil, err
	}
	res, err := http.ReadResponse(p.in, nil)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		err = refusal{res.Status}
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return p, nil
}

// refusal is an answer to a handshake that is not 101.
type refusal struct{ status string }

func (r refusal) Error() string { return "handshake: " + r.status }

// open is dial and CONNECT with header lines.
func open(to at, lines ...string) (*peer, error) {
	p, err := dial(to)
	if err != nil {
		return nil, err
	}
	if err := p.connect(lines...); err != nil {
		p.nc.Close()
		return nil, err
	}
	return p, nil
}

func (p *peer) connect(lines ...string) error {
	if err := p.send("CONNECT\naccept-version:1.2\nhost:h\n" + strings.Join(append(lines, ""), "\n") + "\n\x00"); err != nil {
		return err
	}
	f, err := p.read(6 * harness.Patience)
	if err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	if f.command() != "CONNECTED" {
		return fmt.Errorf("CONNECT: %.300q", f)
	}
	return nil
}

// send writes bytes as they are; on WebSocket as one text message.
func (p *peer) send(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nc.SetWriteDeadline(time.Now().Add(2 * harness.Patience))
	raw := []byte(text)
	if p.ws {
		raw = harness.WSFrame{Op: harness.OpText, Payload: raw}.Append(nil)
	}
	_, err := p.nc.Write(raw)
	return err
}

func (p *peer) sendf(format string, args ...any) error { return p.send(fmt.Sprintf(format, args...)) }

// message is a frame of the broker without its NUL, valid until the next read.
type message []byte

func (m message) command() string {
	c, _, _ := bytes.Cut(m, []byte("\n"))
	return string(c)
}

// header is the value of a header as it is on the wire.
func (m message) header(name string) string {
	head, _, _ := bytes.Cut(m, []byte("\n\n"))
	_, rest, ok := bytes.Cut(head, []byte("\n"+name+":"))
	if !ok {
		return ""
	}
	v, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(v)
}

func (m message) body() []byte {
	_, b, _ := bytes.Cut(m, []byte("\n\n"))
	return b
}

// closed is the end of a connection: of a WebSocket, with the code of the close frame.
type closed struct{ code int }

func (c closed) Error() string { return fmt.Sprintf("closed by the broker: %d", c.code) }

// read gives the next frame, which must come within d (0: whenever).
func (p *peer) read(d time.Duration) (message, error) {
	end := time.Time{}
	if d > 0 {
		end = time.Now().Add(d)
	}
	p.nc.SetReadDeadline(end)
	for {
		m, err := p.next()
		if errors.Is(err, io.EOF) {
			err = closed{}
		}
		if bytes.HasPrefix(m, []byte("ERROR")) {
			err = harness.Answered("ERROR", m)
		}
		if m != nil || err != nil {
			return m, err
		}
	}
}

// next is a frame, or nil for something else.
func (p *peer) next() (message, error) {
	if !p.ws {
		b, err := p.in.Peek(1)
		if err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			p.beats++
			_, err := p.in.Discard(1)
			return nil, err
		}
		line, err := p.in.ReadSlice(0)
		if errors.Is(err, bufio.ErrBufferFull) {
			p.payload = append(p.payload[:0], line...)
			line, err = p.in.ReadBytes(0)
			line = append(p.payload, line...)
		}
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		return line[:len(line)-1], nil
	}
	var h [8]byte
	if _, err := io.ReadFull(p.in, h[:2]); err != nil {
		return nil, err
	}
	op, n := h[0]&15, uint64(h[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(p.in, h[:2]); err != nil {
			return nil, err
		}
		n = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		if _, err := io.ReadFull(p.in, h[:]); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(h[:])
	}
	if n > 16<<20 {
		return nil, fmt.Errorf("WebSocket frame of %d bytes", n)
	}
	p.payload = append(p.payload[:0], make([]byte, n)...)
	if _, err := io.ReadFull(p.in, p.payload); err != nil {
		return nil, err
	}
	switch {
	case op == harness.OpClose && n >= 2:
		return nil, closed{int(binary.BigEndian.Uint16(p.payload))}
	case op == harness.OpPing:
		p.mu.Lock()
		defer p.mu.Unlock()
		_, err := p.nc.Write(harness.WSFrame{Op: harness.OpPong, Payload: p.payload}.Append(nil))
		return nil, err
	case op == harness.OpPong:
		return nil, nil
	case n == 1 && p.payload[0] == '\n':
		p.beats++
		return nil, nil
	case n == 0 || p.payload[n-1] != 0:
		return nil, fmt.Errorf("not one frame in one message: %x %.300q", op, p.payload)
	}
	return p.payload[:n-1], nil
}

// expect reads a frame of this command, with these "name:value" headers.
func (p *peer) expect(command string, headers ...string) (message, error) {
	m, err := p.read(2 * harness.Patience)
	if err != nil {
		return nil, fmt.Errorf("expected %s: %w", command, err)
	}
	if m.command() != command {
		return nil, fmt.Errorf("expected %s: %.300q", command, m)
	}
	for _, h := range headers {
		if name, value, _ := strings.Cut(h, ":"); m.header(name) != value {
			return nil, fmt.Errorf("expected %s with %s: %.300q", command, h, m)
		}
	}
	return m, nil
}

// call sends a frame whose RECEIPT of that id must be the next that comes.
func (p *peer) call(id, format string, args ...any) error {
	if err := p.sendf(format, args...); err != nil {
		return err
	}
	_, err := p.expect("RECEIPT", "receipt-id:"+id)
	return err
}

// subscribe subscribes, with further header lines.
func (p *peer) subscribe(destination string, lines ...string) error {
	return p.call("on", "SUBSCRIBE\nid:0\ndestination:%s\nreceipt:on\n%s\n\x00", destination, strings.Join(append(lines, ""), "\n"))
}
