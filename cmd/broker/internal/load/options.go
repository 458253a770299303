package load

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Options describe one load. The zero value of a field means what its comment says.
type Options struct {
	Target
	// URL is what the report names.
	URL string
	// PID is the broker's process for CPU and memory; 0: not measured.
	PID int
	// Log is the file the process logs to, if it is a Gudok that is to tell its allocations.
	Log string

	// Destination is where messages go; empty: a fresh /topic/bench… or /queue/bench… name.
	Destination string
	// Topics is how many topics Fanout spreads its messages over; 0: one, which all subscribe to. With
	// more, each is subscribed by five of the subscribers.
	Topics int
	// Subs and Pubs are how many connections subscribe and publish, at least 1 each.
	Subs, Pubs int
	// Size is the body in bytes, at least 32.
	Size int
	// Rate is messages per second of all publishers together; 0: as fast as the window lets.
	Rate float64
	// Batch is how many SEND frames a saturating publisher puts into one write at most; 0: 16.
	Batch int
	// Window is how many messages publishers may be ahead of the slowest subscriber (of all
	// acknowledgements in a queue); 0: 1,000 messages, 512 KiB or a million deliveries, whichever is
	// least, and with Rate whatever it takes.
	Window int
	// Receipts is how many unanswered receipts a publisher may have; 0: it asks for none.
	Receipts int
	// Persistent is the persistent header of each SEND; empty: it has none.
	Persistent string
	// Dir is where Disk makes its file; Pair has it sync a header as well.
	Dir  string
	Pair bool
	// Keep leaves in the queue what Send has put there.
	Keep bool
	// Ack is the ack mode of a queue's subscribers; Prefetch their prefetch-count (0: not sent).
	Ack      string
	Prefetch int

	// Conns is the number of idle connections; Beat their heart-beat both ways (0: none).
	Conns int
	Beat  time.Duration

	// Connects is how many connections a second Connect tries; 0: as many as it can.
	Connects float64
	// Live is by how many bytes the sessions of Pause make the broker grow.
	Live int64

	// Every is how often each client of Poll asks; 0: long polling.
	Every time.Duration

	// Warmup comes before Duration, which is measured; Drain is how long nothing may arrive
	// before missing messages count as lost (0: 3 s).
	Warmup, Duration, Drain time.Duration
	// Count stops publishing after so many messages; 0: only Duration does.
	Count int64

	held bool // publishers wait for the window; set by check
}

const (
	maxConns    = 12000
	maxTopics   = 100000
	maxDuration = 10 * time.Minute
	maxBody     = 16 << 20
)

// check fills defaults and refuses what is out of bounds.
func (o Options) check(prefix string) (Options, error) {
	if o.Protocol != "" {
		if prefix = ""; o.Receipts > 0 || o.Ack != "" {
			return o, fmt.Errorf("%s knows no receipts and no acknowledgements here", o.Protocol)
		}
	}
	if o.Destination == "" {
		o.Destination = fmt.Sprintf("%sbench-%08x", prefix, rand.Uint32())
	}
	o.held = o.held || o.Rate == 0 || o.Window > 0
	o.Drain = or(o.Drain, 3*time.Second)
	o.Batch = or(o.Batch, 16)
	o.Window = or(o.Window, max(2, min(1000, 512<<10/(o.Size+256), 1_000_000/max(1, o.Subs))))
	switch {
	case o.Duration <= 0 || o.Duration+o.Warmup > maxDuration:
		return o, fmt.Errorf("duration must be above 0 and, with warm-up, at most %v", maxDuration)
	case o.Subs+o.Pubs+o.Conns > maxConns:
		return o, fmt.Errorf("at most %d connections", maxConns)
	case o.Conns == 0 && (o.Size < minBody || o.Size > maxBody):
		return o, fmt.Errorf("size must be %d to %d bytes", minBody, maxBody)
	case o.Pubs > 1<<(4*pubLen)-1 || o.Rate < 0 || o.Batch < 1 || o.Window < 1 || o.Receipts < 0 ||
		o.Prefetch < 0 || o.Subs < 0 || o.Pubs < 0 || o.Count < 0 || o.Conns < 0 || o.Beat < 0 || o.Warmup < 0 || o.Every < 0 ||
		o.Topics < 0 || o.Topics > maxTopics:
		return o, fmt.Errorf("a number is out of range")
	}
	if o.Log != "" {
		if _, err := ask(o.PID, o.Log); err != nil {
			return o, err
		}
	}
	o.Batch = min(o.Batch, o.Window)
	if o.Receipts > 0 {
		o.Batch = min(o.Batch, o.Receipts)
	}
	return o, nil
}

// pair refuses a load without publishers or without subscribers.
func (o Options) pair() error {
	if o.Subs < 1 || o.Pubs < 1 {
		return fmt.Errorf("at least one publisher and one subscriber")
	}
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// dialing is how connections of this load are made; n of them share 64 MiB of read buffers.
func (o Options) dialing(n int) dialOptions {
	return dialOptions{Target: o.Target, beat: o.Beat, buffer: max(1<<10, min(64<<10, 64<<20/n))}
}
