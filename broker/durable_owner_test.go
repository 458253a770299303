package broker_test

import (
	"context"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
)

const durableSubscribe = "SUBSCRIBE\nid:1\ndestination:/topic/a\ndurable-subscription-name:n\nreceipt:s\n\n"

// V18: a client-id without a login is no user of that name, whoever comes first.
func TestV18ClientIDIsNoUser(t *testing.T) {
	for _, order := range [][2]string{{"login:alice\n", "client-id:alice\n"}, {"client-id:alice\n", "login:alice\n"}} {
		b := newBroker(t, broker.Options{})
		first, second := login(t, b, order[0]), login(t, b, order[1])
		first.send(durableSubscribe, "UNSUBSCRIBE\nid:1\nreceipt:u\n\n")
		first.expect("RECEIPT", "receipt-id:s")
		first.expect("RECEIPT", "receipt-id:u")
		p := connect(t, b)
		p.send("SEND\ndestination:/topic/a\nreceipt:p\n\nfor the first")
		p.expect("RECEIPT")
		second.send("UNSUBSCRIBE\nid:1\ndurable-subscription-name:n\nreceipt:u\n\n")
		second.expect("ERROR", "message:no such subscription")
		second = login(t, b, order[1])
		second.send(durableSubscribe)
		second.expect("RECEIPT", "receipt-id:s")
		second.sync() // nothing of the first's
		first.send(durableSubscribe)
		first.expect("RECEIPT", "receipt-id:s")
		if f := first.expect("MESSAGE"); f.body != "for the first" {
			t.Errorf("%s got %q", order[0], f.body)
		}
	}
}

// formerly is a store of an older version: a durable subscription n of "alice" to /topic/a, with a
// message. Whether that was a login or a client-id it does not say.
func formerly(t *testing.T) *memory.Engine {
	t.Helper()
	e := memory.New(memory.Options{})
	t.Cleanup(func() { e.Close() })
	e.Bind(store.Binding{Queue: "/durable/alice/n/a", Topic: "/topic/a", Owner: "alice"}, nil)
	b, err := broker.New(broker.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, b)
	c.send("SEND\ndestination:/topic/a\nreceipt:r\n\nkept")
	c.expect("RECEIPT")
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	return e
}

// What an older version kept is not lost: it goes to whoever of that name comes first, and stays
// his over a restart.
func TestFormerDurables(t *testing.T) {
	for _, order := range [][2]string{{"login:alice\n", "client-id:alice\n"}, {"client-id:alice\n", "login:alice\n"}} {
		e := formerly(t)
		for restart := range 2 {
			b, err := broker.New(broker.Options{Engine: e})
			if err != nil {
				t.Fatal(err)
			}
			for i, who := range order {
				c := login(t, b, who)
				c.send(durableSubscribe)
				c.expect("RECEIPT", "receipt-id:s")
				if i == 0 && restart == 0 {
					if f := c.expect("MESSAGE"); f.body != "kept" {
						t.Errorf("%s got %q", who, f.body)
					}
				}
				c.sync()
				c.drop()
			}
			if n := len(e.Bindings()); n != 2 {
				t.Errorf("%d bindings, want one for each", n)
			}
			if err := b.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		b := newBroker(t, broker.Options{Engine: e})
		for i, who := range order {
			c := login(t, b, who)
			c.send("UNSUBSCRIBE\nid:1\ndurable-subscription-name:n\nreceipt:u\n\n")
			c.expect("RECEIPT", "receipt-id:u")
			if n := len(e.Bindings()); n != 1-i {
				t.Errorf("%d bindings after %s deleted his", n, who)
			}
		}
	}
}

// Where logins are checked, what an older version kept is a user's: a client-id does not get it.
func TestFormerDurablesAreUsers(t *testing.T) {
	e := formerly(t)
	b := newBroker(t, broker.Options{Engine: e, Auth: anonymousToo{}})
	c := login(t, b, "client-id:alice\ngudok-errors:soft\n")
	c.send("UNSUBSCRIBE\nid:1\ndurable-subscription-name:n\n\n", durableSubscribe)
	c.expect("ERROR", "message:no such subscription")
	c.expect("RECEIPT", "receipt-id:s")
	c.sync()
	alice := login(t, b, "login:alice\n")
	alice.send(durableSubscribe)
	alice.expect("RECEIPT", "receipt-id:s")
	if f := alice.expect("MESSAGE"); f.body != "kept" {
		t.Errorf("got %q", f.body)
	}
}

// anonymousToo is an Authenticator that lets clients in with and without a login.
type anonymousToo struct{}

func (anonymousToo) Authenticate(_ context.Context, c broker.Credentials) (*broker.Principal, error) {
	return &broker.Principal{Name: c.Login}, nil
}
