//go:build !unix

package bolt

import (
	"os"
	"time"
)

// mapsSparsely tells that mapping more than the file is long costs nothing.
const mapsSparsely = false

// growsAhead tells that the file is made longer before it is written to. Here bbolt does that.
const growsAhead = false

func allocated(*os.File) (int64, error)     { return 0, nil }
func allocate(*os.File, int64, int64) error { return nil }

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

// lockDir does nothing: directories cannot be locked here.
func lockDir(string, time.Duration) (free func(), err error) { return func() {}, nil }

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
