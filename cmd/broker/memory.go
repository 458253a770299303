package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/gudokmq/gudok/conf"
)

// memoryShare is the mark in percent of what there is, where nobody has set one.
const memoryShare = 60

// goMemoryLimit is GOMEMLIMIT, or math.MaxInt64 if it is not set or off. It is asked before setMemory.
func goMemoryLimit() int64 {
	if os.Getenv("GOMEMLIMIT") == "" {
		return math.MaxInt64
	}
	return debug.SetMemoryLimit(-1)
}

// memoryMark is how much memory the process may use: what the configuration says, or GOMEMLIMIT, or a
// share of what the system has for it; 0 if that is not known. root is the root of the file system.
func memoryMark(l conf.Limits, goLimit int64, root fs.FS) int64 {
	switch {
	case l.Memory > 0:
		return int64(l.Memory)
	case goLimit != math.MaxInt64:
		return goLimit
	}
	return systemMemory(root) / 100 * memoryShare
}

// setMemory has the garbage collector work harder a little below the mark, so that what is above it is no
// garbage; GOMEMLIMIT stays what it is.
func setMemory(mark, goLimit int64) {
	if goLimit != math.MaxInt64 {
		return
	}
	if mark == 0 {
		mark = math.MaxInt64
	}
	debug.SetMemoryLimit(mark - mark/10)
}

// systemMemory is the least of what the machine has and what the process' control group, or one around
// it, may use; 0 if neither is known.
func systemMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	take := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	lines(root, "proc/meminfo", func(line string) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n < math.MaxInt64>>10 {
				take(n << 10)
			}
		}
	})
	// Each line is NUMBER:CONTROLLERS:PATH (cgroups(7)); version 2 has number 0 and no controllers.
	lines(root, "proc/self/cgroup", func(line string) {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			return
		}
		switch {
		case f[0] == "0" && f[1] == "":
			climb(f[2], func(dir string) {
				take(number(root, path.Join("sys/fs/cgroup", dir, "memory.max")))
				take(number(root, path.Join("sys/fs/cgroup", dir, "memory.high")))
			})
		case strings.Contains(","+f[1]+",", ",memory,"):
			climb(f[2], func(dir string) {
				take(number(root, path.Join("sys/fs/cgroup/memory", dir, "memory.limit_in_bytes")))
			})
		}
	})
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// climb calls f for a directory and for all above it. In a container those below its own may not show.
func climb(dir string, f func(dir string)) {
	for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
		f(strings.TrimPrefix(dir, "/"))
		if dir == "/" {
			return
		}
	}
}

// number is what a file says, 0 if that is no number ("max") or no file.
func number(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func lines(root fs.FS, name string, f func(line string)) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f(s.Text())
	}
}
