package broker_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"pgregory.net/rapid"
)

// listener is an Authorizer that permits everything and notes what it was asked.
type listener struct{ asked []string }

func (l *listener) Grants(*broker.Principal, string) broker.Grants { return l }
func (l *listener) MaySend(name string) bool                       { l.asked = append(l.asked, name); return true }
func (l *listener) MaySubscribe(name string, _ bool) (broker.Filter, bool) {
	l.asked = append(l.asked, name)
	return nil, true
}

// V26: whatever spelling a client chooses, rules are asked about exactly the string that is routed,
// once, or the frame is refused before they are asked.
func TestV26DecidedIsRouted(t *testing.T) {
	l := &listener{}
	b := newBroker(t, broker.Options{Rules: l, Limits: broker.Limits{Subscriptions: 1_000_000}})
	b.Reply("token", "/temp-queue/x@s3ss10n")
	pieces := []string{"/", "/", ".", "//", "topic", "queue", "user", "temp-queue", "dlq", "reply-queue", "token", "alice", "bob", "a", "A", "é", "e\u0301",
		"%2F", "%2f", "..", " ", "*", "**", "#", ">", "durable", "delayed", "private", "\\", "@", "\u200b", "\t", "\x00", ";", "?", "{user}", "QUEUE"}
	decided, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"/topic/", "/queue/", "/user/queue/", "/user/alice/queue/", "/user/bob/topic/", "/user/", "/temp-queue/", "/dlq/", "/reply-queue/", "/Topic/", "/durable/", ""}).Draw(t, "prefix") +
			strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "pieces"), "")
		user := rapid.SampledFrom([]string{"alice", "bob", "queue.x", ""}).Draw(t, "user")
		op := rapid.SampledFrom([]broker.Op{broker.OpSend, broker.OpSubscribe}).Draw(t, "op")
		durable := rapid.Bool().Draw(t, "durable")
		l.asked = nil
		asked, routed := b.Route(user, op, name, durable)
		if asked == "" {
			if len(l.asked) > 0 {
				t.Fatalf("%s %q is refused with %q after %q was asked about", op, name, routed, l.asked)
			}
			refused++
			return
		}
		decided++
		if len(l.asked) != 1 || l.asked[0] != asked {
			t.Fatalf("%s %q: decided on %q, asked about %q", op, name, asked, l.asked)
		}
		want := asked
		switch {
		case strings.HasPrefix(asked, "/temp-queue/"):
			want += "@s3ss10n" // each session's own
		case strings.HasPrefix(asked, "/reply-queue/") && asked != "/reply-queue/token":
			want = "" // goes nowhere
		case durable && op == broker.OpSubscribe && strings.HasPrefix(asked, "/topic/"):
			if user == "" {
				want = "missing header" // nobody's
				break
			}
			i := strings.LastIndexByte(routed, '/')
			topic, err := url.QueryUnescape(routed[i+1:])
			if err != nil || !strings.HasPrefix(routed, "/durable/"+url.QueryEscape(user)+"/n/") || asked != "/topic/"+topic {
				t.Fatalf("%s %q: decided on %q, routed to %q", op, name, asked, routed)
			}
			return
		}
		if routed != want {
			t.Fatalf("%s %q as %q: decided on %q, routed to %q", op, name, user, asked, routed)
		}
	})
	t.Logf("%d decided, %d refused", decided, refused)
}

// V26: a name has one spelling. What looks like another way to write it is an ERROR, or another
// name that is decided on by itself.
func TestV26PathConfusion(t *testing.T) {
	b := newBroker(t, broker.Options{Rules: ruled(t, "* send /queue/a /user/{user}/queue/a subscribe /queue/a /user/queue/a")})
	for _, c := range []struct{ name, message string }{
		{"/queue//a", "bad destination"}, {"//queue/a", "unknown destination prefix"}, {"/queue/a/", "bad destination"},
		{"/queue/a.", "bad destination"}, {"/queue/./a", "bad destination"}, {"/queue/../queue/a", "bad destination"},
		{"/queue/a ", "bad destination"}, {" /queue/a", "unknown destination prefix"}, {"/queue/ a", "bad destination"},
		{"/queue/a\\r", "bad destination"}, {"/queue/a\t", "bad destination"}, {"/QUEUE/a", "unknown destination prefix"},
		{"/Queue/a", "unknown destination prefix"}, {"queue/a", "unknown destination prefix"}, {"/queue", "unknown destination prefix"},
		{"/queue.a", "unknown destination prefix"}, {"/queue/", "bad destination"}, {"/queue/*", "bad destination"}, {"/queue/#", "bad destination"},
		{"%2Fqueue%2Fa", "unknown destination prefix"}, {"/%71ueue/a", "unknown destination prefix"}, {"/queue\\\\a", "unknown destination prefix"},
		{"/durable/alice/n/a", "unknown destination prefix"}, {"/private/x/1", "unknown destination prefix"}, {"/delayed/topics", "unknown destination prefix"},
		{"/user/alice/../bob/queue/a", "bad destination"},
		{"/queue/%61", "not permitted"}, {"/queue/A", "not permitted"}, {"/queue/a%2F", "not permitted"}, {"/queue/а", "not permitted"}, // Cyrillic
		{"/queue/a\u0301", "not permitted"}, {"/queue/a\u200b", "not permitted"}, {"/queue/a/b", "not permitted"}, {"/queue/a\\c", "not permitted"},
		{"/queue/{user}", "not permitted"}, {"/user/alicE/queue/a", "not permitted"}, {"/queue/a?x", "not permitted"}, {"/queue/a@s", "not permitted"},
	} {
		client := soft(t, b, "alice")
		for _, frame := range []string{"SEND\ndestination:%s\n\n", "SUBSCRIBE\nid:1\ndestination:%s\n\n", "SUBSCRIBE\nid:1\ndestination:%s\ndurable:true\n\n"} {
			client.send(strings.Replace(frame, "%s", c.name, 1))
			client.expect("ERROR", "message:"+c.message)
		}
	}
	client := soft(t, b, "alice")
	for _, name := range []string{"/user/queue/a", "/user/alice/queue/a", "/queue/a"} {
		if !client.maySend(name) || !client.maySubscribe(name) {
			t.Errorf("%s is granted", name)
		}
	}
}
