package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/memory"
)

// FuzzTwoParty lets one client send whatever it likes, and break off where it likes, beside an
// honest one in the same broker: the honest one must never notice, and nothing may be left.
func FuzzTwoParty(f *testing.F) {
	const c12 = "CONNECT\naccept-version:1.2\n\n\x00"
	for _, s := range []string{
		"", "\n\n\n", "\x00", "SEND\ndestination:/topic/honest\n\nx\x00",
		c12 + "SUBSCRIBE\nid:0\ndestination:/queue/evil\nack:client\nprefetch-count:1\n\n\x00SEND\ndestination:/queue/evil\n\na\x00SEND\ndestination:/queue/evil\n\nb\x00" +
			"ACK\nid:1-1\nreceipt:1\n\n\x00NACK\nid:1-2\nrequeue:false\n\n\x00",
		c12 + "BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/topic/x\n\n1\x00ACK\ntransaction:t\nid:1-1\n\n\x00COMMIT\ntransaction:t\nreceipt:c\n\n\x00",
		c12 + "SUBSCRIBE\nid:0\ndestination:/topic/**\nack:client\nprefetch-count:2\n\n\x00UNSUBSCRIBE\nid:0\n\n\x00DISCONNECT\nreceipt:x\n\n\x00",
		"CONNECT\naccept-version:1.0,1.1\nlogin:u\nclient-id:c\nheart-beat:1,1\n\n\x00SUBSCRIBE\nid:d\ndestination:/topic/a.*\ndurable:true\nreceipt:s\n\n\x00" +
			"UNSUBSCRIBE\nid:d\ndurable:true\n\n\x00",
		"CONNECT\naccept-version:1.2\ngudok-errors:soft\n\n\x00SEND\ndestination:/queue/evil\nreply-to:/temp-queue/r\nx-delay:1\nttl:5\n\n\x00NONSENSE\n\n\x00",
		"CONNECT\n\n\x00SEND\ndestination:/user/u/queue/x\nx\\ny:a\\:b\n\nbody\x00SUBSCRIBE\ndestination:/user/queue/x\n\n\x00ACK\nmessage-id:1\n\n\x00",
		c12 + "SEND\ndestination:/queue/evil\ncontent-length:3\n\na\x00b\x00SEND\ndestination:/topic/evil\ninject:a\\nsubscription\\c1\\r\\n\n\n\x00",
		c12 + "SUBSCRIBE\nid:a\\nb\ndestination:/queue/x-user1\nsimpOrigDestination:/user/queue/x\n\n\x00SEND\ndestination:/queue/x-user1\nsimpOrigDestination:y\n\n\x00",
	} {
		f.Add([]byte(s), uint8(3), false)
		f.Add([]byte(s), uint8(255), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, chunk uint8, reads bool) {
		if len(data) <= 16<<10 {
			twoParties(t, data, chunk, reads)
		}
	})
}

// words are what FuzzTwoPartyFrames speaks: frames that are right by themselves, of things with few names,
// so that they meet. @ stands for a digit, of the byte that follows.
var words = []string{
	"SUBSCRIBE\nid:@\ndestination:/topic/a.*\nack:client\nprefetch-count:2\n\n", "SUBSCRIBE\nid:@\ndestination:/topic/**\n\n",
	"SUBSCRIBE\nid:@\ndestination:/queue/e@\nack:client\nreceipt:s@\n\n", "SUBSCRIBE\nid:@\ndestination:/queue/e@\nack:client-individual\nprefetch-count:1\n\n",
	"SUBSCRIBE\nid:@\ndestination:/queue/e@\n\n", "SUBSCRIBE\nid:@\ndestination:/topic/d@\ndurable:true\nack:client\n\n", "SUBSCRIBE\nid:@\ndestination:/topic/**\nx-queue-name:n@\n\n",
	"SUBSCRIBE\nid:@\ndestination:/dlq/e@\nack:client-individual\n\n", "SUBSCRIBE\nid:@\ndestination:/temp-queue/t@\nack:client\n\n", "SUBSCRIBE\nid:@\ndestination:/user/queue/x\n\n",
	"SUBSCRIBE\nid:@\ndestination:/queue/u@\nsimpOrigDestination:/user/queue/x\n\n", "SUBSCRIBE\nid:@\ndestination:/topic/a.b\nno-local:true\n\n",
	"UNSUBSCRIBE\nid:@\nreceipt:u@\n\n", "UNSUBSCRIBE\nid:@\ndurable:true\n\n", "UNSUBSCRIBE\nid:@\nx-queue-name:n@\nreceipt:n@\n\n",
	"SEND\ndestination:/queue/e@\n\n@", "SEND\ndestination:/queue/e@\nreceipt:q@\nreply-to:/temp-queue/t@\n\nx", "SEND\ndestination:/queue/e@\nttl:@\nx-delay:@\n\nx",
	"SEND\ndestination:/topic/a.b\nreceipt:t@\n\nx", "SEND\ndestination:/topic/d@\npersistent:false\n\nx", "SEND\ndestination:/topic/a.c\nx-delay:@\n\nx", "SEND\ndestination:/temp-queue/t@\n\nx",
	"SEND\ndestination:/user/u/queue/x\n\nx", "SEND\ndestination:/queue/u@\nsimpOrigDestination:y\n\nx", "SEND\ndestination:/reply-queue/@\n\nx", "SEND\ndestination:/dlq/e@\nreceipt:d@\n\nx",
	"BEGIN\ntransaction:@\n\n", "COMMIT\ntransaction:@\nreceipt:c@\n\n", "ABORT\ntransaction:@\n\n", "SEND\ndestination:/queue/e@\ntransaction:@\nreceipt:x@\n\nx",
	"SEND\ndestination:/topic/a.b\ntransaction:@\n\nx", "ACK\nid:@-@\nreceipt:a@\n\n", "ACK\nid:@-@\ntransaction:@\n\n", "NACK\nid:@-@\n\n", "NACK\nid:@-@\nrequeue:false\nreceipt:k@\n\n",
	"NACK\nid:@-@\ndelay:@\n\n", "NACK\nid:@-@\ntransaction:@\nrequeue:false\n\n", "DISCONNECT\nreceipt:@\n\n", "\n", "NONSENSE\n\n",
}

// FuzzTwoPartyFrames is FuzzTwoParty for a client that can speak: what it does is in the order of what
// it says, not in the bytes.
func FuzzTwoPartyFrames(f *testing.F) {
	for i := range words {
		f.Add([]byte{byte(i), 1, 1, 1, 15, 1, 0, 2, byte(i), 2, 2, 31, 1, 1, 33, 1, 1}, uint8(200), true, true)
		f.Add([]byte{26, 1, 2, 1, 1, byte(i), 1, 1, 1, 29, 1, 1, 1, 27, 1, 1}, uint8(40), i%2 == 0, false)
	}
	f.Fuzz(func(t *testing.T, script []byte, chunk uint8, reads, soft bool) {
		if len(script) > 400 {
			return
		}
		out := []byte("CONNECT\naccept-version:1.2\nlogin:u\nclient-id:c\n\n\x00")
		if soft {
			out = []byte("CONNECT\naccept-version:1.2\nlogin:u\nclient-id:c\ngudok-errors:soft\n\n\x00")
		}
		for len(script) > 0 {
			word := words[int(script[0])%len(words)]
			script = script[1:]
			for i := range len(word) {
				c := word[i]
				if c == '@' {
					c = '1'
					if len(script) > 0 {
						c = '0' + script[0]%6
						script = script[1:]
					}
				}
				out = append(out, c)
			}
			out = append(out, 0)
		}
		twoParties(t, out, chunk, reads)
	})
}

// twoParties has one client send data in chunks, and read what comes or not.
func twoParties(t *testing.T, data []byte, chunk uint8, reads bool) {
	e := memory.New(memory.Options{})
	b, err := broker.New(broker.Options{Engine: e, Limits: broker.Limits{Outbox: 64 << 10, SendTime: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	honest := connect(t, b)
	honest.send("SUBSCRIBE\nid:h\ndestination:/topic/honest.only\n\n", "SUBSCRIBE\nid:q\ndestination:/queue/honest.only\nack:client-individual\n\n",
		"SUBSCRIBE\nid:w\ndestination:/topic/**\n\n", "SUBSCRIBE\nid:u\ndestination:/user/queue/x\n\n")
	honest.sync()

	evil := dial(t, b, 4<<10)
	read := make(chan struct{})
	go func() {
		defer close(read)
		if !reads {
			<-evil.done
			return
		}
		var dec = stompframe.NewDecoder(0, stompframe.Limits{})
		for {
			p, err := evil.p.out.take()
			if err != nil {
				return
			}
			dec.Feed(bytes.Clone(p))
			var g stompframe.Frame
			for {
				ok, err := dec.Next(&g)
				if err != nil {
					t.Errorf("malformed frame from the broker: %v in %q", err, p)
					return
				}
				if !ok {
					break
				}
			}
		}
	}()
	step := int(chunk) + 1
	for n := 0; len(data) > 0; n++ {
		p := data[:min(step, len(data))]
		data = data[len(p):]
		if evil.p.in.write(p) != nil {
			break
		}
	}
	for n := range 3 {
		honest.send(fmt.Sprintf("SEND\ndestination:/topic/honest.only\nreceipt:t%d\n\n%d", n, n), fmt.Sprintf("SEND\ndestination:/queue/honest.only\nreceipt:q%d\n\n%d", n, n))
		for want := map[string]bool{"h": true, "q": true, "w": true, "t": true, "r": true}; len(want) > 0; {
			f, ok := honest.next()
			if !ok {
				t.Fatal("the honest session was ended")
			}
			switch f.command {
			case "RECEIPT":
				delete(want, f.header["receipt-id"][:1])
				if f.header["receipt-id"][:1] == "q" {
					delete(want, "r")
				}
			case "MESSAGE":
				id := f.header["subscription"]
				switch {
				case id == "u":
					t.Errorf("another user's message came: %v", f.header)
				case f.header["destination"] == "/topic/honest.only" || f.header["destination"] == "/queue/honest.only":
					delete(want, id)
					if id == "q" {
						honest.send("ACK\nid:" + f.header["ack"] + "\n\n")
					}
				case id != "w":
					t.Errorf("a foreign message came: %v", f.header)
				}
			default:
				t.Fatalf("the honest session got %s %v %q", f.command, f.header, f.body)
			}
		}
	}
	evil.p.Abort()
	<-evil.done
	<-read
	honest.drop()
	if n := b.Queues(); n != 0 {
		t.Errorf("%d queues have a consumer still", n)
	}
	if s := b.Snapshot(); s.Topics > len(e.Bindings()) {
		t.Errorf("%d audiences, %d durable subscriptions", s.Topics, len(e.Bindings()))
	}
	for _, q := range e.Queues("", 100) {
		// One that has expired is held for the moment in which it becomes a dead letter.
		late := time.After(5 * time.Second)
		for st := e.Stat(q); st.Held != 0; st = e.Stat(q) {
			select {
			case <-time.After(time.Millisecond):
				continue
			case <-late:
				t.Fatalf("%s: %+v", q, st)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	e.Close()
}
