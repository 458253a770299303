package durability

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

var (
	cycleFlag = flag.Int("cycles", 200, "how often TestKill kills the broker; a tenth of it with -short")
	cutFlag   = flag.Int("cuts", 100, "how often TestPowerCut cuts the power; a tenth of it with -short")
)

func TestMain(m *testing.M) {
	flag.Parse()
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

// mutant is the seeded bug under test, if this process is to find one; empty otherwise.
func mutant() string { return os.Getenv("GUDOK_TEST_MUTANT") }

// environment is what every broker of these tests gets.
func environment() []string {
	if m := mutant(); m != "" {
		return []string{"GUDOK_MUTANT=" + m}
	}
	return nil
}
