//go:build !unix

package transport

import (
	"net"
	"syscall"
)

func (s *socket) openRaw(net.Conn) {} // reads and writes wait

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, nil }
