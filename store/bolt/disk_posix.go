//go:build unix && !linux

package bolt

import "os"

// allocate makes a file n bytes longer from at on, with blocks for all of it.
func allocate(f *os.File, at, n int64) error { return fill(f, at, n) }
