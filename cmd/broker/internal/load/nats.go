package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// nats is the client protocol of nats-server, without headers and JetStream.
type nats struct{}

func (nats) subprotocol() string { return "" }
func (nats) opcode() byte        { return opBinary }
func (nats) packs() bool         { return true } // as its own clients do
func (nats) beat() []byte        { return nil }  // the server's PING and our PONG
func (nats) pong() []byte        { return []byte("PONG\r\n") }
func (nats) bye() []byte         { return nil }

func (nats) login(c *conn, o dialOptions) error {
	f, err := c.await('C')
	if err != nil {
		return err
	}
	var info struct{ Version string }
	if err := json.Unmarshal(f.body, &info); err != nil {
		return fmt.Errorf("read INFO: %w", err)
	}
	c.server = "nats-server/" + info.Version
	if err := c.send([]byte(`CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"1","protocol":0}` + "\r\nPING\r\n")); err != nil {
		return fmt.Errorf("write CONNECT: %w", err)
	}
	_, err = c.await('R')
	return err
}

func (nats) subscribe(id int, subject, _, _ string, answer bool) []byte {
	sub := "SUB " + subject + " " + strconv.Itoa(id) + "\r\n"
	if answer {
		sub += "PING\r\n"
	}
	return []byte(sub)
}

func (nats) template(o Options, pub int) *template {
	return newTemplate("PUB "+o.name()+" "+strconv.Itoa(o.Size)+"\r\n", "\r\n", o.Size, pub)
}

// one reads MSG subject sid [reply] size, or a line.
func (nats) one(p []byte, f *frame) (int, error) {
	end := bytes.IndexByte(p, '\n')
	if end < 1 {
		return 0, nil
	}
	line := p[:end-1]
	switch line[0] {
	case 'M':
		size := atoi(line[bytes.LastIndexByte(line, ' ')+1:])
		if size < 0 {
			return 0, fmt.Errorf("bad size in %.80q", line)
		}
		end++
		if len(p) < end+size+2 {
			return 0, nil
		}
		if p[end+size] != '\r' {
			return 0, errors.New("no CR LF after the payload")
		}
		*f = frame{kind: 'M', head: line, body: p[end : end+size]}
		return end + size + 2, nil
	case 'I':
		_, body, _ := bytes.Cut(line, []byte(" "))
		*f = frame{kind: 'C', head: line, body: body}
	case '-':
		*f = frame{kind: 'E', head: line}
	case 'P':
		*f = frame{kind: 'P', head: line}
		if string(line) == "PONG" {
			f.kind = 'R'
		}
	default:
		return 0, fmt.Errorf("unexpected line %.80q", line)
	}
	return end + 1, nil
}

func (nats) fault(f *frame) error { return fmt.Errorf("%s from the server", f.head) }
