package load_test

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

func TestTopicsCountEverything(t *testing.T) {
	ws, _ := new(stub).serve(t)
	for _, topics := range []int{1, 3, 40, 700} {
		o := quick(ws, 1001)
		o.Subs, o.Topics = 7, topics
		r, err := load.Fanout(t.Context(), o)
		if err != nil || !r.Sound() || r.Delivered != 5*1001 || r.Topics != topics {
			t.Errorf("%d topics: %v, %+v", topics, err, r)
		}
	}
}

func TestTopicsSeeFaults(t *testing.T) {
	for times, want := range map[int]load.Report{0: {Lost: 1}, 2: {Duplicates: 1, Misordered: 1}} {
		s := &stub{fault: func(n int) int {
			if n == 100 {
				return times
			}
			return 1
		}}
		ws, _ := s.serve(t)
		o := quick(ws, 200)
		o.Subs, o.Topics, o.Drain = 7, 3, 50*time.Millisecond
		r, err := load.Fanout(t.Context(), o)
		if err != nil || r.Lost != want.Lost || r.Duplicates != want.Duplicates || r.Misordered != want.Misordered {
			t.Errorf("delivered %d times: %v, %+v", times, err, r)
		}
	}
}

func TestConnectBesideAFeed(t *testing.T) {
	ws, _ := new(stub).serve(t)
	o := load.Options{Target: ws, Subs: 3, Pubs: 1, Size: 64, Rate: 500, Conns: 80, Duration: 300 * time.Millisecond}
	r, err := load.Connect(t.Context(), o)
	if err != nil || !r.Sound() || r.Conns < 80 || r.Connects <= 0 || r.Latency == nil || r.Quiet == nil {
		t.Errorf("%v, %+v", err, r)
	}
	o.Connects = 200
	if r, err = load.Connect(t.Context(), o); err != nil || r.Connects > 250 || r.Conns < 20 {
		t.Errorf("at 200 a second: %v, %+v", err, r)
	}
}

func TestPauseBesideSessions(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc")
	}
	ws, _ := new(stub).serve(t)
	debug.FreeOSMemory() // what tests before this one have left would take in much of what is to grow
	o := load.Options{Target: ws, PID: os.Getpid(), Subs: 2, Pubs: 1, Size: 64, Rate: 200, Conns: 4000, Topics: 50, Live: 1 << 20, Duration: 300 * time.Millisecond}
	r, err := load.Pause(t.Context(), o)
	if err != nil || !r.Sound() || r.Conns < 50 || r.Latency == nil || r.Quiet == nil || r.BrokerPeak <= 0 {
		t.Errorf("%v, %+v", err, r)
	}
	o.Conns, o.Live = 50, 1<<40
	if _, err = load.Pause(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not enough") {
		t.Errorf("a broker that cannot grow so far: %v", err)
	}
}

func TestLogThatTellsNothing(t *testing.T) {
	ws, _ := new(stub).serve(t)
	o := quick(ws, 10)
	o.Log = "no such file"
	if _, err := load.Fanout(t.Context(), o); err == nil {
		t.Error("accepted")
	}
}
