package durability

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// link is a client's connection. One goroutine of its own reads and calls back; whoever likes
// writes. It ends when the broker does, and then says nothing: that is what these tests are about.
type link struct {
	l    *ledger
	conn net.Conn
	gone chan struct{} // closed when nothing more will be read
	// message is called for each MESSAGE with the subscription's id.
	message func(sub string, f *harness.Frame)
	// failed is called for an ERROR; nil makes it a fault.
	failed func(f *harness.Frame)

	mu       sync.Mutex // guards what follows, and writing
	out      []byte
	receipts map[string]func()
	number   int
	closing  atomic.Bool
}

// dial connects and returns once CONNECTED has come; nil if the broker has gone.
func dial(t testing.TB, l *ledger, addr, header string) *link {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, harness.Patience)
	if err != nil {
		return nil
	}
	k := &link{l: l, conn: conn, gone: make(chan struct{}), receipts: map[string]func(){}}
	head := "CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,0\n" + header
	if _, err := conn.Write([]byte(head + "\n\x00")); err != nil {
		conn.Close()
		return nil
	}
	up := make(chan struct{})
	go k.read(up)
	select {
	case <-up:
		return k
	case <-k.gone:
		return nil
	case <-time.After(harness.Patience):
		conn.Close()
		l.report("stuck: no CONNECTED")
		return nil
	}
}

// read reads until the connection ends.
func (k *link) read(up chan struct{}) {
	defer close(k.gone)
	defer k.conn.Close()
	var in []byte
	version := ""
	chunk := make([]byte, 64<<10)
	for {
		n, err := k.conn.Read(chunk)
		in = append(in, chunk[:n]...)
		for {
			for len(in) > 0 && in[0] == '\n' {
				in = in[1:]
			}
			if len(in) == 0 {
				break
			}
			f, n, bad := harness.Parse(in, version)
			if bad != nil {
				k.l.report("altered: what the broker sent is no frame: %v", bad)
				return
			}
			if n == 0 {
				break
			}
			in = in[n:]
			if f.Command == "CONNECTED" {
				version = f.Value("version")
				close(up)
				continue
			}
			k.take(f)
		}
		if err != nil {
			return
		}
	}
}

func (k *link) take(f *harness.Frame) {
	switch f.Command {
	case "MESSAGE":
		k.message(f.Value("subscription"), f)
	case "RECEIPT":
		id := f.Value("receipt-id")
		k.mu.Lock()
		done := k.receipts[id]
		delete(k.receipts, id)
		k.mu.Unlock()
		if done == nil {
			k.l.report("phantom: RECEIPT %s, which was not asked for or came before", id)
			return
		}
		done()
	case "ERROR":
		k.l.mu.Lock()
		k.l.counts.errors++
		k.l.mu.Unlock()
		if k.failed != nil {
			k.failed(f)
		} else if !k.closing.Load() {
			k.l.report("ERROR: %s: %s", f.Value("message"), f.Body)
		}
	}
}

// errGone tells that the broker has gone.
var errGone = errors.New("the broker has gone")

// send writes a frame of a head, command and header lines each ended by LF, and a body. done, unless
// nil, runs when its RECEIPT comes.
func (k *link) send(head string, body []byte, done func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out = append(k.out[:0], head...)
	if done != nil {
		k.number++
		id := "r" + strconv.Itoa(k.number)
		k.receipts[id] = done
		k.out = append(append(append(k.out, "receipt:"...), id...), '\n')
	}
	if len(body) > 0 {
		k.out = fmt.Appendf(k.out, "content-length:%d\n", len(body))
	}
	k.out = append(k.out, '\n')
	k.out = append(append(k.out, body...), 0)
	if _, err := k.conn.Write(k.out); err != nil {
		return errGone
	}
	return nil
}

// call is send and waits for the RECEIPT.
func (k *link) call(head string, body []byte) error {
	done := make(chan struct{})
	if err := k.send(head, body, func() { close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-k.gone:
		select {
		case <-done: // the last thing that came
			return nil
		default:
			return errGone
		}
	case <-time.After(harness.Patience):
		k.l.report("stuck: no RECEIPT for %.60q", head)
		return errGone
	}
}

// close ends the connection from this side.
func (k *link) close() {
	k.closing.Store(true)
	k.conn.Close()
	<-k.gone
}

// sumOf is over all that must not be altered: whose message it is, and its body.
func sumOf(pub string, seq int, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", pub, seq)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// odd is a header that must come back as it went, escapes and all.
const odd = `odd:a\cb\\c` + " \u00e9\n"

// keyOf reads whose message a MESSAGE is, and the sum of what came.
func keyOf(f *harness.Frame, queue string) (k key, sum string) {
	seq, _ := strconv.Atoi(f.Value("x-seq"))
	k = key{f.Value("x-pub"), seq, queue}
	sum = sumOf(k.pub, k.seq, f.Body)
	if f.Value("x-sum") != sum || f.Value("odd") != "a:b\\c \u00e9" {
		sum = "altered:" + f.Value("x-sum") + "/" + f.Value("odd")
	}
	return k, sum
}
