package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

const benchHelp = `usage: broker bench LOAD [flags]

Loads any STOMP 1.2 broker over WebSocket or TCP and prints rates, delays, losses, and what the
broker spent, if it runs on this machine. Loads:
  fanout    one topic, many subscribers, as fast as the slowest of them keeps up
  latency   the same at a fixed rate
  queue     publish, deliver, acknowledge through one queue
  send      publish to a queue that nobody reads, with receipts; then it is emptied
  drain     empty a queue that "send -keep" has filled
  disk      no broker: append and sync, as many outstanding as in "send"
  idle      many connections with one subscription each and heart-beats
  connect   connections made and closed while messages go to others at a fixed rate
  pause     messages at a fixed rate beside sessions that take 560 MiB: what the collector does to them
  poll      no broker: clients that ask the server of test/bench/polling again and again
  bare      no broker: a loop that writes messages to subscribers, what a fan-out costs at least
  all       a short series of the above
  reach     idle, bare, fan-outs, queue, connect, many subscribers, topics and publishers, pause: two
            minutes; the broker has to allow 10001 connections and 10000 subscriptions on each

"broker bench LOAD -h" tells the flags of each. ^C ends a load and prints what was seen.
`

// runBench runs one load, or the series, and returns the exit code: 0, 1 if a load failed or a
// message was lost, 2 for wrong usage.
func runBench(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, benchHelp)
		return 2
	}
	if args[0] == bareLoop {
		if err := serveBare(args[1:], os.Stdin, stdout); err != nil {
			fmt.Fprintf(stderr, "broker bench: bare loop: %v\n", err)
			return 1
		}
		return 0
	}
	b := bench{stdout: stdout, stderr: stderr}
	plan, err := b.parse(args[0], args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "broker bench: %v (see: broker bench -h)\n", err)
		return 2
	}
	// ^C stops the load under way and prints what it has; a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return b.run(ctx, plan)
}

// bench is one call of the subcommand.
type bench struct {
	stdout, stderr io.Writer
	json           bool
}

// step is one load of a plan.
type step struct {
	load func(context.Context, load.Options) (load.Report, error)
	o    load.Options
}

func (b *bench) run(ctx context.Context, plan []step) int {
	code := 0
	var reports []load.Report
	for i, s := range plan {
		if ctx.Err() != nil {
			break
		}
		if i > 0 {
			pause(ctx, 300*time.Millisecond) // the broker tidies up after the load before
		}
		rep, err := s.load(ctx, s.o)
		if err != nil {
			fmt.Fprintf(b.stderr, "broker bench: %s: %v\n", rep.Bench, err)
		}
		if err != nil || !rep.Sound() {
			code = 1
		}
		if rep.Seconds == 0 {
			continue // it never began
		}
		rep.Compare(reports)
		reports = append(reports, rep)
		if b.json {
			if err := json.NewEncoder(b.stdout).Encode(rep); err != nil {
				fmt.Fprintf(b.stderr, "broker bench: write report: %v\n", err)
				return 1
			}
		}
	}
	if !b.json {
		if err := printBench(b.stdout, reports); err != nil {
			fmt.Fprintf(b.stderr, "broker bench: write report: %v\n", err)
			return 1
		}
	}
	return code
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
