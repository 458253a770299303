package gostomp

import (
	"bytes"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/test/harness"
)

var versions = []stomp.Version{stomp.V10, stomp.V11, stomp.V12}

// eachVersion runs a test on every version that has what it needs.
func eachVersion(t *testing.T, from stomp.Version, test func(t *testing.T, s site, version func(*stomp.Conn) error)) {
	t.Helper()
	ways(t, "", func(t *testing.T, s site) {
		for _, v := range versions {
			if v < from {
				continue
			}
			t.Run(string(v), func(t *testing.T) { test(t, s, stomp.ConnOpt.AcceptVersion(v)) })
		}
	})
}

func TestConnect(t *testing.T) {
	ways(t, "", func(t *testing.T, s site) {
		for _, v := range versions {
			c := s.connect(t, stomp.ConnOpt.AcceptVersion(v))
			if c.Version() != v {
				t.Errorf("version %s, want %s", c.Version(), v)
			}
		}
		c := s.connect(t, stomp.ConnOpt.UseStomp, stomp.ConnOpt.Header("x-application", "a b"))
		if c.Version() != stomp.V12 {
			t.Errorf("version %s, want the highest", c.Version())
		}
		if !strings.HasPrefix(c.Server(), "gudok/") || c.Session() == "" {
			t.Errorf("server %q, session %q", c.Server(), c.Session())
		}
		if err := c.Disconnect(); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
}

func TestLogin(t *testing.T) {
	cmd := exec.Command(harness.Build(t), "passwd")
	const password = harness.Canary + " open sesame"
	cmd.Stdin = strings.NewReader(password + "\n")
	hash, err := cmd.Output()
	if err != nil {
		t.Fatalf("broker passwd: %v", err)
	}
	config := "users: [{name: alice, password_hash: '" + harness.Hashed(t, password, strings.TrimSpace(string(hash))) + "'}]"
	ways(t, config, func(t *testing.T, s site) {
		for _, login := range [][2]string{{"alice", "wrong " + harness.Canary}, {"nobody", password}, {"", ""}} {
			conn := s.dial(t)
			_, err := stomp.Connect(conn, quiet, stomp.ConnOpt.Login(login[0], login[1]))
			if err == nil {
				t.Fatalf("%q was let in", login)
			}
			if f := refused(t, err); f.Header.Get(frame.Message) == "" {
				t.Errorf("ERROR without a message: %v", f)
			}
			conn.Close()
		}
		c := s.connect(t, stomp.ConnOpt.Login("alice", password))
		sync(t, c)
	})
}

func TestAckAuto(t *testing.T) {
	eachVersion(t, stomp.V10, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/auto-")
		one, end := s.drop(t, version)
		send(t, one, q, "1")
		send(t, one, q, "2")
		expect(t, subscribe(t, one, q, stomp.AckAuto), "1", "2")
		end()
		two := s.connect(t, version)
		sub := subscribe(t, two, q, stomp.AckAuto)
		send(t, two, q, "marker")
		expect(t, sub, "marker")
	})
}

func TestAckClient(t *testing.T) {
	eachVersion(t, stomp.V10, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/client-")
		one, end := s.drop(t, version)
		for _, body := range []string{"1", "2", "3", "4"} {
			send(t, one, q, body)
		}
		got := expect(t, subscribe(t, one, q, stomp.AckClient), "1", "2", "3", "4")
		settle(t, one, one.Ack, got[1])
		end()
		two := s.connect(t, version)
		again := expect(t, subscribe(t, two, q, stomp.AckClient), "3", "4")
		for _, m := range again {
			if m.Header.Get("redelivered") != "true" {
				t.Errorf("%s is not marked as redelivered", m.Body)
			}
		}
		settle(t, two, two.Ack, again[1])
	})
}

func TestAckClientIndividual(t *testing.T) {
	eachVersion(t, stomp.V11, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/individual-")
		one, end := s.drop(t, version)
		for _, body := range []string{"1", "2", "3", "4"} {
			send(t, one, q, body)
		}
		got := expect(t, subscribe(t, one, q, stomp.AckClientIndividual), "1", "2", "3", "4")
		settle(t, one, one.Ack, got[1])
		settle(t, one, one.Ack, got[3])
		end()
		two := s.connect(t, version)
		expect(t, subscribe(t, two, q, stomp.AckAuto), "1", "3")
	})
}

func TestNack(t *testing.T) {
	eachVersion(t, stomp.V11, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/nack-")
		c := s.connect(t, version)
		sub := subscribe(t, c, q, stomp.AckClientIndividual)
		send(t, c, q, "again")
		settle(t, c, c.Nack, expect(t, sub, "again")[0])
		m := expect(t, sub, "again")[0]
		if m.Header.Get("redelivered") != "true" || m.Header.Get("delivery-count") == "" {
			t.Errorf("headers of the second delivery: %v", m.Header)
		}
		settle(t, c, c.Ack, m)
	})
}

func TestTransactions(t *testing.T) {
	eachVersion(t, stomp.V10, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/tx-")
		c := s.connect(t, version)
		sub := subscribe(t, c, q, stomp.AckAuto)

		tx := c.Begin()
		for _, body := range []string{"1", "2"} {
			if err := tx.Send(q, "text/plain", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		send(t, c, q, "outside")
		expect(t, sub, "outside")
		if err := tx.CommitWithReceipt(); err != nil {
			t.Fatalf("commit: %v", err)
		}
		expect(t, sub, "1", "2")

		tx = c.Begin()
		if err := tx.Send(q, "text/plain", []byte("never")); err != nil {
			t.Fatal(err)
		}
		if err := tx.AbortWithReceipt(); err != nil {
			t.Fatalf("abort: %v", err)
		}
		send(t, c, q, "marker")
		expect(t, sub, "marker")
	})
}

func TestAckInTransaction(t *testing.T) {
	eachVersion(t, stomp.V11, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q, out := unique("/queue/tx-"), unique("/queue/tx-out-")
		one, end := s.drop(t, version)
		sub := subscribe(t, one, q, stomp.AckClientIndividual)
		send(t, one, q, "work")
		send(t, one, q, "kept")
		got := expect(t, sub, "work", "kept")

		tx := one.Begin()
		if err := tx.Ack(got[0]); err != nil {
			t.Fatal(err)
		}
		if err := tx.Send(out, "text/plain", []byte("result")); err != nil {
			t.Fatal(err)
		}
		if err := tx.CommitWithReceipt(); err != nil {
			t.Fatalf("commit: %v", err)
		}
		tx = one.Begin()
		if err := tx.Ack(got[1]); err != nil {
			t.Fatal(err)
		}
		if err := tx.AbortWithReceipt(); err != nil {
			t.Fatalf("abort: %v", err)
		}
		end()

		two := s.connect(t, version)
		expect(t, subscribe(t, two, q, stomp.AckAuto), "kept")
		expect(t, subscribe(t, two, out, stomp.AckAuto), "result")
	})
}

func TestUnsubscribe(t *testing.T) {
	eachVersion(t, stomp.V10, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		topic := unique("/topic/unsubscribe.")
		c := s.connect(t, version)
		sub := subscribe(t, c, topic, stomp.AckAuto)
		send(t, c, topic, "one")
		expect(t, sub, "one")
		if err := sub.Unsubscribe(); err != nil {
			t.Fatalf("unsubscribe: %v", err)
		}
		again := subscribe(t, c, topic, stomp.AckAuto)
		send(t, c, topic, "two")
		expect(t, again, "two")
	})
}

func TestHeaders(t *testing.T) {
	eachVersion(t, stomp.V11, func(t *testing.T, s site, version func(*stomp.Conn) error) {
		q := unique("/queue/headers-")
		c := s.connect(t, version)
		sub := subscribe(t, c, q, stomp.AckAuto, stomp.SubscribeOpt.Id("my id"))
		values := map[string]string{
			"plain": "value", "colon": "a:b::c", "lines": "a\nb\n", "backslash": `C:\dir\n`,
			"구독": "값 📣", "na:me": "x", "spaces": "  kept  ", "empty": "",
		}
		var opts []func(*frame.Frame) error
		for name, value := range values {
			opts = append(opts, stomp.SendOpt.Header(name, value))
		}
		send(t, c, q, "body", append(opts, stomp.SendOpt.NoContentLength)...)
		m := expect(t, sub, "body")[0]
		for name, value := range values {
			if got := m.Header.Get(name); got != value {
				t.Errorf("%q: %q, want %q", name, got, value)
			}
		}
		if m.ContentType != "text/plain" || m.Destination != q || m.Header.Get(frame.Subscription) != "my id" {
			t.Errorf("headers: %v", m.Header)
		}
	})
}

func TestBodies(t *testing.T) {
	var every []byte
	for len(every) < 200<<10 {
		every = append(every, byte(len(every)), byte(len(every)>>8))
	}
	ways(t, "", func(t *testing.T, s site) {
		c := s.connect(t)
		for _, kind := range []string{"/queue/bodies-", "/topic/bodies."} {
			d := unique(kind)
			sub := subscribe(t, c, d, stomp.AckAuto)
			for _, body := range [][]byte{nil, {0}, every[:1], every[:512], every, bytes.Repeat([]byte("구독"), 30<<10)} {
				if err := c.Send(d, "application/octet-stream", body, stomp.SendOpt.Receipt); err != nil {
					t.Fatalf("send %d bytes: %v", len(body), err)
				}
				if m := next(t, sub); !bytes.Equal(m.Body, body) {
					t.Fatalf("%d bytes came as %d others", len(body), len(m.Body))
				}
			}
		}
	})
}

func TestOrder(t *testing.T) {
	ways(t, "", func(t *testing.T, s site) {
		q := unique("/queue/order-")
		sender, receiver := s.connect(t), s.connect(t)
		sub := subscribe(t, receiver, q, stomp.AckClient)
		const count = 2000
		go func() {
			for n := range count {
				if sender.Send(q, "text/plain", []byte(strconv.Itoa(n))) != nil {
					return // the receiver will tell
				}
			}
		}()
		for n := range count {
			m := expect(t, sub, strconv.Itoa(n))[0]
			if n%25 == 24 {
				if err := receiver.Ack(m); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// go-stomp knows the reply of a broker by the subscription header: it has to be the name that
// was asked for.
func TestReplyToTempQueue(t *testing.T) {
	ways(t, "", func(t *testing.T, s site) {
		q := unique("/queue/rpc-")
		server, caller := s.connect(t), s.connect(t)
		calls := subscribe(t, server, q, stomp.AckClientIndividual)
		const mine = "/temp-queue/answers"
		answers, err := caller.Subscribe(mine, stomp.AckAuto, stomp.SubscribeOpt.Header(stomp.ReplyToHeader, mine))
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{"one", "two"} {
			send(t, caller, q, body, stomp.SendOpt.Header(stomp.ReplyToHeader, mine), stomp.SendOpt.Header("correlation-id", body))
			call := next(t, calls)
			send(t, server, call.Header.Get(stomp.ReplyToHeader), strings.ToUpper(body),
				stomp.SendOpt.Header("correlation-id", call.Header.Get("correlation-id")))
			settle(t, server, server.Ack, call)
			answer := expect(t, answers, strings.ToUpper(body))[0]
			if answer.Header.Get("correlation-id") != body {
				t.Errorf("headers of the answer: %v", answer.Header)
			}
		}
	})
}

// A Spring relay's user destinations are one per session; nothing is kept for those who are gone.
func TestEphemeralUserQueue(t *testing.T) {
	ways(t, "", func(t *testing.T, s site) {
		q := unique("/queue/news-user")
		orig := stomp.SendOpt.Header("simpOrigDestination", "/user/queue/news")
		one, end := s.drop(t)
		sub := subscribe(t, one, q, stomp.AckAuto, stomp.SubscribeOpt.Header("simpOrigDestination", "/user/queue/news"))
		two := s.connect(t)
		send(t, two, q, "now", orig)
		if m := expect(t, sub, "now")[0]; m.Header.Get("simpOrigDestination") != "/user/queue/news" || m.Destination != q {
			t.Errorf("headers: %v", m.Header)
		}
		end()
		// It vanishes some time after its consumer; what is sent until then must not pile up for ever,
		// and must not be an error.
		send(t, two, q, "too late", orig)
	})
}

func TestRefusedDestination(t *testing.T) {
	ways(t, "", func(t *testing.T, s site) {
		c, end := s.drop(t)
		defer end()
		err := c.Send("nowhere", "text/plain", []byte("x"), stomp.SendOpt.Receipt)
		if err == nil {
			t.Fatal("SEND to a name without a prefix was taken")
		}
		f := refused(t, err)
		if f.Header.Get(frame.Message) == "" || f.Header.Get(frame.ReceiptId) == "" || !strings.Contains(string(f.Body), "/queue/") {
			t.Errorf("ERROR %v %q", f.Header, f.Body)
		}

		c, end = s.drop(t)
		defer end()
		sub, err := c.Subscribe("nowhere", stomp.AckAuto)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-sub.C:
			if m.Err == nil {
				t.Errorf("a message from nowhere: %q", m.Body)
			}
		case <-time.After(harness.Patience):
			t.Error("no ERROR for SUBSCRIBE to a name without a prefix")
		}
		sync(t, s.connect(t))
	})
}

func TestHeartBeat(t *testing.T) {
	ways(t, "heartbeat: {send: 1s, receive: 1s, min: 1s}", func(t *testing.T, s site) {
		t.Parallel()
		c := s.connect(t,
			stomp.ConnOpt.HeartBeat(time.Second, time.Second),
			stomp.ConnOpt.HeartBeatError(500*time.Millisecond))
		sub := subscribe(t, c, unique("/topic/beat."), stomp.AckAuto)
		// Longer than either side waits for the other: only heart-beats keep this connection.
		select {
		case m := <-sub.C:
			t.Fatalf("instead of silence: %v", m.Err)
		case <-time.After(7 * time.Second):
		}
		sync(t, c)
	})
}
