package broker_test

import (
	"fmt"
	"testing"
)

// What a message through a queue costs but for system calls and disk: sent, delivered and acknowledged.
func BenchmarkQueueAcknowledged(b *testing.B) {
	c := newCrowd(b, 0, nil)
	c.send([]byte("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client-individual\n\n\x00"))
	var frames []byte
	seq := 0
	b.ReportAllocs()
	for b.Loop() {
		frames = frames[:0]
		for range together {
			seq++
			frames = fmt.Appendf(frames, "SEND\ndestination:/queue/q\n\n%0128d\x00ACK\nid:1-%d\n\n\x00", 7, seq)
		}
		c.send(frames)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*together), "ns/msg")
}
