package broker

import (
	"fmt"
	"time"

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

// publishDelayed sends a delayed message to its topic. It is gone from the store in one step with
// what durable subscriptions get of it; then those who listen get it. Where a durable subscription
// has no room it is tried again later.
func (b *Broker) publishDelayed(d store.Delivery) {
	m := *d.Message()
	m.NotBefore = 0
	name := destinationOf(&m)
	durable := b.topics.durable(name)
	b.engine.Commit(copies(&m, durable, nil), []store.Delivery{d}, func(err error) {
		durable.served()
		if err == nil {
			b.topics.publish(name, newBurst(&m), nil, nil).served()
		} else {
			b.logStore("delayed message waits on", name)(err)
			d.Nack(delayAgain, nil)
		}
		b.delayed.Credit(1)
	})
}

// delayAgain is when a delayed message is tried again that could not be published.
const delayAgain = 10 * time.Second
