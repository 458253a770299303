package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// hideInput stops a terminal from showing what is typed, until show is called or the user
// interrupts. It tells false if f is no terminal.
func hideInput(f *os.File) (show func(), ok bool) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, false
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, false
	}
	restore := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
	// A terminal left mute would outlive the program.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, unix.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-interrupted:
			restore()
			os.Exit(exitError)
		case <-done:
		}
	}()
	return func() { signal.Stop(interrupted); close(done); restore() }, true
}
