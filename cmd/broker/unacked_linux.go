package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unackedTime is how long the network may leave what was written unacknowledged, or a full window
// closed: keep-alive does not run meanwhile.
const unackedTime = 55 * time.Second

// boundUnacked sets it for a listener's connections, which inherit it. A kernel that does not know it
// has a time of its own.
func boundUnacked(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTime/time.Millisecond))
	})
}
