package durability

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// TestDamageIsTold alters a file at rest, by a bit or by a page, and starts the broker on it. What it
// delivers is what was sent, and whatever is missing or back has been told: in the log, or by the
// refusal to start that names broker recover, which saves the rest.
func TestDamageIsTold(t *testing.T) {
	rnd := seeded(t)
	root := t.TempDir()
	w := newWorld(t, rnd, filepath.Join(root, "template"))
	w.start()
	w.l.begin(0)
	queues := []string{qIndividual, qCumulative, qBacklog}
	for range 12 {
		for _, q := range queues {
			w.send(w.publisher("p"), q, 12, false)
		}
	}
	c := w.hold(qIndividual, individual)
	for i, d := range c.take(w, 100) {
		if i%3 > 0 {
			c.acknowledge([]*entry{d.e}, d.ack)
		}
	}
	c.leave(w)
	w.broker.Stop()
	raw, err := os.ReadFile(filepath.Join(root, "template", "gudok.db"))
	if err != nil {
		t.Fatal(err)
	}
	known := w.l
	rounds := times(20) + 4
	told, refused, lost, back := 0, 0, 0, 0
	for n := range rounds {
		if t.Failed() {
			break
		}
		dir := filepath.Join(root, fmt.Sprint("round", n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file, what := harm(rnd, raw)
		if n < 8 {
			file, what = harmBody(rnd, raw, c.current.got[9*n]) // one of those that are not acknowledged
		}
		if err := os.WriteFile(filepath.Join(dir, "gudok.db"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &world{t: t, l: known.clone(), rnd: rnd, dir: t.TempDir(), pubs: map[string]*publisher{}, damaged: true}
		r.config = func() string { return configFor(dir) }
		said, saved := "", false
		r.broker, err = harness.TryStart(t, r.config(), harness.Options{Dir: r.dir, Env: environment(), Quiet: true})
		if err != nil {
			refused++
			said = r.broker.Output()
			if code := r.broker.Exited(harness.Patience); code != 1 || !strings.Contains(said, "broker recover") ||
				strings.Count(strings.TrimSpace(said), "\n") > 0 {
				t.Errorf("%s: refused with code %d and\n%s", what, code, said)
			}
			out, err := subcommand(t, "recover", "-config", filepath.Join(r.dir, "gudok.yaml")).CombinedOutput()
			if err != nil {
				t.Errorf("%s: recover: %v\n%s", what, err, out)
				continue
			}
			said, saved = said+string(out), true
			r.start()
		}
		r.drain(queues...)
		r.broker.Stop()
		r.l.settle()
		said += r.broker.Output()
		isTold := saved || strings.Contains(said, "damaged")
		if isTold {
			told++
		}
		for _, f := range r.l.faults() {
			switch {
			case strings.Contains(f, "lost in all"), strings.Contains(f, "and more"):
				continue
			case strings.Contains(f, "lost: "):
				lost++
			case strings.Contains(f, "resurrected: "):
				back++
			case strings.Contains(f, "redelivered flag: "): // to be on the safe side
			default:
				t.Errorf("%s: %s", what, f)
				continue
			}
			if !isTold {
				t.Errorf("%s, and nothing was told: %s\n%s", what, f, said)
			}
		}
	}
	t.Logf("%d files altered: %d told of, %d of them refused and recovered; %d messages lost, %d back, each told", rounds, told, refused, lost, back)
	if told < rounds/4 {
		t.Errorf("only %d of %d were told of", told, rounds)
	}
}

// harm alters a bit, or a page, of a copy.
func harm(rnd *rand.Rand, raw []byte) ([]byte, string) {
	file := bytes.Clone(raw)
	at := rnd.IntN(len(bytes.TrimRight(file, "\x00")))
	if rnd.IntN(2) == 0 {
		bit := rnd.IntN(8)
		file[at] ^= 1 << bit
		return file, fmt.Sprintf("bit %d of byte %d", bit, at)
	}
	page := at / 4096 * 4096
	clear(file[page : page+4096])
	return file, fmt.Sprintf("page at %d zeroed", page)
}

// harmBody alters a bit of a message's body, wherever a copy of it is in the file.
func harmBody(rnd *rand.Rand, raw []byte, e *entry) ([]byte, string) {
	file := bytes.Clone(raw)
	bit := rnd.IntN(8)
	mark, copies := []byte("x-sum:"+e.sum+"\n"), 0
	for at := 0; ; copies++ {
		i := bytes.Index(file[at:], mark)
		if i < 0 {
			break
		}
		at += i
		body := bytes.Index(file[at:], []byte("\n\n"))
		if body < 0 {
			break
		}
		at += body + 2
		file[at] ^= 1 << bit
	}
	return file, fmt.Sprintf("bit %d of the body of %v, in %d places", bit, e.key, copies)
}
