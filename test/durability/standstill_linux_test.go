package durability

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// health asks for the code and the text of a path of health.
func health(t *testing.T, b *harness.Broker, path string) string {
	t.Helper()
	client := http.Client{Timeout: harness.Patience}
	res, err := client.Get("http://" + b.WS + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(res.StatusCode, " ", string(text))
}

// A disk that answers no more is found: health fails, the log tells once where all stands, and when it
// goes on all is well again, the message stored; when it does not, the process ends with code 70. One that is
// only slow is none of that.
func TestStandstill(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	b := harness.StartWith(t, "watchdog: {warn: 1s, exit: 4s}\n", g.options(harness.Options{Quiet: true}))
	c := b.Dial(t, harness.TCP)
	c.Sendf("CONNECT\naccept-version:1.2\nhost:h\n\n\x00")
	c.Expect("CONNECTED")
	n := 0
	send := func() string {
		n++
		c.Sendf("SEND\ndestination:/queue/q\nreceipt:%d\n\nx\x00", n)
		return fmt.Sprint(n)
	}

	g.watch(func(k *call) error {
		if k.name == "fdatasync" {
			<-time.After(300 * time.Millisecond)
		}
		return nil
	})
	begun := time.Now()
	for range 10 {
		c.Receipt(send())
	}
	if took := time.Since(begun); took < 3*time.Second {
		t.Errorf("ten commits on a slow disk took %v", took)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := health(t, b, path); got != "200 ok\n" {
			t.Errorf("%s on a slow disk: %q", path, got)
		}
	}
	if strings.Contains(b.Output(), "standstill") {
		t.Errorf("a slow disk counts as a standstill:\n%s", b.Output())
	}

	hold := func() (let chan struct{}) {
		let = make(chan struct{})
		g.watch(func(k *call) error {
			if k.name == "fdatasync" {
				<-let
			}
			return nil
		})
		return let
	}
	let := hold()
	late := send()
	b.Says("msg=goroutines")
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := health(t, b, path); got != "503 not ok: a commit of the store takes longer than 1s\n" {
			t.Errorf("%s: %q", path, got)
		}
	}
	close(let)
	c.Receipt(late)
	b.Says("the standstill is over")
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := health(t, b, path); got != "200 ok\n" {
			t.Errorf("%s afterwards: %q", path, got)
		}
	}
	if said := b.Output(); strings.Count(said, "msg=goroutines") != 1 || len(said) > 512<<10 {
		t.Errorf("the log has %d dumps, and %d bytes", strings.Count(said, "msg=goroutines"), len(said))
	}

	let = hold()
	defer close(let)
	send()
	if code := b.Exited(2 * harness.Patience); code != 70 {
		t.Errorf("exit code %d", code)
	}
	if said := b.Output(); !strings.HasSuffix(said, "broker serve: a commit of the store takes longer than 4s\n") {
		t.Errorf("the last it says:\n%s", said[max(0, len(said)-300):])
	}
}
