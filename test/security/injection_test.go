package security

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// escaped writes a header's value as a version of STOMP does, if it can.
func escaped(version, s string) (string, bool) {
	switch version {
	case "1.2":
		return strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, ":", `\c`).Replace(s), true
	case "1.1":
		return strings.NewReplacer("\\", `\\`, "\n", `\n`, ":", `\c`).Replace(s), !strings.Contains(s, "\r")
	}
	return s, !strings.ContainsAny(s, "\r\n")
}

// arrives is what a value becomes that a version cannot write.
func arrives(version, s string) string {
	switch version {
	case "1.1":
		return strings.ReplaceAll(s, "\r", " ")
	case "1.0":
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
	}
	return s
}

// V24: no value that a client chooses becomes a header of its own, in any version of the sender or the
// receiver, in whichever frame it comes back: MESSAGE, RECEIPT, ERROR, CONNECTED (krossbow#747); and
// what the server says of a message nobody else says (NATS CVE-2026-33223).
func TestV24HeaderInjection(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "store: {engine: memory}")
	versions := []string{"1.0", "1.1", "1.2"}
	nasty := []string{"a\ninjected:1", "a\r\ninjected:1", "a\n\ninjected", "a\rinjected:1", "a:b", "\\", `\n`, `\ninjected\c1`, "\n", ":", "::", " a ", "é\n\u2028injected:1"}
	open := func(tr harness.Transport, version string, lines ...string) *harness.Client {
		c := b.Dial(t, tr)
		c.Sendf("CONNECT\naccept-version:%s\n%s\n\x00", version, strings.Join(append(lines, ""), "\n"))
		c.Expect("CONNECTED", "version:"+version)
		return c
	}
	clean := func(f *harness.Frame) {
		t.Helper()
		if _, there := f.Get("injected"); there || strings.Count(string(f.Raw), "\x00") > 1 {
			t.Errorf("injected into %s", f)
		}
	}
	forged := "content-length:4\nmessage-id:forged\nsubscription:forged\nack:forged\nredelivered:true\ndelivery-count:99\ndestination:/queue/forged\ncontent-length:0\n" +
		"receipt-id:passes\nMessage-Id:passes\n"
	n := 0
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		for _, from := range versions {
			for _, to := range versions {
				for _, value := range nasty {
					n++
					wire, ok := escaped(from, value)
					if !ok {
						continue
					}
					want := arrives(to, value)
					if from == "1.0" {
						want = strings.TrimLeft(want, " ")
					}
					topic, id := fmt.Sprintf("/queue/v24.%d", n), value
					receiver, sender := open(tr, to), open(tr, from, "gudok-errors:soft")
					idWire, sayable := escaped(to, id)
					if !sayable || to == "1.0" {
						id, idWire = "0", "0"
					}
					receiver.Sendf("SUBSCRIBE\nid:%s\ndestination:%s\nack:client\nreceipt:%s\n\n\x00", idWire, topic, idWire)
					clean(receiver.Receipt(id))
					// As a value, as a name, as a receipt.
					sender.Sendf("SEND\ndestination:%s\nreceipt:%s\nvalue:%s\n%sname%s:x\n\nbody\x00", topic, wire, wire, forged, strings.ReplaceAll(wire, ":", ""))
					receipt := sender.Expect("RECEIPT")
					clean(receipt)
					own := arrives(from, value)
					if from == "1.0" {
						own = strings.TrimLeft(own, " ")
					}
					if got := receipt.Value("receipt-id"); got != own {
						t.Errorf("%s: receipt %q came as %q", from, value, got)
					}
					f := receiver.Message("body", "subscription:"+id, "destination:"+topic, "value:"+want, "Message-Id:passes", "!redelivered", "!delivery-count")
					clean(f)
					if strings.Contains(string(f.Raw), "forged") || len(f.All("destination")) != 1 || len(f.All("message-id")) != 1 {
						t.Errorf("%s to %s: %s", from, to, f)
					}
					// What is refused repeats the value in the body, and the receipt.
					sender.Sendf("SEND\ndestination:/queue/%s\nreceipt:%s\nx-delay:%s\n\n\x00", "x..y", wire, wire)
					f = sender.Expect("ERROR", "message:bad destination", "receipt-id:"+own)
					clean(f)
					sender.Sendf("SUBSCRIBE\nid:1\ndestination:%s\nack:%s\n\n\x00", topic, wire)
					f = sender.Expect("ERROR", "message:bad header value")
					clean(f)
					if body := string(f.Body); strings.ContainsAny(body, "\n\r\x00") {
						t.Errorf("the ERROR's body has a control character: %q", body)
					}
					receiver.Abort()
					sender.Abort()
				}
			}
		}
	}

	// CONNECT is never unescaped, CONNECTED never escaped; nothing of the one becomes a line of the other.
	for _, v := range versions {
		c := b.Dial(t, harness.TCP)
		c.Sendf("CONNECT\naccept-version:%s\nlogin:a\\ninjected\\c1\nrequest-id:b\\ninjected:1\rinjected:2\nclient-id:c\\ninjected\\c3\nsession:forged\nserver:forged\nuser-name:forged\n\n\x00", v)
		f := c.Expect("CONNECTED", `user-name:a\ninjected\c1`, "response-id:b\\ninjected:1 injected:2")
		clean(f)
		if strings.Contains(string(f.Raw), "forged") {
			t.Errorf("%s", f)
		}
		c.Abort()
		for _, login := range []string{"a\rinjected:1", "a\tb", "a\u2028injected:1"} {
			c := b.Dial(t, harness.TCP)
			c.Sendf("CONNECT\naccept-version:%s\nlogin:%s\n\n\x00", v, login)
			f := c.Expect("ERROR", "message:bad login name")
			clean(f)
			if strings.ContainsAny(string(f.Body), "\r\n\t") {
				t.Errorf("%q", f.Body)
			}
		}
	}

	// What no version knows is no escape, and what ends a header ends the frame.
	for _, x := range []struct{ versions, line, message string }{
		{"1.1 1.2", `x:a\tb`, "undefined escape in header"}, {"1.1 1.2", `x:a\0`, "undefined escape in header"}, {"1.1 1.2", `x:a\`, "undefined escape in header"},
		{"1.1 1.2", `x\:a`, "undefined escape in header"}, {"1.1", `x:a\r`, "undefined escape in header"}, {"1.2", "x:a\rinjected:1", "carriage return in header"},
		{"1.0 1.1 1.2", "x:a\x00", "frame ended in its headers"}, {"1.0 1.1 1.2", "no colon", "header without colon"}, {"1.0 1.1 1.2", ":no name", "empty header name"},
		{"1.0 1.1 1.2", "x:\xff", "header not UTF-8"},
	} {
		for _, v := range strings.Fields(x.versions) {
			c := open(harness.WSBinary, v)
			c.Sendf("SEND\ndestination:/topic/v24\nreceipt:r\n%s\n\nbody\x00", x.line)
			f := c.Expect("ERROR")
			if clean(f); f.Value("message") != x.message {
				t.Errorf("%s %q: %s", v, x.line, f)
			}
			c.ExpectClose()
		}
	}

	// A dead letter says why the server gave it up, not why its sender would have it.
	c := open(harness.WSText, "1.2")
	c.Sendf("SUBSCRIBE\nid:q\ndestination:/queue/v24.dead\nack:client\n\n\x00SUBSCRIBE\nid:d\ndestination:/dlq/v24.dead\n\n\x00" +
		"SEND\ndestination:/queue/v24.dead\ndlq-reason:forged\ndlq-destination:forged\n\nx\x00")
	f := c.Message("x", "subscription:q")
	c.Sendf("NACK\nid:%s\nrequeue:false\n\n\x00", f.Value("ack"))
	if f = c.Message("x", "subscription:d"); strings.Contains(f.Value("dlq-reason")+f.Value("dlq-destination"), "forged") {
		t.Errorf("%s", f)
	}
}

var metricLine = regexp.MustCompile(`^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? \S+( \S+)?)?$`)

// V25: a destination is a name and nothing else: no path of a file, no line of a log or of metrics, no
// subject of another system (NATS 2026-22). Different names are different destinations, also for
// durable subscriptions, whose queues are named after them.
func TestV25DestinationsAreNames(t *testing.T) {
	t.Parallel()
	b := harness.Start(t, "log: {level: debug}")
	rests := []string{"$JS.API.STREAM.LIST", "$SYS.REQ.USER.INFO", "$SYS.broker", "_INBOX.x", "a b", "a\\b", "a%2Fb", "a%2fb", "%2e%2e", "%2fetc%2fpasswd", "a:b", "C:\\x",
		"~", "$(touch pwned)", "`x`", "a;b", "a|b", "a&b", "'a'", "\"a\"", "<script>alert(1)</script>", "a\u202eb", "é", "e\u0301", "%s%n", "{{.}}", "a=b", "a+b", "a?b#c", "a@b",
		"durable", "CON", "gudok", "x{y=\"z\"} 1", "PUB x 5", "+OK", "-", "a,b", strings.Repeat("n", 240)}
	before := tree(t, b.Dir())
	c := b.Dial(t, harness.TCP)
	connect(c, "login:alice", "client-id:c")
	c.Expect("CONNECTED")
	for _, kind := range []string{"/topic/", "/queue/"} {
		for i, rest := range rests {
			name, _ := escaped("1.2", kind+rest)
			c.Sendf("SUBSCRIBE\nid:%s%d\ndestination:%s\nreceipt:s\n\n\x00", kind, i, name)
			c.Receipt("s")
		}
	}
	for i, rest := range rests {
		name, _ := escaped("1.2", "/topic/"+rest)
		c.Sendf("SUBSCRIBE\nid:d%d\ndestination:%s\ndurable-subscription-name:same\nreceipt:s\n\n\x00", i, name)
		c.Receipt("s")
	}
	for _, kind := range []string{"/topic/", "/queue/"} {
		for i, rest := range rests {
			name, _ := escaped("1.2", kind+rest)
			c.Sendf("SEND\ndestination:%s\n\n%d\x00", name, i)
			got := []string{c.Message(fmt.Sprint(i), "destination:"+kind+rest).Value("subscription")}
			want := []string{fmt.Sprint(kind, i)}
			if kind == "/topic/" {
				got = append(got, c.Message(fmt.Sprint(i), "destination:"+kind+rest).Value("subscription"))
				want = append(want, fmt.Sprint("d", i))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q reached %q", kind+rest, got)
			}
			c.Sync()
		}
	}
	// What is no name is refused, and said in one line.
	for _, rest := range []string{"../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "a/../b", "a\nb", "a\rb", "a\x1b[31mb", "a\x7f", "a\u0085b", "\u2028", "a//b", " ", ">", "*.INFO", "$JS.>", "\ufffd"} {
		bad := b.Dial(t, harness.WSText)
		connect(bad)
		bad.Expect("CONNECTED")
		name, _ := escaped("1.2", "/queue/"+rest)
		bad.Sendf("SEND\ndestination:%s\n\nx\x00", name)
		if f := bad.Expect("ERROR", "message:bad destination"); strings.ContainsFunc(string(f.Body), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q: %q", rest, f.Body)
		}
		bad.ExpectClose()
	}
	for _, path := range []string{"/", "/metrics", "/api/queues", "/api/destinations"} {
		res, err := http.Get("http://" + b.WS + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		html := path != "/metrics" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") || res.Header.Get("X-Content-Type-Options") != "nosniff"
		if err != nil || html && strings.Contains(string(body), "<script>alert") {
			t.Errorf("%s: %v, %q", path, err, body)
		}
		for line := range strings.Lines(string(body)) {
			if line = strings.TrimSuffix(line, "\n"); path == "/metrics" && res.StatusCode == 200 && !metricLine.MatchString(line) {
				t.Errorf("a metric has the line %q", line)
			}
		}
	}
	c.Abort()
	b.Stop()
	if after := tree(t, b.Dir()); !slices.Equal(before, after) {
		t.Errorf("there were files %q, now %q", before, after)
	}
	said := 0
	for line := range strings.Lines(b.Output()) {
		if strings.HasPrefix(line, "time=") {
			said++
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x202e }); i >= 0 {
			t.Errorf("a control character in the log: %q", line)
		}
	}
	if said < 14 {
		t.Errorf("%d lines in the log", said)
	}
}

// tree is the files below a directory.
func tree(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		files = append(files, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
