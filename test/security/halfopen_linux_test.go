package security

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/interop/foreign"
)

// A client without heart-beats that is gone without a word, as behind a network that was cut, is found
// within a minute on each listener: one that is idle by TCP's probes, one that was written to by
// the time that may go without an acknowledgement. What it held goes to somebody else.
func TestHalfOpenWithoutHeartBeats(t *testing.T) {
	t.Parallel()
	foreign.Need(t, "ip", "nft")
	if os.Geteuid() != 0 {
		foreign.Missing(t, "root, for a network of the test's own")
	}
	cert := newSecure(t, "") // for its files
	n := newNetwork(t)
	b := harness.StartWith(t, fmt.Sprintf(`
log: {level: debug}
users: [{name: alice, password_hash: %q}]
http: {listen: "%s:0"}
tcp: {listen: "%[2]s:0", tls_listen: "%[2]s:0", tls: {cert: %[3]q, key: %[4]q}}
`, hashOf(t, canary+"-alice", auth.Bcrypt), n.inside, cert.dir+"/cert.pem", cert.dir+"/key.pem"), harness.Options{Under: []string{"ip", "netns", "exec", n.name}})
	login := []string{"heart-beat:0,0", "login:alice", "passcode:" + canary + "-alice"}
	gone := map[string]*harness.Client{}
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText} {
		for _, idle := range []bool{true, false} {
			name := fmt.Sprintf("%s-%v", tr, idle)
			c := b.Dial(t, tr)
			connect(c, login...)
			c.Expect("CONNECTED")
			c.Sendf("SUBSCRIBE\nid:0\ndestination:/queue/%s\nack:client\nreceipt:s\n\n\x00", name)
			c.Receipt("s")
			if idle {
				c.Sendf("SEND\ndestination:/queue/%s\nreceipt:x\n\nheld\x00", name)
				for range 2 {
					if _, err := c.ReadFrame(harness.Patience); err != nil {
						t.Fatal(err)
					}
				}
			}
			gone[name] = c
		}
	}
	n.cut(t)
	start := time.Now()
	// From within the broker's network, where nothing is cut.
	inside := n.dial(t, b)
	connect(inside, login...)
	inside.Expect("CONNECTED")
	for name := range gone {
		if strings.HasSuffix(name, "false") {
			inside.Sendf("SEND\ndestination:/queue/%s\nreceipt:r\n\nheld\x00", name)
			inside.Receipt("r")
		}
	}
	for name := range gone {
		inside.Sendf("SUBSCRIBE\nid:%s\ndestination:/queue/%[1]s\n\n\x00", name)
	}
	for range gone {
		f, err := inside.ReadFrame(100 * time.Second)
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		took := time.Since(start)
		t.Logf("%s: after %v", f.Value("destination"), took.Round(time.Second))
		if f.Value("redelivered") != "true" || took < 15*time.Second || took > 75*time.Second {
			t.Errorf("%s, after %v", f, took)
		}
	}
	inside.Sync()
}

// network is a network namespace that is reached by one pair of interfaces, and another way within.
type network struct{ name, inside string }

func newNetwork(t *testing.T) *network {
	t.Helper()
	id := os.Getpid() % 10000
	n := &network{name: fmt.Sprintf("gudok%d", id), inside: fmt.Sprintf("10.213.%d.2", id%250)}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { run(t, "ip", "netns", "delete", n.name) })
	out, in := fmt.Sprintf("gdo%d", id), fmt.Sprintf("gdi%d", id)
	run(t, "ip", "link", "add", out, "type", "veth", "peer", "name", in, "netns", n.name)
	run(t, "ip", "address", "add", fmt.Sprintf("10.213.%d.1/24", id%250), "dev", out)
	run(t, "ip", "link", "set", out, "up")
	for _, args := range [][]string{{"address", "add", n.inside + "/24", "dev", in}, {"link", "set", in, "up"}, {"link", "set", "lo", "up"}} {
		run(t, "ip", append([]string{"-n", n.name}, args...)...)
	}
	return n
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// cut drops whatever passes between the broker's network and this one, both ways.
func (n *network) cut(t *testing.T) {
	t.Helper()
	for _, rule := range []string{
		"add table inet cut", "add chain inet cut in { type filter hook input priority 0 ; }", "add chain inet cut out { type filter hook output priority 0 ; }",
		"add rule inet cut in iif != lo drop", "add rule inet cut out oif != lo drop",
	} {
		run(t, "ip", append([]string{"netns", "exec", n.name, "nft"}, strings.Fields(rule)...)...)
	}
}

// dial connects from within the broker's own network.
func (n *network) dial(t *testing.T, b *harness.Broker) *harness.Client {
	t.Helper()
	made := make(chan *harness.Client, 1)
	go func() {
		defer close(made)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		ns, err := os.Open("/run/netns/" + n.name)
		if err != nil {
			t.Error(err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		made <- b.Dial(t, harness.TCP)
	}()
	c := <-made
	if c == nil {
		t.FailNow()
	}
	return c
}
