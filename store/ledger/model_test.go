package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/gudokmq/gudok/store/ledger"
	"pgregory.net/rapid"
)

// model is the ledger as one would write it without care for speed.
type model map[uint64]*modelMessage

type modelMessage struct {
	ledger.Entry[int, string]
	held bool
}

func (m model) positions() []uint64 { return slices.Sorted(maps.Keys(m)) }

// counts is what the ledger must say at now, given that it was told now.
func (m model) counts(now int64) (c ledger.Counts) {
	for _, e := range m {
		c.Bytes += int64(e.Size)
		switch {
		case e.held:
			c.Held++
		case e.NotBefore > now:
			c.Delayed++
		default:
			c.Ready++
		}
	}
	return c
}

func (m model) expired(e *modelMessage, now int64) bool {
	return !e.held && e.Expires != 0 && e.Expires <= now
}

// next is the position to be lent at now, 0 for none.
func (m model) next(now int64) uint64 {
	for _, pos := range m.positions() {
		if e := m[pos]; !e.held && e.NotBefore <= now && !m.expired(e, now) {
			return pos
		}
	}
	return 0
}

func TestLedgerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l ledger.Ledger[int, string]
		m := model{}
		now, tail := int64(1000), uint64(0)
		later := rapid.Int64Range(-5, 30)
		// pick draws a position that was given out, mostly one that is on loan.
		pick := func(t *rapid.T) uint64 {
			var held []uint64
			for pos, e := range m {
				if e.held {
					held = append(held, pos)
				}
			}
			if len(held) == 0 || rapid.IntRange(0, 9).Draw(t, "any") == 0 {
				return rapid.Uint64Range(0, tail+1).Draw(t, "pos")
			}
			slices.Sort(held)
			return rapid.SampledFrom(held).Draw(t, "held")
		}
		appendOne := func(t *rapid.T) {
			e := ledger.Entry[int, string]{Value: int(tail) + 1, Size: rapid.Uint32Range(0, 100).Draw(t, "size")}
			if rapid.IntRange(0, 3).Draw(t, "expires?") == 0 {
				e.Expires = now + later.Draw(t, "expires")
			}
			if rapid.IntRange(0, 3).Draw(t, "delayed?") == 0 {
				e.NotBefore = now + later.Draw(t, "notBefore")
			}
			if rapid.Bool().Draw(t, "body?") {
				e.Body = new(string)
			}
			tail++
			if pos := l.Append(e, now); pos != tail {
				t.Fatalf("position %d, want %d", pos, tail)
			}
			e.Pos = tail
			m[tail] = &modelMessage{Entry: e}
		}
		next := func(t *rapid.T) {
			want := m.next(now)
			got, ok := l.Next(now)
			if ok != (want != 0) || got.Pos != want {
				t.Fatalf("next is %d %v, want %d", got.Pos, ok, want)
			}
			if ok {
				m[want].held = true
				m[want].Count++
				if got != m[want].Entry {
					t.Fatalf("lent %+v, want %+v", got, m[want].Entry)
				}
			}
		}
		ack := func(t *rapid.T) {
			pos := pick(t)
			e := m[pos]
			got, ok := l.Ack(pos)
			if ok != (e != nil && e.held) {
				t.Fatalf("Ack(%d) is %v", pos, ok)
			}
			if ok && got != e.Entry {
				t.Fatalf("Ack gave %+v, want %+v", got, e.Entry)
			}
			if ok {
				delete(m, pos)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": appendOne,
			"appendMany": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					appendOne(t)
				}
			},
			"next": next,
			"nextMany": func(t *rapid.T) {
				for range rapid.IntRange(1, 150).Draw(t, "n") {
					next(t)
				}
			},
			"ack": ack,
			"ackMany": func(t *rapid.T) {
				for range rapid.IntRange(1, 150).Draw(t, "n") {
					ack(t)
				}
			},
			"nack": func(t *rapid.T) {
				pos := pick(t)
				var until int64
				if rapid.Bool().Draw(t, "delay?") {
					until = now + later.Draw(t, "until")
				}
				e := m[pos]
				if l.Nack(pos, until) != (e != nil && e.held) {
					t.Fatalf("Nack(%d)", pos)
				}
				if e != nil && e.held {
					e.held, e.NotBefore = false, until
				}
			},
			"release": func(t *rapid.T) {
				pos := pick(t)
				e := m[pos]
				if l.Release(pos) != (e != nil && e.held) {
					t.Fatalf("Release(%d)", pos)
				}
				if e != nil && e.held {
					e.held = false
					e.Count = max(e.Count-1, 0)
				}
			},
			"takeExpired": func(t *rapid.T) {
				some := false
				for _, e := range m {
					some = some || m.expired(e, now)
				}
				got, ok := l.TakeExpired(now)
				if ok != some {
					t.Fatalf("TakeExpired is %v, want %v", ok, some)
				}
				if !ok {
					return
				}
				if e := m[got.Pos]; e == nil || !m.expired(e, now) || got != e.Entry {
					t.Fatalf("took %+v, which is %+v", got, e)
				}
				m[got.Pos].held = true
			},
			"set": func(t *rapid.T) {
				pos := pick(t)
				e := m[pos]
				var body *string
				if rapid.Bool().Draw(t, "body?") {
					body = new(string)
				}
				if l.Set(pos, int(pos)+7, body) != (e != nil) {
					t.Fatalf("Set(%d)", pos)
				}
				if e != nil {
					e.Value, e.Body = int(pos)+7, body
				}
			},
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, 20).Draw(t, "ms") },
			"purge": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") != 0 {
					return
				}
				var want, got []uint64
				for _, pos := range m.positions() {
					if !m[pos].held {
						want = append(want, pos)
						delete(m, pos)
					}
				}
				n := l.Purge(func(e ledger.Entry[int, string]) { got = append(got, e.Pos) })
				if n != len(want) || !slices.Equal(got, want) {
					t.Fatalf("purged %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) { compare(t, &l, m, now) },
		})
	})
}

// compare checks all that can be seen from outside without changing anything.
func compare(t *rapid.T, l *ledger.Ledger[int, string], m model, now int64) {
	l.Advance(now)
	got, want := l.Counts(), m.counts(now)
	// What Next has seen to be expired counts as held before it is taken.
	if got.Bytes != want.Bytes || l.Len() != len(m) || got.Held < want.Held || got.Delayed > want.Delayed {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	positions := m.positions()
	l.Range(0, func(e ledger.Entry[int, string]) bool {
		if len(positions) == 0 || e.Pos != positions[0] || e != m[e.Pos].Entry {
			t.Fatalf("in the ledger: %+v, want position %v", e, positions)
		}
		positions = positions[1:]
		return true
	})
	if len(positions) != 0 {
		t.Fatalf("missing: %v", positions)
	}
	wake, ok := l.NextWake()
	var due int64
	for _, e := range m {
		if e.held {
			continue
		}
		for _, at := range []int64{e.Expires, e.NotBefore} {
			if at != 0 && (at > now || at == e.Expires) && (due == 0 || at < due) {
				due = at
			}
		}
	}
	if ok != (due != 0) || ok && wake != due && (wake > now || due > now) {
		t.Fatalf("next wake %d %v, want %d (now %d)", wake, ok, due, now)
	}
}
