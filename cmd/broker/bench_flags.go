package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

// benchFlags are the flags as given; the defaults depend on the load.
type benchFlags struct {
	load.Options
	url, login, passcode, host string
	bare, compress             bool
}

// parse reads the flags of one load and makes the plan.
func (b *bench) parse(name string, args []string) ([]step, error) {
	fs := flag.NewFlagSet("broker bench "+name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // faults are told in one line, by runBench
	mib := 560               // of which 500 are alive
	f := &benchFlags{Options: load.Options{Subs: 50, Pubs: 1, Size: 128, Duration: 5 * time.Second}}
	switch name {
	case "fanout":
		f.traffic(fs)
		fs.IntVar(&f.Topics, "topics", 0, "topics that messages go to in turn, each with 5 of the subscribers; 0: one for all")
		fs.BoolVar(&f.bare, "bare", false, "measure the bare loop first, and print how the broker stands to it")
	case "bare":
		fs.IntVar(&f.Subs, "subs", f.Subs, "subscribers, a connection each")
		fs.IntVar(&f.Size, "size", f.Size, "body in bytes, 32 at least")
		fs.IntVar(&f.Batch, "batch", 0, "messages in one write; 0: as many as fit into 64 KiB")
		fs.DurationVar(&f.Warmup, "warmup", 0, "comes first, not measured (default a tenth of -duration, 1s at most)")
	case "latency":
		f.Rate = 200
		f.traffic(fs)
	case "queue":
		f.Subs, f.Prefetch, f.Receipts, f.Ack = 1, 100, 100, "client-individual"
		f.traffic(fs)
		fs.IntVar(&f.Prefetch, "prefetch", f.Prefetch, "prefetch-count of each subscriber; 0: the broker's default")
		fs.StringVar(&f.Ack, "ack", f.Ack, "`mode`: auto, client or client-individual")
		f.persistent(fs)
	case "send":
		f.Subs, f.Pubs, f.Receipts, f.Size = 0, 8, 128, 1024
		f.sends(fs)
		fs.IntVar(&f.Batch, "batch", 0, "frames a publisher puts into one write at most; 0: 16")
		fs.StringVar(&f.Destination, "destination", "", "queue (default a fresh name)")
		fs.Int64Var(&f.Count, "count", 0, "messages to publish at most; 0: only -duration ends it")
		fs.DurationVar(&f.Drain, "drain", 3*time.Second, "silence after which a receipt or message counts as lost")
		fs.BoolVar(&f.Keep, "keep", false, "leave the messages in the queue")
		f.persistent(fs)
	case "drain":
		f.Subs, f.Pubs, f.Prefetch, f.Ack, f.Duration = 1, 8, 1000, "client", time.Second
		fs.IntVar(&f.Subs, "subs", f.Subs, "subscribers, a connection each")
		fs.IntVar(&f.Pubs, "pubs", f.Pubs, "publishers there were")
		fs.IntVar(&f.Size, "size", f.Size, "body in bytes")
		fs.IntVar(&f.Prefetch, "prefetch", f.Prefetch, "prefetch-count of each subscriber; 0: the broker's default")
		fs.StringVar(&f.Ack, "ack", f.Ack, "`mode`: auto, client or client-individual")
		fs.StringVar(&f.Destination, "destination", "", "queue")
		fs.Int64Var(&f.Count, "count", 0, "messages there are; 0: until nothing comes for -drain")
		fs.DurationVar(&f.Drain, "drain", 3*time.Second, "silence after which a message counts as lost")
	case "disk":
		f.Subs, f.Pubs, f.Receipts, f.Size = 0, 8, 128, 1024
		f.sends(fs)
		fs.StringVar(&f.Dir, "dir", ".", "where the file is made, and removed")
		fs.BoolVar(&f.Pair, "pair", false, "overwrite and sync a header after each append")
	case "idle":
		f.Conns, f.Beat, f.Subs, f.Pubs, f.Duration = 5000, 10*time.Second, 0, 0, 20*time.Second
		fs.IntVar(&f.Conns, "n", f.Conns, "connections, 10000 at most")
		fs.DurationVar(&f.Beat, "heartbeat", f.Beat, "heart-beat both ways; 0: none")
		fs.StringVar(&f.Destination, "destination", "", "first part of the topics (default a fresh name)")
		fs.DurationVar(&f.Warmup, "warmup", 0, "comes first, not measured: to tidy up after connecting is not idling\n(default 6s, or -duration)")
	case "connect":
		f.Conns, f.Rate = 2000, 200
		f.feed(fs)
		fs.IntVar(&f.Conns, "n", f.Conns, "connections open at a time")
		fs.Float64Var(&f.Connects, "connects", 0, "connections per second; 0: as many as 64 make one after the other")
	case "pause":
		f.Subs, f.Rate, f.Conns, f.Topics, f.Duration = 10, 1000, 8000, 250, 15*time.Second
		f.feed(fs)
		fs.IntVar(&f.Conns, "n", f.Conns, "sessions at most")
		fs.IntVar(&f.Topics, "topics", f.Topics, "subscriptions of each session")
		fs.IntVar(&mib, "live", mib, "MiB that the broker is to grow by")
	case "poll":
		f.Subs, f.Rate = 100, 1000
		f.feed(fs)
		fs.DurationVar(&f.Every, "every", 0, "how often each client asks; 0: long polling")
	case "all":
	case "reach":
		f.Duration = 2 * time.Second
	case "-h", "-help", "--help", "help":
		fmt.Fprint(b.stdout, benchHelp)
		return nil, flag.ErrHelp
	default:
		return nil, fmt.Errorf("unknown load %q: fanout, latency, queue, send, drain, disk, idle, connect, pause, poll, bare, all or reach", name)
	}
	f.common(fs)
	fs.BoolVar(&b.json, "json", false, "print one JSON object per load")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(b.stdout, "usage: broker bench %s [flags]\n", name)
		fs.SetOutput(b.stdout)
		fs.PrintDefaults()
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	f.Live = int64(mib) << 20
	if err := f.finish(name); err != nil {
		return nil, err
	}
	return f.plan(name), nil
}

func (f *benchFlags) common(fs *flag.FlagSet) {
	fs.StringVar(&f.url, "url", "ws://127.0.0.1:15674/ws", "ws://host:port/path or stomp://host:port;\n"+
		"of others nats+ws://host:port, nats://host:port, centrifugo+ws://host:port/path")
	fs.StringVar(&f.login, "login", "", "login (default that of the URL)")
	fs.StringVar(&f.passcode, "passcode", "", "passcode (default that of the URL), which the list of processes then shows")
	fs.Func("passcode-file", "`file` whose first line is the passcode", func(path string) (err error) {
		f.passcode, err = passwordIn(path)
		return err
	})
	fs.StringVar(&f.host, "host", "", "host header of CONNECT (default that of the URL)")
	fs.BoolVar(&f.compress, "compress", false, "ask for compressed messages (STOMP over WebSocket)")
	fs.StringVar(&f.Log, "log", "", "`file` that a Gudok logs to, to tell its allocations and collections; SIGUSR1 asks for them")
	fs.IntVar(&f.PID, "pid", 0, "broker's process; 0: the one that listens at the URL's port")
	fs.DurationVar(&f.Duration, "duration", f.Duration, "how long each load is measured, 10m at most")
}

// persistent is a flag of three states: true, false, not given.
func (f *benchFlags) persistent(fs *flag.FlagSet) {
	fs.BoolFunc("persistent", "send persistent:true, or with =false persistent:false (default neither)", func(s string) error {
		v, err := strconv.ParseBool(s)
		f.Persistent = strconv.FormatBool(v)
		return err
	})
}

func (f *benchFlags) sends(fs *flag.FlagSet) {
	fs.IntVar(&f.Pubs, "pubs", f.Pubs, "publishers")
	fs.IntVar(&f.Size, "size", f.Size, "body in bytes, 32 at least")
	fs.IntVar(&f.Receipts, "receipts", f.Receipts, "how many each publisher may wait for")
	fs.DurationVar(&f.Warmup, "warmup", 0, "comes first, not measured (default a tenth of -duration, 1s at most; with -count none)")
}

// feed are the flags of messages at a fixed rate beside something else.
func (f *benchFlags) feed(fs *flag.FlagSet) {
	fs.IntVar(&f.Subs, "subs", f.Subs, "subscribers, a connection each")
	fs.IntVar(&f.Size, "size", f.Size, "body in bytes, 32 at least")
	fs.Float64Var(&f.Rate, "rate", f.Rate, "messages per second")
	fs.DurationVar(&f.Warmup, "warmup", 0, "comes first, not measured (default a tenth of -duration, 1s at most)")
}

func (f *benchFlags) traffic(fs *flag.FlagSet) {
	fs.IntVar(&f.Subs, "subs", f.Subs, "subscribers, a connection each")
	fs.IntVar(&f.Pubs, "pubs", f.Pubs, "publishers, a connection each")
	fs.IntVar(&f.Size, "size", f.Size, "body in bytes, 32 at least")
	fs.Float64Var(&f.Rate, "rate", f.Rate, "messages per second of all publishers; 0: saturated")
	fs.IntVar(&f.Batch, "batch", 0, "frames a saturating publisher puts into one write at most; 0: 16")
	fs.IntVar(&f.Window, "window", 0, "messages publishers may be ahead of the slowest subscriber;\n"+
		"0: 1000, 512 KiB or a million deliveries, whichever is least, and with -rate no bound")
	fs.IntVar(&f.Receipts, "receipts", f.Receipts, "receipts a publisher may wait for; 0: none asked")
	fs.StringVar(&f.Destination, "destination", "", "topic or queue (default a fresh name)")
	fs.Int64Var(&f.Count, "count", 0, "messages to publish at most; 0: only -duration ends it")
	fs.DurationVar(&f.Warmup, "warmup", 0, "comes first, not measured (default a tenth of -duration, 1s at most; with -count none)")
	fs.DurationVar(&f.Drain, "drain", 3*time.Second, "silence after which a message counts as lost")
}

func (f *benchFlags) finish(name string) error {
	t, err := load.ParseTarget(f.url)
	if err != nil {
		return err
	}
	if f.login != "" {
		t.Login = f.login
	}
	if f.passcode != "" {
		t.Passcode = f.passcode
	}
	if f.host != "" {
		t.VHost = f.host
	}
	if t.Compress = f.compress; f.compress && (!t.WebSocket || t.Protocol != "") {
		return fmt.Errorf("-compress is for STOMP over WebSocket")
	}
	f.Target, f.URL = t, load.Shown(f.url)
	if f.Warmup == 0 && name == "idle" {
		f.Warmup = min(f.Duration, tidying)
	}
	if f.Warmup == 0 && f.Count == 0 { // a count is measured from the first to the last
		f.Warmup = min(f.Duration/10, time.Second)
	}
	if (name == "poll") != (t.Protocol == "polling") {
		return fmt.Errorf("http:// URLs are for poll alone, and poll takes nothing else")
	}
	if (name == "latency" || name == "connect" || name == "pause" || name == "poll") && f.Rate <= 0 {
		return fmt.Errorf("-rate must be above 0 for %s", name)
	}
	if f.PID == 0 {
		f.PID, _ = load.Owner(t.Addr) // a broker elsewhere is loaded just the same
	}
	return nil
}

// plan is the loads one name stands for.
func (f *benchFlags) plan(name string) []step {
	o := f.Options
	switch name {
	case "fanout":
		if f.bare {
			return append(bareSteps(o), step{load.Fanout, o})
		}
		return []step{{load.Fanout, o}}
	case "latency":
		return []step{{load.Fanout, o}}
	case "bare":
		return []step{{bare, o}}
	case "queue":
		return []step{{load.Queue, o}}
	case "send":
		return []step{{load.Send, o}}
	case "drain":
		return []step{{load.Drain, o}}
	case "disk":
		return []step{{load.Disk, o}}
	case "idle":
		return []step{{load.Idle, o}}
	case "connect":
		return []step{{load.Connect, o}}
	case "pause":
		return []step{{load.Pause, o}}
	case "reach":
		return f.reach()
	case "poll":
		return []step{{load.Poll, o}}
	}
	with := f.with
	return []step{
		{load.Fanout, o},
		{load.Fanout, with(func(o *load.Options) { o.Batch = 1 })},
		{load.Fanout, with(func(o *load.Options) { o.Size = 16 << 10 })},
		{load.Fanout, with(func(o *load.Options) { o.Rate = 200 })},
		{load.Queue, with(func(o *load.Options) { o.Subs, o.Prefetch, o.Receipts = 1, 100, 100 })},
		{load.Queue, with(func(o *load.Options) { o.Subs, o.Pubs, o.Prefetch, o.Receipts = 4, 4, 100, 100 })},
		{load.Idle, with(func(o *load.Options) { o.Subs, o.Pubs, o.Conns, o.Beat = 0, 0, 1000, 10*time.Second })},
	}
}

// with is the options with something changed.
func (f *benchFlags) with(change func(*load.Options)) load.Options {
	o := f.Options
	change(&o)
	return o
}

// tidying is what a broker may take to tidy up after thousands have connected.
const tidying = 6 * time.Second

// reach is the loads of a comparison with what the machine allows: about two minutes.
func (f *benchFlags) reach() []step {
	with := f.with
	steps := []step{{load.Idle, with(func(o *load.Options) {
		o.Subs, o.Pubs, o.Conns, o.Beat, o.Duration, o.Warmup = 0, 0, 8000, 10*time.Second, 20*time.Second, tidying
	})}}
	for _, o := range []load.Options{
		f.Options,
		with(func(o *load.Options) { o.Subs, o.Size = 1000, 256 }),
		with(func(o *load.Options) { o.Size = 16 << 10 }),
	} {
		steps = append(append(steps, bareSteps(o)...), step{load.Fanout, o})
	}
	steps = append(steps,
		step{load.Queue, with(func(o *load.Options) { o.Subs, o.Prefetch, o.Receipts, o.Persistent = 1, 100, 100, "false" })},
		step{load.Fanout, with(func(o *load.Options) { o.Rate = 200 })},
		step{load.Connect, with(func(o *load.Options) { o.Rate, o.Conns = 200, 2000 })})
	for _, n := range []int{10, 100, 1000, 10000} {
		steps = append(steps, step{load.Fanout, with(func(o *load.Options) { o.Subs = n })})
	}
	for _, n := range []int{10, 1000, 100000} {
		steps = append(steps, step{load.Fanout, with(func(o *load.Options) { o.Topics = n })})
	}
	for _, n := range []int{4, 16, 64} {
		steps = append(steps, step{load.Fanout, with(func(o *load.Options) { o.Pubs = n })})
	}
	return append(steps, step{load.Pause, with(func(o *load.Options) {
		o.Subs, o.Rate, o.Conns, o.Topics, o.Live, o.Duration = 10, 1000, 8000, 250, pauseLive<<20, 10*time.Second
	})})
}

// pauseLive is by how many MiB the sessions of pause make the broker grow: some 300 of them are alive, the others the room
// that it has for garbage. More than 250 subscriptions each, and 10,000 sessions, are for who raises the broker's limits.
const pauseLive = 560

// bareSteps are the bare loops that the fan-out o is compared with.
func bareSteps(o load.Options) []step {
	each, batch := o, o
	each.Batch, batch.Batch = 1, 0
	return []step{{bare, each}, {bare, batch}}
}

// bare measures the bare loop in a process of this program.
func bare(ctx context.Context, o load.Options) (load.Report, error) {
	self, err := os.Executable()
	if err != nil {
		return load.Report{Bench: "bare"}, fmt.Errorf("find this program: %w", err)
	}
	return load.Bare(ctx, o, func(args ...string) *exec.Cmd {
		return exec.Command(self, append([]string{"bench", bareLoop}, args...)...) // #nosec G204 -- this program, by flags of its own
	})
}

// bareLoop is the load that makes a process the bare loop; it is no load to be asked for.
const bareLoop = "bare-loop"

// serveBare is the process that bare starts.
func serveBare(args []string, stdin io.Reader, stdout io.Writer) error {
	var n [3]int
	if len(args) != len(n) {
		return errors.New("it takes subscribers, bytes and messages in one write")
	}
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[i]); err != nil {
			return err
		}
	}
	return load.ServeBare(n[0], n[1], n[2], stdin, stdout)
}
