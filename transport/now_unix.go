//go:build unix

package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// writing is one call of writeNow, kept so that it allocates nothing.
type writing struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr)
}

var writings = sync.Pool{New: func() any {
	w := new(writing)
	w.do = func(fd uintptr) { w.n, w.err = writeFD(fd, w.p) }
	return w
}}

// writeNow writes what the socket takes without waiting, which may be nothing; no deadline counts.
func writeNow(c syscall.RawConn, p []byte) (int, error) {
	w := writings.Get().(*writing)
	w.p = p
	err := c.Control(w.do)
	n := w.n
	if err == nil {
		err = w.err
	}
	w.p, w.n, w.err = nil, 0, nil
	writings.Put(w)
	return n, err
}

func writeFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := writeRaw(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// openRaw gives the socket below nc if bytes go there as they are, and not through TLS.
func (s *socket) openRaw(nc net.Conn) {
	if c, ok := nc.(syscall.Conn); ok {
		if rc, err := c.SyscallConn(); err == nil { // else it is closed, which Read reports
			s.rc, s.readFD = rc, s.tryRead
		}
	}
}

// tryRead reads what is there into the buffer, which it takes for that; false if it has to be waited for.
func (s *socket) tryRead(fd uintptr) bool {
	b := s.take()
	for {
		n, err := readRaw(int(fd), b[:])
		switch err {
		case nil:
			if n > 0 && s.whose.isBeat(b[:n]) && !s.interrupted.Load() {
				// It says no more than that it came, and that was all: the reader goes on waiting.
				s.lastRead.Store(time.Now().UnixNano())
				s.drop()
				s.got, s.quick = notYet, 0
				return s.idle()
			}
			s.got, s.gotErr = n, nil
			if n == 0 {
				s.gotErr = io.EOF
			}
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			s.drop()
			// Not onWait itself: it may end this connection, or another whose reader ends this one, and
			// the end of a connection waits for the reads on it.
			s.got = notYet
			return s.idle()
		default:
			s.got, s.gotErr = 0, os.NewSyscallError("read", err)
			return true
		}
	}
}

// idle tells whether there is something else to do than to wait here.
func (s *socket) idle() bool { return !s.away && (s.due() || s.leave()) }
