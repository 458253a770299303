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
	w := &world{secure: secure, users: strings.Contains(config, "users:"), transports: []harness.Transport{harness.TCP, harness.WSText}, page: pageClient()}
	tcp := harness.TCP
	if secure {
		cert, key := harness.Certificate(t, "localhost")
		pair := fmt.Sprintf("tls: {cert: %q, key: %q}", cert, key)
		config += fmt.Sprintf("http: {%s}\ntcp: {tls_listen: \"127.0.0.1:0\", %[1]s}\n", pair)
		w.transports = []harness.Transport{harness.TCPTLS, harness.WSSText}
		w.page.Transport = harness.Pages(&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}) // made for the test
		tcp = harness.TCPTLS
	}
	w.Broker = harness.StartWith(t, config, harness.Options{Quiet: true})
	w.sub, w.pub = w.Dial(t, tcp), w.Dial(t, w.transports[1])
	for _, c := range []*harness.Client{w.sub, w.pub} {
		c.Sendf("CONNECT\naccept-version:1.2\nheart-beat:0,2000\n\n\x00")
		c.Expect("CONNECTED")
	}
	w.sub.Sendf("SUBSCRIBE\nid:0\ndestination:/topic/honest\nreceipt:s\n\n\x00")
	w.sub.Receipt("s")
	w.sessions = 2
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
	scheme := "http"
	if w.secure {
		scheme = "https"
	}
	got := ""
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); {
		ask, err := http.NewRequest("GET", scheme+"://"+w.WS+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if w.users {
			ask.SetBasicAuth("bob", password)
		}
		r, err := w.page.Do(ask)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		m := sessionsOnPage.FindSubmatch(text)
		if err != nil || m == nil {
			t.Fatalf("the page does not tell the sessions: %v %.200s", err, text)
		}
		if got = string(m[1]); got == strconv.Itoa(w.sessions) {
			return
		}
	}
	t.Fatalf("%s sessions are left, not %d", got, w.sessions)
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
