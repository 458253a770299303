package transport_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gudokmq/gudok/transport"
)

// memory is a connection that has a stream to read and takes whatever is written.
type memory struct {
	net.Conn
	in []byte
}

func (m *memory) Read(p []byte) (int, error) {
	if len(m.in) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(p, m.in)
	m.in = m.in[n:]
	return n, nil
}

func (m *memory) Write(p []byte) (int, error)      { return len(p), nil }
func (m *memory) Close() error                     { return nil }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

type memoryWriter struct {
	http.ResponseWriter
	nc net.Conn
}

func (w memoryWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, bufio.NewReadWriter(bufio.NewReaderSize(w.nc, 16), bufio.NewWriter(w.nc)), nil
}

// theirMessages is transport.Messages by another implementation, for a stream that ends within no frame.
func theirMessages(t *testing.T, stream []byte) (all []string, code int) {
	c, err := websocket.Accept(memoryWriter{httptest.NewRecorder(), &memory{in: stream}}, request("/ws", "localhost", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		typ, p, err := c.Read(context.Background())
		if err != nil {
			return all, int(websocket.CloseStatus(err))
		}
		all = append(all, map[websocket.MessageType]string{websocket.MessageText: "t", websocket.MessageBinary: "b"}[typ]+string(p))
	}
}

// FuzzMessages compares how a stream is taken apart with the same stream in other pieces, and with
// what another implementation makes of it.
func FuzzMessages(f *testing.F) {
	for _, seed := range [][]byte{
		join(ws(text, "SEND\n\nab\x00"), ws(ping, "x"), ws(closing, closeFrame(1000, "bye"))),
		join(ws(textPart, "SE"), ws(pong, ""), ws(contPart, ""), ws(cont, "ND"), ws(bin, ""), ws(closing, "")),
		join(ws(bin, string(make([]byte, 300))), ws(closing, closeFrame(1006, ""))),
		join(ws(binPart, "x"), ws(text, "y")), {bin, 0xFF, 0x80}, {text, 3, 'a'}, ws(0x83, ""), ws(0x09, ""), ws(0xC1, "x"), ws(ping, string(make([]byte, 126))),
		mask([]byte{bin, 0xFE, 0, 3}, "abc"), mask([]byte{bin, 0xFF, 0, 0, 0, 0, 0, 0, 0, 3}, "abc"), ws(closing, "x"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		all, code := transport.Messages(stream, len(stream)+1)
		for _, piece := range []int{1, 2, 3, 7, 16} {
			if got, end := transport.Messages(stream, piece); end != code || !slices.Equal(got, all) {
				t.Fatalf("in pieces of %d: %q, %d; whole: %q, %d", piece, got, end, all, code)
			}
		}
		if code == 1002 {
			return // it takes seconds to say so
		}
		theirs, closed := theirMessages(t, stream)
		if len(theirs) > len(all) && code == 0 {
			theirs = theirs[:len(all)] // it takes some ends of the stream for the end of a message
		}
		if !slices.Equal(theirs, all) {
			t.Fatalf("%q, another reads %q", all, theirs)
		}
		if code != 0 && code != 1007 && closed != code {
			t.Fatalf("closed with %d, another says %d", code, closed)
		}
	})
}
