package overload

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// roleVar makes a process of this program one of the roles, whose orders are in orderVar. So a crowd has
// file descriptors, and memory, of its own.
const (
	roleVar  = "OVERLOAD_ROLE"
	orderVar = "OVERLOAD_ORDER"
)

// roles read lines on stdin and write lines on stdout; an error is told on stderr.
var roles = map[string]func(order []byte, in *bufio.Scanner, out io.Writer) error{"storm": storm}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVar); name != "" {
		if err := roles[name]([]byte(os.Getenv(orderVar)), bufio.NewScanner(os.Stdin), os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(harness.Main(m))
}

// actor is a process in a role.
type actor struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// act starts one, under a command line that may be empty.
func act(t testing.TB, role string, order any, under ...string) *actor {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	line := append(under, os.Args[0])
	a := &actor{t: t, cmd: exec.Command(line[0], line[1:]...)}
	a.cmd.Env = append(os.Environ(), roleVar+"="+role, orderVar+"="+string(text))
	a.cmd.Stderr = os.Stderr
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.out = bufio.NewScanner(out)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.in.Close() // ends it
		late := time.AfterFunc(harness.Patience, func() { _ = a.cmd.Process.Kill() })
		defer late.Stop()
		var ended *exec.ExitError
		if err := a.cmd.Wait(); err != nil && !errors.As(err, &ended) {
			t.Errorf("%s: %v", role, err)
		}
	})
	return a
}

// say gives the process a line.
func (a *actor) say(line string) {
	a.t.Helper()
	if _, err := fmt.Fprintln(a.in, line); err != nil {
		a.t.Fatal(err)
	}
}

// hear takes its next line, which is JSON, into v.
func (a *actor) hear(v any) {
	a.t.Helper()
	if !a.out.Scan() {
		a.t.Fatalf("the process of the test has ended: %v", a.out.Err())
	}
	if err := json.Unmarshal(a.out.Bytes(), v); err != nil {
		a.t.Fatalf("%v: %q", err, a.out.Text())
	}
}

// need ends a test for which this machine lacks something: skipped with a line, or failed where
// nothing may be missing.
func need(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// tool is the path of a program that a test cannot do without.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		need(t, name)
	}
	return path
}
