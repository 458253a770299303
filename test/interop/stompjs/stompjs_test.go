// Package stompjs runs stock stomp.js against the broker, in Node and in headless Chromium.
package stompjs

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

func TestNode(t *testing.T) {
	run(t, "node.test.mjs", nil)
}

func TestChromium(t *testing.T) {
	browser := foreign.Need(t, "chromium")[0]
	run(t, "chromium.test.mjs", []string{"CHROMIUM=" + browser})
}

// The same with compression, which both then use for all they send, CONNECT too.

func TestNodeCompressed(t *testing.T) {
	run(t, "node.test.mjs", []string{"STOMP_COMPRESSION=on"})
}

func TestChromiumCompressed(t *testing.T) {
	browser := foreign.Need(t, "chromium")[0]
	run(t, "chromium.test.mjs", []string{"CHROMIUM=" + browser, "STOMP_COMPRESSION=on"})
}

func run(t *testing.T, file string, env []string) {
	t.Helper()
	node := foreign.Need(t, "node", "npm")[0]
	install(t)
	env = append(env, "GUDOK_BINARY="+harness.Watched(t))
	foreign.Run(t, 8*time.Minute, 100, env, node, "--test", "--test-reporter=./reporter.mjs", file)
}

// install fetches what package-lock.json names, unless that very lock was installed before.
func install(t *testing.T) {
	t.Helper()
	const mark = "node_modules/.installed"
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := os.ReadFile(mark); err == nil && bytes.Equal(done, lock) {
		return
	}
	if out, err := exec.Command("npm", "ci").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(mark, lock, 0o644); err != nil {
		t.Fatal(err)
	}
}
