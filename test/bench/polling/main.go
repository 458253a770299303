// Command polling is what a web application does without a broker: a server that clients ask again and
// again what is new. "broker bench poll" loads it, to compare it with WebSocket.
//
//	go run ./test/bench/polling [-listen 127.0.0.1:8080]
//
// It is written as well as polling can be: connections are kept alive, a cursor says where a client
// stands, nothing new is 204 without a body, several messages come in one response, whose bytes lie
// ready for all clients alike, and nothing is compressed. Messages are lines.
//
//	POST /feed                    the publisher: a body that does not end, a message a line
//	GET  /messages                204 with the present cursor
//	GET  /messages?after=N        what came after cursor N, or 204
//	GET  /messages?after=N&wait=S the same, but waits up to S seconds for something: long polling
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// keep is how many bytes of messages clients can ask for; who is further behind has lost some.
	keep = 8 << 20
	// most is how many bytes one response has at most, if it has more than one message.
	most = 256 << 10
	// longest bounds a long poll, in seconds.
	longest = 60
	// maxLine bounds a message.
	maxLine = 1 << 20
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintf(os.Stderr, "polling: %v\n", err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	log := &messages{news: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /feed", log.feed)
	mux.HandleFunc("GET /messages", log.since)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(os.Stderr, "polling: %v\n", s.Serve(l))
	os.Exit(1)
}

// messages is all that was published lately, one line after the other. A cursor is a number of bytes
// since the start.
type messages struct {
	mu    sync.RWMutex
	begin int64         // cursor of the first byte of text
	text  []byte        // only grows; replaced by its younger half when it is full
	news  chan struct{} // closed at the next message
}

// feed takes messages from the publisher, all that one read brings at a time.
func (m *messages) feed(w http.ResponseWriter, r *http.Request) {
	in := bufio.NewReaderSize(r.Body, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			var rest []byte
			line = append([]byte(nil), line...)
			for err == bufio.ErrBufferFull && len(line) < maxLine {
				rest, err = in.ReadSlice('\n')
				line = append(line, rest...)
			}
		}
		if err == io.EOF && len(line) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err != nil {
			http.Error(w, "a message is too long, or its line does not end", http.StatusBadRequest)
			return
		}
		m.add(line)
	}
}

func (m *messages) add(line []byte) {
	m.mu.Lock()
	if len(m.text)+len(line) > keep && len(m.text) > 0 {
		// Responses under way still read the old array.
		half := len(m.text) / 2
		for half < len(m.text) && m.text[half-1] != '\n' {
			half++
		}
		m.begin += int64(half)
		m.text = append(make([]byte, 0, keep+len(line)), m.text[half:]...)
	}
	m.text = append(m.text, line...)
	news := m.news
	m.news = make(chan struct{})
	m.mu.Unlock()
	close(news)
}

// after is what came after a cursor, with the next one, and what is closed when more comes.
func (m *messages) after(cursor int64) (text []byte, next int64, news <-chan struct{}, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	end := m.begin + int64(len(m.text))
	if cursor < m.begin || cursor > end {
		return nil, end, m.news, false
	}
	text = m.text[cursor-m.begin:]
	if len(text) > most {
		cut := most
		for cut < len(text) && text[cut-1] != '\n' {
			cut++
		}
		text = text[:cut]
	}
	return text, cursor + int64(len(text)), m.news, true
}

// since answers one poll.
func (m *messages) since(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if !q.Has("after") {
		_, next, _, _ := m.after(-1)
		h.Set("Cursor", strconv.FormatInt(next, 10))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	cursor, err := strconv.ParseInt(q.Get("after"), 10, 64)
	if err != nil {
		http.Error(w, "after is no cursor", http.StatusBadRequest)
		return
	}
	seconds, _ := strconv.Atoi(q.Get("wait"))
	var over <-chan time.Time
	if seconds = min(seconds, longest); seconds > 0 {
		t := time.NewTimer(time.Duration(seconds) * time.Second)
		defer t.Stop()
		over = t.C
	}
	for {
		text, next, news, ok := m.after(cursor)
		switch {
		case !ok:
			http.Error(w, "what came after that cursor is gone", http.StatusGone)
			return
		case len(text) > 0:
			h.Set("Cursor", strconv.FormatInt(next, 10))
			h.Set("Content-Type", "text/plain; charset=utf-8")
			h.Set("Content-Length", strconv.Itoa(len(text)))
			w.Write(text)
			return
		case seconds <= 0:
			h.Set("Cursor", strconv.FormatInt(next, 10))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		select {
		case <-news:
		case <-over:
			seconds = 0
		case <-r.Context().Done():
			return
		}
	}
}
