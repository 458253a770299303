package broker_test

import (
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// Clients that learned STOMP from a broker whose ack ids are its message ids send message ids.
func TestAckIDIsMessageID(t *testing.T) {
	b := newBroker(t, broker.Options{})
	c := connect(t, b)
	c.send("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\nprefetch-count:1\n\n")
	fill(connect(t, b), "/queue/q", 0, 4)
	first := c.expect("MESSAGE")
	c.send("ACK\nid:" + first.header["message-id"] + "\nsubscription:other\n\n")
	c.sync() // another subscription's
	c.send("ACK\nid:" + first.header["message-id"] + "\nsubscription:s\n\n")
	second := c.expect("MESSAGE")
	c.send("NACK\nid:" + second.header["message-id"] + "\n\n")
	again := c.expect("MESSAGE", "redelivered:true")
	c.send("ACK\nid:" + again.header["message-id"] + "\n\n")
	third := c.expect("MESSAGE")
	c.send("ACK\nid:" + second.header["ack"] + "\nmessage-id:" + third.header["message-id"] + "\n\n")
	c.sync() // id counts, and is settled
	c.send("ACK\nid:" + third.header["ack"] + "\n\n")
	if last := c.expect("MESSAGE"); again.body != "1" || last.body != "3" {
		t.Errorf("got %q and %q", again.body, last.body)
	}
}

// The header ack is STOMP 1.2's: a client that finds one may answer as 1.2 wants it.
func TestAckHeaderIsOfItsVersion(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		b := newBroker(t, broker.Options{})
		c := dial(t, b, 1<<20)
		c.send("CONNECT\naccept-version:" + version + "\n\n")
		c.expect("CONNECTED")
		for _, destination := range []string{"/queue/q", "/topic/t"} {
			c.send("SUBSCRIBE\nid:"+destination+"\ndestination:"+destination+"\nack:client\n\n", "SEND\ndestination:"+destination+"\n\nx")
			if _, ok := c.expect("MESSAGE").header["ack"]; ok != (version == "1.2") {
				t.Errorf("%s, %s: ack is there: %v", version, destination, ok)
			}
		}
	}
}
