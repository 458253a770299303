// Package queues is what the engines of this module have in common: the table of queues, each a
// ledger under a lock of its own, their consumers, deliveries and times. An engine in memory is
// this and nothing else; one with a disk adds a [Journal].
//
// Whoever makes a message deliverable (a Publish, a Credit, a message that comes back, a delay
// that is over) runs the queue's pump, unless it runs already: the pump lends out messages within
// the credit and calls deliver with no lock held, until nothing is deliverable. A call from within
// deliver therefore leaves its work to the pump that is calling it. A pump that finds more than a
// few messages goes on in a goroutine, so that no publisher is held up by a busy queue.
//
// With a journal a durable message is deliverable before it is durable: only its receipt waits. The
// messages of a Commit are not: they become visible once it has succeeded, and what is published
// to the same queue after them waits behind them, so that the order holds.
//
// Locks, in this order: the queues' (several of them by ascending number), then one shard's, the
// keeper's or the journal's. No two shards' at once, but
// for CountNames, which takes all. None is held while a callback runs.
package queues
