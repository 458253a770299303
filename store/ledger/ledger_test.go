package ledger_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/gudokmq/gudok/store/ledger"
)

// fill appends n messages of one byte each whose values are 1 to n.
func fill(l *ledger.Ledger[int, string], n int) {
	for i := 1; i <= n; i++ {
		l.Append(ledger.Entry[int, string]{Value: i, Size: 1}, 0)
	}
}

func mustNext(t *testing.T, l *ledger.Ledger[int, string], now int64) ledger.Entry[int, string] {
	t.Helper()
	e, ok := l.Next(now)
	if !ok {
		t.Fatal("nothing is ready")
	}
	return e
}

// drain lends out all that is ready and gives the values.
func drain(l *ledger.Ledger[int, string], now int64) (vs []int) {
	for {
		e, ok := l.Next(now)
		if !ok {
			return vs
		}
		vs = append(vs, e.Value)
	}
}

func TestReturnedTakesItsOldPlace(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 200)
	if got := drain(&l, 0); len(got) != 200 || !slices.IsSorted(got) {
		t.Fatalf("first round: %v", got)
	}
	for _, pos := range []uint64{150, 3, 70} {
		if !l.Nack(pos, 0) {
			t.Fatalf("Nack(%d) refused", pos)
		}
	}
	l.Append(ledger.Entry[int, string]{Value: 201}, 0)
	if got, want := drain(&l, 0), []int{3, 70, 150, 201}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestCount(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 1)
	for _, step := range []struct {
		back func(uint64) bool
		want int
	}{
		{func(p uint64) bool { return l.Nack(p, 0) }, 1},
		{l.Release, 2},
		{l.Release, 2},
		{func(p uint64) bool { return l.Nack(p, 0) }, 2},
		{l.Release, 3},
	} {
		e := mustNext(t, &l, 0)
		if e.Count != step.want {
			t.Fatalf("count %d, want %d", e.Count, step.want)
		}
		if !step.back(e.Pos) {
			t.Fatal("return refused")
		}
	}
}

func TestJournalCountGoesOn(t *testing.T) {
	var l ledger.Ledger[int, string]
	l.Append(ledger.Entry[int, string]{Count: 4}, 0)
	l.Append(ledger.Entry[int, string]{Count: 1 << 20}, 0)
	if e := mustNext(t, &l, 0); e.Count != 5 {
		t.Fatalf("count %d, want 5", e.Count)
	}
	if e := mustNext(t, &l, 0); e.Count != 65535 {
		t.Fatalf("count %d, want it to stick at 65535", e.Count)
	}
}

func TestSettlingTwiceIsRefused(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 2)
	if _, ok := l.Ack(1); ok {
		t.Fatal("Ack of a ready message")
	}
	e := mustNext(t, &l, 0)
	if got, ok := l.Ack(e.Pos); !ok || got.Value != 1 {
		t.Fatalf("Ack: %v %v", got, ok)
	}
	if _, ok := l.Ack(e.Pos); ok || l.Nack(e.Pos, 0) || l.Release(e.Pos) {
		t.Fatal("a second settling was not refused")
	}
	if _, ok := l.Ack(99); ok {
		t.Fatal("Ack of a position never given out")
	}
}

func TestDelay(t *testing.T) {
	var l ledger.Ledger[int, string]
	l.Append(ledger.Entry[int, string]{Value: 1, NotBefore: 50}, 10)
	l.Append(ledger.Entry[int, string]{Value: 2, NotBefore: 30}, 10)
	l.Append(ledger.Entry[int, string]{Value: 3, NotBefore: 10}, 10)
	if got := drain(&l, 29); !slices.Equal(got, []int{3}) {
		t.Fatalf("at 29: %v", got)
	}
	if at, ok := l.NextWake(); !ok || at != 30 {
		t.Fatalf("next wake %d %v, want 30", at, ok)
	}
	l.Nack(3, 40)
	if got := drain(&l, 50); !slices.Equal(got, []int{1, 2, 3}) {
		t.Fatalf("at 50: %v", got)
	}
	if _, ok := l.NextWake(); ok {
		t.Fatal("nothing waits, yet there is a next wake")
	}
}

func TestExpiredIsNeverLent(t *testing.T) {
	var l ledger.Ledger[int, string]
	l.Append(ledger.Entry[int, string]{Value: 1, Expires: 20}, 0)
	l.Append(ledger.Entry[int, string]{Value: 2}, 0)
	l.Append(ledger.Entry[int, string]{Value: 3, Expires: 15, NotBefore: 90}, 0)
	if at, ok := l.NextWake(); !ok || at != 15 {
		t.Fatalf("next wake %d %v, want 15", at, ok)
	}
	if got := drain(&l, 20); !slices.Equal(got, []int{2}) {
		t.Fatalf("at 20: %v", got)
	}
	var got []int
	for e, ok := l.TakeExpired(20); ok; e, ok = l.TakeExpired(20) {
		got = append(got, e.Value)
		if e.Count != 0 {
			t.Errorf("message %d: expiring counted as a delivery", e.Value)
		}
		if _, ok := l.Ack(e.Pos); !ok {
			t.Errorf("message %d cannot be removed", e.Value)
		}
	}
	if slices.Sort(got); !slices.Equal(got, []int{1, 3}) {
		t.Fatalf("expired: %v", got)
	}
}

func TestHeldExpiresOnceItIsBack(t *testing.T) {
	var l ledger.Ledger[int, string]
	l.Append(ledger.Entry[int, string]{Expires: 20}, 0)
	e := mustNext(t, &l, 19)
	if _, ok := l.TakeExpired(30); ok {
		t.Fatal("a message on loan was taken")
	}
	if _, ok := l.NextWake(); ok {
		t.Fatal("a message on loan wakes nobody")
	}
	l.Nack(e.Pos, 0)
	if at, ok := l.NextWake(); !ok || at > 30 {
		t.Fatalf("next wake %d %v", at, ok)
	}
	if got, ok := l.TakeExpired(30); !ok || got.Pos != e.Pos {
		t.Fatal("it was not taken after its return")
	}
}

// What came back and expired leaves nothing behind that disturbs the rest.
func TestReturnedExpire(t *testing.T) {
	const n = 1000
	var l ledger.Ledger[int, string]
	for i := range n {
		e := ledger.Entry[int, string]{Value: i + 1}
		if i%100 != 0 {
			e.Expires = 50
		}
		l.Append(e, 0)
	}
	drain(&l, 0)
	for pos := uint64(n); pos > 0; pos-- {
		l.Release(pos)
	}
	var offeredAgain bool
	taken := 0
	for e, ok := l.TakeExpired(50); ok; e, ok = l.TakeExpired(50) {
		if !offeredAgain {
			offeredAgain = l.Nack(e.Pos, 0)
			continue
		}
		taken++
		l.Ack(e.Pos)
	}
	if taken != n-n/100 {
		t.Errorf("%d expired, want %d", taken, n-n/100)
	}
	if got := drain(&l, 50); len(got) != n/100 || !slices.IsSorted(got) {
		t.Errorf("left over: %v", got)
	}
}

func TestPurge(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 300)
	for range 100 {
		mustNext(t, &l, 0)
	}
	l.Nack(10, 0)
	l.Nack(20, 1000)
	var purged []int
	if n := l.Purge(func(e ledger.Entry[int, string]) { purged = append(purged, e.Value) }); n != 202 || len(purged) != 202 {
		t.Fatalf("purged %d, told of %d, want 202", n, len(purged))
	}
	if !slices.IsSorted(purged) {
		t.Fatal("not in order")
	}
	if c := l.Counts(); c != (ledger.Counts{Held: 98, Bytes: 98}) {
		t.Fatalf("counts %+v", c)
	}
	l.Release(50)
	l.Append(ledger.Entry[int, string]{Value: 301}, 0)
	if got := drain(&l, 2000); !slices.Equal(got, []int{50, 301}) {
		t.Fatalf("after the purge: %v", got)
	}
}

func TestRangeBeginsAfterThePosition(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 200)
	for range 130 {
		l.Ack(mustNext(t, &l, 0).Pos)
	}
	mustNext(t, &l, 0)
	var got []int
	l.Range(0, func(e ledger.Entry[int, string]) bool { got = append(got, e.Value); return len(got) < 3 })
	if !slices.Equal(got, []int{131, 132, 133}) {
		t.Fatalf("from the front: %v", got)
	}
	got = nil
	l.Range(198, func(e ledger.Entry[int, string]) bool { got = append(got, e.Value); return true })
	if !slices.Equal(got, []int{199, 200}) {
		t.Fatalf("after 198: %v", got)
	}
}

func TestSetChangesTheValue(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 1)
	body := "b"
	if !l.Set(1, 7, &body) || l.Set(2, 7, nil) {
		t.Fatal("Set")
	}
	if e, ok := l.Get(1); !ok || e.Value != 7 || e.Body != &body {
		t.Fatalf("Get: %+v %v", e, ok)
	}
}

// Bodies that have left take no memory any more.
func TestBodiesThatLeave(t *testing.T) {
	const n = 100_000
	use := heapUse(n, func() any {
		l, body := new(ledger.Ledger[uint64, string]), "b"
		for range n {
			l.Append(ledger.Entry[uint64, string]{Body: &body}, 0)
		}
		for pos := uint64(1); pos <= n; pos++ {
			l.Set(pos, pos, nil)
		}
		return l
	})
	if t.Logf("%.1f bytes per message", use); use > 20 {
		t.Errorf("%.1f bytes per message, want at most 20", use)
	}
}

// heapUse tells what build's result keeps in memory, per message.
func heapUse(n int, build func() any) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(n)
}

func TestIndexMemory(t *testing.T) {
	const n = 1_000_000
	for _, tc := range []struct {
		name  string
		entry ledger.Entry[uint64, string]
		limit float64
	}{
		{"plain", ledger.Entry[uint64, string]{}, 20},
		{"expiring", ledger.Entry[uint64, string]{Expires: 1}, 60},
		{"delayed", ledger.Entry[uint64, string]{NotBefore: 1}, 60},
	} {
		use := heapUse(n, func() any {
			l := new(ledger.Ledger[uint64, string])
			for range n {
				l.Append(tc.entry, 0)
			}
			return l
		})
		t.Logf("%s: %.1f bytes per message", tc.name, use)
		if use > tc.limit {
			t.Errorf("%s: %.1f bytes per message, want at most %.0f", tc.name, use, tc.limit)
		}
	}
}

// One message that stays on loan must pin its own chunk only, and expiries of the acknowledged
// must not pile up.
func TestOldMessagePinsItsChunkOnly(t *testing.T) {
	const n = 1_000_000
	use := heapUse(1, func() any {
		l := new(ledger.Ledger[uint64, string])
		l.Append(ledger.Entry[uint64, string]{}, 0)
		l.Next(0)
		for range n {
			l.Append(ledger.Entry[uint64, string]{Expires: 1 << 40}, 0)
			e, _ := l.Next(0)
			l.Ack(e.Pos)
		}
		return l
	})
	if use > 32<<10 {
		t.Errorf("%.0f bytes kept for one message", use)
	}
}

func TestFIFOAllocatesNothing(t *testing.T) {
	var l ledger.Ledger[int, string]
	fill(&l, 100)
	if avg := testing.AllocsPerRun(100_000, func() {
		l.Append(ledger.Entry[int, string]{Size: 1}, 0)
		e, _ := l.Next(0)
		l.Ack(e.Pos)
	}); avg != 0 {
		t.Errorf("%v allocations per message", avg)
	}
}
