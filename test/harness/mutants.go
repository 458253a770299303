package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gudokmq/gudok/store/mutant"
)

// Killer is the test that must find a planted bug.
type Killer struct {
	Bug mutant.Name
	// Package has the test, as a path within the module such as broker/auth; empty is the package of
	// the test that runs.
	Package string
	// Test is a pattern of -run, its parts anchored.
	Test string
	// Word is something that the test must say: a broker that does not start, say, would fail any test.
	Word string
}

const module = "github.com/gudokmq/gudok"

// Planted is the bug that this process is to find; empty in a test run of the usual kind.
func Planted() mutant.Name { return mutant.Name(os.Getenv("GUDOK_TEST_MUTANT")) }

// Mutants plants each bug, into a broker for the tests of the real binary and into the test itself for
// those of packages, and demands that its killer finds it: a test that cannot fail proves nothing.
// flags go to every test; so many run at once as -test.parallel says. Tests of other packages must
// not need flags of their own.
func Mutants(t *testing.T, killers []Killer, flags ...string) {
	t.Helper()
	if Planted() != "" || mutant.Is("") {
		t.Fatal("this is a mutant's test")
	}
	dir, top := t.TempDir(), root(t)
	binary := filepath.Join(dir, "broker")
	compile(t, "build", "-o", binary, module+"/cmd/broker")
	tests := map[string]string{"": os.Args[0]}
	bugs := map[mutant.Name]bool{}
	for _, k := range killers {
		bugs[k.Bug] = true
		if tests[k.Package] == "" {
			tests[k.Package] = filepath.Join(dir, strings.ReplaceAll(k.Package, "/", "-")+".test")
			compile(t, "test", "-c", "-o", tests[k.Package], path.Join(module, k.Package))
		}
	}
	var mu sync.Mutex
	found := map[mutant.Name]bool{}
	times := 0
	t.Run("all", func(t *testing.T) {
		for _, k := range killers {
			t.Run(fmt.Sprintf("%s by %s", k.Bug, path.Join(k.Package, k.Test)), func(t *testing.T) {
				t.Parallel()
				args := append([]string{"-test.run=^" + strings.ReplaceAll(k.Test, "/", "$/^") + "$", "-test.timeout=2m"}, flags...)
				cmd := exec.Command(tests[k.Package], args...)
				if k.Package != "" {
					cmd.Dir = filepath.Join(top, k.Package)
				}
				cmd.Env = append(os.Environ(), "GUDOK_BINARY="+binary, "GUDOK_TEST_MUTANT="+string(k.Bug), "MUTANT="+string(k.Bug))
				out, err := cmd.CombinedOutput()
				said := string(out)
				if strings.Contains(said, "missing: ") && strings.Contains(said, "SKIP") {
					if os.Getenv("CI") == "true" {
						t.Fatalf("missing: %s cannot run here", k.Test)
					}
					t.Skipf("missing: %s cannot run here", k.Test)
				}
				switch {
				case err == nil:
					t.Errorf("%s survives:\n%s", k.Bug, said)
				case !strings.Contains(said, "--- FAIL: ") || !strings.Contains(said, k.Word):
					t.Errorf("%s fails, but without a word of %q:\n%.4000s", k.Bug, k.Word, said)
				default:
					mu.Lock()
					found[k.Bug] = true
					times++
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d bugs, %d of them found by a test of that name; %d of %d tests found theirs", len(bugs), len(found), times, len(killers))
}

// compile runs the go command with the tag that plants bugs.
func compile(t *testing.T, verb string, args ...string) {
	t.Helper()
	if out, err := exec.Command("go", append([]string{verb, "-tags", "mutant"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", verb, err, out)
	}
}

// root is the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}
