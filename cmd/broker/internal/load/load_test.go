package load_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "bare" { // the process of TestBare
		var n [3]int
		for i := range n {
			n[i], _ = strconv.Atoi(os.Args[2+i])
		}
		if err := load.ServeBare(n[0], n[1], n[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestBare(t *testing.T) {
	again := func(args ...string) *exec.Cmd { return exec.Command(os.Args[0], append([]string{"bare"}, args...)...) }
	for _, batch := range []int{0, 1, 3} {
		o := load.Options{Subs: 3, Size: 200, Batch: batch, Duration: 100 * time.Millisecond}
		r, err := load.Bare(t.Context(), o, again)
		if err != nil || !r.Sound() || r.Delivered == 0 || batch > 0 && r.Batch != batch || r.Batch == 0 {
			t.Errorf("batch %d: %v, %+v", batch, err, r)
		}
	}
}

func TestCompareWithTheBareLoop(t *testing.T) {
	cpu := func(v float64) *float64 { return &v }
	r := load.Report{Bench: "fanout", Subs: 2, Size: 128, BrokerCPU: cpu(1)}
	r.Compare([]load.Report{
		{Bench: "bare", Subs: 2, Size: 128, Batch: 1, BrokerCPU: cpu(4)},
		{Bench: "bare", Subs: 2, Size: 128, Batch: 9, BrokerCPU: cpu(0.125)},
		{Bench: "bare", Subs: 3, Size: 128, Batch: 9, BrokerCPU: cpu(7)},
	})
	if r.TimesBare == nil || r.TimesLimit == nil || *r.TimesBare != 0.25 || *r.TimesLimit != 8 {
		t.Errorf("%v, %v", r.TimesBare, r.TimesLimit)
	}
}

// quick is a load that ends by its count.
func quick(t load.Target, count int64) load.Options {
	return load.Options{Target: t, Subs: 3, Pubs: 2, Size: 200, Count: count, Duration: time.Minute, Drain: time.Second}
}

func TestFanoutCountsEverything(t *testing.T) {
	ws, tcp := new(stub).serve(t)
	for name, target := range map[string]load.Target{"WebSocket": ws, "TCP": tcp} {
		t.Run(name, func(t *testing.T) {
			o := quick(target, 501)
			o.Receipts = 10
			r, err := load.Fanout(t.Context(), o)
			if err != nil || !r.Sound() {
				t.Fatalf("unsound: %v, %+v", err, r)
			}
			if r.Published != 501 || r.Delivered != 3*501 || r.PerSecond <= 0 || r.Server != "stub/1" {
				t.Errorf("wrong counts: %+v", r)
			}
			if r.Latency == nil || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.Max {
				t.Errorf("latency %+v", r.Latency)
			}
		})
	}
}

func TestLargeBodiesOutgrowTheReadBuffer(t *testing.T) {
	ws, tcp := new(stub).serve(t)
	for name, target := range map[string]load.Target{"WebSocket": ws, "TCP": tcp} {
		t.Run(name, func(t *testing.T) {
			o := quick(target, 8)
			o.Size = 300 << 10
			if r, err := load.Fanout(t.Context(), o); err != nil || !r.Sound() || r.Delivered != 24 {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

func TestFanoutSeesFaults(t *testing.T) {
	for name, c := range map[string]struct {
		times            int
		lost, misordered int64
	}{
		"a lost message":    {0, 1, 0},
		"a doubled message": {2, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{fault: func(n int) int {
				if n == 100 {
					return c.times
				}
				return 1
			}}
			_, tcp := s.serve(t)
			o := quick(tcp, 200)
			o.Drain = 50 * time.Millisecond
			r, err := load.Fanout(t.Context(), o)
			if err != nil || r.Lost != c.lost || r.Misordered != c.misordered || r.Sound() {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	for _, ack := range []string{"auto", "client", "client-individual"} {
		t.Run(ack, func(t *testing.T) {
			s := new(stub)
			ws, _ := s.serve(t)
			o := quick(ws, 400)
			o.Ack, o.Prefetch, o.Receipts, o.Persistent = ack, 50, 20, "true"
			r, err := load.Queue(t.Context(), o)
			if err != nil || !r.Sound() || r.Delivered != 400 {
				t.Fatalf("%v, %+v", err, r)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if (ack == "auto") != (s.acks == 0) || (ack == "client-individual") != (s.acks == 400) {
				t.Errorf("%d ACKs", s.acks)
			}
		})
	}
}

func TestQueueSeesDoubles(t *testing.T) {
	s := &stub{fault: func(n int) int { return 1 + n/100%2*(n%100/99) }} // number 199 twice
	_, tcp := s.serve(t)
	r, err := load.Queue(t.Context(), quick(tcp, 250))
	if err != nil || r.Duplicates != 1 || r.Lost != 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestPacedLoadKeepsItsRate(t *testing.T) {
	_, tcp := new(stub).serve(t)
	o := quick(tcp, 0)
	o.Rate, o.Duration = 200, 500*time.Millisecond
	r, err := load.Fanout(t.Context(), o)
	if err != nil || !r.Sound() || r.Bench != "latency" {
		t.Fatalf("%v, %+v", err, r)
	}
	if most := int64(200*r.Seconds) + 100; r.Published > most { // what it could not send in time it may make up for
		t.Errorf("%d messages in %v s at 200/s", r.Published, r.Seconds)
	}
}

func TestIdle(t *testing.T) {
	s := new(stub)
	ws, _ := s.serve(t)
	r, err := load.Idle(t.Context(), load.Options{Target: ws, Conns: 40, Beat: 100 * time.Millisecond, Duration: 400 * time.Millisecond})
	if err != nil || !r.Sound() || r.Conns != 40 || r.Connects <= 0 || r.BeatsOut < 40 || r.BeatsIn == 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestIdleSeesDrops(t *testing.T) {
	_, tcp := (&stub{hangUpOnBeat: true}).serve(t)
	r, err := load.Idle(t.Context(), load.Options{Target: tcp, Conns: 5, Beat: 100 * time.Millisecond, Duration: time.Second})
	if err != nil || r.Dropped != 5 || r.Sound() {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestInterruptedLoadReportsWhatItHas(t *testing.T) {
	ws, _ := new(stub).serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r, err := load.Fanout(ctx, quick(ws, 0))
	if err != nil || !r.Sound() || !r.Interrupted || r.Delivered == 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestErrorFrameEndsTheLoad(t *testing.T) {
	_, tcp := (&stub{refuse: true}).serve(t)
	_, err := load.Fanout(t.Context(), quick(tcp, 0))
	if err == nil || !strings.Contains(err.Error(), "no: not today") {
		t.Errorf("error %v", err)
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	good := load.Options{Subs: 1, Pubs: 1, Size: 128, Duration: time.Second}
	for name, change := range map[string]func(*load.Options){
		"no duration":          func(o *load.Options) { o.Duration = 0 },
		"too long":             func(o *load.Options) { o.Duration = time.Hour },
		"too many connections": func(o *load.Options) { o.Subs = 20000 },
		"no subscriber":        func(o *load.Options) { o.Subs = 0 },
		"body too small":       func(o *load.Options) { o.Size = 10 },
		"negative rate":        func(o *load.Options) { o.Rate = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			if _, err := load.Fanout(t.Context(), o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]load.Target{
		"ws://127.0.0.1:15674/ws":  {WebSocket: true, Addr: "127.0.0.1:15674", Path: "/ws", VHost: "127.0.0.1"},
		"ws://h/a?b=c":             {WebSocket: true, Addr: "h:80", Path: "/a?b=c", VHost: "h"},
		"ws://[::1]:1":             {WebSocket: true, Addr: "[::1]:1", Path: "/ws", VHost: "::1"},
		"nats+ws://h:1/":           {Protocol: "nats", WebSocket: true, Addr: "h:1", Path: "/ws", VHost: "h"},
		"nats://h":                 {Protocol: "nats", Addr: "h:4222", Path: "/ws", VHost: "h"},
		"centrifugo+ws://h:1/c":    {Protocol: "centrifugo", WebSocket: true, Addr: "h:1", Path: "/c", VHost: "h"},
		"stomp://u:p@localhost":    {Addr: "localhost:61613", Path: "/ws", VHost: "localhost", Login: "u", Passcode: "p"},
		"tcp://127.0.0.1:61613":    {Addr: "127.0.0.1:61613", Path: "/ws", VHost: "127.0.0.1"},
		"http://127.0.0.1":         {Protocol: "polling", Addr: "127.0.0.1:80", Path: "/ws", VHost: "127.0.0.1"},
		"https://127.0.0.1":        {},
		"stomp://127.0.0.1:1/path": {},
		"ws://:80/ws":              {},
		"127.0.0.1:15674":          {},
	} {
		got, err := load.ParseTarget(raw)
		if got != want || (err == nil) == (want == load.Target{}) {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}
