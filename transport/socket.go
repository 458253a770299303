package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

const (
	chunkSize  = 16 << 10 // pooled read buffer
	smallRead  = 512      // what a connection keeps that cannot wait without a buffer
	maxDiscard = 16 << 20 // bytes thrown away while lingering
	// controlTime bounds the write of a control frame, which holds up the reader.
	controlTime = 5 * time.Second
	// farewellTime bounds the last write of a connection that is closed without linger.
	farewellTime = time.Second
)

type chunk [chunkSize]byte

// notYet stands for got where nothing was there to read.
const notYet = -1

// chunks holds read buffers; a connection has one only while it has bytes to read.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// errClosing is what a write after the close frame gets.
var errClosing = fmt.Errorf("connection is closing: %w", net.ErrClosed)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// socket is the connection beneath a Conn: deadlines, the time of the last byte, whole writes and
// the end in good order.
type socket struct {
	// Static after construction.
	nc        net.Conn
	rc        syscall.RawConn // what can be tried without waiting; nil if nothing
	frameTime time.Duration
	onWait    func()                // called before waiting for bytes
	due       func() bool           // whether onWait has something to do
	readFD    func(fd uintptr) bool // reads from it
	whose     beats                 // the connection above

	// Of the read under way, owned by the reader.
	got    int
	gotErr error

	// Owned by the reader.
	buf      *chunk    // what was read last, or nil
	small    []byte    // instead of buf where a read cannot be tried without waiting
	full     bool      // the last read filled small: more is there
	readErr  error     // what the network said last; final
	begun    bool      // a frame has begun, so its time runs
	frameEnd time.Time // when that time is over; zero: not reckoned yet
	armed    bool      // nc has a read deadline
	leaves   bool      // who reads need not wait here
	mayLeave bool      // and not in the read under way
	away     bool      // it has left, and waits elsewhere
	waited   bool      // that has come to got and gotErr
	quick    uint8     // reads in a row that came soon after the one before

	lastRead    atomic.Int64
	interrupted atomic.Bool

	// deadlineMu guards stopped, and that no deadline is set after it but by finish.
	deadlineMu sync.Mutex
	stopped    bool

	// writeMu orders whole writes of data and control frames: it is held while one is written,
	// for as long as that write's deadline allows.
	writeMu   sync.Mutex
	writeErr  error // the first failure; final, since half a batch may be out
	closeSent bool  // a WebSocket close frame is out, nothing may follow
	timed     bool  // nc has a write deadline

	// begunWrite tells that writeMu is locked for the flusher, between a tryWrite that came to a part
	// of its bytes and the write of the rest. Owned by the flusher.
	begunWrite bool
}

// beats knows heart-beats.
type beats interface {
	// isBeat tells whether p is one between frames, and nothing else.
	isBeat(p []byte) bool
}

func (s *socket) init(nc net.Conn, whose beats, frameTime time.Duration) {
	s.nc, s.whose, s.frameTime = nc, whose, frameTime
	s.onWait, s.due = func() {}, func() bool { return false }
	s.openRaw(nc)
	limitUnsent(s.raw())
	s.lastRead.Store(time.Now().UnixNano())
}

// fill reads once from the network, within the frame time if a frame has begun, and waits if nothing is
// there. The bytes are the caller's, to change as well, until the next fill, fillWithin or drop. Its
// first error is kept in readErr and returned ever after.
func (s *socket) fill() ([]byte, error) {
	if s.readErr != nil {
		return nil, s.readErr
	}
	switch {
	case s.begun && s.frameEnd.IsZero() && !mutant.Is(mutant.FrameTimeOff):
		s.frameEnd = time.Now().Add(s.frameTime)
		s.setReadDeadline(s.frameEnd)
		s.armed = true
	case !s.begun && s.armed:
		s.setReadDeadline(time.Time{})
		s.armed = false
	}
	p, err := s.fillNow(s.leaves && !s.begun)
	if mutant.Is(mutant.TruncatedTaken) && s.begun && errors.Is(err, io.EOF) {
		p, err = make([]byte, smallRead), nil
	}
	if len(p) > 0 {
		now := time.Now().UnixNano()
		if now-s.lastRead.Swap(now) > int64(soon) {
			s.quick = 0
		} else if s.quick < busyReads {
			s.quick++
		}
		return p, nil // an error beside bytes comes again
	}
	if !errors.Is(err, broker.ErrWait) {
		s.readErr = err
	}
	return nil, err
}

// Who reads leaves to wait elsewhere, which takes the time of waking a goroutine, unless so many reads in a row
// came soon.
const (
	busyReads = 8
	soon      = 100 * time.Millisecond
)

// fillNow reads what is there; if that is nothing it calls onWait and waits, without a buffer where the
// system can tell that there is something to read; then, if it may leave, it returns ErrWait instead.
func (s *socket) fillNow(mayLeave bool) ([]byte, error) {
	if s.rc != nil {
		s.mayLeave = mayLeave
		for s.read(); s.got == notYet; s.read() {
			s.onWait()
			if s.leave() {
				return nil, broker.ErrWait
			}
		}
		if s.got <= 0 {
			return nil, s.gotErr
		}
		return s.buf[:s.got], nil
	}
	p := s.small
	if s.full {
		p = s.take()[:]
	} else if p == nil {
		s.small = make([]byte, smallRead)
		p = s.small
	}
	if !s.full {
		s.drop()
	}
	s.onWait()
	n, err := s.nc.Read(p)
	s.full = n == len(p)
	return p[:n], err
}

// read reads into got and gotErr, unless that has been waited for. It waits if nothing is there and nothing else to be done.
func (s *socket) read() {
	if s.waited {
		s.waited = false
		return
	}
	s.got = notYet
	if err := s.rc.Read(s.readFD); err != nil {
		s.got, s.gotErr = 0, err
	}
}

// leave tells whether who reads may leave.
func (s *socket) leave() bool { return s.mayLeave && s.quick < busyReads }

// wait waits for what the next read is to come to.
func (s *socket) wait() {
	s.away = true
	s.read()
	s.away, s.waited = false, true
}

// take gives the buffer, from the pool if there is none.
func (s *socket) take() *chunk {
	if s.buf == nil {
		s.buf = chunks.Get().(*chunk)
	}
	return s.buf
}

// drop gives the buffer back: what was read last is used up.
func (s *socket) drop() {
	if s.buf != nil {
		chunks.Put(s.buf)
		s.buf = nil
	}
}

// fillWithin is fill with a bound of its own; timedOut tells that nothing came within d.
func (s *socket) fillWithin(d time.Duration) (p []byte, timedOut bool) {
	if s.readErr != nil {
		return nil, false
	}
	end := time.Now().Add(d)
	if !s.frameEnd.IsZero() && s.frameEnd.Before(end) {
		end = s.frameEnd
	}
	s.setReadDeadline(end)
	p, err := s.fillNow(false)
	switch {
	case len(p) > 0:
		s.lastRead.Store(time.Now().UnixNano())
	case errors.Is(err, os.ErrDeadlineExceeded) && !s.interrupted.Load():
		timedOut = true
	default:
		s.readErr = err
	}
	s.setReadDeadline(s.frameEnd)
	s.armed = !s.frameEnd.IsZero()
	return p, timedOut
}

// begin tells whether a frame is unfinished now.
func (s *socket) begin(begun bool) {
	s.begun = begun
	if !begun {
		s.frameEnd = time.Time{}
	}
}

// progress tells that a frame was finished: the next one has its own time.
func (s *socket) progress() { s.frameEnd = time.Time{} }

func (s *socket) setReadDeadline(t time.Time) {
	s.deadlineMu.Lock()
	defer s.deadlineMu.Unlock()
	if !s.stopped {
		s.nc.SetReadDeadline(t) // an error means a closed socket, which Read reports
	}
}

// stop ends the read under way and all later ones. It does not shorten a finish under way.
func (s *socket) stop() {
	s.deadlineMu.Lock()
	defer s.deadlineMu.Unlock()
	if !s.stopped {
		s.stopped = true
		s.nc.SetReadDeadline(past)
	}
}

func (s *socket) interrupt() {
	s.interrupted.Store(true)
	s.stop()
}

// fault is what ReadFrame says to readErr.
func (s *socket) fault() error {
	err := s.readErr
	switch {
	case err == nil: // who reads has left
		return broker.ErrWait
	case errors.Is(err, os.ErrDeadlineExceeded):
		if s.interrupted.Load() {
			return broker.ErrInterrupted
		}
		return broker.ErrFrameTime
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	}
	return fmt.Errorf("read: %w", err)
}

// write writes p whole within timeout; 0 is no bound.
func (s *socket) write(p []byte, timeout time.Duration) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return s.writeLocked(p, timeout)
}

func (s *socket) writeLocked(p []byte, timeout time.Duration) error {
	n, err := s.tryLocked(p)
	if err != nil || n == len(p) {
		return err
	}
	if timeout > 0 {
		s.nc.SetWriteDeadline(time.Now().Add(timeout))
		s.timed = true
	} else if s.timed {
		s.nc.SetWriteDeadline(time.Time{})
		s.timed = false
	}
	if _, err := s.nc.Write(p[n:]); err != nil {
		s.writeErr = fmt.Errorf("write: %w", err)
	}
	return s.writeErr
}

// tryLocked writes what the network takes at once, which may be nothing.
func (s *socket) tryLocked(p []byte) (n int, err error) {
	if s.writeErr != nil {
		return 0, s.writeErr
	}
	if s.closeSent {
		return 0, errClosing
	}
	if s.rc == nil {
		return 0, nil
	}
	if n, err = writeNow(s.rc, p); err != nil {
		s.writeErr = fmt.Errorf("write: %w", err)
	}
	return n, s.writeErr
}

// flushNow is broker.Conn's TryWrite.
func (s *socket) flushNow(p []byte) (n int, err error) {
	if s.rc == nil || !s.writeMu.TryLock() {
		return 0, nil
	}
	n, err = s.tryLocked(p)
	if n == 0 || n == len(p) || err != nil {
		s.writeMu.Unlock()
	} else {
		s.begunWrite = true
	}
	return n, err
}

// flush is broker.Conn's Write.
func (s *socket) flush(p []byte, timeout time.Duration) error {
	if s.begunWrite {
		s.begunWrite = false
	} else {
		s.writeMu.Lock()
	}
	defer s.writeMu.Unlock()
	return s.writeLocked(p, timeout)
}

// writeClose writes a WebSocket close frame, the last frame, unless one is out.
func (s *socket) writeClose(p []byte, timeout time.Duration) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	err := s.writeLocked(p, timeout)
	s.closeSent = true
	return err
}

func (s *socket) writeFault() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return s.writeErr
}

// raw is the connection below TLS, where there is one.
func (s *socket) raw() net.Conn {
	if t, ok := s.nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return s.nc
}

type writeCloser interface{ CloseWrite() error }

// closeWrite tells the peer that nothing more comes, if the connection can.
func (s *socket) closeWrite() bool {
	if t, ok := s.nc.(*tls.Conn); ok {
		t.CloseWrite() // close_notify; a failure shows at the socket below
	}
	w, ok := s.raw().(writeCloser)
	return ok && w.CloseWrite() == nil
}

// finish ends the connection: no more writes, discard what comes until the peer ends too, linger
// is over or too much came, then free the socket. Bytes left unread would turn the close into a
// reset, which can destroy what the peer has not read yet. told: the peer knows by a close frame.
func (s *socket) finish(linger time.Duration, told bool) {
	raw := s.raw()
	defer raw.Close()
	if s.writeFault() == nil && s.closeWrite() {
		told = true
	}
	dead := s.readErr != nil && !errors.Is(s.readErr, os.ErrDeadlineExceeded)
	if !told || dead || linger <= 0 {
		return
	}
	s.deadlineMu.Lock()
	s.stopped = true
	raw.SetReadDeadline(time.Now().Add(linger))
	s.deadlineMu.Unlock()
	b := chunks.Get().(*chunk)
	defer chunks.Put(b)
	for left := maxDiscard; left > 0; {
		n, err := raw.Read(b[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// parted discards what comes for a while and reports whether the peer ended the stream within it.
func (s *socket) parted(wait time.Duration) bool {
	if s.readErr != nil && !errors.Is(s.readErr, os.ErrDeadlineExceeded) {
		return true
	}
	s.deadlineMu.Lock()
	s.stopped = true
	s.nc.SetReadDeadline(time.Now().Add(wait))
	s.deadlineMu.Unlock()
	b := chunks.Get().(*chunk)
	defer chunks.Put(b)
	for left := maxDiscard; left > 0; {
		n, err := s.nc.Read(b[:])
		if err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
		left -= n
	}
	return false
}

// abort frees the socket at once. It may be called more than once.
func (s *socket) abort() { s.raw().Close() }
