package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// process is a broker that was started, and what it needs beside it, each in a group of its own.
type process struct{ cmds []*exec.Cmd }

// spawn starts a command whose output goes to a file.
func (p *process) spawn(dir string, env []string, name string, args ...string) error {
	out, err := os.Create(filepath.Join(dir, filepath.Base(name)+".out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmds = append(p.cmds, cmd)
	return nil
}

// stop ends what was started, the latest first.
func (p *process) stop() {
	for i := len(p.cmds) - 1; i >= 0; i-- {
		cmd := p.cmds[i]
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait() // it was told to end; how it does is its own affair
		timer.Stop()
	}
}

// listening waits until all addresses accept.
func listening(ctx context.Context, addrs ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, a := range addrs {
		for {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", a)
			if err == nil {
				nc.Close()
				break
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return errors.Join(err, ctx.Err())
			}
		}
	}
	return nil
}

// freePorts finds n ports of loopback that nobody uses at the moment.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// startNothing is for the disk, which has no process.
func startNothing(context.Context, string, *peer) (*process, error) { return &process{}, nil }
