package bench_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

// TestPollingLosesNothing loads the polling server that WebSocket is compared with: the comparison is
// only fair if both deliver everything.
func TestPollingLosesNothing(t *testing.T) {
	t.Parallel()
	server := filepath.Join(t.TempDir(), "polling")
	if out, err := exec.Command("go", "build", "-o", server, "./polling").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(server, "-listen", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // ends with what the line below does
	defer cmd.Process.Kill()
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for _, every := range []string{"0", "50ms"} {
		load := exec.Command(harness.Build(t), "bench", "poll", "-every", every, "-subs", "20", "-rate", "500", "-duration", "300ms",
			"-json", "-url", strings.TrimSpace(url))
		var out, faults bytes.Buffer
		load.Stdout, load.Stderr = &out, &faults
		var r struct {
			Delivered int64   `json:"delivered"`
			Sent      float64 `json:"bytes_sent"`
			Received  float64 `json:"bytes_received"`
		}
		if err := load.Run(); err != nil || json.Unmarshal(out.Bytes(), &r) != nil {
			t.Fatalf("broker bench poll: %v\n%s%s", err, out.String(), faults.String())
		}
		if r.Delivered < 20*100 || r.Sent <= 0 || r.Received < 128 {
			t.Errorf("every %s: %+v", every, r)
		}
	}
}
