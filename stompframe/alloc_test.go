package stompframe_test

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/gudokmq/gudok/stompframe"
)

func sendFrame(size int) []byte {
	return fmt.Appendf(nil, "SEND\ndestination:/topic/greetings\ncontent-type:application/json\nreceipt:message-12345\n"+
		"x-trace:7f3a9c0d11e2\ncontent-length:%d\n\n%s\x00", size, strings.Repeat("x", size))
}

var ackFrame = []byte("ACK\nid:s1-q0000000000000042\nsubscription:sub-0\n\n\x00")

// next feeds one chunk and expects n frames in it.
func next(tb testing.TB, d *stompframe.Decoder, f *stompframe.Frame, chunk []byte, n int) {
	d.Feed(chunk)
	for {
		ok, err := d.Next(f)
		if err != nil {
			tb.Fatal(err)
		}
		if !ok {
			break
		}
		n--
	}
	if n != 0 {
		tb.Fatalf("%d frames missing", n)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("under the race detector sync.Pool drops buffers at random: allocations are not counted")
	}
	d := stompframe.NewDecoder(v12, stompframe.Limits{})
	var f stompframe.Frame
	small, large := sendFrame(128), sendFrame(16<<10)
	escaped := []byte("SEND\ndestination:/topic/a\\cb\nx\\n:" + strings.Repeat(`\\`, 1000) + "\n\n\x00")
	both := append(append([]byte{}, small...), ackFrame...)
	tail := []byte("destination:/topic/a\\cb\nx:y\n\nbody\x00")
	dst := make([]byte, 0, 64<<10)
	message := stompframe.Frame{Command: "MESSAGE", Body: large, Header: stompframe.Header{{Name: []byte("destination"), Value: []byte("a:b")}}}
	for name, run := range map[string]func(){
		"SEND 128":         func() { next(t, d, &f, small, 1) },
		"SEND 16384":       func() { next(t, d, &f, large, 1) },
		"SEND and ACK":     func() { next(t, d, &f, both, 2) },
		"escapes":          func() { next(t, d, &f, escaped, 1) },
		"split in headers": func() { next(t, d, &f, small[:30], 0); next(t, d, &f, small[30:], 1) },
		"split in body":    func() { next(t, d, &f, large[:5000], 0); next(t, d, &f, large[5000:], 1) },
		"encode": func() {
			dst = stompframe.AppendFrame(dst[:0], v12, &message)
		},
		"recode": func() { dst = stompframe.Recode(dst[:0], tail, v12, v10) },
		"header": func() { dst = stompframe.AppendHeader(dst[:0], v12, "subscription", "a:b") },
	} {
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := unsafe.Sizeof(*d); n > 256 {
		t.Errorf("a decoder is %d bytes", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"SEND128", sendFrame(128)}, {"SEND1K", sendFrame(1 << 10)}, {"SEND16K", sendFrame(16 << 10)}, {"ACK", ackFrame},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := stompframe.NewDecoder(v12, stompframe.Limits{})
			var f stompframe.Frame
			b.ReportAllocs()
			b.SetBytes(int64(len(c.frame)))
			for b.Loop() {
				next(b, d, &f, c.frame, 1)
			}
		})
		b.Run(c.name+"Split", func(b *testing.B) {
			d := stompframe.NewDecoder(v12, stompframe.Limits{})
			var f stompframe.Frame
			b.ReportAllocs()
			b.SetBytes(int64(len(c.frame)))
			for b.Loop() {
				next(b, d, &f, c.frame[:len(c.frame)/2], 0)
				next(b, d, &f, c.frame[len(c.frame)/2:], 1)
			}
		})
	}
}

func BenchmarkEncodeMESSAGE(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		var f stompframe.Frame
		d := stompframe.NewDecoder(v12, stompframe.Limits{})
		d.Feed(sendFrame(size))
		if ok, err := d.Next(&f); !ok {
			b.Fatal(err)
		}
		f.Command = "MESSAGE"
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = stompframe.AppendFrame(dst[:0], v12, &f)
			}
		})
	}
}
