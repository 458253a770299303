package broker_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// The memory of topic messages is used again once all who listen have them; in the tests of this package it is spoilt
// first. Nobody gets any of that: neither who reads late, nor who gets them from a private queue, nor a durable
// subscription, nor who gets what was delayed or in a transaction.
func TestMemoryIsUsedAgain(t *testing.T) {
	b := newBroker(t, broker.Options{})
	const n, rounds = 64, 12
	body := func(i int) string {
		size := []int{1, 100, 3900, 4100, 9000}[i%5] // in a chunk, and apart
		return strings.Repeat(strconv.Itoa(i)+",", size)[:size+len(strconv.Itoa(i))]
	}
	subscribe := func(c *client, id, destination, more string) {
		c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + destination + "\nreceipt:s\n" + more + "\n")
		c.expect("RECEIPT", "receipt-id:s")
	}
	topics := []string{"/topic/a", "/topic/b", "/topic/c", "/topic/d"}
	var all []*client
	for i := range 9 { // of one head, that share an encoding, and of others
		c := connect(t, b)
		if id := []string{"0", "0", "1"}[i%3]; i%2 == 0 {
			subscribe(c, id, "/topic/*", "")
		} else {
			for _, topic := range topics {
				subscribe(c, id+topic, topic, "")
			}
		}
		all = append(all, c)
	}
	late := dial(t, b, 1<<10)
	late.send("CONNECT\naccept-version:1.2\n\n")
	late.expect("CONNECTED")
	subscribe(late, "0", "/topic/b", "")
	private, durable := connect(t, b), login(t, b, "login:alice\n")
	subscribe(private, "0", "/topic/c", "ack:client\nprefetch-count:3\n")
	subscribe(durable, "0", "/topic/d", "ack:client\ndurable:true\nprefetch-count:3\n")

	p := connect(t, b)
	for round := range rounds {
		topic := topics[round%len(topics)]
		var text strings.Builder
		for i := range n {
			more := []string{"", "", "", "transaction:t\n", "x-delay:1\n", "receipt:" + strconv.Itoa(i) + "\n"}[(i+round)%6]
			if i%n == 0 {
				text.WriteString("BEGIN\ntransaction:t\n\n\x00")
			}
			fmt.Fprintf(&text, "SEND\ndestination:%s\nn:%d\n%scontent-length:%d\n\n%s\x00", topic, i, more, len(body(i)), body(i))
			fmt.Fprintf(&text, "SEND\ndestination:/topic/no/body\n\n%s\x00", body(i))
		}
		text.WriteString("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
		p.p.in.write([]byte(text.String()))
		for p.expect("RECEIPT").header["receipt-id"] != "c" {
		}
		for _, c := range all {
			c.expectAll(n, 1, topic, body)
		}
		switch {
		case topic == "/topic/b" && round >= rounds-len(topics):
			late.expectAll(n, rounds/len(topics), topic, body)
		case topic == "/topic/c":
			private.expectAll(n, 1, topic, body)
		case topic == "/topic/d":
			durable.expectAll(n, 1, topic, body)
		}
	}
}

// expectAll reads n messages, each so many times, numbered by their header n, and acknowledges what asks for that.
func (c *client) expectAll(n, times int, topic string, body func(int) string) {
	c.t.Helper()
	seen := make([]int, n)
	for range n * times {
		f := c.expect("MESSAGE", "destination:"+topic)
		i, err := strconv.Atoi(f.header["n"])
		if err != nil || i >= n || f.body != body(i) {
			c.t.Fatalf("%v %.40q", f.header, f.body)
		}
		if seen[i]++; seen[i] > times {
			c.t.Fatalf("message %d again", i)
		}
		if ack := f.header["ack"]; ack != "" {
			c.send("ACK\nid:" + ack + "\n\n")
		}
	}
}
