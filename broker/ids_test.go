package broker_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// ids are the ids of one kind that were seen.
type ids struct {
	t      *testing.T
	kind   string
	form   *regexp.Regexp
	seen   map[string]bool
	counts []map[byte]int // of each place, how often each character stood there
}

func newIDs(t *testing.T, kind, form string) *ids {
	return &ids{t: t, kind: kind, form: regexp.MustCompile("^" + form + "$"), seen: map[string]bool{}}
}

func (s *ids) add(id string) {
	s.t.Helper()
	if !s.form.MatchString(id) || s.seen[id] {
		s.t.Fatalf("%s %q: repeated or of other characters, the %dth", s.kind, id, len(s.seen))
	}
	s.seen[id] = true
	for i := range len(id) {
		if i == len(s.counts) {
			s.counts = append(s.counts, map[byte]int{})
		}
		s.counts[i][id[i]]++
	}
}

// random checks that each of the first n places has each of the 32 characters about as often.
func (s *ids) random(n int) {
	s.t.Helper()
	mean := float64(len(s.seen)) / 32
	for i := range n {
		chi := 0.0
		for _, c := range "abcdefghijklmnopqrstuvwxyz234567" {
			d := float64(s.counts[i][byte(c)]) - mean
			chi += d * d / mean
		}
		if chi > 110 { // of 31 degrees of freedom: once in ten thousand million times
			s.t.Errorf("%s: place %d is not random: %v", s.kind, i, s.counts[i])
		}
	}
}

// V12: ids cannot be guessed (Spring CVE-2026-41838): those of sessions, reply addresses and what
// message ids begin with are of crypto/rand, 128 bits where knowing one could help; they are of letters
// and digits, never the same, and give nobody a right. (TestV18IdsAreNoCapabilities has the rest.)
func TestV12IDsAreRandom(t *testing.T) {
	most := 100_000
	if testing.Short() || race {
		most = 5_000
	}
	b := newBroker(t, broker.Options{})
	sessions, replies, messages := newIDs(t, "session", "[a-z2-7]{26}"), newIDs(t, "reply address", "/reply-queue/[a-z2-7]{32}"), newIDs(t, "message", "[a-z2-7]{16}-[0-9a-z]+")
	server := connect(t, b)
	server.send("SUBSCRIBE\nid:0\ndestination:/topic/requests\n\n")
	server.sync()
	for i := range most {
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:1.2\n\n", "SEND\ndestination:/topic/requests\nreply-to:/temp-queue/x\n\n")
		sessions.add(c.expect("CONNECTED").header["session"])
		f := server.expect("MESSAGE")
		messages.add(f.header["message-id"])
		if i%10 == 0 { // costs as much as the rest
			replies.add(f.header["reply-to"])
		}
		c.drop()
	}
	sessions.random(25) // the last character has three bits
	if len(replies.seen) > 5000 {
		for i := range replies.counts {
			if i >= len("/reply-queue/") {
				replies.counts[i-len("/reply-queue/")] = replies.counts[i]
			}
		}
		replies.random(32)
	}
	prefixes := newIDs(t, "prefix of message ids", "[a-z2-7]{16}-1")
	for range most / 20 {
		b := newBroker(t, broker.Options{})
		c := connect(t, b)
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n", "SEND\ndestination:/topic/a\n\n")
		prefixes.add(c.expect("MESSAGE").header["message-id"])
		c.drop()
	}
	prefixes.random(16)

	// Whoever knows an anonymous session's id has no part of it.
	alice, eve := dial(t, b, 1<<20), soft(t, b, "eve")
	alice.send("CONNECT\naccept-version:1.2\n\n")
	id := alice.expect("CONNECTED").header["session"]
	for _, frame := range []string{"SUBSCRIBE\nid:0\ndestination:/user/%s/queue/x\n\n", "SUBSCRIBE\nid:0\ndestination:/reply-queue/%s\n\n"} {
		eve.send(fmt.Sprintf(frame, id))
		eve.expect("ERROR", "message:not permitted")
	}
	t.Logf("%d sessions, %d reply addresses, %d messages, %d brokers", len(sessions.seen), len(replies.seen), len(messages.seen), len(prefixes.seen))
}

// V12: who makes ids has no other source of randomness at hand.
func TestV12IDsAreOfCryptoRand(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		uses := map[string]bool{}
		for _, i := range f.Imports {
			uses[strings.Trim(i.Path.Value, `"`)] = true
		}
		if strings.Contains(string(text), "func randomID(") {
			made++
			if !uses["crypto/rand"] {
				t.Errorf("%s makes ids without crypto/rand", e.Name())
			}
		}
		if uses["math/rand"] || uses["math/rand/v2"] && e.Name() != "heartbeat.go" && e.Name() != "broker.go" { // which spread heart-beats, and goodbyes
			t.Errorf("%s has a randomness that can be guessed", e.Name())
		}
	}
	if made != 1 {
		t.Errorf("ids are made in %d places", made)
	}
}
