// Package bolt is the engine that keeps queues on the disk, in one file: ledgers, and a journal of
// which each group of calls is one commit.
package bolt
