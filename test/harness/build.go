package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Build compiles cmd/broker once per test process and returns the path of the binary. It is
// compiled with the race detector if the test was. GUDOK_BINARY names a binary to use instead.
func Build(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if path := os.Getenv("GUDOK_BINARY"); path != "" {
			build.path, build.err = filepath.Abs(path)
			return
		}
		build.dir, build.err = os.MkdirTemp("", "gudok-test-")
		if build.err != nil {
			return
		}
		build.path = filepath.Join(build.dir, "broker")
		args := []string{"build", "-o", build.path}
		if Race {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "github.com/gudokmq/gudok/cmd/broker")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("build broker: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// Main runs the tests and removes the binary that Build made; the result is for os.Exit. It is not 0 if a
// broker told a secret, whatever the tests say.
func Main(m *testing.M) int {
	http.DefaultTransport = Pages(http.DefaultTransport)
	code := m.Run()
	if leaks.Load() > 0 && code == 0 {
		code = 1
	}
	if build.dir != "" {
		if err := os.RemoveAll(build.dir); err != nil && code == 0 {
			code = 1
		}
	}
	return code
}
