package security

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// V23: ten thousand wrong passwords from all over, for bcrypt hashes: every one is refused, sessions
// that are there lose no heart-beat, and one core at most computes hashes.
func TestV23WrongPasswords(t *testing.T) {
	const (
		logins   = 10_000
		crowd    = 500
		sessions = 20
	)
	b := harness.StartWith(t, fmt.Sprintf("log: {level: error}\nheartbeat: {min: 1s}\nusers:\n  - {name: alice, password_hash: %q}\n  - {name: bob, password_hash: %q}\n",
		hashOf(t, canary+"-alice", auth.Bcrypt), hashOf(t, canary+"-bob", auth.Bcrypt)), harness.Options{Quiet: true})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var longest atomic.Int64
	for i := range sessions {
		c := b.At(fmt.Sprintf("127.2.1.%d", 1+i)).Dial(t, harness.TCP)
		connect(c, "heart-beat:1000,1000", "login:alice", "passcode:"+canary+"-alice")
		c.Expect("CONNECTED")
		wg.Go(func() {
			last := time.Now()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c.Sendf("\n")
				before := c.Beats
				f, err := c.ReadFrame(250 * time.Millisecond)
				if f != nil || err == nil || strings.Contains(err.Error(), "closed") {
					t.Errorf("session %d: %v, %v", i, f, err)
					return
				}
				if now := time.Now(); c.Beats > before {
					longest.Store(max(longest.Load(), int64(now.Sub(last))))
					last = now
				}
			}
		})
	}
	var bad, slowed, unchecked, other atomic.Int64
	began, cpu := time.Now(), cpuTime(t, b.PID())
	turns := make(chan int)
	for w := range crowd {
		wg.Go(func() {
			for i := range turns {
				answer, err := wrongLogin(b.TCP, w, i)
				switch {
				case err != nil:
					t.Error(err)
				case strings.Contains(answer, "\nmessage:bad credentials\n"):
					bad.Add(1)
				case strings.Contains(answer, "\nmessage:too many failed logins\n"):
					slowed.Add(1)
				case strings.Contains(answer, "\nmessage:login could not be checked\n"):
					unchecked.Add(1)
				default:
					other.Add(1)
					t.Errorf("%q", answer)
				}
			}
		})
	}
	for i := range logins {
		turns <- i
	}
	close(turns)
	time.Sleep(time.Second) // the last of the crowd, and beats after it
	close(stop)
	wg.Wait()
	took, used := time.Since(began), cpuTime(t, b.PID())-cpu
	// Half of the cores compute hashes; the rest of the work is not for them.
	if cores := used.Seconds() / took.Seconds(); cores > float64(max(1, runtime.NumCPU()/2))+0.75 {
		t.Errorf("the broker used %.2f of %d cores", cores, runtime.NumCPU())
	}
	if n := bad.Load() + slowed.Load() + unchecked.Load(); n != logins {
		t.Errorf("%d of %d were refused", n, logins)
	}
	if gap := time.Duration(longest.Load()); gap > 2*time.Second {
		t.Errorf("a heart-beat of 1s came after %v", gap)
	}
	t.Logf("%d logins in %v: %d wrong, %d slowed, %d not checked; the broker used %v of CPU (%.2f cores); longest pause between heart-beats %v",
		logins, took.Round(time.Millisecond), bad.Load(), slowed.Load(), unchecked.Load(), used, used.Seconds()/took.Seconds(), time.Duration(longest.Load()).Round(time.Millisecond))
	// Who has the right password gets in.
	c := b.At("127.2.2.1").Dial(t, harness.TCP)
	connect(c, "login:bob", "passcode:"+canary+"-bob")
	c.Expect("CONNECTED", "user-name:bob")
}

// wrongLogin tries one from one of a thousand addresses and gives the answer.
func wrongLogin(addr string, w, i int) (string, error) {
	d := net.Dialer{Timeout: harness.Patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, byte(i%4), byte(1+i/4%250))}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * harness.Patience))
	fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:h\nlogin:alice\npasscode:"+canary+"-%d-%d\n\n\x00", w, i)
	return bufio.NewReader(c).ReadString(0)
}

// cpuTime is what a process has used.
func cpuTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("no /proc: CPU time is not known")
	}
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+2:])
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
