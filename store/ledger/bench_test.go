package ledger_test

import (
	"testing"

	"github.com/gudokmq/gudok/store/ledger"
)

func BenchmarkAppendNextAck(b *testing.B) {
	for _, bm := range []struct {
		name    string
		backlog int
		entry   ledger.Entry[uint64, string]
	}{
		{"empty", 0, ledger.Entry[uint64, string]{}},
		{"backlog=1M", 1_000_000, ledger.Entry[uint64, string]{}},
		{"expiring", 1000, ledger.Entry[uint64, string]{Expires: 1 << 40}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var l ledger.Ledger[uint64, string]
			for range bm.backlog {
				l.Append(bm.entry, 0)
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Append(bm.entry, 0)
				e, _ := l.Next(0)
				l.Ack(e.Pos)
			}
		})
	}
}

// The holder of a loan of 1,000 gives one back and takes it again.
func BenchmarkNackNext(b *testing.B) {
	var l ledger.Ledger[uint64, string]
	for range 1000 {
		l.Append(ledger.Entry[uint64, string]{}, 0)
		l.Next(0)
	}
	pos := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		l.Nack(1+pos%1000, 0)
		l.Next(0)
		pos++
	}
}

// Acknowledging a backlog from the far end, with the head still held.
func BenchmarkAckBackwards(b *testing.B) {
	const n = 1_000_000
	var l ledger.Ledger[uint64, string]
	pos := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		if pos == 0 {
			b.StopTimer()
			l = ledger.Ledger[uint64, string]{}
			for range n {
				l.Append(ledger.Entry[uint64, string]{}, 0)
				l.Next(0)
			}
			pos = n
			b.StartTimer()
		}
		l.Ack(pos)
		pos--
	}
}
