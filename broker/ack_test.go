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
