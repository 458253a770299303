package broker

import (
	"fmt"

	"github.com/gudokmq/gudok/store"
)

// delayedQueue is the engine's queue of topic messages that wait for their time; the broker
// itself consumes it. No client can say its name.
const delayedQueue = "/delayed/topics"

// delayedCredit is how many delayed messages may be on their way to their topics.
const delayedCredit = 64

// releaseDelayed begins to publish delayed topic messages as their time comes, those of an earlier
// run among them.
func (b *Broker) releaseDelayed() error {
	c, err := b.engine.Consume(delayedQueue, b.publishDelayed)
	if err != nil {
		return fmt.Errorf("consume delayed messages: %w", err)
	}
	b.delayed = c
	c.Credit(delayedCredit)
	return nil
}

// publishDelayed sends a delayed message to its topic. Those who listen get it, then it is gone
// from the store in one step with what durable subscriptions get of it.
func (b *Broker) publishDelayed(d store.Delivery) {
	queues := b.topics.publish(destinationOf(d.Message()), d.Message(), nil)
	m := *d.Message()
	m.NotBefore = 0
	b.engine.Commit(copies(&m, queues, nil), []store.Delivery{d}, func(err error) {
		b.logStore("delayed message not settled", destinationOf(&m))(err)
		b.delayed.Credit(1)
	})
}
