package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// stomp is STOMP 1.2. It looks at line ends and content-length alone.
type stomp struct{}

func (stomp) subprotocol() string { return "v12.stomp" }
func (stomp) opcode() byte        { return opText }
func (stomp) packs() bool         { return false }
func (stomp) beat() []byte        { return []byte{'\n'} }
func (stomp) pong() []byte        { return nil }
func (stomp) bye() []byte         { return []byte("DISCONNECT\nreceipt:bye\n\n\x00") }

func (stomp) login(c *conn, o dialOptions) error {
	beat := strconv.FormatInt(o.beat.Milliseconds(), 10)
	req := "CONNECT\naccept-version:1.2\nhost:" + o.VHost + "\nheart-beat:" + beat + "," + beat + "\n"
	if o.Login != "" || o.Passcode != "" {
		req += "login:" + o.Login + "\npasscode:" + o.Passcode + "\n"
	}
	if err := c.send([]byte(req + "\n\x00")); err != nil {
		return fmt.Errorf("write CONNECT: %w", err)
	}
	f, err := c.await('C')
	if err != nil {
		return err
	}
	if v := string(f.header("\nversion:")); v != "1.2" {
		return fmt.Errorf("broker speaks version %q, not 1.2", v)
	}
	c.server = string(f.header("\nserver:"))
	return nil
}

func (stomp) subscribe(id int, destination, ack, extra string, answer bool) []byte {
	if answer {
		extra += "receipt:sub\n"
	}
	return []byte("SUBSCRIBE\nid:" + strconv.Itoa(id) + "\ndestination:" + destination + "\nack:" + ack + "\n" + extra + "\n\x00")
}

func (stomp) template(o Options, pub int) *template {
	head := "SEND\ndestination:" + o.name() + "\ncontent-length:" + strconv.Itoa(o.Size) + "\n"
	if o.Persistent != "" {
		head += "persistent:" + o.Persistent + "\n"
	}
	receipt := 0
	if o.Receipts > 0 {
		head += "receipt:"
		receipt = len(head)
		head += "000000000000\n"
	}
	t := newTemplate(head+"\n", "\x00", o.Size, pub)
	t.receipt = receipt
	return t
}

func (stomp) one(p []byte, f *frame) (int, error) {
	if len(p) > 0 && (p[0] == '\n' || p[0] == '\r') {
		return eol(p, f), nil
	}
	length, at := -1, 0
	for {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			return 0, nil
		}
		line := p[at : at+i]
		if len(line) == 0 || (len(line) == 1 && line[0] == '\r') {
			break
		}
		const name = "content-length:"
		if line[0] == 'c' && length < 0 && len(line) > len(name) && string(line[:len(name)]) == name {
			if length = atoi(line[len(name):]); length < 0 {
				return 0, fmt.Errorf("bad content-length %q", line)
			}
		}
		at += i + 1
	}
	body := at + 1
	if p[at] == '\r' {
		body++
	}
	if length < 0 {
		if length = bytes.IndexByte(p[body:], 0); length < 0 {
			return 0, nil
		}
	}
	if body+length >= len(p) {
		return 0, nil
	}
	if p[body+length] != 0 {
		return 0, errors.New("no NUL after the body")
	}
	*f = frame{kind: p[0], head: p[:at], body: p[body : body+length]}
	return body + length + 1, nil
}

// eol reads a heart-beat, or the end of line that may follow a frame.
func eol(p []byte, f *frame) int {
	*f = frame{}
	switch {
	case p[0] == '\n':
		return 1
	case len(p) == 1:
		return 0
	}
	return 2
}

// fault is an ERROR as an error: its message and the first line of its body.
func (stomp) fault(f *frame) error {
	why, _, _ := strings.Cut(strings.TrimSpace(string(f.body)), "\n")
	return fmt.Errorf("ERROR from the broker: %s: %.200s", f.header("\nmessage:"), why)
}
