//go:build !race && !msan && !asan

package transport

import (
	"syscall"
	"unsafe"
)

// Reads and short writes on a socket that does not block take less time than the scheduler's notes
// about a system call. Above all, these notes wake the runtime's monitor thread, which then
// sleeps and wakes many times until the process is idle again: for heart-beats, which come when
// nothing else does, that was a third of their cost. Long writes keep it awake, so that a busy
// process has it. The race detector is told of reads and writes by package syscall alone.

const shortWrite = 64

func readRaw(fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, err := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))) // #nosec G103 -- as package syscall does; p is not empty
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}

func writeRaw(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > shortWrite {
		return syscall.Write(fd, p)
	}
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))) // #nosec G103 -- as package syscall does; p is not empty
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}
