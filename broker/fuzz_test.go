package broker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/test/oracle"
)

// FuzzDestinations: what a client's word for a destination is resolved to is resolved to itself; it is
// what is routed; and a pattern reaches the names that the oracle says it matches.
func FuzzDestinations(f *testing.F) {
	for _, s := range [][3]string{
		{"/topic/a.b", "/topic/*.b", "alice"}, {"/topic/a/b.c", "/topic/a.**", "bob"}, {"/queue/a", "/topic/#", ""}, {"/user/queue/x", "/topic/>", "alice"},
		{"/user/bob/queue/x", "/topic/a/*/c", "bob"}, {"/temp-queue/x", "/topic/*", "queue"}, {"/reply-queue/token", "/topic/**", "a b"}, {"/dlq/a%2Fb", "/topic/a..b", "é"},
		{"/topic/a ", "/topic/a.#.b", "x"}, {"/topic/\u2028", "/topic/\xff", "*"}, {"/user//queue/x", "/topic/a.*.*.*", "topic"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	l := &listener{}
	b := newBroker(f, broker.Options{Rules: l, Limits: broker.Limits{Subscriptions: 1_000_000}})
	b.Reply("token", "/temp-queue/x@s3ss10n")
	f.Fuzz(func(t *testing.T, name, pattern, user string) {
		l.asked = nil
		if user != "" && broker.CheckName(user) != nil {
			user = ""
		}
		for _, op := range []broker.Op{broker.OpSend, broker.OpSubscribe} {
			asked, routed := b.Route(user, op, name, false)
			if asked == "" || user == "" && op == broker.OpSubscribe && strings.HasPrefix(asked, "/user/") {
				continue // a session without a user may not name itself
			}
			again, routedAgain := b.Route(user, op, asked, false)
			if again != asked || routedAgain != routed {
				t.Errorf("%s %q as %q: %q to %q, and that is %q to %q", op, name, user, asked, routed, again, routedAgain)
			}
			if strings.ContainsAny(asked, "\x00\n\r") || len(asked) > 255+len(user)+10 {
				t.Errorf("%s %q is decided on as %q", op, name, asked)
			}
		}
		if wild, text := broker.ParseDestination(name, false); wild || text != "" || !strings.HasPrefix(name, "/topic/") {
			return
		}
		wild, text := broker.ParseDestination(pattern, true)
		if text != "" || !wild || !strings.HasPrefix(pattern, "/topic/") {
			return
		}
		segments := func(s string) []string {
			return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' })
		}
		if got, want := broker.Matches(pattern, name), oracle.Match(segments(pattern), segments(name)); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// FuzzHeartBeat: whatever a client offers, what is agreed on is within the broker's bounds, and what is
// said of it can be read again.
func FuzzHeartBeat(f *testing.F) {
	for _, s := range []string{"0,0", "10000,10000", "1,1", "-1,0", "1e9,1", "99999999999999999999,99999999999999999999", "", ",", "1", "1,2,3", " 1,1", "1, 1", "+1,1", "0x10,1", "1,١"} {
		f.Add([]byte(s), int64(10), int64(10))
	}
	f.Fuzz(func(t *testing.T, value []byte, send, receive int64) {
		cx, cy, err := stompframe.ParseHeartBeat(value)
		digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
		if parts := strings.Split(string(value), ","); (err == nil) != (len(parts) == 2 && digits(parts[0]) && digits(parts[1])) {
			t.Fatalf("%q: %v", value, err)
		}
		if err != nil {
			return
		}
		if day := 24 * time.Hour; cx < 0 || cx > day || cy < 0 || cy > day {
			t.Errorf("%q is %v, %v", value, cx, cy)
		}
		x, y, err := stompframe.ParseHeartBeat(stompframe.AppendHeartBeat(nil, cx, cy))
		if err != nil || x != cx || y != cy {
			t.Errorf("%q is %v, %v, and written again %v, %v, %v", value, cx, cy, x, y, err)
		}
		h := broker.HeartBeat{Send: time.Duration(send%100_000) * time.Millisecond, Receive: time.Duration(receive%100_000) * time.Millisecond}
		sx, sy, out, in := h.Agree(cx, cy)
		if slices.Min([]time.Duration{sx, sy, out, in}) < 0 || out > 5*time.Minute || out > 0 && (cy == 0 || out < min(time.Second, sx)) || in > 0 && (cx == 0 || in < cx) ||
			(out > 0) != (sx > 0 && cy > 0) || (in > 0) != (sy > 0 && cx > 0) {
			t.Errorf("%+v and %v, %v: says %v, %v, agrees on %v, %v", h, cx, cy, sx, sy, out, in)
		}
	})
}
