package transport

import "github.com/gudokmq/gudok/broker"

// Held is how many bytes of pooled memory a connection holds.
func Held(c broker.Conn) int {
	n := 0
	switch c := c.(type) {
	case *wsConn:
		n = c.dec.Buffered()
		if c.buf != nil {
			n += chunkSize
		}
		if c.earlyBuf != nil {
			n += chunkSize
		}
	case *tcpConn:
		n = c.dec.Buffered()
		if c.buf != nil {
			n += chunkSize
		}
	}
	return n
}
