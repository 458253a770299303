// Command peers loads Gudok and RabbitMQ Web-STOMP in turn, on loopback, with the same loads, and
// prints the medians side by side; beside durable loads, also what the disk alone does.
//
//	go run ./test/bench/peers [-rounds 3] [-duration 3s] [-only fanout] [-dir DIR] [-raw FILE]
//
// It starts both brokers itself, anew for each round, with everything they write in a directory
// that it removes; -dir says on which disk that is. RabbitMQ is the one of the distribution (Debian: rabbitmq-server); where it is
// not installed, Gudok runs alone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// peer is a broker that can be loaded, or the disk alone.
type peer struct {
	name  string
	disk  bool     // no broker: raw appends and syncs
	ws    string   // URL; directory for the disk
	tcp   string   // URL
	login []string // flags of broker bench
	start func(ctx context.Context, dir string, p *peer) (*process, error)
}

// trial is one load. %s in args stands for the duration.
type trial struct {
	name string
	tcp  bool
	args string
	raw  string // what the disk alone is to do beside it, if anything
}

// trials begin with idle connections, so that they meet brokers that were just started.
var trials = []trial{
	{"idle, 1,000 connections", false, "idle -n 1000 -heartbeat 10s -duration 11s", ""},
	{"fanout 50 × 128 B", false, "fanout -duration %s", ""},
	{"fanout 50 × 128 B, one SEND per write", false, "fanout -batch 1 -duration %s", ""},
	{"fanout 1,000 × 256 B", false, "fanout -subs 1000 -size 256 -duration %s", ""},
	{"fanout 50 × 16 KiB", false, "fanout -size 16384 -duration %s", ""},
	{"fanout 50 × 128 B over TCP", true, "fanout -duration %s", ""},
	{"200 messages/s to 50", false, "latency -rate 200 -duration %s", ""},
	{"queue 1 → 1, ack client-individual", false, "queue -persistent=false -duration %s", ""},
	{"queue 4 → 4, ack client-individual", false, "queue -persistent=false -pubs 4 -subs 4 -duration %s", ""},
	{"queue 1 → 1, ack auto", false, "queue -persistent=false -ack auto -duration %s", ""},
	{"durable: send 8 × 128 outstanding, 1 KiB", true, "send -persistent -duration %s", "disk -duration %s"},
	{"durable: send one at a time, 1 KiB", true, "send -persistent -pubs 1 -receipts 1 -duration %s",
		"disk -pair -pubs 1 -receipts 1 -duration %s"},
	{"durable: queue 2 → 2, 128 B, with receipts", true, "queue -persistent -pubs 2 -subs 2 -duration %s", ""},
	{"durable: queue 2 → 2, 128 B, without receipts", true, "queue -persistent -receipts 0 -pubs 2 -subs 2 -duration %s", ""},
}

func main() {
	rounds := flag.Int("rounds", 3, "how often each load runs on each broker")
	duration := flag.Duration("duration", 3*time.Second, "how long each load is measured")
	only := flag.String("only", "", "run the loads whose name contains this")
	alone := flag.Bool("alone", false, "Gudok only")
	dir := flag.String("dir", "", "where the brokers keep their files meanwhile (default the system's directory for such)")
	raw := flag.String("raw", "", "append every report to this file, one JSON object per line")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, *rounds, *duration, *only, *alone, *dir, *raw); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, rounds int, duration time.Duration, only string, alone bool, dir, raw string) error {
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
	peers := []*peer{{name: "Gudok", start: startGudok}}
	if !alone && rabbitInstalled() {
		peers = append(peers, &peer{name: "RabbitMQ", login: []string{"-login", "guest", "-passcode", "guest", "-host", "/"}, start: startRabbit})
	} else if !alone {
		fmt.Fprintln(os.Stderr, "peers: RabbitMQ is skipped: rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
	}
	peers = append(peers, &peer{name: "disk alone", disk: true, ws: dir, start: startNothing})
	table := newTable(peers)
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
			if p.disk && tr.raw == "" {
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
	case p.disk:
		what, at = tr.raw, []string{"-dir", p.ws}
	case tr.tcp:
		at = []string{"-url", p.tcp}
	}
	args := strings.Fields(strings.ReplaceAll(what, "%s", duration.String()))
	args = append(append([]string{"bench"}, args...), append(at, "-json")...)
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
	return json.NewEncoder(f).Encode(map[string]any{"load": load, "peer": peer, "round": round + 1, "report": rep})
}
