package broker

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
)

// Policy is how the destinations behave that match a pattern. The zero value of each field means
// the default in brackets.
type Policy struct {
	// Match is a destination under /topic/, /queue/ or /dlq/, or a pattern as in SUBSCRIBE.
	Match string
	// Volatile keeps messages in memory only, whatever their sender asks.
	Volatile bool
	// TTL is how long a message is of use, if its sender does not say less [for ever].
	TTL time.Duration
	// BuryExpired makes dead letters of messages whose time is over [they are dropped].
	BuryExpired bool
	// MaxMessages and MaxBytes bound a queue [by the store's own bounds].
	MaxMessages int
	MaxBytes    int64
	// DropOldest makes room in a full queue; the oldest message goes [the new one is refused].
	DropOldest bool
	// Redelivery is when a refused message comes again.
	Redelivery Redelivery
	// DeadLetter is the queue for dead letters [/dlq/NAME of /queue/NAME]; "none" drops them.
	DeadLetter string
}

// Redelivery is when a refused message comes again, and when it no longer does. Where Delay is
// zero the first redelivery comes at once, the second after 50 ms, doubled for each further up to
// 1 s.
type Redelivery struct {
	Limit    int           // so many deliveries, then it is a dead letter [10]
	Delay    time.Duration // before the first redelivery
	Backoff  int           // each further pause is so many times the last [1]
	MaxDelay time.Duration // no pause is longer [1 h]
}

const (
	defaultLimit    = 10
	firstDelay      = 50 * time.Millisecond
	defaultMaxDelay = time.Second
	noDeadLetter    = "none"
)

// after is the pause after the n-th delivery.
func (r Redelivery) after(n int) time.Duration {
	if r.Delay == 0 {
		if n <= 1 {
			return 0
		}
		return min(firstDelay<<min(n-2, 20), defaultMaxDelay)
	}
	most := r.MaxDelay
	if most == 0 {
		most = time.Hour
	}
	d := float64(r.Delay) * math.Pow(float64(max(r.Backoff, 1)), float64(n-1))
	return time.Duration(min(d, float64(most)))
}

func (r Redelivery) limit() int {
	if r.Limit <= 0 {
		return defaultLimit
	}
	return r.Limit
}

// Policies finds the Policy of a destination. A store needs it before there is a broker: give
// Expired and Bounds to the engine's options, and the Policies to the broker's.
type Policies struct {
	list atomic.Pointer[[]Policy] // nil: none
	ids  *idSource
}

// NewPolicies checks policies; of those that match a destination the first counts.
func NewPolicies(list []Policy) (*Policies, error) {
	ps := &Policies{ids: newIDSource()}
	if err := ps.Replace(list); err != nil {
		return nil, err
	}
	return ps, nil
}

// Replace makes list the policies from now on, for what is stored already too, but that messages
// keep the durability and end that they were sent with. An error changes nothing. Bounds of queues
// are the engine's to ask for again: see store.Rebounder.
func (ps *Policies) Replace(list []Policy) error {
	for _, p := range list {
		name := p.Match
		for _, prefix := range []string{queuePrefix, dlqPrefix} {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				name = topicPrefix + rest // only topics may have wildcards in a SUBSCRIBE
			}
		}
		if k, _, _, bad := parseDestination(name, true); bad != nil || k != kindTopic {
			return fmt.Errorf("policy %q: its destination is none, or neither topic nor queue", p.Match)
		}
		if p.DeadLetter != "" && p.DeadLetter != noDeadLetter {
			if k, _, _, bad := parseDestination(p.DeadLetter, false); bad != nil || k != kindQueue {
				return fmt.Errorf("policy %q: dead letter destination %q is no queue", p.Match, p.DeadLetter)
			}
		}
	}
	own := append([]Policy(nil), list...)
	ps.list.Store(&own)
	return nil
}

func (ps *Policies) all() []Policy {
	if p := ps.list.Load(); p != nil {
		return *p
	}
	return nil
}

var defaultPolicy Policy

// of finds the policy of a destination; never nil.
func (ps *Policies) of(destination string) *Policy {
	list := ps.all()
	for i := range list {
		if p := &list[i]; covers(p.Match, destination) {
			return p
		}
	}
	return &defaultPolicy
}

// covers tells whether a pattern matches a destination: the first segment, what sort it is, must
// be the same, and segments are cut at '.' and '/' alike.
func covers(pattern, name string) bool {
	if pattern == name {
		return true
	}
	if len(pattern) == 0 || len(name) == 0 || pattern[0] != '/' || name[0] != '/' {
		return false
	}
	pattern, name = pattern[1:], name[1:]
	for {
		p, prest, pmore := nextSegment(pattern)
		switch p {
		case "**", "#", ">":
			return true
		}
		n, nrest, nmore := nextSegment(name)
		if p != "*" && p != n {
			return false
		}
		if !nmore {
			if !pmore {
				return true
			}
			p, _, _ = nextSegment(prest)
			return p == "**" || p == "#" || p == ">" // any number, none too
		}
		if !pmore {
			return false
		}
		pattern, name = prest, nrest
	}
}

// ofQueue is the policy of an engine's queue. A durable subscription's and a private queue's are
// that of the topic their message was sent to; without a message, of the topic as it was subscribed to.
func (ps *Policies) ofQueue(queue string, m *store.Message) *Policy {
	if len(ps.all()) == 0 {
		return &defaultPolicy
	}
	if strings.HasPrefix(queue, durablePrefix) || strings.HasPrefix(queue, privatePrefix) {
		if m == nil {
			return ps.of(durableTopic(queue))
		}
		queue = destinationOf(m)
	}
	return ps.of(queue)
}

// deadLetterQueue names the queue for a dead letter of a queue, or "" if it is to be dropped.
func (ps *Policies) deadLetterQueue(queue string, m *store.Message) string {
	switch to := ps.ofQueue(queue, m).DeadLetter; to {
	case "":
		return deadLetterQueue(queue)
	case noDeadLetter, queue:
		return ""
	default:
		return to
	}
}

// Expired gives what takes the place of a message whose time is over: a dead letter, or nil. It
// is what engines have an option for.
func (ps *Policies) Expired(m *store.Message) *store.Message {
	if !ps.ofQueue(m.Queue, m).BuryExpired {
		return nil
	}
	to := ps.deadLetterQueue(m.Queue, m)
	if to == "" {
		return nil
	}
	return ps.deadLetter(m, to, deadByTime, 0)
}

// Bounds are a queue's limits: messages and bytes, 0 for none, and whether the oldest message
// gives way. It is what engines have an option for.
func (ps *Policies) Bounds(queue string) store.Bounds {
	p := ps.ofQueue(queue, nil)
	return store.Bounds{Messages: p.MaxMessages, Bytes: p.MaxBytes, DropOldest: p.DropOldest}
}

// apply makes a message what the policy of its destination wants.
func (p *Policy) apply(m *store.Message, now time.Time) {
	if p.Volatile {
		m.Persistent = false
	}
	if p.TTL > 0 {
		if at := now.Add(p.TTL).UnixMilli(); m.Expires == 0 || at < m.Expires {
			m.Expires = at
		}
	}
}
