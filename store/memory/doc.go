// Package memory is the engine that keeps everything in memory and forgets it at the end: the
// default for tests and for queues that need no disk, and the reference for other engines.
//
// Each queue is a ledger under a lock of its own. Whoever makes a message deliverable (a Publish,
// a Credit, a message that comes back, a delay that is over) runs the queue's pump, unless it
// runs already: the pump lends out messages within the credit and calls deliver with no lock
// held, until nothing is deliverable. A call from within deliver therefore leaves its work to the
// pump that is calling it. A pump that finds more than a few messages goes on in a goroutine, so
// that no publisher is held up by a busy queue.
//
// Locks, in this order: the queues' (several of them by ascending number), then one shard's or
// the keeper's. No two shards' at once. None is held while a callback runs.
package memory
