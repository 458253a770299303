package transport_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// V5: what a client declares costs nothing before it comes, by whichever way and in whichever header:
// the memory of a connection is at most twice what it sent, and 64 KiB (NATS CVE-2026-27889).
func TestV5DeclaredLengths(t *testing.T) {
	length := func(first byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{first, 0xFF}, n) }
	masked := func(header []byte, payload string) []byte { // a key of zeros changes nothing
		return append(append(header, 0, 0, 0, 0), payload...)
	}
	body := strings.Repeat("x", 100<<10)
	for _, x := range []struct {
		name string
		ws   bool
		in   []byte
		wait bool // for more; otherwise it is refused
	}{
		{"content-length", false, []byte("SEND\ncontent-length:1000000000\n\n" + body), true},
		{"content-length alone", false, []byte("SEND\ncontent-length:1000000000\n\n"), true},
		{"content-length beyond the limit", false, []byte("SEND\ncontent-length:1073741825\n\n"), false},
		{"content-length of 19 digits", false, []byte("SEND\ncontent-length:9223372036854775807\n\n"), false},
		{"content-length of 20 digits", false, []byte("SEND\ncontent-length:18446744073709551615\n\n"), false},
		{"content-length by WebSocket", true, masked(length(bin, 1<<30), "SEND\ncontent-length:1000000000\n\n"+body), true},
		{"a frame of 1 EiB", true, masked(length(bin, 1<<60), "SEND\n\n"+body), true},
		{"the longest frame", true, masked(length(text, 1<<63-1), "SEND\n\n"+body), true},
		{"the longest fragment", true, masked(length(textPart, 1<<63-1), "SEND\n\n"+body), true},
		{"a negative frame", true, masked(length(bin, 1<<63), "SEND\n\n"), false},
		{"the most negative frame", true, masked(length(bin, 1<<64-1), "SEND\n\n"), false},
		{"a ping of 1 EiB", true, masked(length(ping, 1<<60), "SEND\n\n"), false},
		{"a close frame of 1 EiB", true, masked(length(closing, 1<<60), "SEND\n\n"), false},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { declared(t, x.ws, x.in, x.wait) })
		})
	}
}

// declared has connections send in and measures them when they wait for more; or they do not wait.
func declared(t *testing.T, webSocket bool, in []byte, wait bool) {
	const connections = 40
	ends := make(chan error, connections)
	server := serverFunc(func(_ context.Context, c broker.Conn) {
		c.Accepted(stompframe.V12, stompframe.Limits{Body: 1 << 30, Frame: 2 << 30})
		var f stompframe.Frame
		ends <- c.ReadFrame(&f)
		c.Close(1000, "", 0)
	})
	ln, served := newPipeListener(), make(chan error, 1)
	var stop func()
	if webSocket {
		h := transport.NewWebSocket(server, quietly(transport.Options{}))
		srv := &http.Server{Handler: h}
		go func() { served <- srv.Serve(ln) }()
		stop = func() { srv.Close(); h.Shutdown(context.Background()) }
		in = append([]byte(handshake("localhost")), in...)
	} else {
		h := transport.NewTCP(server, transport.TCPOptions{Logger: logTo(new(lockedBuffer))})
		go func() { served <- h.Serve(ln) }()
		stop = func() { h.Shutdown(context.Background()) }
	}
	before := heap()
	var clients []net.Conn
	for range connections {
		theirs, ours := net.Pipe()
		ln.c <- theirs
		go io.Copy(io.Discard, ours)
		if _, err := ours.Write(in); err != nil && wait {
			t.Error(err)
		}
		clients = append(clients, ours)
	}
	synctest.Wait()
	if grown, most := heap()-before, int64(connections*(2*len(in)+64<<10)); grown > most {
		t.Errorf("%d connections hold %d bytes, %d each; each sent %d", connections, grown, grown/connections, len(in))
	}
	if n := len(ends); wait && n > 0 || !wait && n < connections {
		t.Errorf("%d have ended", n)
	}
	for _, c := range clients {
		c.Close()
	}
	for range connections {
		if err := <-ends; (kindOf(err) == "EOF") != wait {
			t.Errorf("ended with %v", err)
		}
	}
	stop()
	<-served
}

// heap is what is allocated, garbage collected.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
