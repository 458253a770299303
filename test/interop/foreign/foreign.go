// Package foreign runs a test suite that is written in another language as subtests of a Go test.
//
// The suite is a program that prints one JSON object a line: {"name", "ok", "skip", "ms", "why"} for
// a test that ended, {"output"} for what the test itself had to say. Whatever else it prints is shown if it
// fails. The program ends with 0 if and only if all went well.
package foreign

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Need looks for programs. Where one is missing it ends the test: as skipped, with a line that
// names it, or as failed if the environment says CI=true. It returns the paths in order.
func Need(t *testing.T, programs ...string) []string {
	t.Helper()
	paths := make([]string, 0, len(programs))
	for _, p := range programs {
		path, err := exec.LookPath(p)
		if err != nil {
			Missing(t, p)
		}
		paths = append(paths, path)
	}
	return paths
}

// Missing ends a test that cannot run without what.
func Missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// result is one line of a suite.
type result struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Skip   string  `json:"skip"`
	MS     float64 `json:"ms"`
	Why    string  `json:"why"`
	Output string  `json:"output"`
}

// Run runs a suite, with env added to the environment, in the package's directory, and makes each
// of its tests a subtest. It fails if there were fewer than least tests, if one failed, if one was
// skipped, or if the suite is not done after limit.
func Run(t *testing.T, limit time.Duration, least int, env []string, program string, args ...string) {
	t.Helper()
	watchFiles(t)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	// A group of its own, so that nothing the suite started outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	end := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	late := time.AfterFunc(limit, end)

	count, rest := 0, ""
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			rest += lines.Text() + "\n"
			continue
		}
		if r.Name == "" {
			t.Log(strings.TrimRight(r.Output, "\n"))
			continue
		}
		count++
		t.Run(r.Name, func(t *testing.T) {
			switch {
			case !r.OK:
				t.Errorf("after %.0f ms: %s", r.MS, r.Why)
			case r.Skip != "":
				t.Errorf("skipped: %s", r.Skip)
			}
		})
	}
	err = cmd.Wait()
	inTime := late.Stop()
	end()
	if !inTime {
		t.Errorf("not done after %v", limit)
	}
	if err != nil && !t.Failed() {
		t.Errorf("%s: %v", program, err)
	}
	if count < least {
		t.Errorf("%d tests ran, want at least %d", count, least)
	}
	if t.Failed() {
		t.Log(fmt.Sprint(rest, stderr.String()))
	}
}

// watchFiles looks at each file of the suite, so that go test knows that a result it has cached
// is of no use once one of them changed.
func watchFiles(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
