package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat: USER_HZ is 100 on every Linux port Go runs on.
const tick = 10 * time.Millisecond

// usage is what a process and its descendants have used so far.
type usage struct {
	cpu     time.Duration // user and system
	rssAnon int64         // bytes
	writes  int64         // write system calls; -1 where /proc does not tell
	threads int64
}

// measure reads the usage of the tree under pid from /proc; an error where there is none.
func measure(pid int) (usage, error) {
	var u usage
	var ticks, sched time.Duration
	for _, p := range descendants(pid) {
		dir := "/proc/" + strconv.Itoa(p)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			if p == pid {
				return usage{}, fmt.Errorf("read usage of process %d: %w", pid, err)
			}
			continue
		}
		f := statFields(stat)
		ticks += time.Duration(f[11]+f[12]) * tick // utime, stime
		sched += schedTime(dir)
		u.rssAnon += 1024 * procField(dir+"/status", "RssAnon:")
		u.threads += procField(dir+"/status", "Threads:")
		if w := procField(dir+"/io", "syscw:"); w < 0 || u.writes < 0 {
			u.writes = -1
		} else {
			u.writes += w
		}
	}
	// schedstat counts nanoseconds, but forgets threads that have ended.
	if u.cpu = sched; sched < ticks-ticks/10-2*tick {
		u.cpu = ticks
	}
	return u, nil
}

// statFields are the numbers of /proc/PID/stat from the parent's on: field 4 is f[1].
func statFields(stat []byte) (f [20]int64) {
	if i := bytes.LastIndexByte(stat, ')'); i >= 0 { // the command may hold anything
		for i, s := range strings.Fields(string(stat[i+1:])) {
			if i < len(f) {
				f[i], _ = strconv.ParseInt(s, 10, 64)
			}
		}
	}
	return f
}

// schedTime sums what the live threads of a process have run.
func schedTime(dir string) (sum time.Duration) {
	files, _ := filepath.Glob(dir + "/task/*/schedstat")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			if f := strings.Fields(string(b)); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				sum += time.Duration(n)
			}
		}
	}
	return sum
}

// procField is the number behind name in a file of lines; -1 if it is not there.
func procField(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
					return n
				}
			}
		}
	}
	return -1
}

// descendants is pid and every process below it.
func descendants(pid int) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if p, err := strconv.Atoi(e.Name()); err == nil {
			if stat, err := os.ReadFile("/proc/" + e.Name() + "/stat"); err == nil {
				parent := int(statFields(stat)[1])
				children[parent] = append(children[parent], p)
			}
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// Owner finds the process on this machine that listens at addr, host:port. It needs /proc and the
// right to look into that process; without them, or for another machine's address, an error.
func Owner(addr string) (pid int, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("find broker process: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, errors.New("find broker process: not on this machine's loopback")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("find broker process: %w", err)
	}
	inodes := listeners(fmt.Sprintf(":%04X", n))
	if len(inodes) == 0 {
		return 0, fmt.Errorf("find broker process: nobody listens on port %s", port)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && inodes[to] {
			return strconv.Atoi(strings.Split(l, "/")[2])
		}
	}
	return 0, fmt.Errorf("find broker process: owner of port %s is hidden from this user", port)
}

// listeners are the sockets that listen on a port, named as in /proc/PID/fd.
func listeners(port string) map[string]bool {
	found := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], port) { // 0A: LISTEN
				found["socket:["+f[9]+"]"] = true
			}
		}
	}
	return found
}
