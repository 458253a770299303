package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watching runs the broker in its own place, so that signals reach it, and keeps copies of what it prints. Who
// copies has the pipe open: its end tells that all is in the files. Hashes are what passwd is there to print.
const watching = `#!%[1]s
if [ "$1" = passwd ]; then exec '%[2]s' "$@"; fi
exec 9>'%[3]s/copying'
exec '%[2]s' "$@" > >(exec tee '%[3]s/'$$.out) 2> >(exec tee '%[3]s/'$$.err >&2) 9>&-
`

// Watched is Build for a suite that runs brokers by itself: what they print is searched for secrets when the
// test ends. The suite's passwords must have the [Canary] in them.
func Watched(t testing.TB) string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("missing: bash")
		}
		t.Log("missing: bash; what the brokers print is not looked at")
		return Build(t)
	}
	program, ended, err := watch(t.TempDir(), bash, Build(t))
	if err != nil {
		t.Fatalf("watch the broker: %v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		if err := ended(); err != nil && !t.Skipped() {
			t.Error(err)
		}
	})
	return program
}

// watch makes the program, in dir. ended waits for those that were run and tells what is wrong with what they printed.
func watch(dir, bash, broker string) (program string, ended func() error, err error) {
	if strings.ContainsAny(dir+broker, "'\n") {
		return "", nil, fmt.Errorf("a quote in the name of %s or %s", dir, broker)
	}
	program = filepath.Join(dir, "broker")
	if err := os.WriteFile(program, fmt.Appendf(nil, watching, bash, broker, dir), 0o700); err != nil {
		return "", nil, err
	}
	copying := filepath.Join(dir, "copying")
	if err := syscall.Mkfifo(copying, 0o600); err != nil {
		return "", nil, fmt.Errorf("make %s: %w", copying, err)
	}
	hold, err := os.OpenFile(copying, os.O_RDWR, 0) // nobody waits for a reader
	if err != nil {
		return "", nil, err
	}
	return program, func() error {
		end, err := os.OpenFile(copying, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return errors.Join(err, hold.Close())
		}
		defer end.Close()
		err = errors.Join(hold.Close(), end.SetReadDeadline(time.Now().Add(Patience)))
		if err == nil {
			_, err = io.Copy(io.Discard, end)
		}
		if err != nil {
			return fmt.Errorf("a broker has not ended with the suite: %w", err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.[oe][ur][tr]"))
		if err != nil {
			return err
		}
		said := 0
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			said += len(text)
			if at := LeakInLog(text); at != "" {
				return fmt.Errorf("the broker prints a secret: %s", at)
			}
		}
		if said == 0 {
			return errors.New("no broker was run, or none said anything")
		}
		return nil
	}, nil
}
