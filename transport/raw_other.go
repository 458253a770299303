//go:build unix && (!linux || race || msan || asan)

package transport

import "syscall"

func readRaw(fd int, p []byte) (int, error)  { return syscall.Read(fd, p) }
func writeRaw(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
