package durability

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

const qBrief = "/queue/brief" // what expires there becomes a dead letter

// newStepWorld is a world in a directory of a file system of that kind; of "kill", without a disk whose power
// could be cut.
func newStepWorld(t *testing.T, kind string) (*world, *disk) {
	t.Helper()
	rnd := seeded(t)
	var d *disk
	root := t.TempDir()
	if kind != "kill" {
		d = newDisk(t, kind)
		root = d.mount
	}
	w := newWorld(t, rnd, "")
	w.mayStop = d != nil
	w.data = filepath.Join(root, "data")
	w.config = func() string {
		return configFor(w.data) + fmt.Sprintf("- {match: %s, expired: dead-letter}\n", qBrief)
	}
	return w, d
}

// everyStep runs something behind a gate until it comes to its end, the first time ending it before its
// first call, then before its second, and so on; with a disk it cuts the power then. after looks at what is left.
func (w *world) everyStep(d *disk, run func(g *gate, stop func(*call) error), after func()) {
	w.t.Helper()
	n, ended := 0, false
	for ; !ended && !w.t.Failed(); n++ {
		calls := 0
		run(newGate(w.t), func(*call) error {
			if calls < n {
				calls++
				return nil
			}
			if d != nil {
				d.cut()
			}
			return errLast
		})
		if ended = calls < n; d != nil && d.broken {
			d.restore()
		}
		after()
	}
	w.t.Logf("%d steps", n-1)
	if n < 4 {
		w.t.Errorf("there were %d steps only", n-1)
	}
}

// startThrough starts the broker as far as it gets, and a moment longer.
func (w *world) startThrough(g *gate, stop func(*call) error) {
	w.t.Helper()
	g.watch(stop)
	b, err := harness.TryStart(w.t, w.config(), g.options(harness.Options{Dir: w.dir, Env: environment(), Quiet: true}))
	if err == nil {
		time.Sleep(30 * time.Millisecond) // what it does by itself: expired messages become dead letters
	}
	b.Kill()
	g.watch(nil)
}

// kinds of end.
var kinds = []string{"kill", "ext4", "xfs"}

// TestFirstStartAtEveryStep ends the first start of a broker at each of its steps: the next one goes on.
func TestFirstStartAtEveryStep(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, d := newStepWorld(t, kind)
			w.everyStep(d, w.startThrough, func() {
				w.start()
				w.send(w.publisher("p"), qBacklog, 3, false)
				w.broker.Kill()
				w.start()
				w.drain(qBacklog)
				w.broker.Kill()
				w.verdict()
				w.data += "x" // the next one is the first again
			})
		})
	}
}

// TestStartAtEveryStep ends a start at each of its steps, with much to do: what is left of a compaction and
// of a file under construction, expired messages that become dead letters, counts of a crash.
func TestStartAtEveryStep(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, d := newStepWorld(t, kind)
			file := filepath.Join(w.data, "gudok.db")
			w.start()
			w.l.begin(0)
			k := w.dial("")
			moment := time.Now().UnixMilli() + 300
			var expired []*entry
			for range 20 {
				expired = append(expired, w.timed(k, qBrief, fmt.Sprintf("expires:%d\n", moment), moment))
				w.timed(k, qBrief, "", 0)
			}
			w.sync(k)
			w.hold(qBrief, individual).take(w, 1)
			w.idle()
			w.broker.Kill()
			until(moment)
			for _, e := range expired { // it may have come to that before the kill
				u := w.l.unit()
				w.l.move(e, graveOf(qBrief), u)
				w.l.committed(u)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			known := w.l
			w.everyStep(d, func(g *gate, stop func(*call) error) {
				if err := errors.Join(restoreFile(file, raw), restoreFile(file+".new", raw[:len(raw)/2]), restoreFile(file+".compact", nil)); err != nil {
					t.Fatal(err)
				}
				w.startThrough(g, stop)
			}, func() {
				w.goOn(known)
				w.start()
				w.drain(qBrief, graveOf(qBrief))
				w.broker.Kill()
				w.verdict()
			})
		})
	}
}

// goOn begins anew with what a ledger knows.
func (w *world) goOn(known *ledger) {
	w.l = known.clone()
	for _, p := range w.pubs {
		p.l = w.l
	}
}

// TestStopAtEveryStep ends a regular end at each of its steps.
func TestStopAtEveryStep(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, d := newStepWorld(t, kind)
			w.everyStep(d, func(g *gate, stop func(*call) error) {
				w.begin(g.options(harness.Options{}))
				w.l.begin(0)
				w.send(w.publisher("p"), qIndividual, 10, false)
				c := w.hold(qIndividual, individual)
				for _, d := range c.take(w, 10)[:5] {
					c.acknowledge([]*entry{d.e}, d.ack)
				}
				w.sync(c.k)
				w.idle()
				w.closing()
				g.watch(stop)
				_ = w.broker.Signal(syscall.SIGTERM)
				w.broker.Exited(harness.Patience)
			}, func() {})
			w.start()
			w.drain(qIndividual)
			w.broker.Kill()
			w.verdict()
		})
	}
}

// TestCompactingStartAtEveryStep ends at each step a start that makes a big, mostly empty file small.
func TestCompactingStartAtEveryStep(t *testing.T) {
	w, _ := newStepWorld(t, "kill")
	file := filepath.Join(w.data, "gudok.db")
	w.start()
	w.l.begin(0)
	p := w.publisher("p")
	p.size = 1 << 20
	w.subscribe(subAlways, individual).leave(w)
	w.send(p, qIndividual, 60, false)
	p.size = 0
	w.send(p, qBacklog, 50, false)
	c := w.hold(qIndividual, individual)
	for _, d := range c.take(w, 60) {
		c.acknowledge([]*entry{d.e}, d.ack)
	}
	w.sync(c.k)
	w.broker.Kill()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := w.l
	w.everyStep(nil, func(g *gate, stop func(*call) error) {
		if err := os.WriteFile(file, raw, 0o600); err != nil { // a kill leaves what is not synced
			t.Fatal(err)
		}
		w.startThrough(g, stop)
	}, func() {
		w.goOn(known)
		w.start()
		w.spread(1, subAlways)
		w.drain(qIndividual, qBacklog, subAlways)
		w.broker.Kill()
		w.verdict()
	})
	after, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the file has %d MiB, then %d", len(raw)>>20, after.Size()>>20)
	if after.Size() > int64(len(raw))/2 {
		t.Errorf("a start left the file at %d bytes of %d", after.Size(), len(raw))
	}
}

// TestRecoverAtEveryStep ends broker recover at each of its steps: called again, it saves the same.
func TestRecoverAtEveryStep(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, d := newStepWorld(t, kind)
			file := filepath.Join(w.data, "gudok.db")
			w.start()
			w.l.begin(0)
			w.subscribe(subAlways, individual).leave(w)
			w.spread(20, subAlways)
			w.send(w.publisher("p"), qBacklog, 50, false)
			// More long messages in one commit of the store than go into one page with the rest of it.
			long, k := w.publisher("long"), w.dial("")
			long.size = 70 << 10
			w.ask("the receipt of a transaction", func(done func()) error {
				return long.transaction(k, "t", slices.Repeat([]string{qBacklog}, 5), done)
			})
			k.close()
			w.broker.Stop()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			clear(raw[:8192]) // both headers of the file: it cannot be opened any more
			known := w.l
			for _, q := range []string{subAlways, qBacklog} {
				known.torn[q] = 0 // nobody knows what was delivered
			}
			w.everyStep(d, func(g *gate, stop func(*call) error) {
				if err := restoreFile(file, raw, file+".damaged"); err != nil {
					t.Fatal(err)
				}
				g.watch(stop)
				cmd := subcommand(t, "recover", "-config", filepath.Join(w.dir, "gudok.yaml"))
				g.put(cmd)
				_ = cmd.Run() // it may be killed
				g.watch(nil)
			}, func() {
				w.goOn(known)
				b, err := harness.TryStart(t, w.config(), harness.Options{Dir: w.dir, Env: environment(), Quiet: true})
				if err == nil {
					b.Kill()
				} else if out, err := subcommand(t, "recover", "-config", filepath.Join(w.dir, "gudok.yaml")).CombinedOutput(); err != nil {
					t.Errorf("recover: %v\n%s", err, out)
				}
				if _, err := os.Stat(file + ".damaged"); err != nil {
					t.Errorf("the damaged file is not kept: %v", err)
				}
				w.start()
				w.spread(1, subAlways)
				w.damaged = true
				w.drain(qBacklog, subAlways)
				w.broker.Kill()
				w.verdict()
			})
		})
	}
}

// TestTwoAtOnce has two processes at the same data directory, one of them held up at its worst moment: one
// waits or goes, with a line, and what the other promises is kept.
func TestTwoAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		hold string // the call
		run  func(w *world, g *gate) *exec.Cmd
	}{
		{"first start", "create gudok.db.new", func(w *world, g *gate) *exec.Cmd {
			cmd := subcommand(w.t, "-config", filepath.Join(w.dir, "gudok.yaml"))
			g.put(cmd)
			return cmd
		}},
		{"compact", "rename gudok.db", func(w *world, g *gate) *exec.Cmd {
			w.start()
			w.l.begin(0)
			w.send(w.publisher("p"), qBacklog, 20, false)
			w.broker.Stop()
			cmd := subcommand(w.t, "compact", "-config", filepath.Join(w.dir, "gudok.yaml"))
			g.put(cmd)
			return cmd
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := newStepWorld(t, "kill")
			// Nobody has started there before; the configuration is written all the same.
			b, err := harness.TryStart(t, "limits: {body: 0}\n", harness.Options{Dir: w.dir, Quiet: true})
			if err == nil {
				b.Stop()
				t.Fatal("a broker without a body started")
			}
			text := "http: {listen: '127.0.0.1:0'}\ntcp: {listen: '127.0.0.1:0'}\n" + w.config()
			write(t, filepath.Join(w.dir, "gudok.yaml"), text)
			g := newGate(t)
			held, release := make(chan struct{}), make(chan struct{})
			cmd := c.run(w, g)
			g.watch(func(call *call) error {
				if call.String() == c.hold {
					close(held)
					<-release
				}
				return nil
			})
			var said strings.Builder
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-held
			second, err := harness.TryStart(t, w.config(), harness.Options{Dir: w.dir, Env: environment(), Quiet: true})
			if err == nil {
				w.broker, w.links = second, nil
				w.l.begin(0)
				w.send(w.publisher("p"), qBacklog, 20, false)
			} else if out := strings.TrimSpace(second.Output()); !strings.Contains(out, "in use") || strings.Contains(out, "\n") {
				t.Errorf("want one line with \"in use\", got\n%s", out)
			}
			close(release)
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			if c.name == "compact" {
				if err := <-ended; err != nil {
					t.Errorf("compact: %v: %s", err, &said)
				}
			} else {
				time.Sleep(300 * time.Millisecond) // it has got as far as it gets
				_ = cmd.Process.Kill()
				<-ended
			}
			if w.broker != nil {
				w.broker.Kill()
			}
			w.start()
			w.drain(qBacklog)
			w.broker.Kill()
			w.verdict()
		})
	}
}
