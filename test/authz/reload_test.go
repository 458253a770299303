package authz

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gudokmq/gudok/test/harness"
)

// rewrite changes the configuration of a running broker, and asks it to read it.
func rewrite(t *testing.T, b *harness.Broker, dir string, change func(map[string]any)) {
	t.Helper()
	file := filepath.Join(dir, "gudok.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	change(all)
	if text, err = yaml.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	if err := b.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// listener is one of the thousand.
type listener struct {
	user  string
	c     *client
	got   int       // messages of the feed
	gaps  int       // of them, those that were not the next
	ended time.Time // when the ERROR came
	said  string    // and its message and body

	early int           // after so many
	has   chan struct{} // is closed; or when listen ends
}

// listen reads until the session ends, or the message "end" has come.
func (l *listener) listen() {
	has := sync.OnceFunc(func() {
		if l.has != nil {
			close(l.has)
		}
	})
	defer has()
	for {
		f, err := l.c.next()
		switch {
		case err != nil:
			return
		case f.Command == "ERROR":
			l.ended, l.said = time.Now(), f.Value("message")+": "+string(f.Body)
			return
		case f.Command == "MESSAGE" && string(f.Body) == "end":
			return
		case f.Command == "MESSAGE":
			if n, err := strconv.Atoi(string(f.Body)); err != nil || n != l.got {
				l.gaps++
			}
			if l.got++; l.got == l.early {
				has()
			}
		}
	}
}

// d3: with a thousand live sessions, half of which have a subscription that a reload takes away and a
// tenth of which belong to a user who is gone, these end within a second, told why; the others get
// every message of a feed that never stops. A file with a fault changes nothing.
func TestReloadWithAThousandSessions(t *testing.T) {
	const sessions = 1000
	rules := func(revoked bool) []any {
		list := []any{
			map[string]any{"who": "*", "subscribe": []string{"/topic/**"}},
			map[string]any{"who": "sender", "send": []string{"/**"}},
		}
		if revoked {
			list = append(list, map[string]any{"who": "group:leavers", "deny": []string{"/topic/secret"}})
		}
		return list
	}
	user := func(name string, groups ...string) map[string]any {
		return map[string]any{"name": name, "password_hash": harness.Hash(t, password), "groups": groups}
	}
	users := []any{user("stayer"), user("sender"), user("leaver", "leavers"), user("goner")}
	config, err := yaml.Marshal(map[string]any{"store": map[string]any{"engine": "memory"}, "users": users, "rules": rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := harness.StartWith(t, string(config), harness.Options{Dir: dir, Quiet: true})

	all := make([]*listener, sessions)
	var work sync.WaitGroup
	for i := range all {
		l := &listener{user: "stayer", early: 20, has: make(chan struct{})}
		switch {
		case i%10 == 0:
			l.user = "goner"
		case i%2 == 0:
			l.user = "leaver"
		}
		l.c, _ = ways[i/2%2].connect(t, b, "login:"+l.user+"\npasscode:"+password+"\n")
		l.c.must("SUBSCRIBE\nid:feed\ndestination:/topic/feed.*\n\n")
		if l.user == "leaver" {
			l.c.must("SUBSCRIBE\nid:secret\ndestination:/topic/secret\n\n")
		}
		all[i] = l
		work.Go(l.listen)
	}
	sender, _ := ways[0].connect(t, b, "login:sender\npasscode:"+password+"\n")
	sent := 0
	feed := func(n int) {
		for range n {
			sender.must(fmt.Sprintf("SEND\ndestination:/topic/feed.x\n\n%d", sent))
			sent++
		}
	}
	feed(10)
	rewrite(t, b, dir, func(c map[string]any) {
		c["rules"] = []any{map[string]any{"who": "*", "send": []string{"/topic/**.x"}}}
	})
	feed(10)
	b.Says(`level=ERROR msg="configuration not reloaded, nothing has changed" err="` + filepath.Join(dir, "gudok.yaml"))
	b.Says(`rules[0].send[0]: \"/topic/**.x\" has \"**\" before its end`)
	for _, l := range all { // a receipt does not say that a message has been read
		<-l.has
	}
	begin := time.Now()
	rewrite(t, b, dir, func(c map[string]any) {
		c["rules"], c["users"] = rules(true), users[:len(users)-1]
	})
	feed(40)
	sender.must("SEND\ndestination:/topic/feed.x\n\nend")
	work.Wait()

	count, slowest := map[string]int{}, time.Duration(0)
	for _, l := range all {
		count[l.user]++
		switch want := map[string]string{"stayer": "", "leaver": "not permitted: ", "goner": "bad credentials: "}[l.user]; {
		case !strings.HasPrefix(l.said, want) || want == "" && l.said != "":
			t.Errorf("a %s was told %q", l.user, l.said)
		case l.user == "leaver" && !strings.Contains(l.said, `"/topic/secret"`):
			t.Errorf("a leaver was told %q", l.said)
		case l.gaps > 0, l.user == "stayer" && l.got != sent, l.got < 20:
			t.Errorf("a %s got %d of %d messages, %d out of order", l.user, l.got, sent, l.gaps)
		}
		if !l.ended.IsZero() {
			slowest = max(slowest, l.ended.Sub(begin))
		}
		l.c.conn.Close()
	}
	t.Logf("%v: the last to be ended was so after %v; %d messages to each of the others", count, slowest, sent)
	if slowest > time.Second {
		t.Errorf("the last session ended after %v", slowest)
	}
}
