package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// Broker is a broker process under test. Its methods may be called from any goroutine.
type Broker struct {
	// WS is the address of the HTTP listener and Path the path of its WebSocket endpoint; TCP is
	// the address of the STOMP listener. Empty where the broker printed none.
	WS, Path, TCP string

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed once the process was waited for

	mu      sync.Mutex // guards what follows
	out     bytes.Buffer
	ended   bool // Stop or Kill was called
	waitErr error
}

var (
	wsLine  = regexp.MustCompile(`\bwss?://([^/\s]+)(/\S*)?`)
	tcpLine = regexp.MustCompile(`\bstomp(?:\+ssl|s)?://([^/\s]+)`)
)

// Start starts a broker with this configuration (YAML, may be empty) and returns once it has
// printed its addresses. Listeners not named in it are on free ports of 127.0.0.1; it runs in a
// directory of the test, where its data goes. The broker is stopped when the test ends, and must then end well.
func Start(t testing.TB, config string) *Broker {
	t.Helper()
	b := &Broker{t: t, done: make(chan struct{})}
	file := writeConfig(t, config)
	b.cmd = exec.Command(Build(t), "-config", file)
	b.cmd.Dir = filepath.Dir(file)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GUDOK_") {
			b.cmd.Env = append(b.cmd.Env, kv)
		}
	}
	stdout, w := io.Pipe()
	b.cmd.Stdout = w
	b.cmd.Stderr = lockedWriter{b}
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("start broker: %v", err)
	}
	go func() {
		err := b.cmd.Wait()
		b.mu.Lock()
		b.waitErr = err
		b.mu.Unlock()
		w.Close()
		close(b.done)
	}()
	t.Cleanup(func() {
		b.Stop()
		if t.Failed() {
			t.Logf("broker said:\n%s", b.Output())
		}
	})

	ready := make(chan struct{})
	go b.readStdout(stdout, ready)
	select {
	case <-ready:
	case <-b.done:
		t.Fatalf("broker ended before it was ready: %v\n%s", b.exit(), b.Output())
	case <-time.After(2 * Patience):
		t.Fatalf("broker printed no addresses\n%s", b.Output())
	}
	return b
}

// writeConfig completes the configuration with free ports and the test's directory.
func writeConfig(t testing.TB, config string) string {
	t.Helper()
	var all map[string]any
	if err := yaml.Unmarshal([]byte(config), &all); err != nil {
		t.Fatalf("harness configuration: %v", err)
	}
	if all == nil {
		all = map[string]any{}
	}
	dir := t.TempDir()
	for _, d := range []struct{ group, key, value string }{
		{"http", "listen", "127.0.0.1:0"},
		{"tcp", "listen", "127.0.0.1:0"},
	} {
		group, ok := all[d.group].(map[string]any)
		if !ok {
			group = map[string]any{}
			all[d.group] = group
		}
		if _, ok := group[d.key]; !ok {
			group[d.key] = d.value
		}
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatalf("harness configuration: %v", err)
	}
	file := filepath.Join(dir, "gudok.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// readStdout notes the addresses and keeps the rest; ready is closed when both are known.
func (b *Broker) readStdout(r io.Reader, ready chan struct{}) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		b.mu.Lock()
		fmt.Fprintln(&b.out, line)
		b.mu.Unlock()
		if ready == nil {
			continue
		}
		if m := wsLine.FindStringSubmatch(line); m != nil && b.WS == "" {
			b.WS, b.Path = m[1], m[2]
		}
		if m := tcpLine.FindStringSubmatch(line); m != nil && b.TCP == "" {
			b.TCP = m[1]
		}
		if b.WS != "" && b.TCP != "" {
			close(ready)
			ready = nil
		}
	}
}

// lockedWriter collects stderr.
type lockedWriter struct{ b *Broker }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	return w.b.out.Write(p)
}

// Output is all that the broker printed so far.
func (b *Broker) Output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

func (b *Broker) exit() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waitErr
}

// end says whether the caller is the first to end the process.
func (b *Broker) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.ended
	b.ended = true
	return first
}

// Stop ends the broker with SIGTERM and fails the test unless it exits with 0 in time. A broker
// that was stopped or killed before is left alone.
func (b *Broker) Stop() {
	b.t.Helper()
	if !b.end() {
		return
	}
	err := b.cmd.Process.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.t.Errorf("stop broker: %v", err)
	}
	select {
	case <-b.done:
	case <-time.After(3 * Patience):
		b.t.Errorf("broker did not end after SIGTERM")
		// SIGQUIT makes the runtime print its goroutines.
		_ = b.cmd.Process.Signal(syscall.SIGQUIT)
		<-b.done
	}
	if err := b.exit(); err != nil {
		b.t.Errorf("broker ended badly: %v\n%s", err, b.Output())
	}
	if strings.Contains(b.Output(), "DATA RACE") {
		b.t.Errorf("broker has a data race:\n%s", b.Output())
	}
}

// Kill ends the broker with SIGKILL and waits for it.
func (b *Broker) Kill() {
	b.t.Helper()
	if !b.end() {
		return
	}
	if err := b.cmd.Process.Kill(); err != nil {
		b.t.Errorf("kill broker: %v", err)
	}
	<-b.done
}
