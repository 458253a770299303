package security

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// bomb is head, then a gigabyte of c, as the payload of a compressed message: about a megabyte.
func bomb(head string, c byte) []byte {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestCompression)
	z.Write([]byte(head)) // to memory, as all
	z.Flush()
	block := bytes.Repeat([]byte{c}, 1<<20)
	z.Write(block)
	z.Flush()
	from := b.Len()
	z.Write(block)
	z.Flush()
	return append(b.Bytes(), bytes.Repeat(b.Bytes()[from:], 1022)...)
}

// V3: a bomb ends its own session, before CONNECT and after, with a line in the log; the broker does not
// grow by it, and others notice nothing (RabbitMQ CVE-2026-67232, NATS CVE-2026-27571). With compression
// off, which is the default, the mark of a compressed message alone ends it.
func TestV3Decompression(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "http: {compression: on}")
	off := newWorld(t, "http: {compression: off}")
	hears := w.listener("/topic/v3")
	const asks = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	const connect = "CONNECT\naccept-version:1.2\nhost:h\nlogin:bob\npasscode:" + canary + "-bob\n"
	upgrade := func(w *world) *harness.WS {
		ws, err := harness.Handshake(w.WS, harness.Upgrade(w.WS, w.Path, asks))
		if err != nil || ws.Response.StatusCode != 101 {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Conn.Close() })
		return ws
	}
	// ends reads to the close frame and gives its code, with the ERROR before it.
	ends := func(ws *harness.WS) (code int, message string) {
		for {
			f, err := ws.Read(time.Now().Add(harness.Patience))
			if err != nil {
				t.Fatal(err)
			}
			if f.Op == harness.OpClose {
				return int(f.Payload[0])<<8 | int(f.Payload[1]), message
			}
			if text, ok := strings.CutPrefix(string(f.Payload), "ERROR\n"); ok {
				_, text, _ = strings.Cut("\n"+text, "\nmessage:")
				message, _, _ = strings.Cut(text, "\n")
			}
		}
	}
	send := func(ws *harness.WS, head string, c byte, parts int) {
		payload := bomb(head, c)
		fs := make([]harness.WSFrame, parts)
		for i := range fs {
			fs[i] = harness.WSFrame{Payload: payload[len(payload)*i/parts : len(payload)*(i+1)/parts], More: i < parts-1}
		}
		fs[0].Op, fs[0].RSV = harness.OpBinary, harness.RSV1
		_ = ws.Write(fs...) // the broker may close before all is out
	}
	before := rssAnon(t, w.PID())
	for _, parts := range []int{1, 1000} {
		for _, row := range []struct {
			first, head string
			c           byte
			code        int
			message     string
		}{
			{"", "", '\n', 1009, "frame too large"},
			{"", connect + "x:", 'x', 1009, "frame too large"},
			{"", connect + "\n\x00", '\n', 1009, "frame too large"}, // too long to begin with
			{connect + "\n\x00", "", '\n', 1008, ""},
			{connect + "\n\x00", "\nSEND\ndestination:/topic/v3\nx:", 'x', 1009, "header line too long"},
			{connect + "\n\x00", "SEND\ndestination:/topic/v3\n\n", 'x', 1009, "body too large"},
			{connect + "\n\x00", "SEND\ndestination:/queue/v3\ncontent-length:1000000000\n\n", 'x', 1009, "body too large"},
			{connect + "\n\x00", "", 'x', 1002, "unknown command"},
		} {
			ws := upgrade(w)
			if row.first != "" {
				if err := ws.Write(harness.WSFrame{Op: harness.OpText, RSV: harness.RSV1, Payload: harness.Deflate([]byte(row.first))}); err != nil {
					t.Fatal(err)
				}
				if f, err := ws.Read(time.Now().Add(harness.Patience)); err != nil || !bytes.HasPrefix(f.Payload, []byte("CONNECTED\n")) || f.Packed > 0 {
					t.Fatalf("%.100q, %v", f.Payload, err)
				}
			}
			send(ws, row.head, row.c, parts)
			if code, message := ends(ws); code != row.code || message != row.message {
				t.Errorf("%.20q, %.40q… in %d parts: %d %q, want %d %q", row.first, row.head, parts, code, message, row.code, row.message)
			}
			ws.Conn.Close()
		}
	}
	if grown := rssAnon(t, w.PID()) - before; grown > 64<<20 {
		t.Errorf("the broker has grown by %d KiB", grown>>10)
	}
	for _, want := range []string{"more than 16384 bytes before CONNECT, compressed or inflated", "too many compressed heart-beats"} {
		if !strings.Contains(w.Output(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	hears.Sync() // nothing came through

	ws := upgrade(off)
	if ws.Deflate {
		t.Error("compression that is off was agreed on")
	}
	if err := ws.Write(harness.WSFrame{Op: harness.OpText, RSV: harness.RSV1, Payload: harness.Deflate([]byte(connect + "\n\x00"))}); err != nil {
		t.Fatal(err)
	}
	if code, _ := ends(ws); code != 1002 {
		t.Errorf("close code %d", code)
	}
}
