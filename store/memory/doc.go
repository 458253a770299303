// Package memory is the engine that keeps everything in memory and forgets it at the end: the
// default for tests and for queues that need no disk, and the reference for other engines.
package memory
