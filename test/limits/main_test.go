package limits

import (
	"flag"
	"os"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The cells wait for the network more than they compute.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set("test.parallel", "16"); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(m))
}
