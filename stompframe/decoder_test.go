package stompframe_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/stompframe"
)

// rules are inputs and what becomes of them; each is also the seed of the fuzz targets.
var rules = []struct {
	name string
	in   string
	v    []stompframe.Version
	want []string
}{
	{"simple", "SEND\ndestination:/a\n\nhi\x00", versions, []string{`SEND "destination"="/a" body "hi"`}},
	{"CRLF", "SEND\r\ndestination:/a\r\n\r\nhi\r\n\x00", versions, []string{`SEND "destination"="/a" body "hi\r\n"`}},
	{"no headers", "SEND\n\n\x00", versions, []string{`SEND`}},
	{"STOMP", "STOMP\naccept-version:1.2\n\n\x00", versions, []string{`STOMP "accept-version"="1.2"`}},
	{"server frames", "CONNECTED\n\n\x00MESSAGE\n\nm\x00RECEIPT\n\n\x00ERROR\n\ne\x00", versions,
		[]string{`CONNECTED`, `MESSAGE body "m"`, `RECEIPT`, `ERROR body "e"`}},
	{"other client frames", "SUBSCRIBE\n\n\x00UNSUBSCRIBE\n\n\x00ACK\n\n\x00NACK\n\n\x00BEGIN\n\n\x00COMMIT\n\n\x00ABORT\n\n\x00DISCONNECT\n\n\x00", versions,
		[]string{`SUBSCRIBE`, `UNSUBSCRIBE`, `ACK`, `NACK`, `BEGIN`, `COMMIT`, `ABORT`, `DISCONNECT`}},
	{"between frames", "\n\r\n\x00\n\x00SEND\n\n\x00\n\n\x00\r\nACK\n\n\x00\n", versions, []string{`SEND`, `ACK`}},
	{"EOLs where no body may be", "ACK\n\n\n\r\n\x00CONNECT\n\n\n\x00SEND\n\n\n\x00", versions, []string{`ACK`, `CONNECT`, `SEND body "\n"`}},
	{"only EOLs", "\n\r\n\n", versions, nil},
	{"half an EOL", "\n\r", versions, nil},
	{"CR between frames", "\rSEND\n\n\x00", versions, []string{"error unknown command: carriage return before a command after "}},
	{"unknown command", "HELLO\n\n\x00", versions, []string{`error unknown command: "HELLO" after `}},
	{"lower case", "send\n\n\x00", versions, []string{`error unknown command: "send" after `}},
	{"space after command", "SEND \n\n\x00", versions, []string{`error unknown command: "SEND " after `}},
	{"sixteen bytes and no EOL", "GET / HTTP/1.1xx", versions, []string{"partial"}},
	{"sixteen bytes and CR", "GET / HTTP/1.1xx\r", versions, []string{"partial"}},
	{"sixteen bytes and CRLF", "GET / HTTP/1.1xx\r\n", versions, []string{`error unknown command: "GET / HTTP/1.1xx" after `}},
	{"seventeen bytes", "GET / HTTP/1.1xxx", versions, []string{`error unknown command: "GET / HTTP/1.1xx" after `}},
	{"NUL after command", "DISCONNECT\x00", versions, []string{`error frame ended in its headers: after "DISCONNECT" after `}},
	{"NUL after nonsense", "quit\x00", versions, []string{`error unknown command: "quit" after `}},
	{"NUL in headers", "SEND\nreceipt:1\n\x00", versions, []string{`error frame ended in its headers: no blank line after header 2 after SEND "receipt"="1"`}},
	{"NUL in header", "SEND\nreceipt:1\x00\n\n\x00", versions, []string{`error frame ended in its headers: no blank line after header 1 after SEND`}},
	{"no colon", "SEND\nreceipt:1\nnonsense\n\n\x00", versions, []string{`error header without colon: header 2 after SEND "receipt"="1"`}},
	{"empty name", "SEND\n:v\n\n\x00", versions, []string{`error empty header name: header 1 after SEND`}},
	{"empty value", "SEND\na:\n\n\x00", versions, []string{`SEND "a"=""`}},
	{"colons in value", "SEND\na:b:c:\n\n\x00", versions, []string{`SEND "a"="b:c:"`}},
	{"repeated", "SEND\na:1\na:2\nb:3\n\n\x00", versions, []string{`SEND "a"="1" "a"="2" "b"="3"`}},
	{"spaces", "SEND\n a : b \n\n\x00", []stompframe.Version{v0, v11, v12}, []string{`SEND " a "=" b "`}},
	{"spaces in 1.0", "SEND\n a :  b \n\n\x00", []stompframe.Version{v10}, []string{`SEND " a "="b "`}},
	{"UTF-8", "SEND\nгудок:ж\n\n\x00", versions, []string{`SEND "гудок"="ж"`}},
	{"not UTF-8", "SEND\na:\xff\n\n\x00", versions, []string{`error header not UTF-8: header 1 after SEND`}},

	{"escapes 1.2", "SEND\na\\cb:\\r\\n\\c\\\\\n\n\x00", []stompframe.Version{v12}, []string{`SEND "a:b"="\r\n:\\"`}},
	{"escapes 1.1", "SEND\na\\cb:x\\n\\c\\\\y\n\n\x00", []stompframe.Version{v11}, []string{`SEND "a:b"="x\n:\\y"`}},
	{"escapes 1.0", "SEND\na\\cb:\\t\\r\\\n\n\x00", []stompframe.Version{v0, v10}, []string{`SEND "a\\cb"="\\t\\r\\"`}},
	{"backslash then n", "SEND\na:\\\\n\n\n\x00", []stompframe.Version{v11, v12}, []string{`SEND "a"="\\n"`}},
	{"undefined", "SEND\na:\\t\n\n\x00", []stompframe.Version{v11, v12}, []string{`error undefined escape in header: header 1 has "\\t" after SEND`}},
	{"undefined in name", "SEND\nx:1\n\\a:b\n\n\x00", []stompframe.Version{v11, v12}, []string{`error undefined escape in header: header 2 has "\\a" after SEND "x"="1"`}},
	{"backslash r in 1.1", "SEND\na:\\r\n\n\x00", []stompframe.Version{v11}, []string{`error undefined escape in header: header 1 has "\\r" after SEND`}},
	{"escape before a fault", "SEND\na:\\c\nb\n\n\x00", []stompframe.Version{v11, v12}, []string{`error header without colon: header 2 after SEND "a"=":"`}},
	{"trailing backslash", "SEND\na:b\\\n\n\x00", []stompframe.Version{v11, v12}, []string{`error undefined escape in header: header 1 ends in a backslash after SEND`}},
	{"backslash before colon", "SEND\na\\:b\n\n\x00", []stompframe.Version{v11, v12}, []string{`error undefined escape in header: header 1 ends in a backslash after SEND`}},
	{"CONNECT literal", "CONNECT\npasscode:a\\c\\\\t\\\n\n\x00", versions, []string{`CONNECT "passcode"="a\\c\\\\t\\"`}},
	{"CONNECTED literal", "CONNECTED\nsession:a\\cb\n\n\x00", versions, []string{`CONNECTED "session"="a\\cb"`}},

	{"CR in line", "SEND\na:b\rc\n\n\x00", []stompframe.Version{v0, v10, v11}, []string{`SEND "a"="b\rc"`}},
	{"CR CR LF", "SEND\na:b\r\r\n\n\x00", []stompframe.Version{v0, v10, v11}, []string{`SEND "a"="b\r"`}},
	{"CR first", "SEND\n\ra:b\n\n\x00", []stompframe.Version{v0, v10, v11}, []string{`SEND "\ra"="b"`}},
	{"CR in line 1.2", "SEND\nx:1\na:b\rc\n\n\x00", []stompframe.Version{v12}, []string{`error carriage return in header: in header 2 after SEND "x"="1"`}},
	{"CR CR LF 1.2", "SEND\na:b\r\r\n\n\x00", []stompframe.Version{v12}, []string{`error carriage return in header: in header 1 after SEND`}},
	{"CR first 1.2", "SEND\n\ra:b\n\n\x00", []stompframe.Version{v12}, []string{`error carriage return in header: in header 1 after SEND`}},
	{"CR CR LF blank", "SEND\n\r\r\n\x00", []stompframe.Version{v0, v10, v11}, []string{`error header without colon: header 1 after SEND`}},

	{"NUL in body", "SEND\ncontent-length:3\n\na\x00b\x00", versions, []string{`SEND "content-length"="3" body "a\x00b"`}},
	{"length 0", "SEND\ncontent-length:0\n\n\x00SEND\n\n\x00", versions, []string{`SEND "content-length"="0"`, `SEND`}},
	{"leading zeros", "SEND\ncontent-length:002\n\nab\x00", versions, []string{`SEND "content-length"="002" body "ab"`}},
	{"first length counts", "SEND\ncontent-length:3\ncontent-length:1\n\na\x00b\x00", versions, []string{`SEND "content-length"="3" "content-length"="1" body "a\x00b"`}},
	{"body too short", "SEND\ncontent-length:3\n\nab\x00", versions, []string{"partial"}},
	{"body too long", "SEND\ncontent-length:3\nreceipt:7\n\nabcd\x00", versions, []string{`error body longer than content-length: no NUL after 3 bytes after SEND "content-length"="3" "receipt"="7"`}},
	{"sign", "SEND\ncontent-length:+3\nreceipt:7\n\nabc\x00", versions, []string{`error bad content-length: "+3" after SEND "content-length"="+3" "receipt"="7"`}},
	{"negative", "SEND\ncontent-length:-1\n\n\x00", versions, []string{`error bad content-length: "-1" after SEND "content-length"="-1"`}},
	{"hex", "SEND\ncontent-length:0x3\n\nabc\x00", versions, []string{`error bad content-length: "0x3" after SEND "content-length"="0x3"`}},
	{"empty length", "SEND\ncontent-length:\n\n\x00", versions, []string{`error bad content-length: "" after SEND "content-length"=""`}},
	{"space before", "SEND\ncontent-length: 2\n\nab\x00", []stompframe.Version{v11, v12}, []string{`error bad content-length: " 2" after SEND "content-length"=" 2"`}},
	{"space before 1.0", "SEND\ncontent-length: 2\n\nab\x00", []stompframe.Version{v10}, []string{`SEND "content-length"="2" body "ab"`}},
	{"space before CONNECT", "CONNECT\ncontent-length: 0\n\n\x00", []stompframe.Version{v0}, []string{`CONNECT "content-length"=" 0"`}},
	{"space after", "SEND\ncontent-length:2 \n\nab\x00", versions, []string{`error bad content-length: "2 " after SEND "content-length"="2 "`}},
	{"2^63", "SEND\ncontent-length:9223372036854775808\n\n", versions, []string{`error bad content-length: "9223372036854775808" after SEND "content-length"="9223372036854775808"`}},
	{"2^64", "SEND\ncontent-length:18446744073709551616\n\n", versions, []string{`error bad content-length: "18446744073709551616" after SEND "content-length"="18446744073709551616"`}},
	{"2^63-1", "SEND\ncontent-length:9223372036854775807\n\n", versions, []string{`error body too large: more than 1048576 bytes after SEND "content-length"="9223372036854775807"`}},
	{"2 GB", "SEND\ncontent-length:2000000000\nreceipt:r\n\n", versions, []string{`error body too large: more than 1048576 bytes after SEND "content-length"="2000000000" "receipt"="r"`}},
	{"body on SUBSCRIBE", "SUBSCRIBE\nid:1\n\nx\x00", versions, []string{`error body not allowed: on SUBSCRIBE after SUBSCRIBE "id"="1"`}},
	{"length on SUBSCRIBE", "SUBSCRIBE\ncontent-length:1\nid:1\n\n", versions, []string{`error body not allowed: on SUBSCRIBE after SUBSCRIBE "content-length"="1" "id"="1"`}},
	{"length 0 on SUBSCRIBE", "SUBSCRIBE\ncontent-length:0\n\n\x00", versions, []string{`SUBSCRIBE "content-length"="0"`}},
	{"length 0 and body", "ACK\ncontent-length:0\n\nx\x00", versions, []string{`error body not allowed: on ACK after ACK "content-length"="0"`}},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		for _, v := range r.v {
			if got := decode(t, v, stompframe.Limits{}, []byte(r.in)); !equal(got, r.want) {
				t.Errorf("%s, version %q: %q\n gave %q\n want %q", r.name, v, r.in, got, r.want)
			}
		}
	}
}

func TestSplits(t *testing.T) {
	for _, r := range rules {
		for _, v := range r.v {
			in := []byte(r.in)
			for i := range in {
				if got := decode(t, v, stompframe.Limits{}, in[:i], in[i:]); !equal(got, r.want) {
					t.Errorf("%s, version %q, split at %d of %q\n gave %q\n want %q", r.name, v, i, r.in, got, r.want)
				}
			}
			if got := decode(t, v, stompframe.Limits{}, bytewise(in)...); !equal(got, r.want) {
				t.Errorf("%s, version %q, byte by byte, %q\n gave %q\n want %q", r.name, v, r.in, got, r.want)
			}
		}
	}
}

func TestManySplits(t *testing.T) {
	var all []byte
	var want []string
	for _, r := range rules {
		if len(r.want) > 0 && !strings.HasPrefix(r.want[len(r.want)-1], "error") && r.want[0] != "partial" && r.v[len(r.v)-1] == v12 {
			all = append(append(all, r.in...), '\n')
			want = append(want, r.want...)
		}
	}
	all = append(all, "SEND\ncontent-length:40000\n\n"+strings.Repeat("\x00y", 20000)+"\x00SEND\n\n"+strings.Repeat("z", 40000)+"\x00"...)
	want = append(want, `SEND "content-length"="40000" body "`+strings.Repeat(`\x00y`, 20000)+`"`, `SEND body "`+strings.Repeat("z", 40000)+`"`)
	for _, size := range []int{1, 2, 3, 7, 64, 1000, 4096, len(all)} {
		var chunks [][]byte
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		if got := decode(t, v12, stompframe.Limits{}, chunks...); !equal(got, want) {
			t.Errorf("chunks of %d gave %.300q", size, got)
		}
	}
}

func TestSetVersionBetweenFrames(t *testing.T) {
	d := stompframe.NewDecoder(0, stompframe.BeforeConnect)
	d.Feed([]byte("CONNECT\naccept-version:1.2\n\n\x00SEND\na:\\c\n\n" + strings.Repeat("x", 20<<10) + "\x00"))
	var f stompframe.Frame
	if ok, err := d.Next(&f); !ok || err != nil {
		t.Fatal(ok, err)
	}
	d.SetVersion(v12, stompframe.Limits{})
	if v := f.Header.String("accept-version"); v != "1.2" {
		t.Errorf("accept-version is %q after SetVersion", v)
	}
	if ok, err := d.Next(&f); !ok || err != nil || f.Header.String("a") != ":" || len(f.Body) != 20<<10 {
		t.Errorf("%v %v %v", ok, err, f.Header)
	}
}

func TestHeader(t *testing.T) {
	h := stompframe.Header{{[]byte("a"), []byte("1")}, {[]byte("a"), []byte("2")}, {[]byte("e"), nil}}
	if v, ok := h.Get("a"); string(v) != "1" || !ok || h.String("a") != "1" {
		t.Errorf("Get(a) = %q, %v", v, ok)
	}
	if !h.Has("e") || h.Has("A") || h.String("x") != "" {
		t.Error("Has or String")
	}
	h = stompframe.Header{{[]byte("login"), []byte("  joe ")}}
	h.Unpad()
	if h.String("login") != "joe " {
		t.Errorf("unpadded %q", h.String("login"))
	}
}

func TestEndOfText(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    string
		whole bool
		want  string // "" if not ended
	}{
		{"CONNECT", "CONNECT\naccept-version:1.2\n\n", true, `CONNECT "accept-version"="1.2"`},
		{"SUBSCRIBE, not whole", "SUBSCRIBE\r\nid:\\c\r\n\r\n", false, `SUBSCRIBE "id"=":"`},
		{"SUBSCRIBE with length", "SUBSCRIBE\ncontent-length:0\n\n", false, `SUBSCRIBE "content-length"="0"`},
		{"before the blank line", "SUBSCRIBE\nid:1\n", true, ""},
		{"in a line", "SUBSCRIBE\nid:1", true, ""},
		{"in CRLF", "SUBSCRIBE\nid:1\n\r", true, ""},
		{"in the command", "DISCONNECT", true, ""},
		{"nothing", "\n", true, ""},
		{"finished", "SEND\n\n\x00", true, ""},
		{"SEND with length", "SEND\ncontent-length:2\n\nab", false, `SEND "content-length"="2" body "ab"`},
		{"SEND too short", "SEND\ncontent-length:2\n\na", true, ""},
		{"SEND length 0", "SEND\ncontent-length:0\n\n", false, `SEND "content-length"="0"`},
		{"SEND", "SEND\na:b\n\nab", true, ""},
		{"SEND empty", "SEND\na:b\n\n", true, ""},
		{"SEND, not whole", "SEND\na:b\n\nab", false, ""},
	} {
		for _, split := range []int{0, 5, 9} {
			d := stompframe.NewDecoder(v12, stompframe.Limits{})
			var f stompframe.Frame
			split = min(split, len(c.in))
			for _, part := range []string{c.in[:split], c.in[split:]} {
				d.Feed([]byte(part))
				for ok := true; ok; {
					var err error
					if ok, err = d.Next(&f); err != nil {
						t.Fatal(c.name, err)
					}
				}
			}
			partial := d.Partial()
			ok, err := d.EndOfText(&f, c.whole)
			if err != nil || ok != (c.want != "") || ok && show(&f) != c.want {
				t.Errorf("%s, split at %d: %v %v %.200s", c.name, split, ok, err, show(&f))
			}
			if !ok {
				if d.Partial() != partial {
					t.Errorf("%s: not ended and Partial changed", c.name)
				}
				continue
			}
			// A NUL that comes late after all is skipped.
			d.Feed([]byte("\x00SEND\n\nnext\x00"))
			if ok, err := d.Next(&f); !ok || err != nil || show(&f) != `SEND body "next"` {
				t.Errorf("%s: then %v %v %s", c.name, ok, err, show(&f))
			}
			d.Next(&f)
			if d.Buffered() != 0 || d.Partial() {
				t.Errorf("%s: holds %d", c.name, d.Buffered())
			}
		}
	}
}

func TestEndOpen(t *testing.T) {
	d := stompframe.NewDecoder(v12, stompframe.Limits{})
	var f stompframe.Frame
	if d.Open() || d.EndOpen(&f) {
		t.Error("open before anything came")
	}
	for _, m := range []string{"SEND\na:b\n\nab", "\n"} {
		d.Feed([]byte(m))
		d.Next(&f)
		if ok, _ := d.EndOfText(&f, m != "\n"); ok || !d.Open() {
			t.Fatalf("after %q: ended or not open", m)
		}
	}
	if !d.EndOpen(&f) || show(&f) != `SEND "a"="b" body "ab"` {
		t.Errorf("yielded %s", show(&f))
	}
	if d.Open() || d.Partial() || d.EndOpen(&f) {
		t.Error("still open")
	}
	d.Feed([]byte("SEND\n\nx"))
	if ok, _ := d.Next(&f); ok || d.Open() || d.EndOpen(&f) {
		t.Error("open before the end of its message")
	}
	d.Release()
}

// A SEND without content-length is ended by what follows it, never by the end of its message.
func TestTextWithoutNUL(t *testing.T) {
	const send = "SEND\na:b\n\n"
	for _, c := range []struct {
		name string
		in   []string // text messages
		want []string
	}{
		{"next frame", []string{send + "ab", "ACK\nid:1\n\n"}, []string{`SEND "a"="b" body "ab"`, `ACK "id"="1"`}},
		{"next frame, CRLF", []string{send + "ab", "ACK\r\nid:1\r\n\r\n"}, []string{`SEND "a"="b" body "ab"`, `ACK "id"="1"`}},
		{"heart-beat and next frame", []string{send + "ab", "\n", "ACK\nid:1\n\n"}, []string{`SEND "a"="b" body "ab"`, `ACK "id"="1"`}},
		{"empty and heart-beat", []string{send, "\n"}, []string{`SEND "a"="b"`}},
		{"empty and empty message", []string{send, ""}, nil},
		{"empty and next frame", []string{send, send + "x"}, []string{`SEND "a"="b"`}},
		{"body and heart-beat", []string{send + "ab", "\n"}, nil},
		{"continued", []string{send + "ab", "cd\x00"}, []string{`SEND "a"="b" body "abcd"`}},
		{"continued at the body", []string{send, "abcd\x00"}, []string{`SEND "a"="b" body "abcd"`}},
		{"continued by an EOL", []string{send + "ab", "\ncd\x00"}, []string{`SEND "a"="b" body "ab\ncd"`}},
		{"continued by half a command", []string{send + "ab", "SEN\x00"}, []string{`SEND "a"="b" body "abSEN"`}},
		{"continued twice", []string{send + "ab", "cd", "ACK\n\n\x00"}, []string{`SEND "a"="b" body "abcdACK\n\n"`}},
		{"begun earlier", []string{"SEND\n", "\nab", "ACK\n\n\x00"}, []string{`SEND body "abACK\n\n"`}},
		{"the NUL alone", []string{send + "ab", "\x00"}, []string{`SEND "a"="b" body "ab"`}},
	} {
		d := stompframe.NewDecoder(v12, stompframe.Limits{})
		var got []string
		for _, m := range c.in {
			whole := !d.Partial()
			d.Feed([]byte(m))
			var f stompframe.Frame
			next := func(ok bool, err error) bool {
				if err != nil {
					t.Fatal(c.name, err)
				}
				if ok {
					got = append(got, show(&f))
				}
				return ok
			}
			for next(d.Next(&f)) {
				whole = true // what comes now begins in this message
			}
			for next(d.EndOfText(&f, whole)) {
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		d.Release()
	}
}

func TestMisuseAndRelease(t *testing.T) {
	d := stompframe.NewDecoder(v12, stompframe.Limits{})
	var f stompframe.Frame
	d.Feed([]byte("SEND\n\nabc"))
	d.Next(&f)
	if !d.Partial() || d.Buffered() == 0 {
		t.Error("nothing begun")
	}
	d.Release()
	if d.Partial() || d.Buffered() != 0 {
		t.Errorf("after Release: %v, %d bytes", d.Partial(), d.Buffered())
	}
	d.Feed([]byte("SEND\n\n\x00"))
	defer func() {
		if recover() == nil {
			t.Error("Feed on an undrained chunk did not panic")
		}
	}()
	d.Feed([]byte("SEND\n\n\x00"))
}

func TestDoesNotWriteToChunk(t *testing.T) {
	for _, r := range rules {
		in := []byte(r.in)
		d := stompframe.NewDecoder(v12, stompframe.Limits{})
		d.Feed(in)
		var f stompframe.Frame
		for ok, err := d.Next(&f); ok && err == nil; ok, err = d.Next(&f) {
			for i := range f.Header { // nor does who appends to what was yielded
				_ = append(f.Header[i].Name, "###"...)
				_ = append(f.Header[i].Value, "###"...)
			}
			_ = append(f.Body, "###"...)
		}
		if !bytes.Equal(in, []byte(r.in)) {
			t.Errorf("%s: chunk is %q now", r.name, in)
		}
	}
}
