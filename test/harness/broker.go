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
	"slices"
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
	// TLS is the address of the STOMP listener with TLS, where the configuration has one; TCP is the
	// same if there is no other.
	TLS string
	// From is the local address that Dial connects from, such as 127.0.0.2; empty for any.
	From string

	t    testing.TB
	opts Options
	cmd  *exec.Cmd
	done chan struct{} // closed once the process was waited for
	read chan struct{} // closed once its stdout was read to the end
	own  secrets       // of its configuration

	mu      sync.Mutex // guards what follows
	out     bytes.Buffer
	more    chan struct{} // closed when something is added to out; nil if nobody waits
	ended   bool          // Stop or Kill was called
	waitErr error
}

var (
	wsLine  = regexp.MustCompile(`\bwss?://([^/\s]+)(/\S*)?`)
	tcpLine = regexp.MustCompile(`\bstomp(?:\+ssl|s)?://([^/\s]+)`)
	tlsLine = regexp.MustCompile(`\bstomp(?:\+ssl|s)://([^/\s]+)`)
)

// Options say how a broker is run; the zero value runs it as a newcomer would.
type Options struct {
	// Dir is the working directory, where the configuration and by default the data go; empty
	// means one of the test's own. Brokers started one after the other in the same directory are
	// restarts of each other.
	Dir string
	// Env is added to the environment; nothing else there begins with GUDOK_.
	Env []string
	// Under is a command line to run the broker under, such as strace's.
	Under []string
	// Quiet leaves what the broker printed out of the report of a failed test: the test tells what
	// matters of it.
	Quiet bool
}

// Start starts a broker with this configuration (YAML, may be empty) and returns once it has
// printed its addresses. Listeners not named in it are on free ports of 127.0.0.1; it runs in a
// directory of the test, where its data goes. The broker is stopped when the test ends, and must then end well.
func Start(t testing.TB, config string) *Broker {
	t.Helper()
	return StartWith(t, config, Options{})
}

// StartWith is Start with options.
func StartWith(t testing.TB, config string, o Options) *Broker {
	t.Helper()
	b, err := TryStart(t, config, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TryStart is StartWith for a broker that may refuse to start: then the error tells what it said,
// and [Broker.Exited] its exit code.
func TryStart(t testing.TB, config string, o Options) (*Broker, error) {
	t.Helper()
	b := &Broker{t: t, opts: o, done: make(chan struct{}), read: make(chan struct{})}
	file := b.writeConfig(config)
	line := append(slices.Clone(o.Under), Build(t), "-config", file)
	b.cmd = exec.Command(line[0], line[1:]...)
	b.cmd.Dir = filepath.Dir(file)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GUDOK_") {
			b.cmd.Env = append(b.cmd.Env, kv)
		}
	}
	b.cmd.Env = append(b.cmd.Env, o.Env...)
	if len(o.Under) > 0 {
		b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that signals reach both
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
		<-b.read
		b.learnSecrets(file) // a reload may have brought others
		if at := b.own.leak([]byte(b.Output())); at != "" {
			t.Errorf("the broker prints a secret: %s", at)
		}
		if t.Failed() && !o.Quiet {
			t.Logf("broker said:\n%s", b.Output())
		}
	})

	ready := make(chan struct{})
	go b.readStdout(stdout, ready, strings.Contains(config, "tls_listen"))
	select {
	case <-ready:
		b.readProcesses()
	case <-b.done:
		b.end()
		return b, fmt.Errorf("broker ended before it was ready: %w\n%s", b.exit(), b.Output())
	case <-time.After(2 * Patience):
		b.Kill()
		return b, fmt.Errorf("broker printed no addresses\n%s", b.Output())
	}
	return b, nil
}

// Exited waits until the broker has ended by itself and gives its exit code; -1 if a signal ended
// it. The test fails if it goes on for longer than d.
func (b *Broker) Exited(d time.Duration) int {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(d):
		b.t.Fatalf("broker did not end by itself within %v\n%s", d, b.Output())
	}
	b.end()
	return b.cmd.ProcessState.ExitCode()
}

// Dir is where the broker runs, with its configuration and by default its data.
func (b *Broker) Dir() string { return b.cmd.Dir }

// PID is the broker's process, or that of what it runs under.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Signal sends a signal to the broker, and to what it runs under.
func (b *Broker) Signal(sig syscall.Signal) error {
	if len(b.opts.Under) > 0 {
		return syscall.Kill(-b.cmd.Process.Pid, sig)
	}
	return b.cmd.Process.Signal(sig)
}

// writeConfig completes the configuration with free ports and the test's directory.
func (b *Broker) writeConfig(config string) string {
	t, dir := b.t, b.opts.Dir
	t.Helper()
	var all map[string]any
	if err := yaml.Unmarshal([]byte(config), &all); err != nil {
		t.Fatalf("harness configuration: %v", err)
	}
	if all == nil {
		all = map[string]any{}
	}
	if dir == "" {
		dir = t.TempDir()
	}
	for _, d := range []struct{ group, key, value string }{
		{"http", "listen", "127.0.0.1:0"},
		{"http", "compression", "on"}, // who does not ask for it notices nothing
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
	if err := checkUsers(all); err != nil {
		t.Fatalf("harness configuration: %v", err)
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatalf("harness configuration: %v", err)
	}
	file := filepath.Join(dir, "gudok.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.learnSecrets(file)
	return file
}

// learnSecrets notes what is secret in a configuration file, and in those that it names. A test may have made it
// one that cannot be read.
func (b *Broker) learnSecrets(file string) {
	var all map[string]any
	if text, err := os.ReadFile(file); err == nil && yaml.Unmarshal(text, &all) == nil {
		for _, secret := range secretsOf(all, filepath.Dir(file)) {
			if !slices.ContainsFunc(b.own, func(known []byte) bool { return bytes.Equal(known, secret) }) {
				b.own = append(b.own, secret)
			}
		}
	}
}

// readStdout notes the addresses and keeps the rest; ready is closed when all are known, with one for
// TLS among them if there is one.
func (b *Broker) readStdout(r io.Reader, ready chan struct{}, withTLS bool) {
	defer close(b.read)
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		b.mu.Lock()
		fmt.Fprintln(&b.out, line)
		b.added()
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
		if m := tlsLine.FindStringSubmatch(line); m != nil && b.TLS == "" {
			b.TLS = m[1]
		}
		if b.WS != "" && b.TCP != "" && (b.TLS != "" || !withTLS) {
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
	w.b.added()
	return w.b.out.Write(p)
}

// added wakes those who wait for output. b.mu is held.
func (b *Broker) added() {
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
}

// Says waits until the broker has printed something with this in it, and fails the test if it does
// not.
func (b *Broker) Says(text string) {
	b.t.Helper()
	late := time.After(Patience)
	for {
		b.mu.Lock()
		if b.more == nil {
			b.more = make(chan struct{})
		}
		more, said := b.more, bytes.Contains(b.out.Bytes(), []byte(text))
		b.mu.Unlock()
		if said {
			return
		}
		select {
		case <-more:
		case <-late:
			b.t.Fatalf("broker does not say %q:\n%s", text, b.Output())
		}
	}
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
	b.readProcesses()
	err := b.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
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

// readProcesses fails the test if the broker's process shows a secret.
func (b *Broker) readProcesses() {
	b.t.Helper()
	if at := b.own.shownBy(b.PID()); at != "" {
		b.t.Errorf("the broker's process shows a secret in %s", at)
	}
}

// Kill ends the broker with SIGKILL and waits for it.
func (b *Broker) Kill() {
	b.t.Helper()
	if !b.end() {
		return
	}
	b.readProcesses()
	err := b.Signal(syscall.SIGKILL)
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		b.t.Errorf("kill broker: %v", err)
	}
	<-b.done
}
