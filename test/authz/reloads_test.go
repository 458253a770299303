package authz

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gudokmq/gudok/test/harness"
)

// d3: 50 reloads, each of which takes a topic from everyone and gives another, while sessions come, subscribe
// and go, and a feed never stops: who has what stays gets all of it, in order, and who has what goes
// ends.
func TestReloadsUnderLoad(t *testing.T) {
	const reloads = 50
	rules := func(n int) []any {
		return []any{map[string]any{"who": "*", "subscribe": []string{"/topic/feed.**", fmt.Sprintf("/topic/turn.%d", n%2)}},
			map[string]any{"who": "sender", "send": []string{"/**"}}}
	}
	user := func(name string) map[string]any {
		return map[string]any{"name": name, "password_hash": harness.Hash(t, password)}
	}
	config, err := yaml.Marshal(map[string]any{"store": map[string]any{"engine": "memory"}, "users": []any{user("stayer"), user("sender"), user("comer")}, "rules": rules(0)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := harness.StartWith(t, string(config), harness.Options{Dir: dir, Quiet: true})
	stayers := make([]*listener, 8)
	var listening sync.WaitGroup
	for i := range stayers {
		l := &listener{user: "stayer"}
		l.c, _ = ways[i%2].connect(t, b, "login:stayer\npasscode:"+password+"\n")
		l.c.must("SUBSCRIBE\nid:feed\ndestination:/topic/feed.*\n\n")
		stayers[i] = l
		listening.Go(l.listen)
	}
	sender, _ := ways[0].connect(t, b, "login:sender\npasscode:"+password+"\n")
	done := make(chan struct{})
	var coming sync.WaitGroup
	var came, ended atomic.Int64
	for i := range 4 {
		coming.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				conn, err := ways[n%2].dial(b)
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // the last reload may be over
				c := &client{t: t, conn: conn}
				fmt.Fprintf(conn, "CONNECT\naccept-version:1.2\nlogin:comer\npasscode:"+password+"\n\n\x00")
				fmt.Fprintf(conn, "SUBSCRIBE\nid:0\ndestination:/topic/turn.%d\nreceipt:r\n\n\x00", n/2%2)
				for range 3 { // CONNECTED, the RECEIPT, and perhaps the ERROR of the next reload
					f, err := c.next()
					if err != nil {
						break
					}
					if f.Command == "ERROR" {
						if f.Value("message") != "not permitted" {
							t.Errorf("a comer got %s", f)
						}
						ended.Add(1)
						break
					}
					if f.Command == "RECEIPT" && n%8 > 3 {
						break
					}
				}
				conn.Close()
				came.Add(1)
			}
		})
	}
	sent := 0
	for n := 1; n <= reloads; n++ {
		// Who holds what this reload takes away is ended by it: then it has happened.
		c, _ := ways[n%2].connect(t, b, "login:comer\npasscode:"+password+"\n")
		c.must(fmt.Sprintf("SUBSCRIBE\nid:0\ndestination:/topic/turn.%d\n\n", (n-1)%2))
		rewrite(t, b, dir, func(all map[string]any) { all["rules"] = rules(n) })
		for range 10 {
			sender.must(fmt.Sprintf("SEND\ndestination:/topic/feed.x\n\n%d", sent))
			sent++
		}
		f, err := c.next()
		if err != nil || f.Command != "ERROR" || f.Value("message") != "not permitted" {
			t.Fatalf("reload %d: %v, %v", n, f, err)
		}
		c.conn.Close()
	}
	close(done)
	coming.Wait()
	sender.must("SEND\ndestination:/topic/feed.x\n\nend")
	listening.Wait()
	for _, l := range stayers {
		if l.got != sent || l.gaps > 0 || l.said != "" {
			t.Errorf("a stayer got %d of %d messages, %d out of order, and %q", l.got, sent, l.gaps, l.said)
		}
		l.c.conn.Close()
	}
	t.Logf("%d reloads, %d sessions came and went, %d of them ended by a reload; %d messages", reloads, came.Load(), ended.Load(), sent)
}
