//go:build unix

package bolt

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// mapsSparsely tells that mapping more than the file is long costs nothing.
const mapsSparsely = true

// freeSpace is how much of the disk under path this process may still fill.
func freeSpace(path string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// lockFile takes the lock that bbolt takes, for as long as until free is called.
func lockFile(path string, timeout time.Duration) (free func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(timeout); ; time.Sleep(lockNap) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // and the lock with it
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			_ = f.Close()
			return nil, errLocked
		}
	}
}

// syncDir makes durable which names a directory holds.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
