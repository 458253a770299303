// Package bolt is the engine that keeps queues on the disk: ledgers in memory, and one bbolt file
// that is their journal.
//
// # What is promised
//
// A done without error means that a power cut can no longer undo the call: the file was synced after
// it was written, and the file's header after that. Calls that wait for the disk at the same time
// share one commit; a Commit is never split. After a crash a message is there, byte for byte and in
// its old order, if its done had run; it may be there if the call had begun. What was acknowledged
// with a done stays away; an Ack whose done had not run yet may come to nothing. After a crash, what
// was delivered more than 50 ms before counts as delivered at least once; after Close, deliveries
// that were not given back do not count. Messages that are not persistent live in memory only.
//
// A message is delivered before it is durable, and if it is acknowledged before its commit has begun
// it is never written; the messages of a Commit are delivered once it is durable.
//
// # The file
//
// The data directory holds gudok.db, and nothing else for long: a file under construction is called
// gudok.db.new or gudok.db.compact until it is synced, gets its name by rename, and the directory is
// synced then. While files are made and replaced, by Open, Compact and Recover, the directory is locked, as
// the file is for as long as it is open. What Recover has replaced is kept as gudok.db.damaged. The buckets of the file:
//
//	meta      "format"    the format's version in digits: 1
//	          "manifest"  see below
//	          "turn"      when that was written, Unix nanoseconds, and more than before: 8 bytes
//	log       a bucket for each commit with live messages; its key is the commit's number, 8 bytes
//	          big endian, counted up from 1 and never used again. In it:
//	          "0"         the index of the commit's records
//	          "1"         ID and data of each record, one behind the other
//	          "b" + n     the same of record n (4 bytes big endian) alone if longer than 64 KiB
//	acks      for each of these commits of which something was acknowledged or given back:
//	          its marks, under the same key
//	bindings  name of the queue: length of the topic (2 bytes), topic, owner, CRC over name and value
//	reach     name of the queue: the highest position that was ever delivered (8), CRC over name and
//	          value; written every 50 ms at most, and removed by Close: after a crash what lies
//	          before it counts as delivered once
//	damaged   records in quarantine, by commit << 20 + record (8 bytes big endian): length of what
//	          follows (4 bytes), what is known as JSON, the bytes as they were found
//
// All other numbers are little endian; every CRC is CRC-32C, 4 bytes.
//
//	index     "Gdx1", commit (8), records (4), names (4); each name of a queue: length (2), bytes;
//	          the records; for each record that has them: expires (8), not before (8); CRC over all
//	record    position in its queue (8), offset in "1" (4; all ones: it has its own key), length of the
//	          data (4), CRC (4), length of the ID (2), number of the queue's name (2), flags (1),
//	          priority (1), 0 (2), number of its times (4; all ones: none): 32 bytes. Its CRC is over
//	          position, length of data, of ID and of name, flags, priority, times, name, ID and data
//	marks     commit (8), records (4), a bit for each record that is set once it is acknowledged;
//	          for each live record that was given back: record (4), deliveries (2), not before (8);
//	          CRC over all
//	manifest  the last commit, commits in log, live records, xor of a hash of their places, xor of a
//	          hash of the bindings (8 each), CRC
//
// A commit's bucket is deleted with its last live record; no other part of it is written twice. A
// commit that few live records keep is cleaned: they are written again with a later commit, at their
// old position, and struck out of the old one in the same transaction. So the order of a queue is
// that of the positions, not of the commits.
//
// # Room
//
// Pages that nothing is in are used again; the file does not shrink by itself. It grows by blocks
// that are allocated before a transaction needs them, so that a full disk refuses those and not half
// of what is written. Messages leave a reserve, a sixteenth of the file between 1 and 16 MiB, to
// acknowledgements, which write pages before they free any. Where that is not enough, they wait in
// memory, unanswered, and are written a few commits at a time. While room is scarce, commits that are
// less than three quarters live are cleaned at once.
//
// # In memory
//
// The index is in memory, 17 bytes a message, more only of those that have times, and a bit each in
// its commit; bodies only up to Options.HotBytes. Others are read back by one goroutine, up to a megabyte ahead, which
// nobody but their queue waits for.
//
// # Damage
//
// Open looks at every page that is in use, but not at the bodies, before it lets bbolt have the file,
// and refuses a file whose structure is damaged. Where the structure is whole, whatever else differs
// from what was written is found by a checksum or by the manifest: reported once (log, Engine.Damage),
// kept aside and not delivered, while the rest is served. Nothing that is damaged is deleted.
//
// Where Recover cannot reach all commits by the tree, it looks at every page, and takes whatever is or
// once was a commit: what had not been acknowledged is among that, since no page is used again before
// the transaction after the one that freed it. Pages do not tell their age. So it takes all that has
// the same number of a commit, or the same position in a queue, which are used again, the one after a
// crash, the other once a queue was empty: positions are moved up where they clash.
//
// # Goroutines and locks
//
// The committer alone writes: it seals a batch of what waits in the journal's input, encodes it, and
// runs one transaction; then it tells the queues where their messages are. The answerer runs the
// dones, in order, and makes Commits visible; since it may wait for the window it is not the
// committer. The reader reads bodies. The table's housekeeper sees to times. Locks: those of package
// queues, then journal.mu; reader.mu, answerer.mu and damages.mu are taken with nothing after them.
package bolt
