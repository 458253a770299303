package durability

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

// killer is the test that must find a bug, and a word of what it must say: a broker that does not
// start, say, would fail any test.
type killer struct {
	bug  mutant.Name
	test string // a pattern of -run
	word string
}

var killers = []killer{
	{mutant.NoSync, "TestPowerCut/ext4", "lost: "},
	{mutant.NoSync, "TestPowerCut/xfs", "lost: "},
	{mutant.NoDirectorySync, "TestFirstStartSyncsDirectories", "no directory sync"},
	{mutant.ReceiptFirst, "TestReceiptWaitsForTheDisk", "lost: "},
	{mutant.AckForgotten, "TestAckedStaysGone", "resurrected: "},
	{mutant.CommitGoesEarly, "TestAckedStaysGone", "lost: "},
	{mutant.AcksSecond, "TestEveryStep/kill/forward", "half a transaction: "},
	{mutant.ChecksumIgnored, "TestDamageIsTold", "altered: "},
	{mutant.RecoveryOrder, "TestOrderSurvives", "out of order: "},
	{mutant.ReachForgotten, "TestUnackedComesBack", "redelivered flag: "},
	{mutant.CountForgotten, "TestNackedKeepsItsPlace", "redelivered flag: "},
	{mutant.ExpiryForgotten, "TestExpiredStaysAway", "expired: "},
	{mutant.DelayForgotten, "TestDelayedWaits", "delay: "},
	{mutant.BindingForgotten, "TestDurableSubscriptionSurvives", "lost: "},
	{mutant.UnbindLeaves, "TestUnsubscribedStaysGone", "resurrected: "},
	{mutant.DropWhenFull, "TestDiskFull", "lost: "},
	{mutant.AckWhenFull, "TestNoRoomForAcknowledgements", "resurrected: "},
	{mutant.SyncErrorIgnored, "TestSyncFails", "broker did not end"},
	{mutant.CompactUnsynced, "TestCompactionIsAllOrNothing/xfs", "lost: "},
	{mutant.CompactInPlace, "TestCompactionIsAllOrNothing/kill", "lost: "},
	{mutant.CompactForgets, "TestCompactionIsAllOrNothing/kill", "lost: "},
	{mutant.RequeueAtTail, "TestNackedKeepsItsPlace", "out of order: "},
	{mutant.AckAtDelivery, "TestUnackedComesBack", "lost: "},
	{mutant.CumulativeOne, "TestAckedStaysGone", "resurrected: "},
	{mutant.HalfCommit, "TestEveryStep/kill/commit", "half a transaction: "},
	{mutant.TopicFirst, "TestReceiptWaitsForTheDisk", "lost: "},
	{mutant.FlagLost, "TestUnackedComesBack", "redelivered flag: "},
	{mutant.UnsubscribeAcks, "TestUnackedComesBack", "lost: "},
	{mutant.BuryInTwo, "TestEveryStep/kill/bury", "lost: "},
	{mutant.Volatile, "TestReceiptMeansStored", "lost: "},
	{mutant.TruncatedTaken, "TestTruncatedIsNoMessage", "phantom: "},
}

// TestMutants plants each bug into a broker and demands that its killer finds it: a test that cannot
// fail proves nothing.
func TestMutants(t *testing.T) {
	if mutant.Is("") || os.Getenv("GUDOK_TEST_MUTANT") != "" {
		t.Fatal("this is a mutant's test")
	}
	binary := filepath.Join(t.TempDir(), "broker")
	build := exec.Command("go", "build", "-tags", "mutant", "-o", binary, "github.com/gudokmq/gudok/cmd/broker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var mu sync.Mutex
	bugs, found := map[mutant.Name]bool{}, 0
	t.Run("all", func(t *testing.T) {
		for _, k := range killers {
			bugs[k.bug] = true
			t.Run(fmt.Sprintf("%s by %s", k.bug, k.test), func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(k.test, "/", "$/^")+"$",
					"-test.timeout=2m", "-cycles=60", "-cuts=40")
				cmd.Env = append(os.Environ(), "GUDOK_BINARY="+binary, "GUDOK_TEST_MUTANT="+string(k.bug))
				out, err := cmd.CombinedOutput()
				said := string(out)
				if strings.Contains(said, "missing: ") && strings.Contains(said, "SKIP") {
					need(t, k.test+" cannot run here")
				}
				switch {
				case err == nil:
					t.Errorf("%s survives:\n%s", k.bug, said)
				case !strings.Contains(said, "--- FAIL: ") || !strings.Contains(said, k.word):
					t.Errorf("%s fails, but without a word of %q:\n%s", k.bug, k.word, said)
				default:
					mu.Lock()
					found++
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d bugs, found %d of %d times", len(bugs), found, len(killers))
}

// The broker as it is built for use has no trace of any bug.
func TestNoMutantInTheBroker(t *testing.T) {
	out, err := exec.Command("go", "tool", "nm", harness.Build(t)).Output()
	if err != nil {
		t.Fatalf("go tool nm: %v", err)
	}
	if !strings.Contains(string(out), "gudok/store/bolt.") {
		t.Fatal("no symbols to look at")
	}
	if strings.Contains(string(out), "store/mutant") {
		t.Error("there is one")
	}
}
