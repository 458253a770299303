package durability

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// A disk that does not give a page back stops the broker like one that does not sync, whoever wants
// the page: with one line that says so, and not a word of damage.
func TestReadFails(t *testing.T) {
	for _, want := range []string{"a delivery", "a commit"} {
		t.Run(want, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			w := newWorld(t, seeded(t), dir)
			w.start()
			w.l.begin(0)
			w.send(w.publisher("p"), qIndividual, 500, true)
			w.restart() // the bodies are in the file only
			k := w.dial("")
			k.closing.Store(true)
			// What lies behind the end of a mapped file faults like a page that the disk has lost.
			if err := os.Truncate(filepath.Join(dir, "gudok.db"), 16<<10); err != nil {
				t.Fatal(err)
			}
			if want == "a delivery" {
				k.message = func(string, *harness.Frame) {}
				_ = k.send("SUBSCRIBE\nid:1\ndestination:"+qIndividual+"\n", nil, nil)
			} else {
				_ = w.publisher("p").one(k, qBacklog, func() { t.Error("a message was receipted") })
			}
			if code := w.broker.Exited(harness.Patience); code != 74 {
				t.Errorf("the broker exited with %d, want 74", code)
			}
			<-k.gone
			out := w.broker.Output()
			if n := said(out, "broker"); n != 1 || !strings.Contains(out, "the disk cannot be read") ||
				strings.Contains(out, "damaged") || strings.Contains(out, "nil pointer") {
				t.Errorf("the broker told its end in %d lines\n%s", n, out)
			}
		})
	}
}
