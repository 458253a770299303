package broker

import (
	"fmt"
	"time"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// Limits bound what one session may hold, and how many there may be. A zero field means its default,
// given in brackets.
type Limits struct {
	// Frame bounds each frame after CONNECT; before it the transport's own bounds hold.
	Frame stompframe.Limits
	// Subscriptions is how many a session may have at once [256], and how many durable ones a user.
	Subscriptions int
	// WildcardSubscriptions is how many of them may be to patterns [64].
	WildcardSubscriptions int
	// Unacked is how many queue messages a session may hold unacknowledged [1000]; it also caps
	// the prefetch of a subscription.
	Unacked int
	// PrefetchBytes is what the messages may add up to, each its store.Message.Size, that one
	// subscription holds unacknowledged [16 MiB, so that a client may wait for some large ones before
	// it acknowledges any]; but one message it may always have.
	PrefetchBytes int64
	// Transactions is how many may be open in a session at once [16].
	Transactions int
	// TransactionFrames is how many SEND, ACK and NACK all open transactions of a session may have
	// [10000].
	TransactionFrames int
	// TransactionBytes is what the SENDs of all open transactions of a session may add up to
	// [8 MiB].
	TransactionBytes int64
	// TransactionTime is how long a transaction may be open [5 min]; then the session ends.
	TransactionTime time.Duration
	// Outbox is how many bytes may wait to be written to a session [1 MiB]. A topic message that
	// finds more waiting ends a slow session, unless fewer than four messages wait; deliveries
	// from queues wait in their queue instead.
	Outbox int64
	// ConnectTime is how long a client may take from its first byte to CONNECT [10 s].
	ConnectTime time.Duration
	// SendTime is how long one write to a session may take [10 s].
	SendTime time.Duration
	// Queues is how many there may be that hold messages or have a consumer, temporary ones included
	// [100000]. What dead letters and a store at its start bring is counted, but never refused; those
	// of durable subscriptions are not counted.
	Queues int
	// Connections is how many sessions there may be at once, on all transports together [10000];
	// in a Principal, how many of its user.
	Connections int
	// ConnectionsPerAddress is how many there may be of one IPv4 address or IPv6 /64 [any number].
	ConnectionsPerAddress int
	// ConnectionsPerUser is how many there may be of one user, from CONNECT on [any number].
	ConnectionsPerUser int
	// ConnectsPerSecond is how many connections may begin in a second, on all transports together
	// [any number]; as many may begin at once.
	ConnectsPerSecond int
	// Outboxes is how many bytes may wait to be written to all sessions together [512 MiB]; when it is
	// more, those for which most waits are closed first.
	Outboxes int64
	// Memory is how much the process may use [no bound]. Above it connections are refused, publishers
	// are held up, and sessions closed for which much waits.
	Memory int64
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Subscriptions, 256)
	setDefault(&l.WildcardSubscriptions, 64)
	setDefault(&l.Unacked, 1000)
	setDefault(&l.PrefetchBytes, 16<<20)
	setDefault(&l.Transactions, 16)
	setDefault(&l.TransactionFrames, 10_000)
	setDefault(&l.TransactionBytes, 8<<20)
	setDefault(&l.TransactionTime, 5*time.Minute)
	if mutant.Is(mutant.TransactionTimeTen) {
		l.TransactionTime *= 10
	}
	setDefault(&l.Outbox, 1<<20)
	setDefault(&l.ConnectTime, 10*time.Second)
	setDefault(&l.SendTime, 10*time.Second)
	setDefault(&l.Queues, 100_000)
	setDefault(&l.Connections, 10_000)
	setDefault(&l.Outboxes, 512<<20)
	return l
}

// of is l with what own, a user's limits, says of a session. What is not a session's stays.
func (l Limits) of(own *Limits) *Limits {
	replace(&l.Frame.HeaderLine, own.Frame.HeaderLine)
	replace(&l.Frame.Headers, own.Frame.Headers)
	replace(&l.Frame.HeaderBytes, own.Frame.HeaderBytes)
	replace(&l.Frame.Body, own.Frame.Body)
	replace(&l.Subscriptions, own.Subscriptions)
	replace(&l.WildcardSubscriptions, own.WildcardSubscriptions)
	replace(&l.Unacked, own.Unacked)
	replace(&l.PrefetchBytes, own.PrefetchBytes)
	replace(&l.Transactions, own.Transactions)
	replace(&l.TransactionFrames, own.TransactionFrames)
	replace(&l.TransactionBytes, own.TransactionBytes)
	replace(&l.TransactionTime, own.TransactionTime)
	replace(&l.Outbox, own.Outbox)
	replace(&l.SendTime, own.SendTime)
	replace(&l.ConnectionsPerUser, own.Connections)
	return &l
}

func replace[T comparable](p *T, v T) {
	var zero T
	if v != zero {
		*p = v
	}
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
	b.pressure.move()
	if !mutant.Is(mutant.QueuesUncounted) {
		b.names.Bound(now.limits.Queues)
	}
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
