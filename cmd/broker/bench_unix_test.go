//go:build unix

package main_test

import (
	"strings"
	"syscall"
	"testing"
)

// The signal that asks a broker for its figures goes to nobody where no process is known: not to process 0, which is
// the program itself and whoever called it.
func TestBenchSignalsNobodyElse(t *testing.T) {
	c := command(t, nil, "bench", "fanout", "-url", "ws://127.0.0.1:1/ws", "-log", write(t, "log", ""))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it would end this test
	if r := finish(t, c); r.code != 1 || !strings.Contains(r.stderr, "-log needs the broker's process") {
		t.Errorf("code %d (-1: ended by a signal), %q", r.code, r.stderr)
	}
}
