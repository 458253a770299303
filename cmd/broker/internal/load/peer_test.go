package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// chunked scans a stream in chunks of each size, which must make no difference.
func chunked(t *testing.T, d dialect, stream []byte, want string) {
	t.Helper()
	for size := 1; size <= len(stream); size++ {
		got := ""
		s := scanner{one: d.one, on: func(f *frame) { got += fmt.Sprintf("%c %q;", f.kind, f.body) }}
		for p := stream; len(p) > 0; p = p[min(size, len(p)):] {
			if err := s.feed(bytes.Clone(p[:min(size, len(p))])); err != nil {
				t.Fatal(err)
			}
		}
		if got != want {
			t.Fatalf("chunks of %d: %s, want %s", size, got, want)
		}
	}
}

func TestNATSInAnyChunks(t *testing.T) {
	chunked(t, nats{}, []byte("INFO {\"a\":1}\r\nPONG\r\nMSG a.b 0 5\r\na\r\nbc\r\nPING\r\nMSG a 1 reply 0\r\n\r\n-ERR 'no'\r\n"),
		`C "{\"a\":1}";R "";M "a\r\nbc";P "";M "";E "";`)
	for _, stream := range []string{"HELLO\r\n", "MSG a 0 x\r\n\r\n", "MSG a 0 1\r\nabc\r\n"} {
		s := scanner{one: nats{}.one, on: func(*frame) {}}
		if s.feed([]byte(stream)) == nil {
			t.Errorf("%q accepted", stream)
		}
	}
	f := frame{}
	sent := nats{}.template(Options{Destination: "a", Size: 40}, 7).fill(12, 34)
	if want := fmt.Sprintf("PUB a 40\r\n%04x%012x%016x", 7, 12, 34); !bytes.HasPrefix(sent, []byte(want)) || !bytes.HasSuffix(sent, []byte("\r\n")) {
		t.Errorf("sent %q, want %q…", sent, want)
	}
	if n, err := (nats{}).one([]byte("-ERR 'Slow Consumer'\r\n"), &f); n == 0 || err != nil || (nats{}).fault(&f).Error() != "-ERR 'Slow Consumer' from the server" {
		t.Errorf("%d, %v, %v", n, err, nats{}.fault(&f))
	}
}

func TestCentrifugoInAnyChunks(t *testing.T) {
	reply := func(number int, p []byte) []byte {
		m := appendField([]byte{1 << 3, 1}, number, p)
		return append(binary.AppendUvarint(nil, uint64(len(m))), m...)
	}
	push := func(number int, p []byte) []byte {
		m := appendField(nil, replyPush, appendField(appendField(nil, 2, []byte("channel")), number, p))
		return append(binary.AppendUvarint(nil, uint64(len(m))), m...)
	}
	long := bytes.Repeat([]byte("x"), 300)
	var stream []byte
	for _, p := range [][]byte{
		reply(replyConnect, appendField(nil, connectVersion, []byte("5"))),
		reply(6, nil), // subscribed
		{0},           // ping
		push(pushPublication, append(appendField(appendField(nil, publicationData, long), 5, []byte("info")), 6<<3, 9)),
		push(5, []byte("join")),
		push(pushDisconnect, appendField(nil, 2, []byte("slow"))),
		reply(replyError, appendField([]byte{1 << 3, 7}, 2, []byte("denied"))),
	} {
		stream = append(stream, p...)
	}
	chunked(t, centrifugo{}, stream, fmt.Sprintf(`C "\x12\x015";R "";P "";M %q;R "";E "\x12\x04slow";E "\b\a\x12\x06denied";`, long))
	if err := (centrifugo{}).fault(&frame{body: []byte("\b\a\x12\x06denied")}); err.Error() != "error from Centrifugo: denied" {
		t.Error(err)
	}
	for _, stream := range [][]byte{{3, 0x22, 9, 9}, bytes.Repeat([]byte{0xff}, 12)} {
		s := scanner{one: centrifugo{}.one, on: func(*frame) {}}
		if s.feed(stream) == nil {
			t.Errorf("%q accepted", stream)
		}
	}
	sent := centrifugo{}.template(Options{Destination: "ch", Size: 200}, 3).fill(1, 2)
	size, n := binary.Uvarint(sent)
	request, _ := field(sent[n:], commandPublish)
	data, _ := field(request, publishData)
	if pub, seq, at, ok := stamp(data); int(size) != len(sent)-n || !ok || pub != 3 || seq != 1 || at != 2 || len(data) != 200 {
		t.Errorf("sent %q", sent)
	}
}
