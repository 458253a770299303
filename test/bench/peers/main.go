// Command peers loads Gudok, RabbitMQ Web-STOMP, nats-server and Centrifugo in turn, on loopback, with
// the same loads, and prints the medians side by side; beside fan-outs, also what a bare loop spends,
// beside durable loads what the disk alone does, and beside feeds what polling costs.
//
//	go run ./test/bench/peers [-rounds 3] [-duration 1.5s] [-only Fan-out] [-peers gudok,nats] [-out DIR]
//	go run ./test/bench/peers -rounds 0 -out DIR
//
// It starts the brokers itself, anew for each round, with everything they write in a directory that it
// removes; -dir says on which disk that is. RabbitMQ is the one of the distribution (Debian:
// rabbitmq-server), the others are built from the modules in nats and centrifugo. A peer that is not
// there is skipped by name. With -out, reports are added to DIR/reports.jsonl, and DIR/table.md is made
// of all that are there: a series can be run in parts. The program in ../plot draws them.
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
	flags     []string // more flags of broker bench
	start     func(ctx context.Context, dir string, p *peer) (*process, error)
}

// everybody is who can be asked for.
func everybody(dir string) []*peer {
	return []*peer{
		{key: "gudok", name: "Gudok", start: startGudok},
		{key: "rabbitmq", name: "RabbitMQ", flags: []string{"-login", "guest", "-passcode", "guest", "-host", "/"}, start: startRabbit},
		{key: "nats", name: "NATS", kind: other, start: startNATS},
		{key: "centrifugo", name: "Centrifugo", kind: other, start: startCentrifugo},
		{key: "bare", name: "bare loop", kind: loop, start: startNothing},
		{key: "bare", name: "batch limit", kind: batch, start: startNothing},
		{key: "disk", name: "disk alone", kind: disk, ws: dir, start: startNothing},
		{key: "polling", name: "long polling", kind: poll, flags: []string{"-every", "0"}, start: startPolling},
		{key: "polling", name: "polling every 100 ms", kind: poll, flags: []string{"-every", "100ms"}, start: startPolling},
		{key: "polling", name: "polling every 1 s", kind: poll, flags: []string{"-every", "1s"}, start: startPolling},
	}
}

func main() {
	c := comparison{}
	flag.IntVar(&c.rounds, "rounds", 3, "how often each load runs on each broker; 0: only print what is in -out")
	flag.DurationVar(&c.duration, "duration", 1500*time.Millisecond, "how long most loads are measured")
	flag.StringVar(&c.only, "only", "", "run the loads whose section or name contains this")
	peers := flag.String("peers", "gudok,rabbitmq,nats,centrifugo,bare,disk,polling", "whom to load")
	flag.StringVar(&c.dir, "dir", "", "where the brokers keep their files meanwhile (default the system's directory for such)")
	flag.StringVar(&c.out, "out", "", "directory for reports and table (default: the table is printed)")
	flag.Parse()
	c.peers = strings.Split(*peers, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

// comparison is one call of the program.
type comparison struct {
	rounds         int
	duration       time.Duration
	only, dir, out string
	peers          []string // keys
	binary         string   // of Gudok
	table          *table
	before         int // rounds that an earlier call has run
}

func (c *comparison) run(ctx context.Context) error {
	c.table = newTable()
	if c.out != "" {
		if err := os.MkdirAll(c.out, 0o755); err != nil {
			return err
		}
		if err := c.earlier(); err != nil {
			return err
		}
	}
	if c.rounds > 0 {
		if err := c.load(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if c.out == "" {
		return c.table.print(os.Stdout)
	}
	f, err := os.Create(filepath.Join(c.out, "table.md"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.table.print(io.MultiWriter(f, os.Stdout)); err != nil {
		return err
	}
	return f.Close()
}

// load runs all rounds.
func (c *comparison) load(ctx context.Context) error {
	dir, err := os.MkdirTemp(c.dir, "gudok-peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, pkg := range map[string]string{"broker": "cmd/broker", "polling": "test/bench/polling"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), "github.com/gudokmq/gudok/"+pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	c.binary = filepath.Join(dir, "broker")
	var peers []*peer
	for _, p := range everybody(dir) {
		if !slices.Contains(c.peers, p.key) {
			continue
		}
		if why := missing(p.key); why != "" {
			fmt.Fprintf(os.Stderr, "peers: %s is skipped: %s\n", p.name, why)
			continue
		}
		peers = append(peers, p)
	}
	for round := range c.rounds {
		if err := c.round(ctx, dir, peers, round); err != nil {
			return err
		}
	}
	return nil
}

// round starts the brokers, runs each load on one after the other, and stops them.
func (c *comparison) round(ctx context.Context, dir string, peers []*peer, round int) error {
	for _, p := range peers {
		if !slices.ContainsFunc(trials(), func(t trial) bool { return c.wants(t, round) && t.takes(p) }) {
			continue
		}
		home, err := os.MkdirTemp(dir, p.key)
		if err != nil {
			return err
		}
		proc, err := p.start(ctx, home, p)
		if err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
		defer proc.stop()
	}
	for _, t := range trials() {
		if !c.wants(t, round) {
			continue
		}
		for i := range peers {
			p := peers[(i+round+c.before)%len(peers)] // who comes first changes with the round
			if !t.takes(p) {
				continue
			}
			rep, err := c.one(ctx, p, t)
			if err != nil {
				return err
			}
			if rep == nil {
				fmt.Fprintf(os.Stderr, "peers: %s did not take the load %s, %s\n", p.name, t.section, t.name)
				continue
			}
			k := kept{t.section, t.name, p.name, round + c.before + 1, rep}
			c.table.add(k)
			if err := c.keep(k); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d, %s, %s, %s: %s\n", k.Round, t.section, t.name, p.name, rep.line())
		}
	}
	return nil
}

// wants tells whether a load is to run in that round.
func (c *comparison) wants(t trial, round int) bool {
	return strings.Contains(t.section+", "+t.name, c.only) && !(t.once && round > 0)
}

// one is one call of broker bench; no report means that the load did not even begin.
func (c *comparison) one(ctx context.Context, p *peer, t trial) (report, error) {
	cmd := exec.CommandContext(ctx, c.binary, t.line(p, c.duration)...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	var unsound *exec.ExitError
	if err != nil && (!errors.As(err, &unsound) || unsound.ExitCode() != 1) {
		return nil, fmt.Errorf("%s on %s: %w", t.name, p.name, err)
	}
	if out.Len() == 0 {
		return nil, ctx.Err()
	}
	rep := report{}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		return nil, fmt.Errorf("%s on %s: read report: %w", t.name, p.name, err)
	}
	return rep, ctx.Err()
}

// kept is a line of the reports' file.
type kept struct {
	Section string `json:"section"`
	Load    string `json:"load"`
	Peer    string `json:"peer"`
	Round   int    `json:"round"`
	Report  report `json:"report"`
}

func (c *comparison) reports() string { return filepath.Join(c.out, "reports.jsonl") }

// keep adds a report to the file, if there is one.
func (c *comparison) keep(k kept) error {
	if c.out == "" {
		return nil
	}
	f, err := os.OpenFile(c.reports(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(k)
}

// earlier reads what earlier calls have put into the file.
func (c *comparison) earlier() error {
	f, err := os.Open(c.reports())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var k kept
		if err := d.Decode(&k); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", c.reports(), err)
		}
		c.table.add(k)
		c.before = max(c.before, k.Round)
	}
}
