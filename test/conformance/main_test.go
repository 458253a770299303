package conformance

import (
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The cases wait for the network more than they compute.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set("test.parallel", "32"); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(m))
}

// tcase is one case: a clause, what is said about it, and the proof.
type tcase struct {
	clause, name string
	// versions the case holds for; nil for all three.
	versions []string
	run      func(*env)
}

// The versions a case may be limited to.
var (
	only10 = []string{"1.0"}
	only11 = []string{"1.1"}
	only12 = []string{"1.2"}
	from11 = []string{"1.1", "1.2"}
	upTo11 = []string{"1.0", "1.1"}
)

// protocolCases are those that run once for each version.
func protocolCases() []tcase {
	return slices.Concat(connectCases(), frameCases(), headerCases(), contentLengthCases(),
		sendCases(), subscribeCases(), unsubscribeCases(), ackCases(), nackCases(), deliveryCases(),
		transactionCases(), mixedTransactionCases(), redeliveryCases(), extraCases(), receiptCases(), disconnectCases(), messageCases(), topicCases(),
		tempCases(), errorCases())
}

func TestSTOMP12(t *testing.T) { runVersion(t, "1.2", "", protocolCases()) }
func TestSTOMP11(t *testing.T) { runVersion(t, "1.1", "", protocolCases()) }
func TestSTOMP10(t *testing.T) { runVersion(t, "1.0", "", protocolCases()) }

// runVersion runs the cases of one version on all transports against one broker, while a
// bystander stays connected to it: whatever becomes of the others, it must not notice.
func runVersion(t *testing.T, version, config string, cases []tcase) {
	t.Parallel()
	b := harness.Start(t, config)
	run(t, b, version, cases)
}

func run(t *testing.T, b *harness.Broker, version string, cases []tcase) {
	bystander := (&env{T: t, b: b, tr: harness.TCP, v: version}).connectAs("1.2", "login:alice", passcode("alice"))
	bystander.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/conformance.bystander\n\n\x00")
	bystander.Sync()
	t.Cleanup(func() {
		if !t.Skipped() {
			bystander.Sendf("SEND\ndestination:/topic/conformance.bystander\n\nstill here\x00")
			bystander.Message("still here")
		}
	})
	byClause := map[string][]tcase{}
	var clauses []string
	for _, c := range cases {
		if c.versions != nil && !slices.Contains(c.versions, version) {
			continue
		}
		if byClause[c.clause] == nil {
			clauses = append(clauses, c.clause)
		}
		byClause[c.clause] = append(byClause[c.clause], c)
	}
	for _, clause := range clauses {
		t.Run(clause, func(t *testing.T) {
			t.Parallel()
			for _, c := range byClause[clause] {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					for _, tr := range harness.Transports {
						t.Run(string(tr), func(t *testing.T) {
							t.Parallel()
							c.run(&env{T: t, b: b, tr: tr, v: version})
						})
					}
				})
			}
		})
	}
}
