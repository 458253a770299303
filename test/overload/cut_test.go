package overload

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// seeded gives the test's random numbers and prints how to have the same again.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("GUDOK_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("GUDOK_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("GUDOK_TEST_SEED=%d", seed)
	return seed
}

// stream is what a client says from CONNECT on, and where in it each of its messages is complete.
type stream struct {
	raw  []byte
	ends []int // offset behind the NUL of each SEND
}

// messagesOf is how many messages a stream has.
const messagesOf = 4

// newStream makes the stream of client id; ws has it in a WebSocket's frames, of which one holds several
// messages or a part of one.
func newStream(id int, ws *harness.Broker, rnd *rand.Rand) stream {
	var text bytes.Buffer
	text.WriteString("CONNECT\naccept-version:1.2\nhost:h\nheart-beat:0,0\n\n\x00")
	var nuls []int
	for n := range messagesOf {
		fill := strings.Repeat("abcdefgh", rnd.IntN(40))
		counted := ""
		body := fmt.Sprintf("%d %d %x %s", id, n, sum(id, n, fill), fill)
		if n%2 == 0 {
			counted = fmt.Sprintf("content-length:%d\n", len(body))
		}
		fmt.Fprintf(&text, "SEND\ndestination:/topic/cut\nx-fill:%d\n%s\n%s\x00", len(fill), counted, body)
		nuls = append(nuls, text.Len())
	}
	if ws == nil {
		return stream{text.Bytes(), nuls}
	}
	s := stream{raw: []byte(harness.Upgrade(ws.WS, ws.Path, "Sec-WebSocket-Protocol: v12.stomp"))}
	plain := text.Bytes()
	for done := 0; done < len(plain); {
		n := min(1+rnd.IntN(400), len(plain)-done)
		frame := harness.WSFrame{Op: harness.OpBinary, Payload: plain[done : done+n]}.Append(nil)
		head := len(s.raw) + len(frame) - n
		s.raw = append(s.raw, frame...)
		for _, nul := range nuls {
			if nul > done && nul <= done+n {
				s.ends = append(s.ends, head+nul-done)
			}
		}
		done += n
	}
	return s
}

func sum(id, n int, fill string) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", id, n, fill))
	return h[:8]
}

// TestCutLinks: ten thousand connections that break at a point of chance, by the end of the stream or by a
// reset, their bytes having come one by one, in parts, or at once. Every message whose last byte was sent
// before an end of the stream arrives; of a reset connection no more than those do; half a message never,
// nor a byte that was not sent.
func TestCutLinks(t *testing.T) {
	const (
		cuts    = 10_000
		workers = 50
	)
	seed := seeded(t)
	b := start(t, "log: {level: error}\n", harness.Options{Quiet: true})
	sub, err := open(tcpAt(b.Broker), "heart-beat:0,0")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.nc.Close()
	if err := sub.subscribe("/topic/cut"); err != nil {
		t.Fatal(err)
	}
	files := b.files(t)
	var got [cuts][messagesOf]int
	ended := make(chan error, 1)
	go func() { ended <- judge(sub, func(id, n int) { got[id][n]++ }) }()

	var whole [cuts]int // messages that were sent to their end
	var reset [cuts]bool
	var next, bytewise atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for {
				id := int(next.Add(1)) - 1
				if id >= cuts {
					return
				}
				ws := b.Broker
				if id%2 == 0 {
					ws = nil
				}
				s := newStream(id, ws, rnd)
				cut := 1 + rnd.IntN(len(s.raw))
				for _, end := range s.ends {
					if end <= cut {
						whole[id]++
					}
				}
				reset[id] = rnd.IntN(3) == 0
				step := [...]int{1 << 20, 1 << 20, 1, 7, 100}[rnd.IntN(5)]
				if step == 1 {
					bytewise.Add(1)
				}
				if err := s.cut(b, id, cut, step, reset[id]); err != nil {
					t.Errorf("connection %d: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	if !becomes(2*harness.Patience, func() bool { return b.files(t) <= files }) {
		t.Errorf("%d connections are still there", b.files(t)-files)
	}
	// Whatever those connections sent is with the subscriber before this.
	if err := sub.send("SEND\ndestination:/topic/cut\n\nend\x00"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var sent, arrived, resets, lost, halves int
	for id := range cuts {
		if reset[id] {
			resets++
		}
		for n := range messagesOf {
			complete := n < whole[id]
			switch times := got[id][n]; {
			case times > 1:
				t.Errorf("connection %d: message %d came %d times", id, n, times)
			case times == 1 && !complete:
				halves++
				t.Errorf("connection %d: message %d was cut and came", id, n)
			case times == 0 && complete && !reset[id]:
				lost++
				t.Errorf("connection %d: message %d was sent to its end and did not come", id, n)
			case times == 1:
				arrived++
			}
			if complete {
				sent++
			}
		}
	}
	t.Logf("%d connections cut (%d of them reset, %d byte by byte): %d messages sent to their end, %d arrived; %d halves, %d lost before an end of stream",
		cuts, resets, bytewise.Load(), sent, arrived, halves, lost)
}

// cut sends the stream up to there, in steps, and ends it. An end of the stream waits for the broker's.
func (s stream) cut(b *broker, id, at, step int, reset bool) error {
	addr := b.TCP
	if id%2 == 1 {
		addr = b.WS
	}
	d := net.Dialer{Timeout: harness.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(crowdAddress(id))}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	nc := conn.(*net.TCPConn)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(2 * harness.Patience))
	for done := 0; done < at; {
		n := min(step, at-done)
		if done > 400 {
			n = at - done
		}
		if _, err := nc.Write(s.raw[done : done+n]); err != nil {
			return err
		}
		done += n
	}
	if reset {
		return nc.SetLinger(0) // Close resets
	}
	if err := nc.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, nc)
	return err
}

// judge reads messages until the last, and tells of each whole one.
func judge(sub *peer, whole func(id, n int)) error {
	for {
		m, err := sub.read(6 * harness.Patience)
		if err != nil {
			return err
		}
		body := string(m.body())
		if body == "end" {
			return nil
		}
		var id, n int
		var hash string
		if _, err := fmt.Sscan(body, &id, &n, &hash); err != nil {
			return fmt.Errorf("what came is no message: %.300q", m)
		}
		fill := body[strings.Index(body, hash)+len(hash)+1:]
		if hash != fmt.Sprintf("%x", sum(id, n, fill)) || m.header("x-fill") != fmt.Sprint(len(fill)) || m.command() != "MESSAGE" {
			return fmt.Errorf("altered: %.300q", m)
		}
		whole(id, n)
	}
}

// TestThinLinks: everything between two clients and the broker goes through a proxy that hands on a few bytes
// at a time, both ways. All frames are as they should be, byte for byte, on each way in.
func TestThinLinks(t *testing.T) {
	const messages = 300
	rnd := rand.New(rand.NewPCG(seeded(t), 1))
	b := start(t, "log: {level: error}\n", harness.Options{Quiet: true})
	thin := &harness.Broker{Path: b.Path}
	thin.TCP, thin.WS = thinProxy(t, b.TCP, rnd.Uint64()), thinProxy(t, b.WS, rnd.Uint64())
	for _, tr := range []harness.Transport{harness.TCP, harness.WSText, harness.WSFragmented} {
		c := thin.Dial(t, tr)
		c.Sendf("CONNECT\naccept-version:1.2\nhost:h\nheart-beat:0,0\n\n\x00")
		c.Expect("CONNECTED")
		c.Sendf("SUBSCRIBE\nid:0\ndestination:/queue/thin\nack:client-individual\nreceipt:on\n\n\x00")
		c.Receipt("on")
		for n := range messages {
			body := strings.Repeat("é0\n", rnd.IntN(60))
			c.Sendf("SEND\ndestination:/queue/thin\nodd:a\\cb\\\\c é\ncontent-length:%d\n\n%s\x00", len(body), body)
			m := c.Message(body, "odd:a:b\\c é")
			c.Sendf("ACK\nid:%s\nreceipt:%d\n\n\x00", m.Value("ack"), n)
			c.Receipt(fmt.Sprint(n))
		}
		c.Abort()
	}
	t.Logf("3 × %d messages there and back through links of one to seven bytes", messages)
}

// thinProxy gives the address of a proxy to addr that hands on one to seven bytes at a time.
func thinProxy(t *testing.T, addr string, seed uint64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for n := uint64(0); ; n++ {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				down.Close()
				return
			}
			for i, way := range [][2]net.Conn{{down, up}, {up, down}} {
				rnd := rand.New(rand.NewPCG(seed, 2*n+uint64(i)))
				wg.Go(func() {
					defer way[0].Close()
					defer way[1].Close()
					for p := make([]byte, 7); ; {
						n, err := way[0].Read(p[:1+rnd.IntN(7)])
						if err != nil {
							return
						}
						if _, err := way[1].Write(p[:n]); err != nil {
							return
						}
					}
				})
			}
		}
	})
	return ln.Addr().String()
}
