package broker

import (
	"time"

	"github.com/gudokmq/gudok/store"
)

// redelivery is when a message that was refused comes again, and when it no longer does.
type redelivery struct {
	limit    int           // so many deliveries, then it is a dead letter
	delay    time.Duration // before the second redelivery, doubled for each further; the first comes at once
	maxDelay time.Duration
}

var defaultRedelivery = redelivery{limit: 10, delay: 50 * time.Millisecond, maxDelay: time.Second}

// after is the back-off after the n-th delivery.
func (r redelivery) after(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(r.delay<<min(n-2, 20), r.maxDelay)
}

// Why a message became a dead letter: the values of dlq-reason.
const (
	deadByLimit  = "delivery-limit"
	deadByClient = "rejected"
)

// bury moves a message to the dead letter queue; where there is none, it is dropped. done runs
// when that is as durable as the message.
func (q *queue) bury(d store.Delivery, reason string, done func(error)) {
	to := deadLetterQueue(q.name)
	if to == "" || q.ephemeral {
		d.Ack(done)
		return
	}
	q.b.deadLetters.Add(1)
	d.Move(q.b.deadLetter(d.Message(), to, reason, d.Count()), done)
}
