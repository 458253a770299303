package conformance

import (
	"regexp"
	"strings"
)

var heartBeat = regexp.MustCompile(`^[0-9]+,[0-9]+$`)

// connectCases are STOMP 1.2, Connecting and Protocol Negotiation.
func connectCases() []tcase {
	// negotiate is a CONNECT frame and the version it must lead to.
	negotiate := func(name, raw, version string) tcase {
		return tcase{"CONNECT", name, only12, func(e *env) {
			c := e.dial()
			c.Sendf("%s", raw)
			c.Expect("CONNECTED", "version:"+version)
			c.Sync()
		}}
	}
	cases := []tcase{
		negotiate("highest common version of all", "CONNECT\naccept-version:1.0,1.1,1.2\nhost:h\n\n\x00", "1.2"),
		negotiate("order of versions does not matter", "CONNECT\naccept-version:1.2,1.0,1.1\nhost:h\n\n\x00", "1.2"),
		negotiate("highest common version of 1.0 and 1.1", "CONNECT\naccept-version:1.0,1.1\nhost:h\n\n\x00", "1.1"),
		negotiate("unknown higher versions are passed over", "CONNECT\naccept-version:1.1,1.3,2.0\nhost:h\n\n\x00", "1.1"),
		negotiate("spaces in the list", "CONNECT\naccept-version:1.0, 1.1 , 1.2\nhost:h\n\n\x00", "1.2"),
		negotiate("only 1.0", "CONNECT\naccept-version:1.0\nhost:h\n\n\x00", "1.0"),
		negotiate("no accept-version means 1.0", "CONNECT\nhost:h\n\n\x00", "1.0"),
		negotiate("no header at all means 1.0", "CONNECT\n\n\x00", "1.0"),
		negotiate("first accept-version counts", "CONNECT\naccept-version:1.1\naccept-version:1.2\nhost:h\n\n\x00", "1.1"),
		negotiate("STOMP without accept-version means 1.0", "STOMP\nhost:h\n\n\x00", "1.0"),
		negotiate("STOMP negotiates like CONNECT", "STOMP\naccept-version:1.1,1.2\nhost:h\n\n\x00", "1.2"),
		{"CONNECT", "STOMP equals CONNECT", nil, func(e *env) {
			c := e.dial()
			c.Sendf("STOMP\naccept-version:%s\nhost:localhost\n\n\x00", e.v)
			c.Expect("CONNECTED", "version:"+e.v)
			c.Sync()
		}},
		{"CONNECT", "host may be missing", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\n\n\x00", e.v)
			c.Expect("CONNECTED", "version:"+e.v)
		}},
		{"CONNECT", "host may be unknown or empty", nil, func(e *env) {
			for _, host := range []string{"", "/", "no.such.host"} {
				c := e.dial()
				c.Sendf("CONNECT\naccept-version:%s\nhost:%s\n\n\x00", e.v, host)
				c.Expect("CONNECTED", "version:"+e.v)
			}
		}},
		{"CONNECT", "any login is accepted on loopback without users", nil, func(e *env) {
			e.connect("login:guest", "passcode:guest")
		}},
		{"CONNECT", "unknown headers are ignored", nil, func(e *env) {
			e.connect("client-id:x", "x-other:y", "Authorization:Bearer abc").Sync()
		}},
		{"CONNECT", "receipt is not answered", nil, func(e *env) {
			e.connect("receipt:r").Sync()
		}},
		{"CONNECT", "EOLs before it are skipped", nil, func(e *env) {
			c := e.dial()
			c.Sendf("\n\r\n\nCONNECT\naccept-version:%s\nhost:h\n\n\x00", e.v)
			c.Expect("CONNECTED")
		}},
		{"CONNECT", "frames may follow it before CONNECTED", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\n\n\x00SEND\ndestination:%s\nreceipt:early\n\nhi\x00", e.v, e.topic())
			c.Expect("CONNECTED")
			c.Receipt("early")
		}},
		{"CONNECT", "CRLF ends its lines", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\r\naccept-version:%s\r\nhost:h\r\n\r\n\x00\r\n", e.v)
			c.Expect("CONNECTED", "version:"+e.v)
		}},
		{"CONNECTED", "carries version, session and server", nil, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\n\n\x00", e.v)
			f := c.Expect("CONNECTED", "version:"+e.v)
			if f.Value("session") == "" || !strings.HasPrefix(f.Value("server"), "gudok/") {
				e.Errorf("got %s", f)
			}
		}},
		{"CONNECTED", "sessions differ", nil, func(e *env) {
			seen := map[string]bool{}
			for range 3 {
				c := e.dial()
				c.Sendf("CONNECT\naccept-version:%s\nhost:h\n\n\x00", e.v)
				seen[c.Expect("CONNECTED").Value("session")] = true
			}
			if len(seen) != 3 {
				e.Errorf("3 sessions have ids %v", seen)
			}
		}},
		{"CONNECTED", "carries heart-beat", from11, func(e *env) {
			for _, ask := range []string{"", "heart-beat:0,0\n", "heart-beat:10000,10000\n", "heart-beat:1,1\n", "heart-beat:99999999,0\n"} {
				c := e.dial()
				c.Sendf("CONNECT\naccept-version:%s\nhost:h\n%s\n\x00", e.v, ask)
				if f := c.Expect("CONNECTED", "heart-beat"); !heartBeat.MatchString(f.Value("heart-beat")) {
					e.Errorf("after %q: %s", ask, f)
				}
			}
		}},
		{"CONNECTED", "is not escaped and CONNECT not unescaped", from11, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:a\\tb\\\npasscode:\\q:\\\n\n\x00", e.v)
			c.Expect("CONNECTED", "version:"+e.v)
		}},
	}
	none := func(name, accept string) tcase {
		return tcase{"Protocol_Negotiation", name, only12, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\n\n\x00SEND\ndestination:/queue/x\nreceipt:r\n\n\x00", accept)
			if f := e.refused(c, "version", ""); f.Value("version") != "1.0,1.1,1.2" {
				e.Errorf("version header of %s", f)
			}
		}}
	}
	cases = append(cases, none("no common version", "2.0"), none("no common version in a list", "0.9,1.3,3.0"),
		none("nonsense for a version", "latest"))
	for _, command := range []string{
		"SEND\ndestination:/queue/x\nreceipt:r\n\nx\x00", "SUBSCRIBE\nid:0\ndestination:/topic/x\nreceipt:r\n\n\x00",
		"UNSUBSCRIBE\nid:0\nreceipt:r\n\n\x00", "ACK\nid:1\nreceipt:r\n\n\x00", "NACK\nid:1\nreceipt:r\n\n\x00",
		"BEGIN\ntransaction:t\nreceipt:r\n\n\x00", "COMMIT\ntransaction:t\nreceipt:r\n\n\x00",
		"ABORT\ntransaction:t\nreceipt:r\n\n\x00", "DISCONNECT\nreceipt:r\n\n\x00",
	} {
		name, _, _ := strings.Cut(command, "\n")
		cases = append(cases, tcase{"CONNECT", name + " before it", only12, func(e *env) {
			c := e.dial()
			c.Sendf("%sCONNECT\naccept-version:1.2\nhost:h\n\n\x00", command)
			e.refused(c, "not connected", "r")
		}})
	}
	for _, command := range []string{"CONNECT", "STOMP"} {
		cases = append(cases, tcase{"CONNECT", "a second " + command, nil, func(e *env) {
			c := e.connect()
			c.Sendf("%s\naccept-version:%s\nhost:h\n\n\x00", command, e.v)
			e.refused(c, "already connected", "")
		}})
	}
	for _, hb := range []string{"x", "1", "1,", ",1", "-1,0", "0,-1", "1,1,1", "1.5,0", "0, 0", "1;1", "0x10,0"} {
		cases = append(cases, tcase{"Heart-beating", "malformed header " + strings.ReplaceAll(hb, " ", "_"), from11, func(e *env) {
			c := e.dial()
			c.Sendf("CONNECT\naccept-version:%s\nhost:h\nheart-beat:%s\n\n\x00", e.v, hb)
			e.refused(c, "heart-beat header", "")
		}})
	}
	// Before CONNECT, what is no STOMP at all is answered too.
	for name, raw := range map[string]string{
		"unknown command":      "HELLO\n\n\x00",
		"lower case":           "connect\naccept-version:1.2\n\n\x00",
		"an HTTP request":      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"a space after":        "CONNECT \naccept-version:1.2\n\n\x00",
		"a space before":       " CONNECT\naccept-version:1.2\n\n\x00",
		"a NUL at once":        "CONNECT\x00",
		"a command of 10 KiB":  strings.Repeat("A", 10<<10),
		"a command and no EOL": "CONNECTIONS-ARE-WELCOME-HERE",
	} {
		key := "unknown command"
		if name == "a NUL at once" {
			key = "NUL in headers"
		}
		cases = append(cases, tcase{"CONNECT", "is not " + name, only12, func(e *env) {
			c := e.dial()
			c.Sendf("%s", raw)
			e.refused(c, key, "")
		}})
	}
	for name, c := range map[string]struct{ raw, reason string }{
		"without colon":  {"CONNECT\naccept-version\n\n\x00", "no colon"},
		"without a name": {"CONNECT\n:1.2\n\n\x00", "no name"},
		"with a NUL":     {"CONNECT\naccept-version:1.2\nhost:a\x00b\n\n\x00", "NUL in headers"},
	} {
		cases = append(cases, tcase{"CONNECT", "a header " + name, only12, func(e *env) {
			client := e.dial()
			client.Sendf("%s", c.raw)
			e.refused(client, c.reason, "")
		}})
	}
	return append(cases, tcase{"CONNECT", "with a body", nil, func(e *env) {
		c := e.dial()
		c.Sendf("CONNECT\naccept-version:%s\nhost:h\n\nbody\x00", e.v)
		e.refused(c, "body not allowed", "")
	}})
}
