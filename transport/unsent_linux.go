package transport

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentBytes is what the kernel may hold for a peer that the network does not take yet. Without a bound that
// is as much as a socket's buffer grows to, some MiB for a reader that stalls, which nobody counts; the
// outbox counts. What is sent and not confirmed yet is not bounded by it, nor is the rate.
const unsentBytes = 128 << 10

// limitUnsent bounds what the kernel holds for a connection.
func limitUnsent(nc net.Conn) {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes) // not TCP: not bounded
	})
}
