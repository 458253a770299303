package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// wsEnv is a WebSocket frame by frame, after CONNECTED.
type wsEnv struct {
	*testing.T
	b     *harness.Broker
	ws    *harness.WS
	topic string // subscribed to by this session
}

type frame = harness.WSFrame

const connect = "CONNECT\naccept-version:1.2\nhost:h\n\n\x00"

func (e *wsEnv) write(fs ...frame) {
	e.Helper()
	if err := e.ws.Write(fs...); err != nil {
		e.Fatalf("write: %v", err)
	}
}

func (e *wsEnv) text(s string) {
	e.Helper()
	e.write(frame{Op: harness.OpText, Payload: []byte(s)})
}

// expect reads the next frame: final, of this opcode, and beginning with these bytes.
func (e *wsEnv) expect(op byte, prefix string) frame {
	e.Helper()
	f, err := e.ws.Read(time.Now().Add(harness.Patience))
	if err != nil {
		e.Fatalf("expected %x %q: %v", op, prefix, err)
	}
	if f.Op != op || f.More || !bytes.HasPrefix(f.Payload, []byte(prefix)) {
		e.Fatalf("expected %x %q, got %x %.200q", op, prefix, f.Op, f.Payload)
	}
	return f
}

// closed expects a close frame with this code (0: none, or any) and then the end of TCP. A STOMP
// frame may come before where the fault was seen as STOMP's.
func (e *wsEnv) closed(code int) {
	e.Helper()
	f := e.expect(harness.OpClose, "")
	switch got := closeCode(f.Payload); {
	case got < 0:
		e.Fatalf("malformed close payload %q", f.Payload)
	case code != 0 && got != code:
		e.Errorf("close code %d, not %d", got, code)
	}
	e.ws.Write(frame{Op: harness.OpClose, Payload: f.Payload})
	if f, err := e.ws.Read(time.Now().Add(harness.Patience)); err == nil {
		e.Errorf("frame %x after the close frame", f.Op)
	} else if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		e.Errorf("TCP not ended: %v", err)
	}
}

// closeCode is the code of a close payload: 0 if it is empty, -1 if it is malformed.
func closeCode(p []byte) int {
	switch len(p) {
	case 0:
		return 0
	case 1:
		return -1
	}
	return int(binary.BigEndian.Uint16(p))
}

func closePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// echoes proves that the session lives: it sends to the topic and gets it back.
func (e *wsEnv) echoes(body string) {
	e.Helper()
	e.text("SEND\ndestination:" + e.topic + "\n\n" + body + "\x00")
	f := e.expect(harness.OpText, "MESSAGE\n")
	if !bytes.HasSuffix(f.Payload, []byte("\n\n"+body+"\x00")) {
		e.Errorf("expected %.100q, got %.300q", body, f.Payload)
	}
}

// wsCase is one case about frames.
type wsCase struct {
	clause, name string
	run          func(*wsEnv)
}

func TestRFC6455(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "")
	bystander := (&env{T: t, b: b, tr: harness.WSText, v: "1.2"}).connect()
	t.Cleanup(func() { bystander.Sync() })
	for _, c := range append(append(append(dataCases(), controlCases()...), closeCases()...), utf8Cases()...) {
		t.Run(c.clause+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			ws, err := harness.Handshake(b.WS, harness.Upgrade(b.WS, b.Path, "Sec-WebSocket-Protocol: v12.stomp"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ws.Conn.Close() })
			e := &wsEnv{t, b, ws, unique("/topic/conformance.")}
			e.text(connect)
			e.expect(harness.OpText, "CONNECTED\n")
			e.text("SUBSCRIBE\nid:0\ndestination:" + e.topic + "\nreceipt:r\n\n\x00")
			e.expect(harness.OpText, "RECEIPT\nreceipt-id:r\n")
			c.run(e)
		})
	}
}

// dataCases are RFC 6455, 5.2, 5.4 and 5.6: lengths, masks, reserved bits, fragments.
func dataCases() []wsCase {
	send := func(e *wsEnv, body string) []byte {
		return []byte("SEND\ndestination:" + e.topic + "\n\n" + body + "\x00")
	}
	cases := []wsCase{
		{"5.2", "shortest lengths", func(e *wsEnv) {
			head := len(send(e, ""))
			for _, n := range []int{head, 125, 126, 127, 128, 65535, 65536, 65537} {
				e.echoes(strings.Repeat("x", n-head))
			}
		}},
		{"5.2", "16-bit length where 7 would do", func(e *wsEnv) {
			// The RFC asks senders for the shortest form; a receiver may take it or refuse it.
			e.write(frame{Op: harness.OpText, Payload: send(e, "x"), LengthBytes: 2})
			f, err := e.ws.Read(time.Now().Add(harness.Patience))
			if err != nil || f.Op != harness.OpText && f.Op != harness.OpClose {
				e.Fatalf("got %x %q %v", f.Op, f.Payload, err)
			}
		}},
		{"5.2", "64-bit length with its highest bit set", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText, Payload: []byte("x"), LengthBytes: 8, Claim: 1 << 63})
			e.closed(1002)
		}},
		{"5.2", "an enormous length is refused, not allocated", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText, Payload: []byte("SEND\ndestination:/topic/x\n\n" + strings.Repeat("x", 2<<20)), LengthBytes: 8, Claim: 1 << 40})
			for {
				f, err := e.ws.Read(time.Now().Add(harness.Patience))
				if err != nil {
					e.Fatalf("expected a close frame: %v", err)
				}
				if f.Op == harness.OpClose {
					if closeCode(f.Payload) != 1009 {
						e.Errorf("code %d", closeCode(f.Payload))
					}
					return
				}
			}
		}},
		{"5.2", "empty messages are nothing", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText}, frame{Op: harness.OpBinary})
			e.echoes("x")
		}},
		{"5.4", "fragments of one byte", func(e *wsEnv) {
			p := send(e, "fragmented")
			for i := range p {
				f := frame{Payload: p[i : i+1], More: i < len(p)-1}
				if i == 0 {
					f.Op = harness.OpText
				}
				e.write(f)
			}
			e.expect(harness.OpText, "MESSAGE\n")
		}},
		{"5.4", "empty fragments", func(e *wsEnv) {
			e.write(frame{Op: harness.OpText, More: true}, frame{More: true}, frame{Payload: send(e, "x"), More: true}, frame{})
			e.expect(harness.OpText, "MESSAGE\n")
		}},
		{"5.4", "fragments of a binary message", func(e *wsEnv) {
			p := send(e, "fragmented")
			e.write(frame{Op: harness.OpBinary, Payload: p[:9], More: true}, frame{Payload: p[9:]})
			f, err := e.ws.Read(time.Now().Add(harness.Patience))
			if err != nil || !bytes.HasPrefix(f.Payload, []byte("MESSAGE\n")) {
				e.Errorf("got %q, %v", f.Payload, err)
			}
		}},
		{"5.4", "control frames between fragments", func(e *wsEnv) {
			p := send(e, "interrupted")
			e.write(frame{Op: harness.OpText, Payload: p[:7], More: true}, frame{Op: harness.OpPing, Payload: []byte("1")})
			e.expect(harness.OpPong, "1")
			e.write(frame{Payload: p[7:9], More: true}, frame{Op: harness.OpPing}, frame{Op: harness.OpPong, Payload: []byte("unasked")})
			e.expect(harness.OpPong, "")
			e.write(frame{Payload: p[9:]})
			e.expect(harness.OpText, "MESSAGE\n")
		}},
		{"5.4", "a STOMP frame over several messages", func(e *wsEnv) {
			p := send(e, "spanning")
			e.write(frame{Op: harness.OpText, Payload: p[:5]}, frame{Op: harness.OpBinary, Payload: p[5:20]}, frame{Op: harness.OpText, Payload: p[20:]})
			e.expect(harness.OpText, "MESSAGE\n")
		}},
		{"5.4", "several STOMP frames in one message, one in each that comes", func(e *wsEnv) {
			e.text(string(send(e, "1")) + "\n" + string(send(e, "2")) + string(send(e, "3")) + "\n\n")
			for range 3 {
				f := e.expect(harness.OpText, "MESSAGE\n")
				if bytes.Count(f.Payload, []byte{0}) != 1 || f.Payload[len(f.Payload)-1] != 0 {
					e.Errorf("not one frame: %q", f.Payload)
				}
			}
			e.echoes("4")
		}},
		{"5.4", "a message that ends within a frame and TCP with it", func(e *wsEnv) {
			p := send(e, "half")
			e.write(frame{Op: harness.OpText, Payload: p[:len(p)-1], More: true})
			e.ws.Conn.Close()
			c := (&env{T: e.T, b: e.b, tr: harness.WSText, v: "1.2"}).connect()
			c.Sync()
		}},
		{"5.4", "a SEND without content-length, cut within its body by the end of a text message", func(e *wsEnv) {
			e.text("SEND\ndestination:" + e.topic + "\n\nhel")
			e.text("lo\x00")
			f := e.expect(harness.OpText, "MESSAGE\n")
			if !bytes.HasSuffix(f.Payload, []byte("\n\nhello\x00")) {
				e.Errorf("got %q", f.Payload)
			}
			e.echoes("x")
		}},
		{"5.4", "a SEND without content-length, cut before its body by the end of a text message", func(e *wsEnv) {
			e.text("SEND\ndestination:" + e.topic + "\n\n")
			e.text("hello\x00")
			f := e.expect(harness.OpText, "MESSAGE\n")
			if !bytes.HasSuffix(f.Payload, []byte("\n\nhello\x00")) {
				e.Errorf("got %q", f.Payload)
			}
			e.echoes("x")
		}},
		{"5.6", "text for text", func(e *wsEnv) { e.echoes("구독") }},
		{"5.6", "a heart-beat as a message of its own", func(e *wsEnv) {
			e.text("\n")
			e.write(frame{Op: harness.OpBinary, Payload: []byte("\r\n")})
			e.echoes("x")
		}},
		{"React_Native", "text without its NUL after a complete body", func(e *wsEnv) {
			e.text("SEND\ndestination:" + e.topic + "\ncontent-length:5\n\nhello")
			f := e.expect(harness.OpText, "MESSAGE\n")
			if !bytes.HasSuffix(f.Payload, []byte("\n\nhello\x00")) {
				e.Errorf("got %q", f.Payload)
			}
			e.echoes("x")
		}},
		{"React_Native", "text without its NUL where no body is allowed", func(e *wsEnv) {
			e.text("SUBSCRIBE\nid:1\ndestination:" + e.topic + ".x\nreceipt:rn\n\n")
			e.expect(harness.OpText, "RECEIPT\nreceipt-id:rn\n")
			e.text("UNSUBSCRIBE\nid:1\nreceipt:rn2\n\n")
			e.expect(harness.OpText, "RECEIPT\nreceipt-id:rn2\n")
			e.echoes("x")
		}},
		{"React_Native", "a NUL that comes in the next message after all", func(e *wsEnv) {
			e.text("SEND\ndestination:" + e.topic + "\ncontent-length:5\n\nhello")
			e.text("\x00")
			e.expect(harness.OpText, "MESSAGE\n")
			e.echoes("x")
		}},
		{"React_Native", "not in binary", func(e *wsEnv) {
			e.write(frame{Op: harness.OpBinary, Payload: []byte("SEND\ndestination:" + e.topic + "\ncontent-length:5\nreceipt:r\n\nhello")})
			e.write(frame{Op: harness.OpPing, Payload: []byte("p")})
			e.expect(harness.OpPong, "p")
			e.write(frame{Op: harness.OpBinary, Payload: []byte{0}})
			f, err := e.ws.Read(time.Now().Add(harness.Patience))
			if err != nil || !bytes.HasPrefix(f.Payload, []byte("MESSAGE\n")) {
				e.Errorf("got %q, %v", f.Payload, err)
			}
		}},
	}
	// protocol errors: 1002
	for _, c := range []struct {
		clause, name string
		frames       []frame
	}{
		{"5.1", "an unmasked text frame", []frame{{Op: harness.OpText, Payload: []byte("\n"), Unmasked: true}}},
		{"5.1", "an unmasked ping", []frame{{Op: harness.OpPing, Unmasked: true}}},
		{"5.1", "an unmasked close", []frame{{Op: harness.OpClose, Payload: closePayload(1000, ""), Unmasked: true}}},
		{"5.2", "RSV1", []frame{{Op: harness.OpText, Payload: []byte("\n"), RSV: 4}}},
		{"5.2", "RSV2", []frame{{Op: harness.OpText, Payload: []byte("\n"), RSV: 2}}},
		{"5.2", "RSV3", []frame{{Op: harness.OpText, Payload: []byte("\n"), RSV: 1}}},
		{"5.2", "RSV on a ping", []frame{{Op: harness.OpPing, RSV: 7}}},
		{"5.2", "RSV1 on a continuation", []frame{{Op: harness.OpText, Payload: []byte("\n"), More: true}, {Payload: []byte("\n"), RSV: 4}}},
		{"5.2", "opcode 3", []frame{{Op: 3, Payload: []byte("\n")}}},
		{"5.2", "opcode 4", []frame{{Op: 4}}},
		{"5.2", "opcode 7", []frame{{Op: 7, Payload: []byte("\n")}}},
		{"5.2", "opcode B", []frame{{Op: 0xB}}},
		{"5.2", "opcode C", []frame{{Op: 0xC, Payload: []byte("\n")}}},
		{"5.2", "opcode F", []frame{{Op: 0xF, Payload: []byte("\n")}}},
		{"5.2", "a reserved opcode within a fragmented message", []frame{{Op: harness.OpText, Payload: []byte("\n"), More: true}, {Op: 5}}},
		{"5.4", "a continuation of nothing", []frame{{Payload: []byte("\n")}}},
		{"5.4", "a continuation of nothing that goes on", []frame{{Payload: []byte("\n"), More: true}, {Payload: []byte("\n")}}},
		{"5.4", "a continuation after the last fragment", []frame{{Op: harness.OpText, Payload: []byte("\n"), More: true}, {Payload: []byte("\n")}, {Payload: []byte("\n")}}},
		{"5.4", "text within a fragmented message", []frame{{Op: harness.OpText, Payload: []byte("\n"), More: true}, {Op: harness.OpText, Payload: []byte("\n")}}},
		{"5.4", "binary within a fragmented message", []frame{{Op: harness.OpText, Payload: []byte("\n"), More: true}, {Op: harness.OpBinary, Payload: []byte("\n")}}},
		{"5.5", "a fragmented ping", []frame{{Op: harness.OpPing, Payload: []byte("x"), More: true}, {Payload: []byte("y")}}},
		{"5.5", "a fragmented pong", []frame{{Op: harness.OpPong, Payload: []byte("x"), More: true}, {Payload: []byte("y")}}},
		{"5.5", "a fragmented close", []frame{{Op: harness.OpClose, Payload: closePayload(1000, ""), More: true}}},
		{"5.5", "a ping of 126 bytes", []frame{{Op: harness.OpPing, Payload: bytes.Repeat([]byte("x"), 126)}}},
		{"5.5", "a pong of 126 bytes", []frame{{Op: harness.OpPong, Payload: bytes.Repeat([]byte("x"), 126)}}},
		{"5.5", "a close of 126 bytes", []frame{{Op: harness.OpClose, Payload: closePayload(1000, strings.Repeat("x", 124))}}},
		{"5.5", "a ping of 65536 bytes", []frame{{Op: harness.OpPing, Payload: make([]byte, 65536)}}},
	} {
		cases = append(cases, wsCase{c.clause, c.name, func(e *wsEnv) {
			e.write(c.frames...)
			e.closed(1002)
		}})
	}
	return cases
}

// controlCases are RFC 6455, 5.5.2 and 5.5.3.
func controlCases() []wsCase {
	var cases []wsCase
	for name, payload := range map[string]string{"empty": "", "text": "hello", "125 bytes": strings.Repeat("x", 125), "binary": "\x00\xff\xfe\x80"} {
		cases = append(cases, wsCase{"5.5.2", "ping is answered with the same payload: " + name, func(e *wsEnv) {
			e.write(frame{Op: harness.OpPing, Payload: []byte(payload)})
			if f := e.expect(harness.OpPong, payload); string(f.Payload) != payload {
				e.Errorf("got %q", f.Payload)
			}
		}})
	}
	return append(cases,
		wsCase{"5.5.2", "ten pings in one packet", func(e *wsEnv) {
			var fs []frame
			for i := range 10 {
				fs = append(fs, frame{Op: harness.OpPing, Payload: fmt.Appendf(nil, "%d", i)})
			}
			e.write(fs...)
			// An answer to the last is enough (RFC 6455, 5.5.2), but in order.
			for {
				if f := e.expect(harness.OpPong, ""); string(f.Payload) == "9" {
					break
				}
			}
			e.echoes("x")
		}},
		wsCase{"5.5.3", "unasked pongs are ignored", func(e *wsEnv) {
			e.write(frame{Op: harness.OpPong}, frame{Op: harness.OpPong, Payload: []byte("hello")})
			e.echoes("x")
		}},
		wsCase{"5.5.2", "ping and data in one packet", func(e *wsEnv) {
			e.write(frame{Op: harness.OpPing, Payload: []byte("p")},
				frame{Op: harness.OpText, Payload: []byte("SEND\ndestination:" + e.topic + "\n\nx\x00")})
			got := map[byte]bool{}
			for range 2 {
				f, err := e.ws.Read(time.Now().Add(harness.Patience))
				if err != nil {
					e.Fatal(err)
				}
				got[f.Op] = true
			}
			if !got[harness.OpPong] || !got[harness.OpText] {
				e.Errorf("got %v", got)
			}
		}},
	)
}
