//go:build unix

package main

import (
	"os"
	"syscall"
)

// debugSignal asks the broker for a line of runtime figures in its log.
var debugSignal os.Signal = syscall.SIGUSR1
