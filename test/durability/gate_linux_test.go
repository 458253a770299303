package durability

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/gudokmq/gudok/test/harness"
	"golang.org/x/sys/unix"
)

// gate stands between a process and the disk: whatever the process asks for that changes files or has
// them synced passes here, one call after the other. A test counts the calls, holds one up, refuses
// it, or makes it the last, so that no moment is left to chance. The kernel has user notifications
// for that (seccomp_unotify(2)); they cost some microseconds a call.
type gate struct {
	listener *net.UnixListener
	done     chan struct{} // closed when the process has ended

	mu   sync.Mutex // guards what follows
	rule func(*call) error
}

// call is one call, not begun yet.
type call struct {
	name string
	tid  int
	args [6]uint64
}

// gated are the calls by which a file changes, or its change becomes durable; and openat, if it may make
// one.
var gated = map[uintptr]string{
	unix.SYS_OPENAT:   "create",
	unix.SYS_PWRITE64: "pwrite", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_RENAMEAT: "rename", unix.SYS_RENAMEAT2: "rename", unix.SYS_LINKAT: "link", unix.SYS_UNLINKAT: "unlink", unix.SYS_MKDIRAT: "mkdir",
}

// gateVar names the gate to a process that is to pass it.
const gateVar = "DURABILITY_GATE"

// newGate makes a gate for one process, which is to be started with under's arguments.
func newGate(t *testing.T) *gate {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("@gudok-gate-%d-%d", os.Getpid(), gates())})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: listener, done: make(chan struct{})}
	t.Cleanup(func() {
		listener.Close()
		<-g.done // the process has ended: it was started later
	})
	go func() {
		defer close(g.done)
		if err := g.serve(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("gate: %v", err)
		}
	}()
	return g
}

// gates numbers them.
var gates = func() func() int {
	var mu sync.Mutex
	n := 0
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n
	}
}()

// options has a broker started behind the gate.
func (g *gate) options(o harness.Options) harness.Options {
	o.Under = append(o.Under, os.Args[0])
	o.Env = append(o.Env, gateVar+"="+g.listener.Addr().String())
	return o
}

// startGated is start behind a gate.
func (w *world) startGated() *gate {
	w.t.Helper()
	g := newGate(w.t)
	w.begin(g.options(harness.Options{}))
	return g
}

// put puts a command behind the gate.
func (g *gate) put(cmd *exec.Cmd) {
	cmd.Args = append([]string{os.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Path = os.Args[0]
	cmd.Env = append(cmd.Env, gateVar+"="+g.listener.Addr().String())
}

// errLast is a rule's verdict that kills the process before the call.
var errLast = errors.New("the last call")

// watch has rule look at each call from now on, before it happens; an errno is what the process gets
// instead, and errLast its end. Without a rule all calls pass. It returns once no call is with the
// rule before.
func (g *gate) watch(rule func(*call) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = rule
}

// notification and response are those of linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	data  struct {
		nr   int32
		arch uint32
		ip   uint64
		args [6]uint64
	}
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// serve lets the calls pass.
func (g *gate) serve() error {
	conn, err := g.listener.AcceptUnix()
	if err != nil {
		return err
	}
	defer conn.Close()
	pid, err := peer(conn)
	if err != nil {
		return err
	}
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, rights)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("the process handed over nothing: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	if _, err := conn.Write(data); err != nil {
		return err
	}
	conn.Close()
	for {
		events := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
		_, err := unix.Poll(events, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case events[0].Revents&unix.POLLIN == 0:
			return nil // it has ended
		}
		var in notification
		if err := control(fds[0], unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&in)); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			continue // killed meanwhile
		} else if err != nil {
			return err
		}
		out := response{id: in.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		err = g.judge(&call{gated[uintptr(in.data.nr)], int(in.pid), in.data.args})
		var errno syscall.Errno
		switch {
		case errors.Is(err, errLast):
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			continue // unanswered: it must not happen any more
		case errors.As(err, &errno):
			out.error, out.flags = -int32(errno), 0
		case err != nil:
			return err
		}
		if err := control(fds[0], unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&out)); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
}

// peer is the process at the other end.
func peer(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	if e := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil || err != nil {
		return 0, errors.Join(e, err)
	}
	return int(credentials.Pid), nil
}

func (g *gate) judge(c *call) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rule == nil {
		return nil
	}
	return g.rule(c)
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// file is the file that the call is about, by its descriptor or its (new) name.
func (c *call) file() string {
	switch c.name {
	case "create", "mkdir", "unlink":
		return c.text(1)
	case "rename", "link":
		return c.text(3)
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.tid, c.args[0]))
	if err != nil {
		return err.Error()
	}
	return name
}

// text is an argument that ends with NUL.
func (c *call) text(arg int) string {
	text, _, _ := strings.Cut(string(c.memory(c.args[arg], 4096)), "\x00")
	return text
}

// data is what is to be written.
func (c *call) data() []byte {
	if c.name != "pwrite" {
		return nil
	}
	return c.memory(c.args[1], int(c.args[2]))
}

// memory reads up to n bytes of the process.
func (c *call) memory(at uint64, n int) []byte {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.tid))
	if err != nil {
		return nil
	}
	defer mem.Close()
	b := make([]byte, n)
	n, _ = mem.ReadAt(b, int64(at)) // what follows may not be mapped
	return b[:n]
}

func (c *call) String() string { return c.name + " " + filepath.Base(c.file()) }

// passGate goes through the gate, if there is one to go through, and becomes the program that the
// arguments name: the filter stays.
func passGate() {
	address := os.Getenv(gateVar)
	if address == "" {
		return
	}
	fmt.Fprintln(os.Stderr, "gate:", enter(address))
	os.Exit(70)
}

func enter(address string) error {
	runtime.LockOSThread()
	if err := os.Unsetenv(gateVar); err != nil {
		return err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: address})
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// The number of the call, one comparison for each of ours, then for openat its flags.
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	filter := []unix.SockFilter{load(0)}
	left := len(gated)
	for nr := range gated {
		to := left + 3 // the last line
		if left--; nr == unix.SYS_OPENAT {
			to = left + 1 // behind the first answer
		}
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jt: uint8(to)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		load(16+2*8), // seccomp_data.args[2]
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.O_CREAT, Jt: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Only a kill interrupts a call that is held.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp (Linux 5.19 or later is needed): %w", errno)
	}
	if _, _, err := conn.WriteMsgUnix([]byte{1}, unix.UnixRights(int(fd)), nil); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
}
