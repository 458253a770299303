package conformance

import (
	"slices"
	"strings"

	"github.com/gudokmq/gudok/test/harness"
)

// forward sends a message with these raw header lines from a session of one version to a
// session of another and returns what arrives.
func (e *env) forward(from, to, headers string) *harness.Frame {
	e.Helper()
	t := e.topic()
	sub := e.connectAs(to)
	e.subscribe(sub, "0", t)
	pub := e.connectAs(from)
	pub.Sendf("SEND\ndestination:%s\n%s\nbody\x00", t, headers)
	pub.Flush()
	return sub.Message("body", "destination:"+t)
}

// raw is the header lines of f that begin with this text.
func raw(f *harness.Frame, prefix string) []string {
	var out []string
	for _, h := range f.Headers {
		if strings.HasPrefix(h.Raw, prefix) {
			out = append(out, h.Raw)
		}
	}
	return out
}

// headerCases are STOMP 1.2, Value Encoding, Repeated Header Entries, and the headers' grammar.
func headerCases() []tcase {
	// escaped: what a publisher of the version under test writes, and what arrives as raw line at
	// a subscriber of each version.
	escaped := func(name string, versions []string, send string, arrives map[string]string) tcase {
		return tcase{"Value_Encoding", name, versions, func(e *env) {
			for to, want := range arrives {
				f := e.forward(e.v, to, send+"\n")
				if got := raw(f, "x"); !slices.Equal(got, []string{want}) {
					e.Errorf("%q arrives in %s as %q, not %q", send, to, got, want)
				}
			}
		}}
	}
	cases := []tcase{
		escaped("colon", from11, `x:a\cb`, map[string]string{"1.0": `x:a:b`, "1.1": `x:a\cb`, "1.2": `x:a\cb`}),
		escaped("line feed", from11, `x:a\nb`, map[string]string{"1.1": `x:a\nb`, "1.2": `x:a\nb`}),
		escaped("backslash", from11, `x:a\\b`, map[string]string{"1.0": `x:a\b`, "1.1": `x:a\\b`, "1.2": `x:a\\b`}),
		escaped("carriage return", only12, `x:a\rb`, map[string]string{"1.2": `x:a\rb`}),
		escaped("backslash before n is no line feed", from11, `x:a\\nb`, map[string]string{"1.0": `x:a\nb`, "1.1": `x:a\\nb`, "1.2": `x:a\\nb`}),
		escaped("all together", from11, `x:\c\n\\\c`, map[string]string{"1.1": `x:\c\n\\\c`, "1.2": `x:\c\n\\\c`}),
		escaped("in names", from11, `x\ca\\:v`, map[string]string{"1.1": `x\ca\\:v`, "1.2": `x\ca\\:v`}),
		escaped("nothing is an escape in 1.0", only10, `x:a\nb\cc\\d\t`, map[string]string{
			"1.0": `x:a\nb\cc\\d\t`, "1.1": `x:a\\nb\\cc\\\\d\\t`, "1.2": `x:a\\nb\\cc\\\\d\\t`}),
		escaped("unescaped colons in a value are taken as they are", nil, `x:a:b::c`, map[string]string{
			"1.0": `x:a:b::c`, "1.1": `x:a\cb\c\cc`, "1.2": `x:a\cb\c\cc`}),
		escaped("unicode", nil, `x:구독 ✓ 𝄞`, map[string]string{"1.0": `x:구독 ✓ 𝄞`, "1.1": `x:구독 ✓ 𝄞`, "1.2": `x:구독 ✓ 𝄞`}),
		escaped("empty value", nil, `x:`, map[string]string{"1.0": `x:`, "1.1": `x:`, "1.2": `x:`}),
		escaped("spaces are kept", from11, `x:  a b  `, map[string]string{"1.1": `x:  a b  `, "1.2": `x:  a b  `}),
		escaped("spaces in names are kept", from11, `x y :z`, map[string]string{"1.1": `x y :z`, "1.2": `x y :z`}),
		escaped("tab is kept", nil, "x:a\tb", map[string]string{"1.0": "x:a\tb", "1.1": "x:a\tb", "1.2": "x:a\tb"}),
		{"Value_Encoding", "no line feed gets into a 1.0 subscriber's headers", from11, func(e *env) {
			f := e.forward(e.v, "1.0", `x:a\nevil:header`+"\n")
			if got := raw(f, "evil"); got != nil {
				e.Errorf("injected: %s", f)
			}
		}},
		{"Value_Encoding", "no carriage return ends a header of older subscribers", only12, func(e *env) {
			for _, to := range upTo11 {
				f := e.forward("1.2", to, `x:a\r`+"\ny:b\n")
				for _, h := range f.Headers {
					if strings.HasSuffix(h.Raw, "\r") {
						e.Errorf("%s: %s", to, f)
					}
				}
			}
		}},
		{"Value_Encoding", "server headers are unescaped before use", from11, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\nid:a\\cb\\\\c\ndestination:%s\nreceipt:r\\c1\n\n\x00", t)
			c.Receipt("r:1")
			c.Sendf("SEND\ndestination:%s\n\nhi\x00", t)
			c.Message("hi", `subscription:a:b\c`)
			c.Sendf("UNSUBSCRIBE\nid:a\\cb\\\\c\nreceipt:r\\n2\n\n\x00")
			c.Receipt("r\n2")
		}},
		{"Value_Encoding", "an escaped colon in a destination", from11, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t+`\cx`)
			c.Sendf("SEND\ndestination:%s\\cx\n\nhi\x00", t)
			c.Message("hi", "destination:"+t+":x")
		}},
		{"Headers", "what is not UTF-8 from 1.0 does not reach others so", only10, func(e *env) {
			t := e.topic()
			sub, pub := e.connectAs("1.2"), e.connect()
			e.subscribe(sub, "0", t)
			pub.Sendf("SEND\ndestination:%s\nx:\xff\nreceipt:r\n\nlatin\x00", t)
			f, err := pub.ReadFrame(harness.Patience)
			if err != nil {
				e.Fatal(err)
			}
			if f.Command != "ERROR" {
				sub.Message("latin") // read strictly: UTF-8, or the test fails
			}
			sub.Sync()
		}},
		{"Repeated_Headers", "first destination counts", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			e.subscribe(c, "0", t)
			e.subscribe(c, "1", t+".second")
			c.Sendf("SEND\ndestination:%s\ndestination:%s.second\n\nhi\x00", t, t)
			c.Message("hi", "destination:"+t)
			c.Sync()
		}},
		{"Repeated_Headers", "first receipt counts", nil, func(e *env) {
			c := e.connect()
			c.Sendf("SEND\ndestination:%s\nreceipt:one\nreceipt:two\n\nhi\x00", e.topic())
			c.Receipt("one")
			c.Sync()
		}},
		{"Repeated_Headers", "first id counts", nil, func(e *env) {
			c := e.connect()
			t := e.topic()
			c.Sendf("SUBSCRIBE\nid:one\nid:two\ndestination:%s\n\n\x00SEND\ndestination:%s\n\nhi\x00", t, t)
			c.Message("hi", "subscription:one")
		}},
		{"Repeated_Headers", "are forwarded in order", nil, func(e *env) {
			f := e.forward(e.v, e.v, "x:1\na:b\nx:2\nx:1\nz:\n")
			var got []string
			for _, h := range f.Headers {
				if h.Name == "x" || h.Name == "a" || h.Name == "z" {
					got = append(got, h.Raw)
				}
			}
			if !slices.Equal(got, []string{"x:1", "a:b", "x:2", "x:1", "z:"}) {
				e.Errorf("got %q", got)
			}
		}},
	}
	rows := []bad{
		{"Headers", "without colon", nil, "SEND\nreceipt:r\ndestination:{q}\nnocolon\n\nx\x00", "no colon", "r"},
		{"Headers", "without name", nil, "SEND\nreceipt:r\ndestination:{q}\n:value\n\nx\x00", "no name", "r"},
		{"Headers", "a bare carriage return", only12, "SEND\nreceipt:r\ndestination:{q}\nx:a\rb\n\nx\x00", "bare CR", "r"},
		{"Headers", "name that is not UTF-8", from11, "SEND\nreceipt:r\ndestination:{q}\nx\xff:y\n\nx\x00", "not UTF-8", "r"},
		{"Headers", "value that is not UTF-8", from11, "SEND\nreceipt:r\ndestination:{q}\nx:\xc3\x28\n\nx\x00", "not UTF-8", "r"},
		{"Value_Encoding", "escaped CR in 1.1", only11, "SEND\nreceipt:r\ndestination:{q}\nx:a\\rb\n\nx\x00", "bad escape", "r"},
	}
	for _, esc := range []string{`\t`, `\N`, `\0`, `\"`, `\ `, `\:`} {
		rows = append(rows, bad{"Value_Encoding", "undefined escape in a value " + strings.NewReplacer(`\`, "", " ", "space", `"`, "quote").Replace(esc), from11,
			"SEND\nreceipt:r\ndestination:{q}\nx:a" + esc + "b\n\nx\x00", "bad escape", "r"})
	}
	rows = append(rows,
		bad{"Value_Encoding", "undefined escape in a name", from11, "SEND\nreceipt:r\ndestination:{q}\nx\\ty:z\n\nx\x00", "bad escape", "r"},
		bad{"Value_Encoding", "backslash at the end of a value", from11, "SEND\nreceipt:r\ndestination:{q}\nx:a\\\n\nx\x00", "bad escape", "r"},
		bad{"Value_Encoding", "backslash at the end of a value before CRLF", only12, "SEND\nreceipt:r\ndestination:{q}\nx:a\\\r\n\r\nx\x00", "bad escape", "r"},
		bad{"Value_Encoding", "undefined escape in the destination", from11, "SEND\nreceipt:r\ndestination:{q}\\q\n\nx\x00", "bad escape", "r"},
		bad{"Value_Encoding", "undefined escape on a frame other than SEND", from11, "BEGIN\nreceipt:r\ntransaction:a\\x\n\n\x00", "bad escape", "r"},
	)
	return append(cases, badCases(rows)...)
}
