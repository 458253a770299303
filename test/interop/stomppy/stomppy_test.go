// Package stomppy runs Python's stomp.py against the broker, over TCP and WebSocket.
package stomppy

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/interop/foreign"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestStompPy(t *testing.T) {
	python := install(t, foreign.Need(t, "python3")[0])
	env := []string{"GUDOK_BINARY=" + harness.Watched(t), "PYTHONDONTWRITEBYTECODE=1"}
	foreign.Run(t, 5*time.Minute, 50, env, python, "suite.py")
}

// install makes a virtual environment with what requirements.txt names, unless it was made
// before, and returns its interpreter.
func install(t *testing.T, python string) string {
	t.Helper()
	const (
		mark        = ".venv/installed"
		interpreter = ".venv/bin/python"
	)
	want, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := os.ReadFile(mark); err == nil && bytes.Equal(done, want) {
		return interpreter
	}
	if exec.Command(python, "-c", "import venv, ensurepip").Run() != nil {
		foreign.Missing(t, "Python's venv (Debian: python3-venv)")
	}
	for _, args := range [][]string{
		{python, "-m", "venv", "--clear", ".venv"},
		{interpreter, "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if err := os.WriteFile(mark, want, 0o644); err != nil {
		t.Fatal(err)
	}
	return interpreter
}
