package main_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// program is the broker as people run it, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "broker")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "broker")
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// limit bounds everything a test waits for.
const limit = 30 * time.Second

// command prepares the program with an environment of its own.
func command(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = t.TempDir()
	c.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	return c
}

// result is what a run left.
type result struct {
	stdout, stderr string
	code           int
}

func finish(t testing.TB, c *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	said := errs.Bytes()
	if !slices.Contains(c.Args, "passwd") { // who is there to print a hash
		said = slices.Concat(said, out.Bytes())
	}
	if at := harness.LeakInLog(said); at != "" {
		t.Errorf("%q prints a secret: %s", c.Args[1:], at)
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

func runProgram(t testing.TB, args ...string) result {
	t.Helper()
	return finish(t, command(t, nil, args...))
}

// server is a broker under test and the addresses it printed.
type server struct {
	cmd    *exec.Cmd
	said   []string          // the lines it printed when it started
	at     map[string]string // by their first word
	stderr *bytes.Buffer
	ended  chan error
}

// serve starts a broker on free ports and waits until it has told its addresses.
func serve(t testing.TB, env []string, args ...string) *server {
	t.Helper()
	return serveTo(t, nil, env, args...)
}

// serveTo is serve with a place for the log, which is otherwise kept for the end.
func serveTo(t testing.TB, log *os.File, env []string, args ...string) *server {
	t.Helper()
	env = append([]string{"GUDOK_HTTP_LISTEN=127.0.0.1:0", "GUDOK_TCP_LISTEN=127.0.0.1:0"}, env...)
	s := &server{cmd: command(t, env, args...), at: map[string]string{}, stderr: new(bytes.Buffer), ended: make(chan error, 1)}
	s.cmd.Stderr = s.stderr
	if log != nil {
		s.cmd.Stderr = log
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.said = append(s.said, lines.Text())
		if f := strings.Fields(lines.Text()); len(f) > 1 {
			s.at[f[0]] = f[1]
		}
		if s.at["Queues"] != "" {
			break
		}
	}
	if s.at["Queues"] == "" {
		_ = s.cmd.Wait()
		t.Fatalf("the broker did not start: %s", s.stderr)
	}
	go func() {
		for lines.Scan() {
		}
		s.ended <- s.cmd.Wait()
	}()
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
		if at := harness.LeakInLog(append(s.stderr.Bytes(), strings.Join(s.said, "\n")...)); at != "" {
			t.Errorf("the broker prints a secret: %s", at)
		}
	})
	return s
}

// stop sends a signal and gives the exit code.
func (s *server) stop(t testing.TB) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
		s.ended <- nil
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatal("the broker does not stop")
		return -1
	}
}

// tcp is the address of the TCP listener without its scheme.
func (s *server) tcp() string { return strings.TrimPrefix(s.at["TCP"], "stomp://") }

// write makes a file and gives its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
