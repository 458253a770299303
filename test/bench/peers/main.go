// Command peers loads Gudok, RabbitMQ Web-STOMP, nats-server and Centrifugo in turn, on loopback, with
// the same loads, and prints the medians side by side; beside fan-outs, also what a bare loop spends,
// and beside durable loads what the disk alone does.
//
//	go run ./test/bench/peers [-rounds 3] [-duration 3s] [-only fanout] [-peers gudok,nats] [-dir DIR] [-raw FILE]
//	go run ./test/bench/peers -table FILE
//
// It starts the brokers itself, anew for each round, with everything they write in a directory that it
// removes; -dir says on which disk that is. RabbitMQ is the one of the distribution (Debian:
// rabbitmq-server), the others are built from the modules in nats and centrifugo. A peer that is not
// there is skipped by name. Reports in the raw file can be made in several calls; -table prints them.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// peer is a broker that can be loaded, or what stands beside it.
type peer struct {
	key, name string
	kind      kind
	ws, tcp   string   // URLs; ws is a directory for the disk
	login     []string // flags of broker bench
	start     func(ctx context.Context, dir string, p *peer) (*process, error)
}

// kind is which loads a peer takes.
type kind int

const (
	stomp kind = iota // all loads
	other             // those that need no STOMP
	loop              // the bare loop, a write for each message
	batch             // the bare loop, batches
	disk              // appends and syncs
)

// trial is one load. %s in args stands for the duration.
type trial struct {
	name string
	args string
	who  who
	raw  string // what the disk alone is to do beside it, if anything
}

// who are the peers that a load runs on.
type who int

const (
	all       who = iota // every broker, over WebSocket
	beside               // and the bare loops as well
	quick                // every broker but RabbitMQ, which would take minutes
	stompOnly            // over WebSocket
	stompTCP
)

// takes tells whether p runs that load.
func (t trial) takes(p *peer) bool {
	switch p.kind {
	case stomp:
		return t.who != quick || p.key == "gudok"
	case other:
		return t.who <= quick
	case loop, batch:
		return t.who == beside
	}
	return t.raw != ""
}

// trials begin with idle connections, so that they meet brokers that were just started.
var trials = []trial{
	{"idle, 1,000 connections", "idle -n 1000 -heartbeat 10s -duration 11s", all, ""},
	{"idle, 8,000 connections", "idle -n 8000 -heartbeat 10s -duration 15s", quick, ""},
	{"fanout 50 × 128 B", "fanout -duration %s", beside, ""},
	{"fanout 50 × 128 B, one message per write", "fanout -batch 1 -duration %s", all, ""},
	{"fanout 1,000 × 256 B", "fanout -subs 1000 -size 256 -duration %s", beside, ""},
	{"fanout 50 × 16 KiB", "fanout -size 16384 -duration %s", beside, ""},
	{"fanout 50 × 128 B over TCP", "fanout -duration %s", stompTCP, ""},
	{"200 messages/s to 50", "latency -rate 200 -duration %s", all, ""},
	{"queue 1 → 1, ack client-individual", "queue -persistent=false -duration %s", stompOnly, ""},
	{"queue 4 → 4, ack client-individual", "queue -persistent=false -pubs 4 -subs 4 -duration %s", stompOnly, ""},
	{"queue 1 → 1, ack auto", "queue -persistent=false -ack auto -duration %s", stompOnly, ""},
	{"durable: send 8 × 128 outstanding, 1 KiB", "send -persistent -duration %s", stompTCP, "disk -duration %s"},
	{"durable: send one at a time, 1 KiB", "send -persistent -pubs 1 -receipts 1 -duration %s", stompTCP,
		"disk -pair -pubs 1 -receipts 1 -duration %s"},
	{"durable: queue 2 → 2, 128 B, with receipts", "queue -persistent -pubs 2 -subs 2 -duration %s", stompTCP, ""},
	{"durable: queue 2 → 2, 128 B, without receipts", "queue -persistent -receipts 0 -pubs 2 -subs 2 -duration %s", stompTCP, ""},
}

// everybody is who can be asked for.
func everybody(dir string) []*peer {
	return []*peer{
		{key: "gudok", name: "Gudok", start: startGudok},
		{key: "rabbitmq", name: "RabbitMQ", login: []string{"-login", "guest", "-passcode", "guest", "-host", "/"}, start: startRabbit},
		{key: "nats", name: "NATS", kind: other, start: startNATS},
		{key: "centrifugo", name: "Centrifugo", kind: other, start: startCentrifugo},
		{key: "bare", name: "bare loop", kind: loop, start: startNothing},
		{key: "bare", name: "batch limit", kind: batch, start: startNothing},
		{key: "disk", name: "disk alone", kind: disk, ws: dir, start: startNothing},
	}
}

func main() {
	rounds := flag.Int("rounds", 3, "how often each load runs on each broker")
	duration := flag.Duration("duration", 3*time.Second, "how long each load is measured")
	only := flag.String("only", "", "run the loads whose name contains this")
	peers := flag.String("peers", "gudok,rabbitmq,nats,centrifugo,bare,disk", "whom to load")
	dir := flag.String("dir", "", "where the brokers keep their files meanwhile (default the system's directory for such)")
	raw := flag.String("raw", "", "append every report to this file, one JSON object per line")
	from := flag.String("table", "", "run nothing: print the reports of this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := error(nil)
	if *from != "" {
		err = printFile(*from)
	} else {
		err = compare(ctx, *rounds, *duration, *only, strings.Split(*peers, ","), *dir, *raw)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, rounds int, duration time.Duration, only string, keys []string, dir, raw string) error {
	dir, err := os.MkdirTemp(dir, "gudok-peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "broker")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/gudokmq/gudok/cmd/broker")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build broker: %w", err)
	}
	var peers []*peer
	for _, p := range everybody(dir) {
		if !slices.Contains(keys, p.key) {
			continue
		}
		if why := missing(p.key); why != "" {
			fmt.Fprintf(os.Stderr, "peers: %s is skipped: %s\n", p.name, why)
			continue
		}
		peers = append(peers, p)
	}
	table := newTable()
	for round := range rounds {
		if err := oneRound(ctx, dir, binary, peers, round, duration, only, raw, table); err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
	}
	return table.print(os.Stdout)
}

// oneRound starts the brokers, runs each load on one after the other, and stops them.
func oneRound(ctx context.Context, dir, binary string, peers []*peer, round int, duration time.Duration, only, raw string, t *table) error {
	for _, p := range peers {
		home, err := os.MkdirTemp(dir, p.name)
		if err != nil {
			return err
		}
		proc, err := p.start(ctx, home, p)
		if err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
		defer proc.stop()
	}
	for _, tr := range trials {
		if !strings.Contains(tr.name, only) {
			continue
		}
		for i := range peers {
			p := peers[(i+round)%len(peers)] // who comes first changes with the round
			if !tr.takes(p) {
				continue
			}
			rep, err := run(ctx, binary, p, tr, duration)
			if err != nil {
				return err
			}
			t.add(tr.name, p.name, rep)
			if err := keep(raw, tr.name, p.name, round, rep); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d, %s, %s: %s\n", round+1, tr.name, p.name, rep.line())
		}
	}
	return nil
}

// run is one call of broker bench.
func run(ctx context.Context, binary string, p *peer, tr trial, duration time.Duration) (report, error) {
	what, at := tr.args, []string{"-url", p.ws}
	switch {
	case p.kind == disk:
		what, at = tr.raw, []string{"-dir", p.ws}
	case p.kind == loop:
		what, at = strings.Replace(tr.args, "fanout", "bare", 1), []string{"-batch", "1"}
	case p.kind == batch:
		what, at = strings.Replace(tr.args, "fanout", "bare", 1), nil
	case tr.who == stompTCP:
		at = []string{"-url", p.tcp}
	}
	args := append([]string{"bench"}, strings.Fields(strings.ReplaceAll(what, "%s", duration.String()))...)
	args = append(append(args, at...), "-json")
	cmd := exec.CommandContext(ctx, binary, append(args, p.login...)...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	var unsound *exec.ExitError
	if err != nil && (!errors.As(err, &unsound) || unsound.ExitCode() != 1) {
		return nil, fmt.Errorf("%s on %s: %w", tr.name, p.name, err)
	}
	rep := report{}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		return nil, fmt.Errorf("%s on %s: read report: %w", tr.name, p.name, err)
	}
	return rep, ctx.Err()
}

// kept is a line of the raw file.
type kept struct {
	Load   string `json:"load"`
	Peer   string `json:"peer"`
	Round  int    `json:"round"`
	Report report `json:"report"`
}

// keep appends a report to the raw file, if there is one.
func keep(raw, load, peer string, round int, rep report) error {
	if raw == "" {
		return nil
	}
	f, err := os.OpenFile(raw, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(kept{load, peer, round + 1, rep})
}

// printFile prints the table of a raw file.
func printFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	table := newTable()
	for d := json.NewDecoder(f); ; {
		var k kept
		if err := d.Decode(&k); errors.Is(err, io.EOF) {
			return table.print(os.Stdout)
		} else if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		table.add(k.Load, k.Peer, k.Report)
	}
}
