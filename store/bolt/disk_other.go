//go:build !unix

package bolt

import (
	"os"
	"time"
)

// mapsSparsely tells that mapping more than the file is long costs nothing.
const mapsSparsely = false

// freeSpace is not known here.
func freeSpace(string) (int64, bool) { return 0, false }

// lockFile leaves locking to bbolt.
func lockFile(path string, _ time.Duration) (free func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return func() {}, f.Close()
}

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
