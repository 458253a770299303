package broker

import (
	"fmt"
	"time"

	"github.com/gudokmq/gudok/stompframe"
)

// Limits bound what one session may hold. A zero field means its default, given in brackets.
type Limits struct {
	// Frame bounds each frame after CONNECT; before it the transport's own bounds hold.
	Frame stompframe.Limits
	// Subscriptions is how many a session may have at once [256].
	Subscriptions int
	// Unacked is how many queue messages a session may hold unacknowledged [1000]; it also caps
	// the prefetch of a subscription.
	Unacked int
	// Transactions is how many may be open in a session at once [16].
	Transactions int
	// TransactionBytes is what the SENDs of all open transactions of a session may add up to
	// [8 MiB].
	TransactionBytes int64
	// Outbox is how many bytes may wait to be written to a session [1 MiB]. A topic message that
	// finds more waiting ends a slow session, unless fewer than four messages wait; deliveries
	// from queues wait in their queue instead.
	Outbox int64
	// ConnectTime is how long a client may take from its first byte to CONNECT [10 s].
	ConnectTime time.Duration
	// SendTime is how long one write to a session may take [10 s].
	SendTime time.Duration
	// Connections is how many sessions there may be at once, on all transports together [10000].
	Connections int
	// Outboxes is how many bytes may wait to be written to all sessions together [512 MiB]; when it is
	// more, those for which most waits are closed first.
	Outboxes int64
	// Memory is how much the process may use [no bound]. Above it connections are refused, publishers
	// are held up, and sessions closed for which much waits.
	Memory int64
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Subscriptions, 256)
	setDefault(&l.Unacked, 1000)
	setDefault(&l.Transactions, 16)
	setDefault(&l.TransactionBytes, 8<<20)
	setDefault(&l.Outbox, 1<<20)
	setDefault(&l.ConnectTime, 10*time.Second)
	setDefault(&l.SendTime, 10*time.Second)
	setDefault(&l.Connections, 10_000)
	setDefault(&l.Outboxes, 512<<20)
	return l
}

// HeartBeat is what the broker offers and accepts as heart-beats (STOMP 1.2, Heart-beating). The
// zero value means the defaults in brackets; a negative Send or Receive turns that direction off.
type HeartBeat struct {
	// Send is the longest interval at which the broker offers to send [10 s]. A client that wants
	// beats more often gets them, down to Min.
	Send time.Duration
	// Receive is the longest interval at which the broker wants to hear from a client [10 s].
	Receive time.Duration
	// Min [1 s] and Max [5 min] clamp what clients ask for.
	Min, Max time.Duration
	// Grace is how many agreed intervals of silence end a session [3], and never before 5 s.
	Grace int
}

func (h HeartBeat) withDefaults() HeartBeat {
	setDefault(&h.Send, 10*time.Second)
	setDefault(&h.Receive, 10*time.Second)
	setDefault(&h.Min, time.Second)
	setDefault(&h.Max, 5*time.Minute)
	setDefault(&h.Grace, 3)
	h.Send, h.Receive = max(h.Send, 0), max(h.Receive, 0)
	return h
}

// bounds are what SetLimits sets. A session keeps those of its beginning.
type bounds struct {
	limits    Limits
	heartBeat HeartBeat
}

// SetLimits replaces what Options.Limits and Options.HeartBeat said, for sessions that begin from
// then on. An error changes nothing.
func (b *Broker) SetLimits(l Limits, h HeartBeat) error {
	now := &bounds{l.withDefaults(), h.withDefaults()}
	if h := now.heartBeat; h.Min > h.Max {
		return fmt.Errorf("heart-beat: minimum %v is above maximum %v", h.Min, h.Max)
	}
	b.bounds.Store(now)
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
