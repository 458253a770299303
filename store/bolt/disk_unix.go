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

// growsAhead tells that the file is made longer before it is written to.
const growsAhead = true

// allocated is how long the file is, if there are blocks for all of it; 0 if not.
func allocated(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int64(s.Blocks)*512 >= info.Size() {
		return info.Size(), nil
	}
	return 0, nil
}

// fill writes zeros: the blocks are there then.
func fill(f *os.File, at, n int64) error {
	zeros := make([]byte, min(n, 64<<10))
	for n > 0 {
		k, err := f.WriteAt(zeros[:min(n, int64(len(zeros)))], at)
		if err != nil {
			return err
		}
		at, n = at+int64(k), n-int64(k)
	}
	return nil
}

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
	if err := lock(f, timeout); err != nil {
		_ = f.Close()
		return nil, errLocked
	}
	return func() { _ = f.Close() }, nil // and the lock with it
}

// lockDir keeps other processes from making and replacing files in a directory, for as long as until free
// is called, where the file system knows locks on directories.
func lockDir(path string, timeout time.Duration) (free func(), err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := lock(d, timeout); errors.Is(err, syscall.EWOULDBLOCK) {
		_ = d.Close()
		return nil, errLocked
	}
	return func() { _ = d.Close() }, nil
}

func lock(f *os.File, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(lockNap) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
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
