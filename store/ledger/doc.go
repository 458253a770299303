// Package ledger keeps account of one queue: which messages are ready, on loan (held), waiting
// for their time (delayed) or past it (expired), and who comes next.
//
// It is a data structure and nothing else. It does no I/O, starts no goroutine, reads no clock
// (times are Unix milliseconds handed in) and has no lock: its owner, one queue of an engine,
// guards it. What a message is stays with the owner too: a [Ledger] carries a small value per
// message, its place in a journal, say, and a pointer to it while it is in memory, and never looks
// into them.
//
// Positions number the messages of a queue in the order of Append, from 1 up; none is used
// twice. The lowest ready position is always the next, so a message that came back stands in its
// old place.
//
// Cost: with a value of 8 bytes a message takes 17 bytes of index, in chunks of 64 that go as
// soon as their last message has gone, and that the garbage collector does not look into; 8 more for
// each message of a chunk in which one has its body in memory, 16 more for each of one in which a
// message is delayed or expires. In the heaps, 16 more while it is delayed, 16 more if it expires (twice
// that at worst, for places in the heaps are given up lazily). Append, Next and Ack in order are
// O(1) and allocate nothing in the long run; what comes back, waits or expires costs O(log n).
package ledger
