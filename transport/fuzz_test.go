package transport_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/transport"
)

// FuzzWebSocket lets a client send whatever it likes, from its first byte on or after a handshake with
// or without compression, cut anywhere. No byte makes the server panic or leaves a goroutine behind,
// and the frames it reads are those that a plain reading of RFC 6455 and 7692 finds.
func FuzzWebSocket(f *testing.F) {
	const send = "SEND\nid:1\n\nabc\x00"
	z := deflated(send)
	for _, s := range [][]byte{
		nil, ws(text, send), ws(bin, send+"\n"+send), ws(text|rsv1, z), join(ws(text|rsv1, z), ws(text, send), ws(bin|rsv1, z)),
		join(ws(textPart|rsv1, z[:3]), ws(ping, "p"), ws(contPart, z[3:5]), ws(cont, z[5:])), join(ws(text, "SEND\n\nab"), ws(text|rsv1, z)),
		ws(text|rsv1, deflated("SEND\n\n\xff\x00")), ws(text, "SEND\n\n\xe2\x82"), ws(bin|rsv1, ended(send[:5])+deflated(send[5:])), ws(bin|rsv1, z[:4]),
		join(ws(text|rsv1, "\x00"), ws(text|rsv1, ""), ws(cont|rsv1, z)), ws(closing, closeFrame(1000, "x")), join(ws(bin|rsv1, deflated(strings.Repeat("\n", 20_000))), ws(text, send)),
		mask([]byte{bin, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 16}, send), {0x81, 0xFF, 0x80}, ws(ping|rsv1, ""), ws(text|rsv1, deflated("SEND\ncontent-length:2\n\nab")),
	} {
		for _, how := range []uint8{0, 1, 2} {
			f.Add(s, how, uint8(0))
			f.Add(s, how, uint8(1))
		}
		f.Add(append([]byte(handshake("localhost", offered)), s...), uint8(3), uint8(7))
		f.Add(append([]byte(handshake("localhost")), s...), uint8(3), uint8(0))
	}
	f.Add([]byte("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n\r\n"), uint8(3), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, how, chunk uint8) {
		if len(data) > 12<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder()
			r.got = make(chan string, 20_000)
			r.linger = time.Second
			h := transport.NewWebSocket(r, quietly(transport.Options{Compression: how%4 != 1}))
			ln := newPipeListener()
			srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second, IdleTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
			go srv.Serve(h.Front(ln, "/ws"))
			server, client := net.Pipe()
			ln.c <- server
			said := make(chan []byte)
			go func() {
				p, _ := io.ReadAll(client)
				said <- p
			}()
			if how%4 != 3 {
				var headers []string
				if how%4 != 0 {
					headers = []string{offered}
				}
				client.Write([]byte(handshake("localhost", headers...)))
			}
			for rest := data; len(rest) > 0; {
				n := len(rest)
				if chunk > 0 {
					n = min(n, int(chunk))
				}
				if _, err := client.Write(rest[:n]); err != nil {
					break
				}
				rest = rest[n:]
			}
			synctest.Wait() // the server has read all there is
			client.Close()
			ended := how%4 == 3 // who came no further than the handshake has no session
			select {
			case <-r.end:
			case <-time.After(time.Hour):
				if !ended {
					t.Error("the session has not ended")
				}
			}
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			srv.Close()
			<-said
			if got := r.frames(); !ended {
				least, most := reading(data, how%4 == 2)
				if len(got) < least || len(got) > len(most) || !slices.Equal(got, most[:len(got)]) {
					t.Errorf("frames %q, want %q, %d at least", got, most, least)
				}
			}
		})
	})
}

// reading is a plain reading of what a client sends after the handshake: the frames there are, and how
// many of them are in messages that came whole and without fault.
func reading(p []byte, compression bool) (least int, frames []string) {
	dec := stompframe.NewDecoder(stompframe.V12, stompframe.Limits{})
	var f stompframe.Frame
	take := func() bool {
		for {
			ok, err := dec.Next(&f)
			if err != nil || !ok {
				return err == nil
			}
			frames = append(frames, show(&f))
		}
	}
	var kind byte
	var packed, whole bool
	var payload []byte
	const maxBlank = 4 << 10 // from here on the server may say that it is enough
	blank, enough := 0, false
	for {
		first, part, all, rest := wsFrame(p)
		op := first & 0x0F
		fault := first&0x30 != 0 || first&rsv1 != 0 && (!compression || op != 1 && op != 2) || op > 10 || op > 2 && op < 8 ||
			op >= 8 && (first&0x80 == 0 || len(p) > 1 && p[1]&0x7F > 125) || op == 0 && kind == 0 || (op == 1 || op == 2) && kind != 0
		if fault || len(p) < 2 || p[1]&0x80 == 0 {
			break
		}
		p = rest
		if op >= 8 {
			if !all || op == 8 {
				break
			}
			continue
		}
		if op != 0 {
			kind, packed, payload, whole = op, first&rsv1 != 0, nil, !dec.Partial()
		}
		payload = append(payload, part...)
		if !all {
			break
		}
		if first&0x80 == 0 {
			continue
		}
		ok := true
		if packed {
			payload, ok = inflatedWhole(payload)
		}
		if n := validUpTo(payload); kind == 1 && n < len(payload) {
			payload, ok = payload[:n], false // its server may have read as far
		}
		before := len(frames)
		dec.Feed(payload)
		if !take() {
			return least, frames // all but what the fault's own piece has had
		}
		if packed {
			blank += len(payload)
		}
		if enough = enough || blank > maxBlank; len(frames) > before {
			blank = 0
		}
		if !ok {
			return least, frames
		}
		if kind == 1 {
			if done, _ := dec.EndOfText(&f, whole); done {
				frames = append(frames, show(&f))
				if !take() {
					break
				}
			}
		}
		kind, payload = 0, nil
		if !enough {
			least = len(frames)
		}
	}
	if kind != 0 && !packed {
		dec.Feed(payload)
		take()
	}
	return least, frames
}

// wsFrame cuts the frame off that p begins with.
func wsFrame(p []byte) (first byte, payload []byte, all bool, rest []byte) {
	if len(p) > 0 {
		first = p[0]
	}
	if len(p) < 2 {
		return first, nil, false, nil
	}
	n, at := uint64(p[1]&0x7F), 2
	switch n {
	case 126:
		at = 4
	case 127:
		at = 10
	}
	if len(p) < at+4 {
		return first, nil, false, nil
	}
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		n = binary.BigEndian.Uint64(p[2:])
	}
	key, p := p[at:at+4], p[at+4:]
	all = uint64(len(p)) >= n
	payload = bytes.Clone(p[:min(n, uint64(len(p)))])
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return first, payload, all, p[len(payload):]
}

// validUpTo is how much of p is UTF-8.
func validUpTo(p []byte) int {
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n < 2 {
			return i
		}
		i += n
	}
	return len(p)
}

// inflatedWhole inflates a message; false: not all of it.
func inflatedWhole(p []byte) (out []byte, ok bool) {
	for len(p) > 0 {
		const end = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
		in := bytes.NewReader(append(bytes.Clone(p), end...))
		more, err := io.ReadAll(flate.NewReader(in))
		out = append(out, more...)
		left := in.Len()
		if err != nil || left > 0 && left < len(end) {
			return out, false
		}
		p = p[len(p)-max(left-len(end), 0):]
	}
	return out, true
}
