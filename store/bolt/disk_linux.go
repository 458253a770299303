package bolt

import (
	"errors"
	"os"
	"syscall"
)

// allocate makes a file n bytes longer from at on, with blocks for all of it.
func allocate(f *os.File, at, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, at, n)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fill(f, at, n)
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}
