package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// pollWait is how many seconds a long poll may take.
const pollWait = 30

// polling is HTTP/1.1 as the server in test/bench/polling serves it, from the side of a client that
// asks for messages; feeding, that of the publisher. Requests have fewer headers than any browser's.
type (
	polling struct{ stomp }
	feeding struct{ polling }
)

func (polling) login(c *conn, _ dialOptions) error { c.server = "HTTP"; return nil }
func (polling) bye() []byte                        { return nil }
func (polling) fault(f *frame) error               { return fmt.Errorf("%.80s", f.head) }

// subscribe asks where the messages are.
func (polling) subscribe(int, string, string, string, bool) []byte { return request("") }

func request(query string) []byte {
	return []byte("GET /messages" + query + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: broker-bench\r\nAccept: text/plain\r\n\r\n")
}

// one reads a response.
func (polling) one(p []byte, f *frame) (int, error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	head := p[:end]
	*f = frame{kind: 'R', head: head}
	if bytes.HasPrefix(head, []byte("HTTP/1.1 204 ")) {
		return end + 4, nil
	}
	size := atoi(field1(head, "\r\nContent-Length: "))
	if size < 0 {
		return 0, errors.New("response without Content-Length")
	}
	if len(p) < end+4+size {
		return 0, nil
	}
	if f.body = p[end+4 : end+4+size]; !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		f.kind = 'E'
	}
	return end + 4 + size, nil
}

// field1 is the value of a header, whose name comes with the line break before it.
func field1(head []byte, name string) []byte {
	_, rest, _ := bytes.Cut(head, []byte(name))
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return value
}

func (feeding) login(c *conn, _ dialOptions) error {
	c.server = "HTTP"
	return c.send([]byte("POST /feed HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"))
}

// template is a line, in a chunk of its own.
func (feeding) template(o Options, pub int) *template {
	return newTemplate(fmt.Sprintf("%x\r\n", o.Size+1), "\n\r\n", o.Size, pub)
}

func (feeding) bye() []byte { return []byte("0\r\n\r\n") }

// Poll takes a feed of o.Rate messages a second by o.Subs clients that ask for what is new: every
// o.Every, or, if that is 0, as soon as they have been answered, and then the server answers when there
// is something. The server is that of test/bench/polling. The report is of use even with an error; ctx
// ending early is none.
func Poll(ctx context.Context, o Options) (Report, error) {
	o.Protocol, o.Topics = "polling", 0
	rep, err := Fanout(ctx, o)
	rep.Bench, rep.Every = "poll", o.Every.Seconds()
	return rep, err
}

// poll asks until the load ends; number is which of the clients it is.
func (s *receiver) poll(number int) error {
	c, every := s.c, int64(s.r.o.Every)
	cursor := append([]byte(nil), c.cursor...)
	answered := false
	var fault error
	c.scan.on = func(f *frame) {
		answered = true
		if f.kind == 'E' {
			fault = c.speaks.fault(f)
			return
		}
		cursor = append(cursor[:0], field1(f.head, "\r\nCursor: ")...)
		for line := range bytes.SplitSeq(f.body, []byte{'\n'}) {
			if len(line) > 0 {
				s.on(&frame{kind: 'M', body: line})
			}
		}
	}
	wait := ""
	if every == 0 {
		wait = "&wait=" + strconv.Itoa(pollWait)
	}
	due := clock() + every*int64(number)/int64(len(s.r.subs)) // clients do not all ask at once
	for {
		if every > 0 {
			time.Sleep(time.Duration(due - clock()))
			due = max(due+every, clock())
		}
		if s.r.ending.Load() {
			return nil
		}
		answered = false
		if err := c.send(request("?after=" + string(cursor) + wait)); err != nil {
			return err
		}
		for !answered {
			if err := c.read(); err != nil {
				return err
			}
			if err := c.drain(); err != nil {
				return err
			}
		}
		if fault != nil {
			return fault
		}
		if err := s.after(); err != nil {
			return err
		}
	}
}
