package broker_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// What all messages to topics look at fits into cache lines, as few as can be.
func TestSizes(t *testing.T) {
	const least, most = 113, 128 // what Go puts at the beginning of a cache line
	if s, a := broker.Sizes(); s < least || s > most || a < least || a > most {
		t.Errorf("a subscription has %d bytes and an audience %d, want %d to %d each", s, a, least, most)
	}
}

// The table of names holds what a map would, whatever comes and goes, and grows and shrinks with it.
func TestIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	x, want := broker.NewIndex(), map[string]int{}
	check := func() {
		t.Helper()
		if n, _ := x.Len(); n != len(want) {
			t.Fatalf("%d names, want %d", n, len(want))
		}
		for name, n := range want {
			if got := x.Made(name); got != n {
				t.Fatalf("%s has been made %d times, want %d", name, got, n)
			}
		}
	}
	const names = 20_000
	for step, most := range []int{50, names, 400, 3} {
		for range 200_000 {
			name := fmt.Sprint("/topic/", rnd.IntN(names))
			if rnd.IntN(names) < most && len(want) < most {
				x.Make(name)
				want[name]++
				continue
			}
			x.Remove(name)
			delete(want, name)
			if x.Made(name) != 0 {
				t.Fatalf("%s is still there", name)
			}
		}
		check()
		if n, slots := x.Len(); slots > 8*n+256*8 {
			t.Errorf("step %d: %d slots for %d names", step, slots, n)
		}
	}
	for name := range want {
		x.Remove(name)
		delete(want, name)
		check()
	}
}
