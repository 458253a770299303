package overload

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// insideVar tells a test's process that it is in a network of its own.
const insideVar = "OVERLOAD_NETWORK"

// ownNetwork runs a test in a network of its own, which has a loopback and a packet filter and nothing else;
// false: this is that process, go on.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		command(t, "ip", "link", "set", "lo", "up")
		return false
	}
	if os.Geteuid() != 0 {
		need(t, "root, to make a network")
	}
	for _, name := range []string{"ip", "nft"} {
		tool(t, name)
	}
	cmd := exec.Command(tool(t, "unshare"), "-n", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=90s")
	cmd.Env = append(os.Environ(), insideVar+"=1", "GUDOK_BINARY="+harness.Build(t))
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unshare failed") {
		need(t, fmt.Sprintf("the right to make a network: %s", out))
	}
	t.Logf("in a network of its own:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func command(t *testing.T, line ...string) {
	t.Helper()
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
}

// TestHalfOpen: 200 consumers own messages, 20 publishers have sent half a frame, and then all of them are
// gone without a word: nothing comes from them and nothing reaches them, not even the end of the connection. They
// are found out within three heart-beats, their messages come to a consumer who is there, in order and
// marked, and nothing of the halves does.
func TestHalfOpen(t *testing.T) {
	if ownNetwork(t) {
		return
	}
	const (
		crowd, owned = 200, 5
		halves       = 20
		bound        = 5 * time.Second // three beats of a second, but never less than this
	)
	b := start(t, "log: {level: info}\nheartbeat: {min: 1s}\n", harness.Options{Quiet: true})
	var gone []*peer
	must := func(p *peer, err error) *peer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i := range crowd {
		to := [...]at{tcpAt(b.Broker), wsAt(b.Broker)}[i%2]
		to.From = crowdAddress(i)
		p := must(open(to, "heart-beat:1000,1000"))
		defer p.nc.Close()
		must(p, p.subscribe("/queue/half", "ack:client-individual", fmt.Sprintf("prefetch-count:%d", owned)))
		gone = append(gone, p)
	}
	beat := func() {
		for _, p := range gone {
			must(p, p.send("\n"))
		}
	}
	live := must(open(tcpAt(b.Broker), "heart-beat:0,0"))
	defer live.nc.Close()
	for n := range crowd * owned {
		must(live, live.call(fmt.Sprint(n), "SEND\ndestination:/queue/half\nreceipt:%d\n\n%d 0 \x00", n, n))
		if n%100 == 0 {
			beat()
		}
	}
	owner := make([]int, crowd*owned)
	for i, p := range gone {
		for range owned {
			m, err := p.expect("MESSAGE", "redelivered:")
			var n int64
			if err != nil || !parseTwo(m.body(), &n, new(int64)) {
				t.Fatalf("consumer %d: %q, %v", i, m, err)
			}
			owner[n] = i
		}
	}
	must(live, live.subscribe("/queue/half", "ack:client-individual", "prefetch-count:1000"))
	for i := range halves {
		to := [...]at{tcpAt(b.Broker), wsAt(b.Broker)}[i%2]
		to.From = crowdAddress(crowd + i)
		p := must(open(to, "heart-beat:1000,1000"))
		defer p.nc.Close()
		half := "SEND\ndestination:/queue/partial\ncontent-length:100\n\nhalf of it"
		if i%4 > 1 {
			half = "SEND\ndestination:/queue/partial\n\nhalf of it"
		}
		if !p.ws {
			must(p, p.send(half))
		} else {
			frame := harness.WSFrame{Op: harness.OpText, Payload: []byte(half + strings.Repeat("x", 100))}.Append(nil)
			if _, err := p.nc.Write(frame[:len(frame)-90]); err != nil {
				t.Fatal(err)
			}
		}
		gone = append(gone, p)
	}
	// The halves are heard of last: they must not beat any more.
	for _, p := range gone[:crowd] {
		must(p, p.send("\n"))
	}
	command(t, "nft", "add table ip dark; add chain ip dark in { type filter hook input priority 0; }; "+
		"add rule ip dark in ip saddr 127.9.0.0/16 drop; add rule ip dark in ip daddr 127.9.0.0/16 drop")
	dark := time.Now()
	last := make([]int, crowd)
	for i := range last {
		last[i] = -1
	}
	seen := make([]bool, crowd*owned)
	var first, latest time.Duration
	for n := range crowd * owned {
		m, err := live.expect("MESSAGE", "redelivered:true")
		var k int64
		if err != nil || !parseTwo(m.body(), &k, new(int64)) {
			t.Fatalf("message %d after the dark: %q, %v", n, m, err)
		}
		latest = time.Since(dark)
		if n == 0 {
			first = latest
		}
		if seen[k] {
			t.Errorf("message %d came twice", k)
		}
		if seen[k] = true; int(k) < last[owner[k]] {
			t.Errorf("message %d came after %d of the same consumer", k, last[owner[k]])
		}
		last[owner[k]] = int(k)
		must(live, live.sendf("ACK\nid:%s\n\n\x00", m.header("ack")))
	}
	if !becomes(2*harness.Patience, func() bool { return b.endings()["heart-beat missed"] >= crowd+halves }) {
		t.Errorf("ended: %v", b.endings())
	}
	all := time.Since(dark)
	must(live, live.call("last", "UNSUBSCRIBE\nid:0\nreceipt:last\n\n\x00"))
	must(live, live.call("end", "SEND\ndestination:/queue/partial\nreceipt:end\n\nend\x00"))
	must(live, live.subscribe("/queue/partial"))
	if m, err := live.expect("MESSAGE"); err != nil || string(m.body()) != "end" {
		t.Errorf("of half a frame came %q, %v", m, err)
	}
	t.Logf("%d consumers with %d messages and %d publishers within a frame gone dark: first message again after %v, the last after %v, all sessions ended after %v (heart-beats of 1 s, bound %v)",
		crowd, crowd*owned, halves, first.Round(time.Millisecond), latest.Round(time.Millisecond), all.Round(time.Millisecond), bound)
	if first < 3*time.Second {
		t.Errorf("the first was given up after %v, within the agreed silence", first)
	}
	if latest > bound+2*time.Second {
		t.Errorf("the last message came after %v, the bound is %v and a second", latest, bound)
	}
	if all > bound+3*time.Second {
		t.Errorf("the last session ended after %v", all)
	}
}
