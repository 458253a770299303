//go:build unix

package load

import "syscall"

// wakeUp sends the signal that a Gudok answers with a line in its log.
func wakeUp(pid int) error { return syscall.Kill(pid, syscall.SIGUSR1) }
