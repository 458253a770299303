package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/test/harness"
)

// reloading is a broker with a configuration file, and its log line by line.
type reloading struct {
	*server
	t    *testing.T
	file string
	log  *bufio.Scanner
}

// follow starts a broker with a file of this content.
func follow(t *testing.T, text string) *reloading {
	t.Helper()
	return followFile(t, write(t, "gudok.yaml", text))
}

func followFile(t *testing.T, file string) *reloading {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	_ = r.SetReadDeadline(time.Now().Add(limit))
	c := &reloading{t: t, file: file, log: bufio.NewScanner(r)}
	c.server = serveTo(t, w, []string{"GUDOK_STORE_ENGINE=memory"}, "-config", file)
	w.Close()
	return c
}

// replace puts a file of this content in the place of the other, as editors do.
func (r *reloading) replace(text string) {
	r.t.Helper()
	next := write(r.t, "next.yaml", text)
	if err := os.Rename(next, r.file); err != nil {
		r.t.Fatal(err)
	}
}

// hangup asks for a reload.
func (r *reloading) hangup() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
}

// logs reads the log up to a line that has all of these, and returns the lines before it.
func (r *reloading) logs(parts ...string) (before []string) {
	r.t.Helper()
next:
	for r.log.Scan() {
		line := r.log.Text()
		for _, p := range parts {
			if !strings.Contains(line, p) {
				before = append(before, line)
				continue next
			}
		}
		return before
	}
	r.t.Fatalf("the log ended without %q:\n%s", parts, strings.Join(before, "\n"))
	return nil
}

// peer is a raw client.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (r *reloading) connect(login string) *peer {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.tcp())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(limit))
	p := &peer{r.t, conn, bufio.NewReader(conn)}
	p.send("CONNECT\naccept-version:1.2\nhost:x\nlogin:%s\npasscode:%s\n\n", login, harness.Canary)
	p.expect("CONNECTED")
	return p
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.conn, format+"\x00", args...); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads a frame, which must begin with command and have these texts in it.
func (p *peer) expect(command string, parts ...string) {
	p.t.Helper()
	frame, err := p.in.ReadString(0)
	frame = strings.TrimLeft(frame, "\n")
	if err != nil || !strings.HasPrefix(frame, command+"\n") {
		p.t.Fatalf("got %q, %v, want %s", frame, err, command)
	}
	for _, part := range parts {
		if !strings.Contains(frame, part) {
			p.t.Errorf("%q lacks %q", frame, part)
		}
	}
}

// closed expects the end of the connection.
func (p *peer) closed() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); err != nil || len(strings.Trim(string(rest), "\n")) > 0 {
		p.t.Errorf("%q, %v, want the end", rest, err)
	}
}

// secretHash is of the canary.
var secretHash = sync.OnceValue(func() string {
	hash, err := auth.Hash(harness.Canary, "bcrypt")
	if err != nil {
		panic(err)
	}
	return hash
})

func usersText(names ...string) string {
	var b strings.Builder
	b.WriteString("users:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "- {name: %s, password_hash: %q}\n", n, secretHash())
	}
	return b.String()
}

// A reload ends the sessions of users who are gone and subscriptions that are not permitted any
// more, within a second, and leaves the others alone; a file with a fault changes nothing.
func TestReloadOnSignal(t *testing.T) {
	r := follow(t, usersText("alice", "bob", "carol")+"rules: [{who: \"*\", send: [/topic/**], subscribe: [/topic/**]}]\n")
	alice, bob, carol := r.connect("alice"), r.connect("bob"), r.connect("carol")
	for _, p := range []*peer{alice, bob, carol} {
		p.send("SUBSCRIBE\nid:1\ndestination:/topic/news\nreceipt:s\n\n")
		p.expect("RECEIPT")
	}
	begin := time.Now()
	r.replace(usersText("alice", "carol") + "rules: [{who: \"*\", send: [/topic/**], subscribe: [/topic/**]}, {who: carol, deny: [/topic/news]}]\n")
	r.hangup()
	bob.expect("ERROR", "message:bad credentials")
	carol.expect("ERROR", "message:not permitted", "/topic/news")
	took := time.Since(begin)
	bob.closed()
	carol.closed()
	r.logs("configuration reloaded", "users=2", "rules=2")
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
	alice.send("SEND\ndestination:/topic/news\n\nstill here")
	alice.expect("MESSAGE", "still here")

	for fault, want := range map[string]string{
		"rules: [{who: \"*\", send: [/topic/**.x]}]\n":                   `:4: rules[0].send[0]: \"/topic/**.x\" has \"**\" before its end`,
		"limits: {body: 1XB}\n":                                          `:4: limits.body: \"1XB\" is not a size`,
		"rules: [{who: \"*\", sends: [/topic/x]}]\n":                     `:4: rules[0].sends: no setting has this name`,
		"jwt: {keys_file: /nowhere, issuer: \"*\", audience: [\"*\"]}\n": `:4: jwt.keys_file:`,
		"http: {tls: {cert: /nowhere, key: /nowhere}}\n":                 `:4: http.tls.cert: \"/nowhere\" cannot be read`,
		"rules: [{who: a.b, send: [/topic/**]}]\n":                       `:4: rules[0].who: \"a.b\" cannot be a user`,
	} {
		r.replace(usersText("alice", "eve") + fault)
		r.hangup()
		r.logs("level=ERROR", "configuration not reloaded, nothing has changed", r.file+want)
		alice.send("SEND\ndestination:/topic/news\n\nand here")
		alice.expect("MESSAGE", "and here")
	}
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	r.logs("level=ERROR", "no such file or directory")
	alice.send("SEND\ndestination:/queue/x\n\n")
	alice.expect("ERROR", "message:not permitted") // the rules are those of before
	if code := r.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// A change of the file is seen however it comes: written in place, renamed over, or by a link that
// leads elsewhere, as Kubernetes does it.
func TestReloadOnChange(t *testing.T) {
	dir := t.TempDir()
	version := func(n int, text string) string {
		d := filepath.Join(dir, fmt.Sprintf("..version%d", n))
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "gudok.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(d)
	}
	link := func(old, name string) {
		if err := os.Symlink(old, name+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	text := func(n int) string {
		return "# the same size\n" + strings.Repeat("policies: []\n", 1) + fmt.Sprintf("limits: {subscriptions: %d}\n", n)
	}
	link(version(1, text(11)), filepath.Join(dir, "..data"))
	link("..data/gudok.yaml", filepath.Join(dir, "gudok.yaml"))
	r := followFile(t, filepath.Join(dir, "gudok.yaml"))
	subscribe := func(n int) {
		t.Helper()
		p := r.connect("")
		for i := range n + 1 {
			p.send("SUBSCRIBE\nid:%d\ndestination:/topic/a\nreceipt:r\n\n", i)
			if i < n {
				p.expect("RECEIPT")
			}
		}
		p.expect("ERROR", "message:too many subscriptions")
	}
	subscribe(11)
	link(version(2, text(12)), filepath.Join(dir, "..data"))
	r.logs("configuration reloaded")
	subscribe(12)
	if err := os.WriteFile(r.file, []byte(text(13)), 0o600); err != nil { // through the link
		t.Fatal(err)
	}
	r.logs("configuration reloaded")
	subscribe(13)
	r.replace(text(14))
	r.logs("configuration reloaded")
	subscribe(14)
	// Nothing more is reloaded than was changed.
	r.hangup()
	if before := r.logs("configuration reloaded"); len(before) > 0 {
		for _, line := range before {
			if strings.Contains(line, "reload") {
				t.Errorf("%s", line)
			}
		}
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// What needs a restart is named and stays; the rest of the file holds.
func TestReloadNamesWhatItCannotChange(t *testing.T) {
	r := follow(t, "log: {level: info}\n")
	at := r.tcp()
	r.replace("tcp: {tls_listen: \"\"}\nstore: {path: elsewhere, min_free: 2GiB}\nlimits: {subscriptions: 1, frame_time: 5s}\nlog: {level: debug}\n")
	before := strings.Join(r.logs("configuration reloaded"), "\n")
	for _, s := range []string{"store.path", "store.min_free", "limits.frame_time"} {
		if !strings.Contains(before, `level=WARN msg="setting not changed, it needs a restart" setting=`+s+" at="+r.file) {
			t.Errorf("the log does not name %s:\n%s", s, before)
		}
	}
	if strings.Contains(before, "setting=limits.subscriptions") || strings.Contains(before, "setting=tcp") {
		t.Errorf("%s", before)
	}
	if r.tcp() != at {
		t.Error("the listener moved")
	}
	p := r.connect("")
	p.send("DISCONNECT\nreceipt:d\n\n")
	p.expect("RECEIPT")
	r.logs("level=DEBUG", "session ended", "goodbye") // the level is live
	if code := r.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// Another pair of files takes the place of a certificate, on both kinds of listener.
func TestReloadCertificates(t *testing.T) {
	one, oneKey := certificate(t)
	two, twoKey := certificate(t)
	text := func(cert, key string) string {
		return fmt.Sprintf("http: {tls: {cert: %s, key: %s}}\ntcp: {tls_listen: \"127.0.0.1:0\", tls: {cert: %[1]s, key: %s}}\n", cert, key)
	}
	r := follow(t, text(one, oneKey))
	shown := func(addr string) string {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	web := strings.TrimSuffix(strings.TrimPrefix(r.at["Open"], "https://"), "/")
	stomp := strings.TrimPrefix(r.at["TLS"], "stomp+ssl://")
	before := shown(web)
	if shown(stomp) != before {
		t.Fatal("two certificates")
	}
	r.replace(text(two, twoKey))
	r.logs("configuration reloaded")
	for _, addr := range []string{web, stomp} {
		if shown(addr) == before {
			t.Errorf("%s shows the old certificate", addr)
		}
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}
