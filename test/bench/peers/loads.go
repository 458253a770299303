package main

import (
	"fmt"
	"strings"
	"time"
)

// trial is one load. %s in args stands for the duration.
type trial struct {
	section, name string
	args          string
	who           who
	disk          string // what the disk alone is to do beside it, if anything
	once          bool   // in the first round only, because it takes long
}

// who are the peers that a load runs on.
type who int

const (
	all       who = iota // every broker, over WebSocket
	beside               // and the bare loops as well
	quick                // every broker but RabbitMQ, which would take minutes
	stompOnly            // over WebSocket
	stompTCP
	limited // those of quick, and the batch limit
	feed    // Gudok over WebSocket, and polling
	gudokOnly
)

// kind is which loads a peer takes.
type kind int

const (
	stomp kind = iota // all loads
	other             // those that need no STOMP
	loop              // the bare loop, a write for each message
	batch             // the bare loop, batches
	disk              // appends and syncs
	poll              // feeds
)

// takes tells whether p runs that load.
func (t trial) takes(p *peer) bool {
	switch p.kind {
	case stomp:
		return p.key == "gudok" || t.who != quick && t.who != limited && t.who != feed && t.who != gudokOnly
	case other:
		return t.who <= quick || t.who == limited
	case loop:
		return t.who == beside
	case batch:
		return t.who == beside || t.who == limited
	case poll:
		return t.who == feed
	}
	return t.disk != ""
}

// line are the arguments of broker bench.
func (t trial) line(p *peer, duration time.Duration) []string {
	what, at := t.args, []string{"-url", p.ws}
	switch {
	case p.kind == disk:
		what, at = t.disk, []string{"-dir", p.ws}
	case p.kind == loop:
		what, at = strings.Replace(t.args, "fanout", "bare", 1), []string{"-batch", "1"}
	case p.kind == batch:
		// What it has written has come: it has nothing to drain.
		what, at = strings.NewReplacer("fanout", "bare", " -drain 15s", "").Replace(t.args), nil
	case p.kind == poll:
		what = strings.Replace(t.args, "latency", "poll", 1)
	case t.who == stompTCP:
		at = []string{"-url", p.tcp}
	}
	if p.key == "rabbitmq" {
		// It takes persistent:false for another kind of queue than its subscriber has, and does not
		// persist what has no such header.
		what = strings.ReplaceAll(what, "-persistent=false ", "")
		// A million deliveries in flight would keep it busy for minutes.
		what = strings.ReplaceAll(what, "-subs 1000 ", "-subs 1000 -window 50 ")
	}
	args := append([]string{"bench"}, strings.Fields(strings.ReplaceAll(what, "%s", duration.String()))...)
	args = append(append(args, at...), "-json")
	return append(args, p.flags...)
}

// Sections of the table, and the figures each shows.
const (
	idleLoads  = "Idle connections"
	fanouts    = "Fan-out"
	paced      = "At a fixed rate"
	queues     = "Queues in memory"
	growth     = "Growth"
	collecting = "The garbage collector"
	feeds      = "WebSocket against polling"
	durable    = "Durable queues"
)

// trials are all loads, in the order in which they run: idle connections meet brokers that were just
// started.
func trials() []trial {
	ts := []trial{
		{idleLoads, "1,000 connections", "idle -n 1000 -heartbeat 10s -duration 11s", all, "", false},
		{idleLoads, "8,000 connections", "idle -n 8000 -heartbeat 10s -duration 15s", quick, "", true},
		{fanouts, "50 × 128 B", "fanout -duration %s", beside, "", false},
		{fanouts, "50 × 128 B, one message per write", "fanout -batch 1 -duration %s", all, "", false},
		{fanouts, "1,000 × 256 B", "fanout -subs 1000 -size 256 -duration %s", beside, "", false},
		{fanouts, "50 × 16 KiB", "fanout -size 16384 -duration %s", beside, "", false},
		{fanouts, "50 × 128 B over TCP", "fanout -duration %s", stompTCP, "", false},
		{paced, "200 messages/s to 50", "latency -rate 200 -duration 3s", all, "", false},
		{paced, "200 messages/s to 50 while others connect", "connect -duration 3s", all, "", false},
		{queues, "1 → 1, ack client-individual", "queue -persistent=false -duration %s", stompOnly, "", false},
		{queues, "4 → 4, ack client-individual", "queue -persistent=false -pubs 4 -subs 4 -duration %s", stompOnly, "", false},
		{queues, "1 → 1, ack auto", "queue -persistent=false -ack auto -duration %s", stompOnly, "", false},
	}
	for _, n := range []int{10, 30, 100, 300, 1000, 3000, 10000} {
		ts = append(ts, trial{growth, fmt.Sprintf("subscribers: %d", n), fmt.Sprintf("fanout -subs %d -duration 2s -drain 15s", n), limited, "", false})
	}
	for _, n := range []int{10, 100, 1000, 10000, 100000} {
		ts = append(ts, trial{growth, fmt.Sprintf("topics: %d", n), fmt.Sprintf("fanout -topics %d -duration %%s", n), quick, "", false})
	}
	for _, n := range []int{1, 4, 16, 64} {
		ts = append(ts, trial{growth, fmt.Sprintf("publishers: %d", n), fmt.Sprintf("fanout -pubs %d -duration %%s", n), quick, "", false})
	}
	return append(ts,
		trial{feeds, "1,000 messages/s to 100", "latency -subs 100 -rate 1000 -duration 4s", feed, "", false},
		trial{feeds, "1 message/s to 100", "latency -subs 100 -rate 1 -duration 20s", feed, "", true},
		trial{durable, "send 8 × 128 outstanding, 1 KiB", "send -persistent -duration %s", stompTCP, "disk -duration %s", false},
		trial{durable, "send one at a time, 1 KiB", "send -persistent -pubs 1 -receipts 1 -duration %s", stompTCP,
			"disk -pair -pubs 1 -receipts 1 -duration %s", false},
		trial{durable, "queue 2 → 2, 128 B, with receipts", "queue -persistent -pubs 2 -subs 2 -duration %s", stompTCP, "", false},
		trial{durable, "queue 2 → 2, 128 B, without receipts", "queue -persistent -receipts 0 -pubs 2 -subs 2 -duration %s", stompTCP, "", false},
		// Last: after it the broker has millions of subscriptions to end.
		trial{collecting, "1,000 messages/s to 10 beside 500 MiB of sessions", "pause -topics 600 -live 800", gudokOnly, "", true},
	)
}
