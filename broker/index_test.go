package broker_test

import (
	"fmt"
	"maps"
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

// There may be millions of subscriptions, and of slots: the collector has nothing to follow in them.
func TestNothingToFollow(t *testing.T) {
	if pointers := broker.Followed(); len(pointers) > 0 {
		t.Errorf("the collector follows %v", pointers)
	}
}

// The table of names holds what a map would, whatever comes and goes, and grows and shrinks with it.
func TestIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	x, want := broker.NewIndex(), map[string]map[broker.Listener]bool{}
	check := func() {
		t.Helper()
		if n, _ := x.Len(); n != len(want) {
			t.Fatalf("%d names, want %d", n, len(want))
		}
		for name, who := range want {
			if got := x.Listening(name); !maps.Equal(got, who) {
				t.Fatalf("%d listen to %s, want %d", len(got), name, len(who))
			}
		}
	}
	leave := func(name string, all bool) {
		for l := range want[name] {
			x.Leave(name, l)
			delete(want[name], l)
			if len(want[name]) == 0 {
				delete(want, name)
			}
			if !all {
				return
			}
		}
	}
	const names = 20_000
	for step, most := range []int{50, names, 400, 3} {
		for range 200_000 {
			name := fmt.Sprint("/topic/", rnd.IntN(names))
			if rnd.IntN(names) < most && (len(want) < most || want[name] != nil) {
				if want[name] == nil {
					want[name] = map[broker.Listener]bool{}
				}
				want[name][x.Add(name, rnd.IntN(8) > 0)] = true
				continue
			}
			other := x.Add(name+"x", true)
			x.Leave(name, other) // who does not listen to it
			x.Leave(name+"x", other)
			leave(name, rnd.IntN(4) > 0)
		}
		check()
		if n, slots := x.Len(); slots > 8*n+256*8 {
			t.Errorf("step %d: %d slots for %d names", step, slots, n)
		}
	}
	for name := range want {
		leave(name, true)
		check()
	}
}

// The table of a session's subscriptions holds what a map would, likewise.
func TestSubscriptionsTable(t *testing.T) {
	type key struct {
		id       string
		implicit bool
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var x broker.Subscriptions
	want := map[key]broker.Listener{}
	for _, most := range []int{1, 2, 3, 5, 60, 3000, 4, 0} {
		for range 20_000 {
			k := key{fmt.Sprintf("%0*d", 1+rnd.IntN(2)*70, rnd.IntN(2+most)), rnd.IntN(10) == 0}
			l, known := want[k]
			if got, ok := x.Get(k.id, k.implicit); ok != known || ok && got != l {
				t.Fatalf("%q is there: %v, want %v", k.id, ok, known)
			}
			switch {
			case known && (len(want) > most || rnd.IntN(4) == 0):
				x.Remove(l)
				x.Remove(l)
				delete(want, k)
			case !known && len(want) < most:
				want[k] = x.Add(k.id, k.implicit)
			}
		}
		n, counted, slots, places := x.All()
		if n != len(want) || counted != n || slots > max(2, 8*n) || places > 4*(n+1) {
			t.Fatalf("%d, and %d counted, in %d slots and %d places, want %d", n, counted, slots, places, len(want))
		}
	}
}

// A slab gives what it holds numbers that no other has, and after a peak has no more places than so many need.
func TestSlab(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var x broker.Slab
	want := map[uint32]*int{}
	var numbers []uint32
	for _, most := range []int{1, 2, 3, 5, 60, 300_000, 1000, 70_000, 4, 0} {
		for range 2*max(most, len(want)) + 100 {
			if len(want) < most {
				v := new(int)
				n := x.Put(v)
				if want[n] != nil || n == 0 {
					t.Fatalf("%d is given again", n)
				}
				want[n] = v
				numbers = append(numbers, n)
			}
			if len(want) > most || len(want) > 0 && rnd.IntN(3) == 0 {
				i := rnd.IntN(len(numbers))
				n := numbers[i]
				if x.At(n) != want[n] {
					t.Fatalf("%d is another's", n)
				}
				x.Drop(n)
				delete(want, n)
				numbers[i] = numbers[len(numbers)-1]
				numbers = numbers[:len(numbers)-1]
			}
		}
		for n, v := range want {
			if x.At(n) != v {
				t.Fatalf("%d is another's", n)
			}
		}
	}
	if n := x.Places(); n != 0 {
		t.Errorf("%d places for nothing", n)
	}
	for range 300_000 {
		n := x.Put(new(int))
		numbers = append(numbers, n)
	}
	for _, n := range numbers[100:] {
		x.Drop(n)
	}
	if n := x.Places(); n > 300 {
		t.Errorf("%d places for 100", n)
	}
}
