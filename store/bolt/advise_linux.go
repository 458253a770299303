package bolt

import (
	"os"

	"golang.org/x/sys/unix"
)

// adviseRandom tells the kernel not to read ahead: of a commit only its index is wanted, and the
// bodies between are most of the file. It is a hint; a refusal costs nothing but time.
func adviseRandom(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
}

// adviseNeed has the kernel begin to read a part of the file. It is a hint.
func adviseNeed(f *os.File, at, n int64) {
	_ = unix.Fadvise(int(f.Fd()), at, n, unix.FADV_WILLNEED)
}
