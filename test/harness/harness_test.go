package harness

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseTakesOneFrame(t *testing.T) {
	raw := "MESSAGE\ndestination:/queue/a\nmessage-id:m-1\na\\cb:c\\nd\ncontent-length:3\n\na\x00b\x00\n"
	for n := range len(raw) - 2 {
		if f, used, err := parse([]byte(raw[:n]), "1.2"); f != nil || used != 0 || err != nil {
			t.Fatalf("%d bytes gave %v, %d, %v", n, f, used, err)
		}
	}
	f, n, err := parse([]byte(raw), "1.2")
	if err != nil || n != len(raw)-1 {
		t.Fatal(n, err)
	}
	if string(f.Body) != "a\x00b" || f.Value("a:b") != "c\nd" || f.Headers[2].Raw != `a\cb:c\nd` {
		t.Fatalf("got %+v", f)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"command":           "HELLO\n\n\x00",
		"CR":                "RECEIPT\r\nreceipt-id:1\r\n\r\n\x00",
		"no colon":          "RECEIPT\nreceipt-id\n\n\x00",
		"no name":           "RECEIPT\n:x\nreceipt-id:1\n\n\x00",
		"NUL in headers":    "RECEIPT\nreceipt-id:1\x00",
		"escape":            "RECEIPT\nreceipt-id:a\\tb\n\n\x00",
		"colon":             "RECEIPT\nreceipt-id:a:b\n\n\x00",
		"UTF-8":             "RECEIPT\nreceipt-id:\xff\n\n\x00",
		"body":              "RECEIPT\nreceipt-id:1\n\nx\x00",
		"missing header":    "MESSAGE\ndestination:/queue/a\n\n\x00",
		"twice":             "RECEIPT\nreceipt-id:1\nreceipt-id:1\n\n\x00",
		"length too short":  "ERROR\nmessage:m\ncontent-length:1\n\nab\x00",
		"length no number":  "ERROR\nmessage:m\ncontent-length:+1\n\na\x00",
		"length missing":    "ERROR\nmessage:m\n\na\x00",
		"server-made id":    "MESSAGE\ndestination:/queue/a\nmessage-id:a b\n\n\x00",
		"stray NUL":         "\x00",
		"EOL before header": "\nRECEIPT\nreceipt-id:1\n\n\x00",
	} {
		if f, _, err := parse([]byte(raw), "1.2"); err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		}
	}
}

func TestVersionsEscapeDifferently(t *testing.T) {
	for version, want := range map[string]string{"1.0": `a\c\n`, "1.1": "a:\n", "1.2": "a:\n"} {
		h, err := parseHeader(`x:a\c\n`, version)
		if err != nil || h.Value != want {
			t.Errorf("%s: %q, %v", version, h.Value, err)
		}
	}
	if _, err := parseHeader(`x:a\r`, "1.1"); err == nil {
		t.Error("1.1 has no escape of CR")
	}
}

func TestWSFrameLengths(t *testing.T) {
	for n, want := range map[int]int{0: 6, 125: 131, 126: 134, 0xffff: 0xffff + 8, 0x10000: 0x10000 + 14} {
		f := WSFrame{Op: OpText, Payload: bytes.Repeat([]byte("x"), n)}
		if got := len(f.Append(nil)); got != want {
			t.Errorf("%d bytes of payload made %d, not %d", n, got, want)
		}
	}
	got := WSFrame{Op: OpText, Payload: []byte("hi"), Unmasked: true, More: true, RSV: 4}.Append(nil)
	if !strings.HasPrefix(string(got), "\x41\x02hi") {
		t.Errorf("got %x", got)
	}
}
