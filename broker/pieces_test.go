package broker_test

import (
	"testing"

	"github.com/gudokmq/gudok/broker"
)

// A piece has room for what it was wanted for, and little more where that is much.
func TestPieces(t *testing.T) {
	last := 0
	for n := 0; n <= 1<<21+1; n += 1 + n/500 {
		room := broker.PieceRoom(n)
		most := max(256, 2*n)
		if n > 4096 {
			most = n + n/8 + 1
		}
		if room < n || room > most || room < last {
			t.Fatalf("%d bytes for %d, at most %d; before %d", room, n, most, last)
		}
		last = room
	}
	for _, n := range []int{255, 256, 4096, 4097, 65536, 65700, 1 << 21} {
		if room := broker.PieceRoom(n); broker.PieceRoom(room) != room {
			t.Errorf("%d bytes do not come back to their class", room)
		}
	}
}
