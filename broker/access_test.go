package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

// ruled makes an Authorizer of rules in short: "WHO send A B subscribe C deny D".
func ruled(t testing.TB, list ...string) *rules.Rules {
	t.Helper()
	var all []rules.Rule
	for _, text := range list {
		words := strings.Fields(text)
		r := rules.Rule{Who: words[0]}
		var to *[]string
		for _, w := range words[1:] {
			switch w {
			case "send":
				to = &r.Send
			case "subscribe":
				to = &r.Subscribe
			case "deny":
				to = &r.Deny
			default:
				*to = append(*to, w)
			}
		}
		all = append(all, r)
	}
	r, err := rules.New(all)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// soft opens a session that survives refusals.
func soft(t *testing.T, b *broker.Broker, name string) *client {
	t.Helper()
	if name == "" {
		return login(t, b, "gudok-errors:soft\n")
	}
	return login(t, b, "login:"+name+"\ngudok-errors:soft\n")
}

// tells sends a frame that asks for a receipt, and reports whether it was permitted. Whatever else
// comes before the answer is dropped.
func (c *client) tells(frame string) bool {
	c.t.Helper()
	command, rest, _ := strings.Cut(frame, "\n")
	c.send(command + "\nreceipt:asked\n" + rest)
	for {
		f, ok := c.next()
		if !ok {
			c.t.Fatalf("the session ended after %q", frame)
		}
		if f.command == "RECEIPT" && f.header["receipt-id"] == "asked" {
			return true
		}
		if f.command == "ERROR" {
			if f.header["receipt-id"] != "asked" || f.header["fatal"] != "false" {
				c.t.Fatalf("%q got %v %s", frame, f.header, f.body)
			}
			if f.header["message"] != "not permitted" {
				c.t.Fatalf("%q got %s", frame, f.body)
			}
			return false
		}
	}
}

var subscriptions int

func (c *client) maySend(destination string) bool {
	return c.tells("SEND\ndestination:" + destination + "\n\nx")
}

// maySubscribe subscribes, and unsubscribes again.
func (c *client) maySubscribe(destination string, headers ...string) bool {
	subscriptions++
	ok := c.tells(fmt.Sprintf("SUBSCRIBE\nid:may%d\ndestination:%s\n%s\n", subscriptions, destination, strings.Join(append(headers, ""), "\n")))
	if ok {
		c.tells(fmt.Sprintf("UNSUBSCRIBE\nid:may%d\n\n", subscriptions))
	}
	return ok
}

// V15: a SUBSCRIBE to a pattern needs a grant for all that it can match, and what is denied does
// not come through it, live, by way of a durable subscription or of a private queue.
func TestV15WildcardDoesNotWiden(t *testing.T) {
	b := newBroker(t, broker.Options{Rules: ruled(t,
		"* subscribe /topic/>", "alice deny /topic/secret.> /topic/*.private", "sender send /topic/**")})
	alice := soft(t, b, "alice")
	for destination, want := range map[string]bool{
		"/topic/**": true, "/topic/*": true, "/topic/a.#": true, "/topic/*.private": false, "/topic/*.*": true,
		"/topic/secret.*": false, "/topic/secret": false, "/topic/secret.>": false, "/topic/a.private": false, "/topic/a/private": false,
		"/queue/a": false, "/topic/a": true,
	} {
		if got := alice.maySubscribe(destination); got != want {
			t.Errorf("SUBSCRIBE %s: %v", destination, got)
		}
	}
	narrow := soft(t, newBroker(t, broker.Options{Rules: ruled(t, "carol subscribe /topic/a.* /topic/b")}), "carol")
	for destination, want := range map[string]bool{
		"/topic/a.*": true, "/topic/a.**": false, "/topic/*": false, "/topic/*.x": false, "/topic/b": true, "/topic/b.**": false, "/topic/a.x": true,
	} {
		if got := narrow.maySubscribe(destination); got != want {
			t.Errorf("SUBSCRIBE %s: %v", destination, got)
		}
	}

	all := login(t, b, "login:alice\nclient-id:c\n")
	all.send("SUBSCRIBE\nid:live\ndestination:/topic/**\nreceipt:1\n\n",
		"SUBSCRIBE\nid:private\ndestination:/topic/*.*\nack:client-individual\nprefetch-count:10\nreceipt:2\n\n",
		"SUBSCRIBE\nid:durable\ndestination:/topic/*.#\ndurable:true\nreceipt:3\n\n")
	for range 3 {
		all.expect("RECEIPT")
	}
	p := login(t, b, "login:sender\n")
	send := func(names ...string) {
		for _, n := range names {
			p.send("SEND\ndestination:/topic/" + n + "\nreceipt:p\n\n" + n)
			p.expect("RECEIPT")
		}
	}
	send("secret", "secret.a", "a.private", "a/private", "secret/a", "a.b")
	for range 3 {
		if f := all.expect("MESSAGE"); f.body != "a.b" {
			t.Errorf("%s got %q", f.header["subscription"], f.body)
		}
	}
	all.sync()
	// What came to the durable subscription while nobody was there.
	all.send("UNSUBSCRIBE\nid:durable\nreceipt:u\n\n")
	all.expect("RECEIPT")
	send("secret.b", "c.private")
	all.send("SUBSCRIBE\nid:durable\ndestination:/topic/*.#\ndurable:true\nreceipt:3\n\n")
	all.expect("RECEIPT")
	all.sync()
	send("c.d")
	for range 3 {
		if f := all.expect("MESSAGE"); f.body != "c.d" {
			t.Errorf("%s got %q", f.header["subscription"], f.body)
		}
	}
}

// V16: a name with a '.' is refused where there are rules, since it is two segments; any other is
// one, whatever it looks like.
func TestV16NamesAreOneSegment(t *testing.T) {
	may := ruled(t, "* send /user/{user}/** /queue/{user}.in subscribe /user/queue/** /topic/{user}.**")
	b := newBroker(t, broker.Options{Rules: may})
	for _, name := range []string{"a.b", ".", "a.", ".a", "alice.queue"} {
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:1.2\nlogin:" + name + "\n\n")
		if f := c.expect("ERROR", "message:bad login name"); !strings.Contains(f.body, "'.'") {
			t.Errorf("%s: %s", name, f.body)
		}
	}
	free := newBroker(t, broker.Options{})
	login(t, free, "login:a.b\n")
	for _, name := range []string{"a", "a-b", "user", "구독", "a b", "%2A", "(x)"} {
		c := soft(t, b, name)
		if !c.maySubscribe("/topic/"+name+".x") || !c.maySend("/queue/"+name+".in") || !c.maySend("/user/"+name+"/queue/x") || !c.maySubscribe("/user/queue/x") {
			t.Errorf("%q is kept from its own", name)
		}
		for _, other := range []string{"a2", "b", "users"} {
			if c.maySubscribe("/topic/"+other+".x") || c.maySend("/queue/"+other+".in") || c.maySend("/user/"+other+"/queue/x") || c.maySubscribe("/topic/*.x") {
				t.Errorf("%q gets at what is %s's", name, other)
			}
		}
	}
	// Rules that come later end such a session.
	c := login(t, free, "login:a.b\n")
	free.Reload(nil, may)
	c.expect("ERROR", "message:bad login name")
}

// V17: an UNSUBSCRIBE deletes nothing but a durable subscription of one's own, whatever it names.
func TestV17UnsubscribeDeletesOnesOwn(t *testing.T) {
	engine := memory.New(memory.Options{})
	defer engine.Close()
	b, err := broker.New(broker.Options{Engine: engine, Rules: ruled(t, "* send /queue/** subscribe /queue/** /topic/**")})
	if err != nil {
		t.Fatal(err)
	}
	alice := login(t, b, "login:alice\nclient-id:x\n")
	alice.send("SUBSCRIBE\nid:1\ndestination:/topic/a\nx-queue-name:inbox\nreceipt:s\n\n", "UNSUBSCRIBE\nid:1\nreceipt:u\n\n",
		"SEND\ndestination:/queue/orders\nreceipt:q\n\nx", "SEND\ndestination:/queue/inbox\nreceipt:r\n\nx")
	for _, r := range []string{"s", "u", "q", "r"} {
		alice.expect("RECEIPT", "receipt-id:"+r)
	}
	before := fmt.Sprint(engine.Queues("", 100), engine.Bindings())
	for _, who := range []string{"login:eve\n", "login:eve\nclient-id:x\n", "client-id:alice\n", "client-id:x\n", "login:alice\n", "login:alice\nclient-id:y\n", ""} {
		c := login(t, b, who+"gudok-errors:soft\n")
		for _, name := range []string{"inbox", "orders", "/queue/orders", "queue/orders", "/durable/alice/inbox/a", "alice/x/inbox", "../alice%2Fx/inbox", "*", "#", "%", "inbox/a"} {
			for _, header := range []string{"x-queue-name", "durable-subscription-name", "activemq.subscriptionName"} {
				c.send("UNSUBSCRIBE\nid:1\n" + header + ":" + name + "\n\n")
				c.expect("ERROR", "message:no such subscription")
			}
			c.send("UNSUBSCRIBE\nid:" + name + "\ndurable:true\n\n")
			c.expect("ERROR", "message:no such subscription")
			// With a subscription of one's own to name it by.
			if !c.tells("SUBSCRIBE\nid:1\ndestination:/queue/mine\n\n") || !c.tells("UNSUBSCRIBE\nid:1\nx-queue-name:"+name+"\n\n") {
				t.Error("refused to unsubscribe")
			}
		}
	}
	if after := fmt.Sprint(engine.Queues("", 100), engine.Bindings()); after != before {
		t.Errorf("was %s\nnow %s", before, after)
	}
	alice.send("UNSUBSCRIBE\nid:1\nx-queue-name:inbox\nreceipt:d\n\n")
	alice.expect("RECEIPT", "receipt-id:d")
	if n := len(engine.Bindings()); n != 0 {
		t.Errorf("%d bindings are left", n)
	}
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// V18: another's user destinations, temporary queues and reply addresses are out of reach; a reply
// needs the address and a grant for it.
func TestV18NobodyElses(t *testing.T) {
	b := newBroker(t, broker.Options{Rules: ruled(t,
		"* subscribe /user/** /temp-queue/** /reply-queue/** send /temp-queue/** /user/queue/**",
		"group:none send /user/**", "alice send /queue/requests", "server subscribe /queue/requests",
		"server send /reply-queue/**", "carol send /user/*/queue/chat")})
	bob, carol := soft(t, b, "bob"), soft(t, b, "carol")
	alice := dial(t, b, 1<<20)
	alice.send("CONNECT\naccept-version:1.2\nlogin:alice\ngudok-errors:soft\n\n")
	session := alice.expect("CONNECTED").header["session"]
	if !alice.tells("SUBSCRIBE\nid:own\ndestination:/user/queue/chat\n\n") || !alice.tells("SUBSCRIBE\nid:named\ndestination:/user/alice/queue/x\n\n") {
		t.Error("alice is kept from her own")
	}
	for _, d := range []string{"/user/alice/queue/chat", "/user/alice/queue/x", "/user/nobody/queue/x", "/user/alice/topic/x"} {
		if bob.maySubscribe(d) {
			t.Errorf("bob subscribes to %s", d)
		}
		if bob.maySend(d) {
			t.Errorf("bob sends to %s", d)
		}
	}
	if !carol.maySend("/user/alice/queue/chat") || carol.maySend("/user/alice/queue/x") {
		t.Error("carol's grant is for chat")
	}
	if f := alice.expect("MESSAGE", "subscription:own"); f.body != "x" {
		t.Errorf("got %q", f.body)
	}

	// Requests and replies.
	server := soft(t, b, "server")
	server.tells("SUBSCRIBE\nid:r\ndestination:/queue/requests\n\n")
	alice.send("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nplease")
	address := server.expect("MESSAGE").header["reply-to"]
	if bob.maySend(address) || bob.maySubscribe(address) || bob.maySubscribe("/reply-queue/x") || server.maySubscribe(address) {
		t.Error("an address is enough")
	}
	guess := address[:len(address)-1] + "!"
	if !server.maySend(guess) || !server.maySend(address) {
		t.Error("the server may not reply")
	}
	if f := alice.expect("MESSAGE", "subscription:/temp-queue/answers"); f.body != "x" {
		t.Errorf("got %q", f.body)
	}
	// The same name is another queue in another session.
	for _, name := range []string{"/temp-queue/answers", "/temp-queue/answers@" + session} {
		if !bob.maySend(name) || !bob.maySubscribe(name) {
			t.Error("temporary queues are granted")
		}
	}
	alice.sync()

	// Without a grant for the queue there are no replies.
	none := newBroker(t, broker.Options{Rules: ruled(t, "* send /queue/requests")})
	c := soft(t, none, "alice")
	if c.tells("SEND\ndestination:/queue/requests\nreply-to:/temp-queue/answers\n\nplease") || c.maySend("/temp-queue/x") || c.maySubscribe("/temp-queue/x") {
		t.Error("temporary queues are not granted")
	}
}

// V18: message ids, ack ids and transactions of one session mean nothing in another.
func TestV18IdsAreNoCapabilities(t *testing.T) {
	for _, who := range []string{"login:eve\n", "login:alice\n"} {
		b := newBroker(t, broker.Options{})
		alice := login(t, b, "login:alice\n")
		alice.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nreceipt:s\n\n", "SEND\ndestination:/queue/a\n\nx", "BEGIN\ntransaction:t\n\n",
			"SEND\ndestination:/queue/b\ntransaction:t\n\nin it")
		alice.expect("RECEIPT")
		m := alice.expect("MESSAGE")
		eve := login(t, b, who+"gudok-errors:soft\n")
		eve.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nreceipt:s\n\n", "SUBSCRIBE\nid:2\ndestination:/queue/b\nreceipt:s\n\n")
		eve.expect("RECEIPT")
		eve.expect("RECEIPT")
		for _, command := range []string{"ACK", "NACK"} {
			for _, header := range []string{"id:" + m.header["ack"], "id:" + m.header["message-id"], "message-id:" + m.header["message-id"] + "\nsubscription:1"} {
				eve.send(command + "\n" + header + "\nreceipt:r\n\n")
				eve.expect("RECEIPT", "receipt-id:r")
			}
		}
		for _, command := range []string{"COMMIT", "ABORT"} {
			eve.send(command + "\ntransaction:t\n\n")
			eve.expect("ERROR", "message:no such transaction")
		}
		eve.sync()
		alice.drop()
		if f := eve.expect("MESSAGE", "redelivered:true"); f.header["message-id"] != m.header["message-id"] {
			t.Error("another message")
		}
		eve.sync() // and none of the transaction
	}
}

// V19: what does not exist and what is forbidden is refused alike.
func TestV19MissingAndForbiddenAreAlike(t *testing.T) {
	b := newBroker(t, broker.Options{Rules: ruled(t, "owner send /** subscribe /**", "eve send /queue/eve subscribe /queue/eve /topic/eve")})
	owner := login(t, b, "login:owner\nclient-id:c\n")
	owner.send("SUBSCRIBE\nid:1\ndestination:/topic/there\ndurable:true\nreceipt:1\n\n", "SUBSCRIBE\nid:2\ndestination:/user/queue/there\nreceipt:2\n\n",
		"SEND\ndestination:/queue/there\nreceipt:3\n\nx", "SEND\ndestination:/dlq/there\nreceipt:4\n\nx", "SUBSCRIBE\nid:3\ndestination:/topic/there.*\nreceipt:5\n\n")
	for range 5 {
		owner.expect("RECEIPT")
	}
	eve := soft(t, b, "eve")
	for _, frame := range []string{
		"SEND\ndestination:/queue/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/queue/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/queue/%s\nbrowser:false\n\n",
		"SEND\ndestination:/topic/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/topic/%s.*\n\n",
		"SUBSCRIBE\nid:1\ndestination:/topic/%s\ndurable:true\n\n", "SEND\ndestination:/dlq/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/dlq/%s\n\n",
		"SEND\ndestination:/user/owner/queue/%s\n\n", "SUBSCRIBE\nid:1\ndestination:/user/owner/queue/%s\n\n", "SEND\ndestination:/reply-queue/%s\n\n",
		"SEND\ndestination:/queue/%s\nsimpOrigDestination:/user/queue/x\n\n", "SUBSCRIBE\nid:1\ndestination:/queue/%s\nsimpOrigDestination:/user/queue/x\n\n",
		"UNSUBSCRIBE\nid:%s\n\n", "UNSUBSCRIBE\nid:1\nx-queue-name:%s\n\n", "SUBSCRIBE\nid:1\ndestination:/reply-queue/%s\n\n",
		"SEND\ndestination:/queue/eve\nreply-to:/temp-queue/%s\n\n",
	} {
		said := map[string]string{}
		for _, name := range []string{"there", "other"} {
			eve.send(fmt.Sprintf(strings.Replace(frame, "\n", "\nreceipt:r\n", 1), name))
			f, ok := eve.next()
			if !ok || f.command != "ERROR" {
				t.Fatalf("%q: %s %v", frame, f.command, f.header)
			}
			said[name] = strings.ReplaceAll(fmt.Sprint(f.header, f.body), name, "NAME")
		}
		if a, b := said["there"], said["other"]; strings.ReplaceAll(a, "content-length", "") != strings.ReplaceAll(b, "content-length", "") {
			t.Errorf("%q\nthere: %s\nother: %s", frame, a, b)
		}
	}
	eve.sync()
}

// V19: redelivery, dead letters, and what waited pass the rules of now.
func TestV19RulesOfNow(t *testing.T) {
	engine := memory.New(memory.Options{})
	defer engine.Close()
	open := []string{"sender send /**", "alice subscribe /topic/** /dlq/** /queue/**"}
	b, err := broker.New(broker.Options{Engine: engine, Rules: ruled(t, open...)})
	if err != nil {
		t.Fatal(err)
	}
	p := login(t, b, "login:sender\n")
	alice := login(t, b, "login:alice\n")
	alice.send("SUBSCRIBE\nid:d\ndestination:/topic/**\ndurable:true\nack:client-individual\nreceipt:s\n\n",
		"SUBSCRIBE\nid:p\ndestination:/topic/**\nack:client-individual\nprefetch-count:10\nreceipt:s\n\n",
		"SUBSCRIBE\nid:l\ndestination:/topic/**\nreceipt:s\n\n")
	for range 3 {
		alice.expect("RECEIPT")
	}
	p.send("SEND\ndestination:/topic/a.x\nreceipt:1\n\none")
	p.expect("RECEIPT")
	acks := map[string]string{}
	for range 3 {
		f := alice.expect("MESSAGE")
		acks[f.header["subscription"]] = f.header["ack"]
	}
	// The filters of all three are replaced; what comes again is filtered too.
	b.Reload(nil, ruled(t, append(open, "alice deny /topic/a.**")...))
	alice.send("NACK\nid:"+acks["d"]+"\n\n", "NACK\nid:"+acks["p"]+"\n\n")
	alice.sync()
	p.send("SEND\ndestination:/topic/a.y\nreceipt:2\n\ntwo", "SEND\ndestination:/topic/b\nreceipt:3\n\nthree")
	p.expect("RECEIPT")
	p.expect("RECEIPT")
	for range 3 {
		f := alice.expect("MESSAGE")
		if f.body != "three" {
			t.Errorf("%s got %q", f.header["subscription"], f.body)
		}
		if f.header["ack"] != "" {
			alice.send("ACK\nid:" + f.header["ack"] + "\n\n")
		}
	}
	alice.sync()
	for _, q := range engine.Queues("", 100) {
		if n := engine.Stat(q).Messages(); n != 0 {
			t.Errorf("%d messages are left in %s", n, q)
		}
	}
	// Dead letters are read by who may read them now.
	alice.send("SUBSCRIBE\nid:q\ndestination:/queue/q\nack:client-individual\nreceipt:s\n\n")
	alice.expect("RECEIPT")
	p.send("SEND\ndestination:/queue/q\n\nx")
	alice.send("NACK\nid:" + alice.expect("MESSAGE").header["ack"] + "\nrequeue:false\nreceipt:n\n\n")
	alice.expect("RECEIPT")
	if c := soft(t, b, "alice"); !c.maySubscribe("/dlq/q", "ack:client") || c.maySend("/dlq/q") {
		t.Error("dead letters are a queue's")
	}
	b.Reload(nil, ruled(t, "alice subscribe /topic/** /queue/**"))
	if c := soft(t, b, "alice"); c.maySubscribe("/dlq/q") {
		t.Error("dead letters are anyone's")
	}
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A transaction is decided on when it is filled, and again at COMMIT if the rules have changed.
func TestTransactionsAreRechecked(t *testing.T) {
	engine := memory.New(memory.Options{})
	defer engine.Close()
	b, err := broker.New(broker.Options{Engine: engine, Rules: ruled(t, "* send /queue/a /queue/b /topic/a subscribe /queue/c")})
	if err != nil {
		t.Fatal(err)
	}
	c := soft(t, b, "alice")
	if c.tells("SEND\ndestination:/queue/c\ntransaction:t\n\n") {
		t.Error("not granted")
	}
	engine.Publish(&store.Message{ID: "1", Queue: "/queue/c", Data: []byte("destination:/queue/c\nmessage-id:1\ncontent-length:0\n\n\x00")}, nil)
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/c\nack:client\n\n")
	m := c.expect("MESSAGE")
	fill := func(names ...string) {
		c.send("BEGIN\ntransaction:t\n\n", "ACK\nid:"+m.header["ack"]+"\ntransaction:t\n\n")
		for _, n := range names {
			if !c.tells("SEND\ndestination:" + n + "\ntransaction:t\n\n") {
				t.Errorf("%s is granted", n)
			}
		}
	}
	fill("/queue/a", "/topic/a", "/queue/b")
	b.Reload(nil, ruled(t, "* send /queue/a /topic/a subscribe /queue/c"))
	if c.tells("COMMIT\ntransaction:t\n\n") {
		t.Error("/queue/b is not granted any more")
	}
	if engine.Stat("/queue/a").Messages()+engine.Stat("/queue/b").Messages() != 0 || engine.Stat("/queue/c").Held != 1 {
		t.Error("half of a transaction is done")
	}
	c.send("ABORT\ntransaction:t\n\n")
	c.expect("ERROR", "message:no such transaction")
	fill("/queue/a", "/topic/a")
	b.Reload(nil, ruled(t, "* send /queue/a /queue/b /topic/a subscribe /queue/c"))
	if !c.tells("COMMIT\ntransaction:t\n\n") || engine.Stat("/queue/a").Messages() != 1 || engine.Stat("/queue/c").Messages() != 0 {
		t.Error("what is granted is not done")
	}
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}
