package durability

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// disk is a file system of its own, in a file, whose power can be cut.
type disk struct {
	t      *testing.T
	kind   string // ext4, xfs
	loop   *os.File
	mount  string
	broken bool // cut since it was mounted
}

// Numbers of linux/loop.h and linux/fs.h.
const (
	loopSetFD      = 0x4c00
	loopClrFD      = 0x4c01
	loopCtlGetFree = 0x4c82
	fsShutdown     = 0x8004587d // EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
	noLogFlush     = 2          // nothing reaches the disk any more, not even the journal
)

func ioctl(f *os.File, request, arg uintptr) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, arg)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// newDisk makes and mounts a file system. Where this machine cannot, the test is skipped, or fails
// under CI=true.
func newDisk(t *testing.T, kind string) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		need(t, "root, to mount a file system")
	}
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		need(t, "mkfs."+kind+" (package e2fsprogs or xfsprogs)")
	}
	dir := t.TempDir()
	image, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := image.Truncate(768 << 20); err != nil {
		t.Fatal(err)
	}
	args := map[string][]string{"ext4": {"-q", "-F"}, "xfs": {"-q", "-f"}}[kind]
	if out, err := exec.Command(mkfs, append(args, image.Name())...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	d := &disk{t: t, kind: kind, mount: filepath.Join(dir, "disk")}
	d.attach(image)
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(d.mount); err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("unmount: %v", err)
		}
		_, _ = ioctl(d.loop, loopClrFD, 0)
		d.loop.Close()
	})
	d.attachMount()
	return d
}

// unmount waits for processes that other tests are starting: until its exec each has this one's
// files open, also those that were closed here since, and a file system with one is busy.
func unmount(dir string) error {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	return syscall.Unmount(dir, 0)
}

// attach makes a loop device of the image. Another process may take a free device first.
func (d *disk) attach(image *os.File) {
	d.t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		need(d.t, fmt.Sprintf("loop devices: %v", err))
	}
	defer control.Close()
	for range 64 {
		n, err := ioctl(control, loopCtlGetFree, 0)
		if err != nil {
			need(d.t, fmt.Sprintf("a free loop device: %v", err))
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		if d.loop, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			need(d.t, fmt.Sprintf("loop devices: %v", err))
		}
		_, err = ioctl(d.loop, loopSetFD, image.Fd())
		if err == nil {
			return
		}
		d.loop.Close()
		if !errors.Is(err, syscall.EBUSY) {
			need(d.t, fmt.Sprintf("loop devices: %s: %v", name, err))
		}
	}
	d.t.Fatal("no free loop device")
}

func (d *disk) attachMount() {
	d.t.Helper()
	if err := syscall.Mount(d.loop.Name(), d.mount, d.kind, 0, ""); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENODEV) {
			need(d.t, fmt.Sprintf("the right to mount %s: %v", d.kind, err))
		}
		d.t.Fatalf("mount %s: %v", d.kind, err)
	}
	d.broken = false
}

// cut cuts the power: what has not been flushed is lost.
func (d *disk) cut() {
	d.t.Helper()
	// A process that is being started has what is open here for a while beyond its exec, and would
	// keep the disk from being unmounted.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.Open(d.mount)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	flag := uint32(noLogFlush)
	if _, err := ioctl(f, fsShutdown, uintptr(unsafe.Pointer(&flag))); err != nil {
		d.t.Fatalf("cut the power: %v", err)
	}
	d.broken = true
}

// restore is what a machine does after that: nobody has a file open any more.
func (d *disk) restore() {
	d.t.Helper()
	if err := unmount(d.mount); err != nil {
		d.t.Fatalf("unmount: %v", err)
	}
	d.attachMount()
}
