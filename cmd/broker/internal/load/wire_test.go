package load

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestScannerTakesAnyChunks(t *testing.T) {
	stream := []byte("\n\nMESSAGE\na:b\ncontent-length:5\nack:x\\c1\n\n\x00ab\x00\n\x00\n" +
		"RECEIPT\r\nreceipt-id:7\r\n\r\n\x00\r\nMESSAGE\ndestination:/topic/a\n\nhello\x00ERROR\nmessage:m\n\n\x00\n")
	want := `M "\x00ab\x00\n" x\c1;R "" ;M "hello" ;E "" ;`
	for size := 1; size <= len(stream); size++ {
		got := ""
		s := scanner{one: stomp{}.one, on: func(f *frame) { got += fmt.Sprintf("%c %q %s;", f.kind, f.body, f.header("\nack:")) }}
		for p := stream; len(p) > 0; p = p[min(size, len(p)):] {
			if err := s.feed(bytes.Clone(p[:min(size, len(p))])); err != nil {
				t.Fatal(err)
			}
		}
		if got != want || s.beats != 5 {
			t.Fatalf("chunks of %d: %s, %d EOLs", size, got, s.beats)
		}
	}
}

func TestScannerRefuses(t *testing.T) {
	for _, stream := range []string{
		"MESSAGE\ncontent-length:x\n\n\x00",
		"MESSAGE\ncontent-length:99999999999\n\n\x00",
		"MESSAGE\ncontent-length:1\n\nab\x00",
	} {
		s := scanner{one: stomp{}.one, on: func(*frame) {}}
		if err := s.feed([]byte(stream)); err == nil {
			t.Errorf("%q accepted", stream)
		}
	}
}

func TestServerFramesInPieces(t *testing.T) {
	for _, n := range []int{0, 125, 126, 70000} {
		masked := appendMasked(nil, opText, 0x01020304, bytes.Repeat([]byte("x"), n))
		mask(masked[len(masked)-n:], 0x01020304) // a broker's frame: no mask bit, no key
		plain := append(append([]byte{}, masked[:len(masked)-n-4]...), masked[len(masked)-n:]...)
		plain[1] &= 0x7f
		for _, cut := range []int{0, 1, 2, 9, len(plain) - 1} {
			if _, _, size, err := wsFrame(plain[:min(cut, len(plain)-1)]); size != 0 || err != nil {
				t.Errorf("%d of %d: size %d, %v", cut, len(plain), size, err)
			}
		}
		op, payload, size, err := wsFrame(plain)
		if op != opText || len(payload) != n || size != len(plain) || err != nil || bytes.Trim(payload, "x") != nil && n > 0 {
			t.Errorf("%d: %d %d %d %v", n, op, len(payload), size, err)
		}
	}
	if _, _, _, err := wsFrame([]byte{0x81, 0x80, 0, 0, 0, 0}); err == nil {
		t.Error("masked frame accepted")
	}
}

func TestQuantiles(t *testing.T) {
	hs := make([]histogram, 2)
	for i := int64(1); i <= 100000; i++ {
		hs[i%2].add(i * 1000)
	}
	q := quantiles(hs)
	for _, c := range []struct{ got, want float64 }{{q.P50, 50000}, {q.P99, 99000}, {q.P999, 99900}, {q.Max, 100000}} {
		if math.Abs(c.got-c.want) > 0.02*c.want {
			t.Errorf("got %g, want %g", c.got, c.want)
		}
	}
	for _, v := range []uint64{0, 1, 31, 32, 63, 64, 1000, 1 << 40, math.MaxInt64} {
		if low, width := lower(bucket(v)); v < low || v-low >= width {
			t.Errorf("%d is not in [%d, +%d)", v, low, width)
		}
	}
	if quantiles(make([]histogram, 1)) != nil {
		t.Error("quantiles of nothing")
	}
}

func TestGateHoldsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := int64(0)
		g := newGate(10, func() int64 { return got })
		for range 10 {
			if !g.acquire(t.Context(), 1) {
				t.Fatal("window not open")
			}
		}
		done := make(chan bool)
		go func() { done <- g.acquire(t.Context(), 1) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("an eleventh message went")
		default:
		}
		got = 3
		g.passed(0, 3)
		if !<-done {
			t.Error("not let through")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g.acquire(ctx, 10) {
			t.Error("past the window")
		}
	})
}

func TestStampComesBack(t *testing.T) {
	tpl := stomp{}.template(Options{Destination: "/queue/a", Size: 100, Receipts: 1, Persistent: "true"}, 65)
	f := tpl.fill(123456, 1<<50)
	s := scanner{one: stomp{}.one}
	var pub int
	var seq, sent int64
	s.on = func(f *frame) { pub, seq, sent, _ = stamp(f.body) }
	if err := s.feed(f); err != nil || pub != 65 || seq != 123456 || sent != 1<<50 {
		t.Errorf("%d %d %d, %v in %q", pub, seq, sent, err, f)
	}
	if _, _, _, ok := stamp([]byte("hello, this is nobody's benchmark")); ok {
		t.Error("foreign body taken")
	}
}

func TestRuntimeLine(t *testing.T) {
	line := `time=2026-11-21T12:20:39Z level=INFO msg=runtime goroutines=7 heap_live=8 mallocs=9 gc_cycles=10 gc_pauses_5ms=3 gc_pause_max=1.5ms`
	if _, ok := parseRuntime([]byte(line)); ok {
		t.Error("an unfinished line was taken")
	}
	got, ok := parseRuntime([]byte("x\n" + line + "\nmore"))
	if want := (goRuntime{goroutines: 7, heapLive: 8, mallocs: 9, cycles: 10, over5ms: 3, longest: 1500 * time.Microsecond}); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSpreadIsFair(t *testing.T) {
	s := spread{topics: 13, subs: 7, fan: 5}
	var names int
	var count, sum int64
	for i := range 7 {
		names += len(s.names("x", i))
		c, n := s.due(i, 100)
		count, sum = count+c, sum+n
	}
	if names != 13*5 || count != 5*100 || sum != 5*99*100/2 {
		t.Errorf("%d subscriptions, %d messages, sum %d", names, count, sum)
	}
}

func TestPollingResponses(t *testing.T) {
	chunked(t, polling{}, []byte("HTTP/1.1 204 No Content\r\nCursor: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\nCursor: 9\r\n\r\nab\nc"+
		"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\nno"), `R "";R "ab\nc";E "no";`)
	if got := field1([]byte("HTTP/1.1 200 OK\r\nCursor: 9\r\nX: 1"), "\r\nCursor: "); string(got) != "9" {
		t.Errorf("%q", got)
	}
}
