package main

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/gudokmq/gudok/conf"
)

func TestMemoryMark(t *testing.T) {
	files := func(pairs ...string) fstest.MapFS {
		m := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal:        1000 kB\nMemFree:  1 kB\n")}}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	const machine = 1024000 / 100 * 60
	for _, c := range []struct {
		name    string
		set     conf.Size
		goLimit int64
		root    fstest.MapFS
		want    int64
	}{
		{"set", 7000, 5000, files(), 7000},
		{"GOMEMLIMIT", 0, 5000, files(), 5000},
		{"machine", 0, math.MaxInt64, files(), machine},
		{"nothing known", 0, math.MaxInt64, fstest.MapFS{}, 0},
		{"version 2", 0, math.MaxInt64, files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "50000\n"), 30000},
		{"version 2, none", 0, math.MaxInt64, files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n"), machine},
		{"version 2, a group around it", 0, math.MaxInt64,
			files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "50000\n", "sys/fs/cgroup/a/memory.max", "40000\n"), 24000},
		{"version 2, high", 0, math.MaxInt64,
			files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "50000\n", "sys/fs/cgroup/memory.high", "30000\n"), 18000},
		{"version 2, more than the machine", 0, math.MaxInt64, files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "5000000\n"), machine},
		{"version 1", 0, math.MaxInt64,
			files("proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/docker/1\n", "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "20000\n"), 12000},
		{"version 1, from within", 0, math.MaxInt64,
			files("proc/self/cgroup", "2:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "20000\n"), 12000},
		{"version 1, none", 0, math.MaxInt64,
			files("proc/self/cgroup", "2:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), machine},
		{"odd files", 0, math.MaxInt64, files("proc/self/cgroup", "x\n::\n0::../../x\n", "sys/fs/cgroup/x/memory.max", "-1\n"), machine},
	} {
		if got := memoryMark(conf.Limits{Memory: c.set}, c.goLimit, c.root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSetMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	setMemory(10<<30, math.MaxInt64)
	if got := debug.SetMemoryLimit(-1); got != 9<<30 {
		t.Errorf("%d", got)
	}
	setMemory(20<<30, 5<<30) // GOMEMLIMIT is somebody else's
	if got := debug.SetMemoryLimit(-1); got != 9<<30 {
		t.Errorf("%d", got)
	}
}
