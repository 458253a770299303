package durability

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

// killers are the tests that must find the bugs of durability.
var killers = []harness.Killer{
	{Bug: mutant.NoSync, Test: "TestPowerCut/ext4", Word: "lost: "},
	{Bug: mutant.NoSync, Test: "TestPowerCut/xfs", Word: "lost: "},
	{Bug: mutant.NoDirectorySync, Test: "TestFirstStartSyncsDirectories", Word: "no directory sync"},
	{Bug: mutant.ReceiptFirst, Test: "TestReceiptWaitsForTheDisk", Word: "lost: "},
	{Bug: mutant.AckForgotten, Test: "TestAckedStaysGone", Word: "resurrected: "},
	{Bug: mutant.CommitGoesEarly, Test: "TestAckedStaysGone", Word: "lost: "},
	{Bug: mutant.AcksSecond, Test: "TestEveryStep/kill/forward", Word: "half a transaction: "},
	{Bug: mutant.ChecksumIgnored, Test: "TestDamageIsTold", Word: "altered: "},
	{Bug: mutant.RecoveryOrder, Test: "TestOrderSurvives", Word: "out of order: "},
	{Bug: mutant.ReachForgotten, Test: "TestUnackedComesBack", Word: "redelivered flag: "},
	{Bug: mutant.CountForgotten, Test: "TestNackedKeepsItsPlace", Word: "redelivered flag: "},
	{Bug: mutant.ExpiryForgotten, Test: "TestExpiredStaysAway", Word: "expired: "},
	{Bug: mutant.DelayForgotten, Test: "TestDelayedWaits", Word: "delay: "},
	{Bug: mutant.BindingForgotten, Test: "TestDurableSubscriptionSurvives", Word: "lost: "},
	{Bug: mutant.UnbindLeaves, Test: "TestUnsubscribedStaysGone", Word: "resurrected: "},
	{Bug: mutant.DropWhenFull, Test: "TestDiskFull", Word: "lost: "},
	{Bug: mutant.AckWhenFull, Test: "TestNoRoomForAcknowledgements", Word: "resurrected: "},
	{Bug: mutant.SyncErrorIgnored, Test: "TestSyncFails", Word: "broker did not end"},
	{Bug: mutant.CompactUnsynced, Test: "TestCompactionIsAllOrNothing/xfs", Word: "lost: "},
	{Bug: mutant.CompactInPlace, Test: "TestCompactionIsAllOrNothing/kill", Word: "lost: "},
	{Bug: mutant.CompactForgets, Test: "TestCompactionIsAllOrNothing/kill", Word: "lost: "},
	{Bug: mutant.RequeueAtTail, Test: "TestNackedKeepsItsPlace", Word: "out of order: "},
	{Bug: mutant.AckAtDelivery, Test: "TestUnackedComesBack", Word: "lost: "},
	{Bug: mutant.CumulativeOne, Test: "TestAckedStaysGone", Word: "resurrected: "},
	{Bug: mutant.HalfCommit, Test: "TestEveryStep/kill/commit", Word: "half a transaction: "},
	{Bug: mutant.TopicFirst, Test: "TestReceiptWaitsForTheDisk", Word: "lost: "},
	{Bug: mutant.FlagLost, Test: "TestUnackedComesBack", Word: "redelivered flag: "},
	{Bug: mutant.UnsubscribeAcks, Test: "TestUnackedComesBack", Word: "lost: "},
	{Bug: mutant.BuryInTwo, Test: "TestEveryStep/kill/bury", Word: "lost: "},
	{Bug: mutant.Volatile, Test: "TestReceiptMeansStored", Word: "lost: "},
	{Bug: mutant.TruncatedTaken, Test: "TestTruncatedIsNoMessage", Word: "phantom: "},
}

// TestMutants demands that each bug is found.
func TestMutants(t *testing.T) { harness.Mutants(t, killers, "-cycles=60", "-cuts=40") }

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
