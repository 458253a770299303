package transport_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/transport"
)

// BenchmarkPack compresses text like JSON, as it is done, and as the standard library does it.
func BenchmarkPack(b *testing.B) {
	var text []byte
	for n := uint32(1); len(text) < 64<<10; {
		n = n*1664525 + 1013904223
		text = fmt.Appendf(text, `{"id":%d,"symbol":"G%03d","price":%d.%02d,"volume":%d},`, n, n>>8%1000, n>>4%500, n>>12%100, n>>16%5000)
	}
	var c broker.Packer = transport.PackingConn()
	for _, n := range []int{1 << 10, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				c.Pack(text[:n])
			}
			b.ReportMetric(float64(len(c.Pack(text[:n])))/float64(n)*100, "%size")
		})
		b.Run(fmt.Sprintf("%d/standard", n), func(b *testing.B) {
			var out bytes.Buffer
			z, _ := flate.NewWriter(&out, flate.BestSpeed)
			b.SetBytes(int64(n))
			for b.Loop() {
				out.Reset()
				z.Reset(&out)
				z.Write(text[:n])
				z.Flush()
			}
			b.ReportMetric(float64(out.Len())/float64(n)*100, "%size")
		})
	}
}
