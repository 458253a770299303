package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/store/memory"
)

// users is an Authenticator by a list of names, each with its groups; it can look again.
type users map[string][]string

func (u users) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	groups, ok := u[c.Login]
	if !ok {
		return nil, broker.ErrBadCredentials
	}
	return &broker.Principal{Name: c.Login, Groups: groups}, nil
}

func (u users) Revalidate(p *broker.Principal) (*broker.Principal, error) {
	groups, ok := u[p.Name]
	if !ok {
		return nil, broker.ErrBadCredentials
	}
	if strings.Join(groups, " ") == strings.Join(p.Groups, " ") {
		return p, nil
	}
	return &broker.Principal{Name: p.Name, Groups: groups}, nil
}

// What a reload takes away ends the session that has it, with an ERROR that names it, soft errors or
// not; what the session held is there for others, its durable subscription is kept, and a session
// that still may do what it does notices nothing.
func TestReloadEndsWhatIsNotPermitted(t *testing.T) {
	engine := memory.New(memory.Options{})
	defer engine.Close()
	who := users{"alice": {"staff"}, "bob": nil, "carol": {"staff"}, "dave": nil}
	may := []string{"* send /** subscribe /topic/** /user/queue/** /temp-queue/**", "group:staff subscribe /queue/work"}
	b, err := broker.New(broker.Options{Engine: engine, Auth: who, Rules: ruled(t, may...)})
	if err != nil {
		t.Fatal(err)
	}
	alice, bob, carol := login(t, b, "login:alice\ngudok-errors:soft\n"), login(t, b, "login:bob\n"), login(t, b, "login:carol\n")
	dave := login(t, b, "login:dave\n")
	alice.send("SUBSCRIBE\nid:w\ndestination:/queue/work\nack:client\nreceipt:s\n\n", "SUBSCRIBE\nid:d\ndestination:/topic/news\ndurable:true\nreceipt:s\n\n",
		"SEND\ndestination:/queue/work\nreceipt:p\n\nhalf done")
	for range 2 {
		alice.expect("RECEIPT", "receipt-id:s")
	}
	bob.send("SUBSCRIBE\nid:n\ndestination:/topic/news.*\nreceipt:s\n\n", "SUBSCRIBE\nid:u\ndestination:/user/queue/x\nreceipt:s\n\n")
	bob.expect("RECEIPT")
	bob.expect("RECEIPT")
	for range 2 {
		if f, _ := alice.next(); f.command != "RECEIPT" && f.body != "half done" {
			t.Fatalf("got %s %v", f.command, f.header)
		}
	}

	// Alice leaves the staff: she may not work any more. Dave is gone.
	b.Reload(users{"alice": nil, "bob": nil, "carol": {"staff"}}, ruled(t, may...))
	if f := alice.expect("ERROR", "message:not permitted", "fatal:true"); !strings.Contains(f.body, `"/queue/work"`) {
		t.Errorf("%s", f.body)
	}
	if code := alice.ended(); code != 1008 {
		t.Errorf("close code %d", code)
	}
	dave.expect("ERROR", "message:bad credentials")
	if code := dave.ended(); code != 1008 {
		t.Errorf("close code %d", code)
	}
	bob.send("SEND\ndestination:/topic/news.uk\n\nfirst", "SEND\ndestination:/user/bob/queue/x\n\nsecond", "SEND\ndestination:/topic/news\nreceipt:p\n\nkept for alice")
	for _, body := range []string{"first", "second"} {
		if f := bob.expect("MESSAGE"); f.body != body {
			t.Errorf("got %q", f.body)
		}
	}
	bob.expect("RECEIPT", "receipt-id:p")
	carol.send("SUBSCRIBE\nid:w\ndestination:/queue/work\n\n")
	if f := carol.expect("MESSAGE", "redelivered:true"); f.body != "half done" {
		t.Errorf("got %q", f.body)
	}
	alice = login(t, b, "login:alice\n")
	alice.send("SUBSCRIBE\nid:d\ndestination:/topic/news\ndurable:true\n\n")
	if f := alice.expect("MESSAGE"); f.body != "kept for alice" {
		t.Errorf("got %q", f.body)
	}
	// The implicit subscription of a reply-to counts too.
	alice.send("SEND\ndestination:/queue/q\nreply-to:/temp-queue/t\nreceipt:r\n\n")
	alice.expect("RECEIPT")
	b.Reload(users{"alice": nil}, ruled(t, "* send /** subscribe /topic/**"))
	if f := alice.expect("ERROR", "message:not permitted"); !strings.Contains(f.body, `"/temp-queue/t"`) {
		t.Errorf("%s", f.body)
	}
	// New sends are decided on anew; without rules all is permitted, and who is connected stays.
	eve := login(t, newBroker(t, broker.Options{}), "login:eve\n")
	eve.sync()
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// meddler is an Authorizer that has a reload happen while it decides on a SUBSCRIBE.
type meddler struct{ then func() }

func (m meddler) Grants(*broker.Principal, string) broker.Grants { return m }
func (m meddler) MaySend(string) bool                            { return true }
func (m meddler) MaySubscribe(string, bool) (broker.Filter, bool) {
	m.then()
	return nil, true
}

// A SUBSCRIBE that was permitted by the rules of before, and not yet there when the reload looked, is
// decided on again.
func TestReloadDuringSubscribe(t *testing.T) {
	for _, destination := range []string{"/topic/a", "/queue/a", "/topic/*", "/topic/a\ndurable:true", "/temp-queue/a", "/user/queue/a", "/topic/a\nack:client\nprefetch-count:1"} {
		var b *broker.Broker
		b = newBroker(t, broker.Options{Rules: meddler{func() { b.Reload(nil, ruled(t, "* send /topic/** subscribe /queue/other")) }}})
		c := soft(t, b, "alice")
		if c.tells("SUBSCRIBE\nid:1\ndestination:" + destination + "\n\n") {
			t.Errorf("%q: subscribed by rules that are gone", destination)
		}
		c.send("UNSUBSCRIBE\nid:1\n\n")
		c.expect("ERROR", "message:no such subscription")
		c.send("SEND\ndestination:/topic/a\nreceipt:r\n\n")
		c.expect("RECEIPT")
		if !c.maySubscribe("/queue/other") {
			t.Error("the session is of no more use")
		}
	}
	// A filter that comes meanwhile is not missed either.
	var b *broker.Broker
	b = newBroker(t, broker.Options{Rules: meddler{func() { b.Reload(nil, ruled(t, "* send /topic/** subscribe /topic/** deny /topic/a")) }}})
	c := login(t, b, "login:alice\n")
	c.send("SUBSCRIBE\nid:1\ndestination:/topic/*\nreceipt:s\n\n", "SEND\ndestination:/topic/b\n\nb")
	c.expect("RECEIPT")
	if f := c.expect("MESSAGE"); f.body != "b" {
		t.Errorf("got %q", f.body)
	}
	p := soft(t, b, "eve")
	if p.maySend("/topic/a") {
		t.Error("denied")
	}
	b.Reload(nil, ruled(t, "* send /topic/** subscribe /topic/**", "alice deny /topic/a"))
	if !p.maySend("/topic/a") || !p.maySend("/topic/c") {
		t.Error("granted")
	}
	if f := c.expect("MESSAGE"); f.body != "x" || f.header["destination"] != "/topic/c" {
		t.Errorf("got %v", f.header)
	}
}

// slowLogin is an Authenticator that has a reload happen while it checks.
type slowLogin struct {
	users
	then func()
}

func (s slowLogin) Authenticate(ctx context.Context, c broker.Credentials) (*broker.Principal, error) {
	p, err := s.users.Authenticate(ctx, c)
	s.then()
	return p, err
}

// A login that was accepted by the users of before is held against those of now.
func TestReloadDuringLogin(t *testing.T) {
	var b *broker.Broker
	b = newBroker(t, broker.Options{Auth: slowLogin{users{"alice": nil, "bob": nil}, func() { b.Reload(users{"bob": {"staff"}}, ruled(t, "group:staff send /topic/a")) }}})
	c := dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:1.2\nlogin:alice\n\n")
	c.expect("ERROR", "message:bad credentials")
	b.Reload(slowLogin{users{"alice": nil, "bob": nil}, func() { b.Reload(users{"bob": {"staff"}}, ruled(t, "group:staff send /topic/a")) }}, nil)
	bob := soft(t, b, "bob")
	if !bob.maySend("/topic/a") || bob.maySend("/topic/b") {
		t.Error("bob is not what he is now")
	}
}

// 500 reloads, each of which takes something from some and gives it to others, while sessions
// connect, subscribe and send. Sessions whose rights do not change get every message in order; a
// subscription lasts only while it is permitted.
func TestReloadsUnderLoad(t *testing.T) {
	const reloads = 500
	rulesOf := func(even bool) *rules.Rules {
		group := "odd"
		if even {
			group = "even"
		}
		return ruled(t, "* send /** subscribe /topic/open.** /queue/{user}", "group:"+group+" subscribe /topic/"+group+".**", "group:"+group+" deny /topic/open.not-"+group)
	}
	all := users{"steady": nil, "sender": nil}
	for i := range 8 {
		all[fmt.Sprintf("n%d", i)] = []string{[]string{"even", "odd"}[i%2]}
	}
	b := newBroker(t, broker.Options{Auth: all, Rules: rulesOf(true)})
	steady := login(t, b, "login:steady\n")
	steady.send("SUBSCRIBE\nid:1\ndestination:/topic/open.**\nreceipt:s\n\n", "SUBSCRIBE\nid:2\ndestination:/queue/steady\nreceipt:s\n\n")
	steady.expect("RECEIPT")
	steady.expect("RECEIPT")

	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	var churned, refused atomic.Int64
	for i := range 8 {
		work.Go(func() {
			name := fmt.Sprintf("n%d", i)
			group := all[name][0]
			for ctx.Err() == nil {
				c := dial(t, b, 1<<20)
				c.send("CONNECT\naccept-version:1.2\nlogin:"+name+"\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/open.*\nreceipt:a\n\n",
					"SUBSCRIBE\nid:2\ndestination:/topic/"+group+".*\nreceipt:b\n\n", "SUBSCRIBE\nid:3\ndestination:/queue/"+name+"\nreceipt:c\n\n",
					"SEND\ndestination:/queue/"+name+"\n\n", "SEND\ndestination:/topic/open.x\n\nx")
				for range 5 {
					if f, ok := c.next(); !ok || f.command == "ERROR" {
						refused.Add(1)
						break
					}
				}
				c.drop()
				churned.Add(1)
			}
		})
	}
	sent, step := make(chan int), make(chan struct{})
	go func() {
		c := login(t, b, "login:sender\n")
		n := 0
		for ; ctx.Err() == nil; n++ {
			c.send(fmt.Sprintf("SEND\ndestination:/topic/open.steady\nreceipt:t\n\n%d", n), fmt.Sprintf("SEND\ndestination:/queue/steady\nreceipt:q\n\n%d", n))
			c.expect("RECEIPT", "receipt-id:t")
			c.expect("RECEIPT", "receipt-id:q")
			select {
			case step <- struct{}{}:
			case <-ctx.Done():
			}
		}
		c.drop()
		sent <- n
	}()
	got := make(chan [2]int)
	go func() {
		var next [2]int
		for {
			f, ok := steady.next()
			if !ok {
				got <- next
				return
			}
			if f.command != "MESSAGE" || f.body == "x" {
				if f.command == "ERROR" {
					t.Errorf("steady got %s", f.body)
				}
				continue
			}
			i := int(f.header["subscription"][0] - '1')
			if f.body != fmt.Sprint(next[i]) {
				t.Errorf("subscription %d got %s, want %d", i+1, f.body, next[i])
			}
			next[i]++
		}
	}()
	longest := time.Duration(0)
	for i := range reloads {
		<-step
		begin := time.Now()
		b.Reload(all, rulesOf(i%2 == 0))
		longest = max(longest, time.Since(begin))
	}
	stop()
	work.Wait()
	n := <-sent
	steady.send("DISCONNECT\nreceipt:d\n\n")
	if have := <-got; have != [2]int{n, n} {
		t.Errorf("steady got %v of %d messages", have, n)
	}
	t.Logf("%d reloads, the longest %v; %d messages, %d sessions, of which %d were refused something", reloads, longest, n, churned.Load(), refused.Load())
	if n < reloads || refused.Load() == 0 || churned.Load() == refused.Load() {
		t.Error("too little happened")
	}
}

// but is an Authorizer that permits every SUBSCRIBE, with a filter that keeps one destination from it.
type but string

func (d but) Grants(*broker.Principal, string) broker.Grants { return d }
func (d but) MaySend(string) bool                            { return true }
func (d but) MaySubscribe(string, bool) (broker.Filter, bool) {
	return func(name string) bool { return name == string(d) }, true
}

// A filter that leaves nothing of a SUBSCRIBE to one destination is a refusal, then as after a reload; a pattern is filtered.
func TestFilterOfOneDestination(t *testing.T) {
	b := newBroker(t, broker.Options{Rules: but("/topic/a")})
	c := soft(t, b, "alice")
	if c.tells("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n") {
		t.Error("subscribed to what is kept from it")
	}
	if !c.maySubscribe("/topic/b") || !c.maySubscribe("/topic/*") {
		t.Error("the filter keeps more from it than it says")
	}
	both := login(t, b, "login:bob\n")
	both.send("SUBSCRIBE\nid:1\ndestination:/topic/b\n\n", "SUBSCRIBE\nid:2\ndestination:/topic/*\n\n")
	both.sync()
	b.Reload(nil, but("/topic/c"))
	both.send("SEND\ndestination:/topic/c\n\nc", "SEND\ndestination:/topic/a\n\na")
	both.expect("MESSAGE", "destination:/topic/a", "subscription:2")
	both.sync()
	b.Reload(nil, but("/topic/b"))
	both.expect("ERROR", "message:not permitted")
}
