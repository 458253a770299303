package limits

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// world is a broker with small limits, and two honest clients of it.
type world struct {
	*harness.Broker
	secure     bool
	users      bool // there are some: bob may see the page
	transports []harness.Transport
	page       *http.Client

	memory *gauge // what is in use, where the broker is in this process; else nil

	sub, pub *harness.Client
	told     int // messages of the honest
	sessions int // those of the honest
	figures  int // lines of runtime figures asked for
}

// password is every user's.
const password = harness.Canary

// users are three who have limits of their own or none; anyone else may come without a login.
func users(t testing.TB, ann, cat string) string {
	return fmt.Sprintf("auth: {anonymous: yes}\nusers:\n- {name: ann, password_hash: %q, limits: {%s}}\n- {name: bob, password_hash: %[1]q}\n- {name: cat, password_hash: %[1]q, limits: {%[3]s}}\n",
		harness.Hash(t, password), ann, cat)
}

// newWorld starts a broker: one for TCP and WebSocket, or one for both over TLS.
func newWorld(t *testing.T, config string, secure bool) *world {
	w := emptyWorld(secure)
	w.users = strings.Contains(config, "users:")
	if secure {
		cert, key := harness.Certificate(t, "localhost")
		pair := fmt.Sprintf("tls: {cert: %q, key: %q}", cert, key)
		config += fmt.Sprintf("http: {%s}\ntcp: {tls_listen: \"127.0.0.1:0\", %[1]s}\n", pair)
	}
	w.Broker = harness.StartWith(t, config, harness.Options{Quiet: true})
	w.welcome(t)
	return w
}

// welcome connects the honest.
func (w *world) welcome(t *testing.T) {
	t.Helper()
	w.sub, w.pub = w.Dial(t, w.transports[0]), w.Dial(t, w.transports[1])
	for _, c := range []*harness.Client{w.sub, w.pub} {
		c.Sendf("CONNECT\naccept-version:1.2\nheart-beat:0,2000\n\n\x00")
		c.Expect("CONNECTED")
	}
	w.sub.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/honest\nreceipt:s\n\n\x00")
	w.sub.Receipt("s")
	w.sessions = 2
}

// emptyWorld has no broker yet.
func emptyWorld(secure bool) *world {
	w := &world{secure: secure, transports: []harness.Transport{harness.TCP, harness.WSText, harness.WSCompressed}, page: pageClient()}
	if secure {
		w.transports = []harness.Transport{harness.TCPTLS, harness.WSSText}
		w.page.Transport = harness.Pages(&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}) // made for the test
	}
	return w
}

func pageClient() *http.Client { return &http.Client{Timeout: harness.Patience} }

// honest proves that the honest clients have not noticed anything: the next message is all that came.
func (w *world) honest(t *testing.T) {
	t.Helper()
	w.sub.T, w.pub.T = t, t
	w.told++
	body := fmt.Sprint(w.told)
	w.pub.Sendf("SEND\ndestination:/topic/honest\nreceipt:%s\n\n%[1]s\x00", body)
	w.pub.Receipt(body)
	w.sub.Message(body)
}

var sessionsOnPage = regexp.MustCompile(`<dt>sessions</dt><dd id="sessions">(\d+)</dd>`)

// settled waits until only the honest clients' sessions are left.
func (w *world) settled(t *testing.T) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); {
		text := w.ask(t, "/")
		m := sessionsOnPage.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the page does not tell the sessions: %.200s", text)
		}
		if got = m[1]; got == strconv.Itoa(w.sessions) {
			return
		}
	}
	t.Fatalf("%s sessions are left, not %d", got, w.sessions)
}

// ask gets one of the pages.
func (w *world) ask(t *testing.T, path string) string {
	t.Helper()
	scheme := "http"
	if w.secure {
		scheme = "https"
	}
	r, err := http.NewRequest("GET", scheme+"://"+w.WS+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.users {
		r.SetBasicAuth("bob", password)
	}
	res, err := w.page.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, res.Status, err)
	}
	return string(text)
}

var refusedLine = regexp.MustCompile(`(?m)^gudok_refused_total\{reason="([^"]+)"\} (\d+)$`)

// refused is what the broker has refused so far, by reason.
func (w *world) refused(t *testing.T) map[string]int {
	t.Helper()
	all := refusedLine.FindAllStringSubmatch(w.ask(t, "/metrics"), -1)
	if len(all) == 0 {
		t.Fatal("no refusals are counted")
	}
	counts := map[string]int{}
	for _, m := range all {
		if n, err := strconv.Atoi(m[2]); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			counts[m[1]] = n
		}
	}
	return counts
}

var figuresLine = regexp.MustCompile(`msg=runtime goroutines=(\d+) heap_live=(\d+)`)

// alive is how many goroutines and bytes are alive in the broker.
func (w *world) alive(t *testing.T) (goroutines, bytes int) {
	t.Helper()
	w.page.CloseIdleConnections()
	w.figures++
	if err := w.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); {
		if all := figuresLine.FindAllStringSubmatch(w.Output(), -1); len(all) == w.figures {
			m := all[len(all)-1]
			goroutines, _ = strconv.Atoi(m[1])
			bytes, _ = strconv.Atoi(m[2])
			return goroutines, bytes
		}
		w.Says("msg=runtime ")
	}
	t.Fatal("no runtime figures came")
	return 0, 0
}

// endOf waits for the log line of the session from an address, and returns it.
func (w *world) endOf(t *testing.T, from string) string {
	t.Helper()
	w.Says("peer=" + from + ":")
	for line := range strings.Lines(w.Output()) {
		if strings.Contains(line, "session ended") && strings.Contains(line, "peer="+from+":") {
			return line
		}
	}
	t.Fatalf("no end of a session from %s", from)
	return ""
}

// place is an address that nobody else connects from.
func place() string {
	n := places.Add(1)
	return fmt.Sprintf("127.6.%d.%d", n/250, 1+n%250)
}

var places, cells atomic.Int64
