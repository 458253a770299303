// Package mutant plants bugs, so that the tests show that they would find them. In a normal build
// [Is] is false, always and at no cost: the compiler leaves out what stands behind it. In a build
// with the tag mutant the environment variable MUTANT names the bug that is there.
package mutant

// Name names a bug.
type Name string

// The bugs, and where they are.
const (
	NoSync           Name = "no-sync"            // store/bolt: the file is never synced
	NoDirectorySync  Name = "no-directory-sync"  // store/bolt: a new file's name is not synced
	ReceiptFirst     Name = "receipt-first"      // store/bolt: calls are answered before their commit
	AckForgotten     Name = "ack-forgotten"      // store/bolt: acknowledgements stay in memory
	CommitGoesEarly  Name = "commit-goes-early"  // store/bolt: a commit goes when half of it is acknowledged
	AcksSecond       Name = "acks-second"        // store/bolt: what a transaction acknowledges is written after what it publishes
	ChecksumIgnored  Name = "checksum-ignored"   // store/bolt: a damaged message is delivered
	RecoveryOrder    Name = "recovery-order"     // store/bolt: neighbours change places at the start
	ReachForgotten   Name = "reach-forgotten"    // store/bolt: what was delivered before a crash is not marked
	CountForgotten   Name = "count-forgotten"    // store/bolt: how often a message was refused stays in memory
	ExpiryForgotten  Name = "expiry-forgotten"   // store/bolt: nothing expires after a restart
	DelayForgotten   Name = "delay-forgotten"    // store/bolt: nothing waits after a restart
	BindingForgotten Name = "binding-forgotten"  // store/bolt: durable subscriptions stay in memory
	UnbindLeaves     Name = "unbind-leaves"      // store/bolt: the messages of a deleted subscription stay in the file
	DropWhenFull     Name = "drop-when-full"     // store/bolt: what a full disk refuses is receipted
	AckWhenFull      Name = "ack-when-full"      // store/bolt: acknowledgements are receipted though the full disk refuses them
	SyncErrorIgnored Name = "sync-error-ignored" // store/bolt: a failed sync counts as done
	CompactUnsynced  Name = "compact-unsynced"   // store/bolt: the compacted file is not synced
	CompactInPlace   Name = "compact-in-place"   // store/bolt: the compacted file has its name before it is whole
	CompactForgets   Name = "compact-forgets"    // store/bolt: a compacted file that is more than one commit has no durable subscriptions
	RequeueAtTail    Name = "requeue-at-tail"    // store: what is refused comes again last
	AckAtDelivery    Name = "ack-at-delivery"    // broker: a message is acknowledged when it is delivered
	CumulativeOne    Name = "cumulative-one"     // broker: a cumulative acknowledgement is of one message
	HalfCommit       Name = "half-commit"        // broker: a transaction's messages are published one by one
	TopicFirst       Name = "topic-first"        // broker: a topic message's receipt does not wait for durable subscriptions
	FlagLost         Name = "flag-lost"          // broker: redelivered is never said
	UnsubscribeAcks  Name = "unsubscribe-acks"   // broker: the end of a subscription acknowledges what it held
	BuryInTwo        Name = "bury-in-two"        // broker: a dead letter leaves its queue before it is in the other
	Volatile         Name = "volatile"           // broker: messages are kept in memory only
	TruncatedTaken   Name = "truncated-taken"    // transport: a SEND whose end is missing is taken for whole
)
