package durability

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

var (
	cycleFlag = flag.Int("cycles", 200, "how often TestKill kills the broker; a tenth of it with -short")
	cutFlag   = flag.Int("cuts", 100, "how often TestPowerCut cuts the power; a tenth of it with -short")
)

func TestMain(m *testing.M) {
	passGate()
	flag.Parse()
	// A mutant's test runs in a process of its own, and waits more than it computes.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set("test.parallel", "4"); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(m))
}

// seeded gives the test's random numbers and prints how to have the same again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("GUDOK_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("GUDOK_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("GUDOK_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// times is a flag's number, less with -short.
func times(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

// need ends a test for which this machine lacks something: skipped with a line, or failed where
// nothing may be missing.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: %s", what)
	}
	t.Skipf("missing: %s", what)
}

// planted is the bug under test, if this process is to find one; empty otherwise.
func planted() string { return os.Getenv("GUDOK_TEST_MUTANT") }

// grace is how long a test waits for what must not come. Whoever plants one of these bugs gets all the
// time there is, for then it comes, however busy the machine.
func grace(bugs ...mutant.Name) time.Duration {
	if slices.Contains(bugs, mutant.Name(planted())) {
		return harness.Patience
	}
	return 300 * time.Millisecond
}

// environment is what every broker of these tests gets.
func environment() []string {
	if m := planted(); m != "" {
		return []string{"MUTANT=" + m}
	}
	return nil
}

// subcommand makes a call of the broker's program, without the settings of this process.
func subcommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(harness.Build(t), args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GUDOK_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, environment()...)
	return cmd
}
