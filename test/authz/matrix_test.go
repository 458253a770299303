package authz

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/oracle"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// destinations are what is asked for, each by each principal in each way. "{way}" keeps apart what
// the ways in leave behind.
var destinations = []string{
	// one name
	"/topic/chat.a", "/topic/chat", "/topic/chat/a", "/topic/public.x", "/topic/secret", "/topic/secret.x", "/topic/acme.x", "/topic/unheard-of",
	"/queue/alice.in", "/queue/bob.in", "/queue/A.dlq", "/queue/orders", "/queue/locked.x", "/dlq/orders", "/dlq/locked.x",
	// patterns: all of it, some of it, next to it
	"/topic/**", "/topic/>", "/topic/#", "/topic/*", "/topic/*.x", "/topic/chat.*", "/topic/chat.**", "/topic/chat.*.x", "/topic/secret.*", "/topic/secret.#",
	"/topic/public.>", "/topic/acme.*", "/topic/*.*", "/topic/nobody.*",
	// users' and sessions' own
	"/user/queue/chat", "/user/alice/queue/chat", "/user/bob/queue/chat", "/user/bob/queue/x", "/user/nobody/queue/chat", "/user/topic/x",
	"/temp-queue/x", "/temp-queue/alice", "/reply-queue/guess",
	// other ways to write it
	"/queue//alice.in", "/queue/alice.in/", "/queue/alice..in", "/QUEUE/alice.in", "/queue/%61lice.in", "/queue/alice%2Ein", "/queue/alice.in ",
	"/queue/./alice.in", "/queue/../queue/bob.in", "queue/alice.in", "/queue/alicе.in", "/queue/alice.in\t", "/queue/*", "/queue/alice.#",
	"/topic/**.x", "/topic/a*", "/user/alice/../bob/queue/chat", "/user/*/queue/chat", "/user/bob", "/durable/alice/d/x", "/delayed/topics", "/private/x/1", "",
}

// operation is what is done with a destination: a frame and what must answer it.
type operation struct {
	name string
	// frames are those of one cell; {d} is the destination, {rest} what follows its prefix, {n} the
	// number of the cell.
	frames []string
	// want is the message of the ERROR that must answer each, empty for a RECEIPT.
	want func(p oracle.Policy, w oracle.Who, d string) []string
	// after are frames that clean up what was permitted.
	after []string
}

const (
	noSubscription = "no such subscription"
	noTransaction  = "no such transaction"
)

// rest is what follows the prefix of a destination, for names of other kinds.
func rest(d string) string {
	_, r, _ := strings.Cut(strings.TrimPrefix(d, "/"), "/")
	return r
}

func operations(h *holder) []operation {
	send := func(p oracle.Policy, w oracle.Who, d string) []string { return []string{p.Answer(w, false, d)} }
	subscribe := func(p oracle.Policy, w oracle.Who, d string) []string { return []string{p.Answer(w, true, d)} }
	always := func(answers ...string) func(oracle.Policy, oracle.Who, string) []string {
		return func(oracle.Policy, oracle.Who, string) []string { return answers }
	}
	durable := func(p oracle.Policy, w oracle.Who, d string) []string {
		no := p.Answer(w, true, d)
		if no == "" && w.Name == "" && strings.HasPrefix(d, "/topic/") {
			no = "missing header" // it would be nobody's
		}
		return []string{no}
	}
	gone := []string{"UNSUBSCRIBE\nid:{n}\n\n"}
	return []operation{
		{"SEND", []string{"SEND\ndestination:{d}\n\nx"}, send, nil},
		{"SEND as of Spring's relay", []string{"SEND\ndestination:{d}\nsimpOrigDestination:/user/queue/x\n\nx"}, send, nil},
		{"SUBSCRIBE", []string{"SUBSCRIBE\nid:{n}\ndestination:{d}\n\n"}, subscribe, gone},
		{"SUBSCRIBE as of Spring's relay", []string{"SUBSCRIBE\nid:{n}\ndestination:{d}\nsimpOrigDestination:/user/queue/x\n\n"}, subscribe, gone},
		{"SUBSCRIBE with prefetch", []string{"SUBSCRIBE\nid:{n}\ndestination:{d}\nack:client\nprefetch-count:1\n\n"}, subscribe, gone},
		{"durable SUBSCRIBE", []string{"SUBSCRIBE\nid:{n}\ndestination:{d}\ndurable:true\n\n"}, durable, []string{"UNSUBSCRIBE\nid:{n}\ndurable:true\n\n"}},
		{"ACK and NACK of another session's message", []string{
			"ACK\nid:" + h.ack + "\ndestination:{d}\n\n", "NACK\nid:" + h.ack + "\nsubscription:{d}\n\n", "ACK\nid:" + h.message + "\nsubscription:0\ndestination:{d}\n\n",
			"NACK\nmessage-id:" + h.message + "\nsubscription:0\nrequeue:false\n\n",
		}, always("", "", "", ""), nil},
		{"transaction", []string{
			"COMMIT\ntransaction:held\n\n", "ABORT\ntransaction:held\n\n", "BEGIN\ntransaction:{n}\n\n", "SEND\ndestination:{d}\ntransaction:{n}\n\nx", "COMMIT\ntransaction:{n}\n\n",
		}, func(p oracle.Policy, w oracle.Who, d string) []string {
			return []string{noTransaction, noTransaction, "", p.Answer(w, false, d), ""}
		}, nil},
		{"UNSUBSCRIBE of another's durable", []string{
			"UNSUBSCRIBE\nid:held\ndurable:true\ndestination:{d}\n\n", "UNSUBSCRIBE\nid:0\nx-queue-name:held\ndestination:{d}\n\n", "UNSUBSCRIBE\nid:0\nx-queue-name:{d}\n\n",
			"UNSUBSCRIBE\nid:0\ndurable-subscription-name:holder/held\n\n",
		}, always(noSubscription, noSubscription, noSubscription, noSubscription), nil},
		{"temporary queue", []string{"SEND\ndestination:/temp-queue/{rest}\n\nx", "SUBSCRIBE\nid:{n}\ndestination:/temp-queue/{rest}\n\n"},
			func(p oracle.Policy, w oracle.Who, d string) []string {
				return []string{p.Answer(w, false, "/temp-queue/"+rest(d)), p.Answer(w, true, "/temp-queue/"+rest(d))}
			}, gone},
		{"reply-to", []string{"SEND\ndestination:{d}\nreply-to:/temp-queue/answers\n\nx"}, func(p oracle.Policy, w oracle.Who, d string) []string {
			if no := p.Answer(w, false, d); no != "" {
				return []string{no}
			}
			return []string{p.Answer(w, true, "/temp-queue/answers")}
		}, nil},
		{"another user's", []string{"SEND\ndestination:/user/holder/queue/{rest}\n\nx", "SUBSCRIBE\nid:{n}\ndestination:/user/holder/queue/{rest}\n\n"},
			func(p oracle.Policy, w oracle.Who, d string) []string {
				return []string{p.Answer(w, false, "/user/holder/queue/"+rest(d)), p.Answer(w, true, "/user/holder/queue/"+rest(d))}
			}, gone},
		{"browse", []string{"SUBSCRIBE\nid:{n}\ndestination:{d}\nbrowser:true\n\n"}, always("not supported"), nil},
	}
}

// The matrix: each principal does each operation with each destination in each way, and what comes of
// it is what the oracle says. The rest of the world stands as it was afterwards.
func TestMatrix(t *testing.T) {
	for i := range ways {
		w := &ways[i]
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, strings.HasSuffix(w.name, "tls"))
			m := &matrix{t: t, b: b, w: w, holder: hold(t, b, w)}
			for _, p := range principals(t) {
				m.as(p)
			}
			m.holder.release(t)
			t.Logf("%s: %d cells, %d permitted, %d refused, %d wrong", w.name, m.cells, m.permitted, m.refused, m.wrong)
			if m.cells < 2200 || m.permitted < m.cells/20 || m.refused < m.cells/20 {
				t.Errorf("%d cells, %d permitted, %d refused: too few to show something", m.cells, m.permitted, m.refused)
			}
		})
	}
}

// matrix is the cells of one way in.
type matrix struct {
	t      *testing.T
	b      *harness.Broker
	w      *way
	holder *holder

	cells, permitted, refused, wrong int
}

// as does everything as one principal.
func (m *matrix) as(p principal) {
	if p.refused != "" {
		m.stranger(p)
		return
	}
	c, session := m.w.connect(m.t, m.b, p.connect+"gudok-errors:soft\n")
	who := p.who
	who.ID = session
	for _, op := range operations(m.holder) {
		for n, d := range destinations {
			m.cell(c, p, who, op, n, d)
		}
	}
	m.arrivals(c, p, who)
	m.pipelined(p)
	m.http(p)
	c.conn.Close()
}

// arrivals subscribes to each topic and pattern that is permitted, in two ways, and sees what of all
// that is sent to topics comes.
func (m *matrix) arrivals(c *client, p principal, who oracle.Who) {
	root, _ := m.w.connect(m.t, m.b, "login:root\npasscode:"+password+"\n")
	var names []string
	for _, d := range destinations {
		if rulesOfMatrix.Answer(oracle.Who{Name: "root", Groups: []string{"admin"}}, false, d) == "" && strings.HasPrefix(d, "/topic/") {
			names = append(names, d)
		}
	}
	c.keep = true
	for _, d := range destinations {
		if !strings.HasPrefix(d, "/topic/") || rulesOfMatrix.Answer(who, true, d) != "" {
			continue
		}
		for _, mode := range []string{"auto", "client-individual\nprefetch-count:1000"} {
			c.messages = nil
			c.must("SUBSCRIBE\nid:arrivals\ndestination:" + d + "\nack:" + mode + "\n\n")
			for _, name := range names {
				root.must("SEND\ndestination:" + name + "\n\n" + name)
			}
			c.must("BEGIN\ntransaction:arrivals\n\n") // what was sent before has come when this is answered
			c.must("ABORT\ntransaction:arrivals\n\n")
			c.must("UNSUBSCRIBE\nid:arrivals\n\n")
			var got, want []string
			for _, f := range c.messages {
				got = append(got, string(f.Body))
			}
			for _, name := range names {
				if name == d || strings.ContainsAny(d, "*#>") && rulesOfMatrix.Reaches(who, d, name) {
					want = append(want, name)
				}
			}
			if !slices.Equal(got, want) {
				m.t.Errorf("%s: %s, subscribed to %s (%.6s), got %q, want %q", m.w.name, p.name, d, mode, got, want)
			}
			m.count(slices.Equal(got, want), true)
		}
	}
	c.keep, c.messages = false, nil
	root.conn.Close()
}

func fill(frame, d string, n int) string {
	return strings.NewReplacer("{d}", d, "{rest}", rest(d), "{n}", fmt.Sprint("cell-", n)).Replace(frame)
}

// cell does one operation with one destination.
func (m *matrix) cell(c *client, p principal, who oracle.Who, op operation, n int, d string) {
	m.t.Helper()
	want := op.want(rulesOfMatrix, who, d)
	var out strings.Builder
	for i, f := range op.frames {
		out.WriteString(withReceipt(fill(f, d, n), fmt.Sprint("r", i)))
	}
	c.send(out.String())
	right := true
	for i := range op.frames {
		got := c.answer(fmt.Sprint("r", i))
		if got != want[i] {
			right = false
			m.t.Errorf("%s: %s %s %q (frame %d): %q, want %q", m.w.name, p.name, op.name, d, i, got, want[i])
		}
		if got == "" && i == len(op.frames)-1 {
			for _, f := range op.after {
				c.must(fill(f, d, n))
			}
		}
	}
	m.count(right, !slices.ContainsFunc(want, func(no string) bool { return no != "" && no != noSubscription && no != noTransaction }))
}

func (m *matrix) count(right, permitted bool) {
	m.cells++
	switch {
	case !right:
		m.wrong++
	case permitted:
		m.permitted++
	default:
		m.refused++
	}
}

// some of the destinations are enough where each takes a connection of its own.
var some = func() (half []string) {
	for i := 0; i < len(destinations); i += 2 {
		half = append(half, destinations[i])
	}
	return half
}()

// pipelined sends CONNECT and a SEND in one go, without waiting for CONNECTED.
func (m *matrix) pipelined(p principal) {
	for _, d := range some {
		c := m.w.open(m.t, m.b)
		c.send("CONNECT\naccept-version:1.2\nhost:x\ngudok-errors:soft\n" + p.connect + "\n\x00" + withReceipt("SEND\ndestination:"+d+"\n\nx", "r"))
		f, err := c.next()
		if err != nil || f.Command != "CONNECTED" {
			m.t.Fatalf("%s: %s: CONNECT got %v, %v", m.w.name, p.name, f, err)
		}
		who := p.who
		who.ID = f.Value("session")
		got, want := c.answer("r"), rulesOfMatrix.Answer(who, false, d)
		if got != want {
			m.t.Errorf("%s: %s CONNECT and SEND %q: %q, want %q", m.w.name, p.name, d, got, want)
		}
		m.count(got == want, want == "")
		c.conn.Close()
	}
}

// stranger is refused at CONNECT, and with him whatever follows in the same packet.
func (m *matrix) stranger(p principal) {
	ops := append(operations(m.holder), operation{name: "CONNECT", frames: []string{"SEND\ndestination:{d}\n\nx"}})
	for _, op := range ops {
		var all []*client // the broker takes its time to hang up
		for n, d := range some {
			c := m.w.open(m.t, m.b)
			all = append(all, c)
			out := "CONNECT\naccept-version:1.2\nhost:x\ngudok-errors:soft\n" + p.connect + "\n\x00"
			for i, f := range op.frames {
				out += withReceipt(fill(f, d, n), fmt.Sprint("r", i))
			}
			c.send(out)
		}
		for n, c := range all {
			f, err := c.next()
			right := err == nil && f.Command == "ERROR" && f.Value("message") == p.refused
			if !right {
				m.t.Errorf("%s: %s %s %q: %v, %v, want ERROR %s", m.w.name, p.name, op.name, some[n], f, err, p.refused)
			} else {
				c.ended()
			}
			m.count(right, false)
			c.conn.Close()
		}
	}
	m.http(p)
}

// http asks for what an API would give, with the principal's credentials: there is none, for anyone; and for
// what is to be seen of the broker, which needs a grant.
func (m *matrix) http(p principal) {
	scheme := "http://"
	if strings.HasSuffix(m.w.name, "tls") {
		scheme = "https://"
	}
	who := p.who
	if login, _ := p.basic(); login == "" {
		who = oracle.Who{}
	}
	grant := map[string]string{"/metrics": "/admin/metrics", "/api/status": "/admin/status"}
	asked := []struct{ method, path string }{
		{"POST", "/api/publish"}, {"GET", "/api/subscribe"}, {"GET", "/api/queues"}, {"GET", "/metrics"}, {"GET", "/api/status"},
	}
	for n, d := range destinations {
		req := asked[n%len(asked)]
		r, err := http.NewRequest(req.method, scheme+m.b.WS+req.path, strings.NewReader("x"))
		if err != nil {
			m.t.Fatal(err)
		}
		q := r.URL.Query()
		q.Set("destination", d)
		r.URL.RawQuery = q.Encode()
		if login, passcode := p.basic(); login != "" {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login+":"+passcode)))
		}
		res, err := web.Do(r)
		if err != nil {
			m.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		want := http.StatusNotFound
		if name := grant[req.path]; name != "" {
			switch {
			case rulesOfMatrix.MaySubscribe(who, name):
				want = http.StatusOK
			case who.Name == "":
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
		}
		right := res.StatusCode == want
		if !right {
			m.t.Errorf("%s: %s %s %s for %q: %s", m.w.name, p.name, req.method, req.path, d, res.Status)
		}
		m.count(right, want == http.StatusOK)
	}
}
