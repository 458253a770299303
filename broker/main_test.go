package broker_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	broker.Spoil()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if !broker.Ordinary() {
			fmt.Fprintln(os.Stderr, "somebody has written to what is ordinary about all subscriptions")
			code = 1
		}
		os.Exit(code)
	}))
}
