package load_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

// stub is a broker just good enough to be loaded: it fans topics out, deals queues out in turn,
// and can be told to misbehave.
type stub struct {
	// fault is called for each MESSAGE about to be written; it returns how many times to write it.
	fault func(number int) int
	// refuse answers each SEND with an ERROR.
	refuse bool
	// hangUpOnBeat drops a connection that sends a heart-beat.
	hangUpOnBeat bool

	mu    sync.Mutex
	subs  map[string][]*stubConn // by destination
	held  [][]byte               // bodies sent to a queue without subscribers; there is only one
	turn  int
	acks  int
	sent  int // MESSAGEs
	conns map[*stubConn]bool
	wg    sync.WaitGroup
}

type stubConn struct {
	nc net.Conn
	mu sync.Mutex
	w  *frame.Writer // guarded by mu
}

func (c *stubConn) write(f *frame.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w.Write(f)
}

// serve starts the stub on loopback, on both transports, until the test ends.
func (s *stub) serve(t *testing.T) (ws, tcp load.Target) {
	t.Helper()
	s.subs, s.conns = map[string][]*stubConn{}, map[*stubConn]bool{}
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v12.stomp"}})
		if err == nil {
			s.wg.Go(func() { s.session(websocket.NetConn(context.Background(), c, websocket.MessageText)) })
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.session(nc) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		hs.Close()
		s.hangUp()
		s.wg.Wait()
	})
	ws, err1 := load.ParseTarget("ws" + hs.URL[len("http"):] + "/ws")
	tcp, err2 := load.ParseTarget("stomp://" + l.Addr().String())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return ws, tcp
}

// hangUp drops every connection.
func (s *stub) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.nc.Close()
	}
}

func (s *stub) session(nc net.Conn) {
	defer nc.Close()
	c := &stubConn{nc: nc, w: frame.NewWriter(nc)}
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	r := frame.NewReader(nc)
	for {
		f, err := r.Read()
		if err != nil {
			return
		}
		if f == nil {
			if s.hangUpOnBeat {
				return
			}
			c.mu.Lock()
			c.w.Write(nil)
			c.mu.Unlock()
			continue
		}
		s.handle(c, f)
		if id := f.Header.Get("receipt"); id != "" {
			c.write(frame.New("RECEIPT", "receipt-id", id))
		}
		if f.Command == "DISCONNECT" {
			return
		}
	}
}

func (s *stub) handle(c *stubConn, f *frame.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := f.Header.Get("destination")
	switch f.Command {
	case "CONNECT":
		c.write(frame.New("CONNECTED", "version", "1.2", "server", "stub/1"))
	case "SUBSCRIBE":
		s.subs[to] = append(s.subs[to], c)
		for _, body := range s.held {
			s.deliver(c, to, body)
		}
		s.held = nil
	case "ACK":
		s.acks++
	case "SEND":
		if s.refuse {
			e := frame.New("ERROR", "message", "no")
			e.Body = []byte("not today\nnor tomorrow")
			c.write(e)
			return
		}
		subs := s.subs[to]
		if queue := strings.HasPrefix(to, "/queue/"); queue && len(subs) > 0 {
			s.turn++
			subs = []*stubConn{subs[s.turn%len(subs)]}
		} else if queue {
			s.held = append(s.held, f.Body)
		}
		for _, sub := range subs {
			s.deliver(sub, to, f.Body)
		}
	}
}

// deliver writes one MESSAGE. The caller holds mu.
func (s *stub) deliver(sub *stubConn, to string, body []byte) {
	s.sent++
	times := 1
	if s.fault != nil {
		times = s.fault(s.sent)
	}
	m := frame.New("MESSAGE", "subscription", "0", "message-id", strconv.Itoa(s.sent), "destination", to,
		"ack", "a\\:b"+strconv.Itoa(s.sent), "content-length", strconv.Itoa(len(body)))
	m.Body = body
	for range times {
		sub.write(m)
	}
}
