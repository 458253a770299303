package store

// Binding says that a queue gets a copy of what is sent to a topic: a durable subscription.
type Binding struct {
	Queue string // as Message.Queue; at most one binding each
	Topic string // the topic's name or pattern, as the router matches it; the engine only keeps it
	Owner string // whose it is; the engine only keeps it
}

// Binder is what an Engine offers too if it remembers bindings. What is published to a topic
// reaches the queues bound to it through Commit: the router makes one message per queue. A bound
// queue without messages need not show in Queues.
type Binder interface {
	// Bind remembers b, in place of an earlier binding of its queue; done runs when that is as
	// durable as a message.
	Bind(b Binding, done func(error))
	// Unbind forgets the binding of a queue and removes the queue with all its messages, in one
	// step. A consumed queue is refused with ErrConsumed; a queue without a binding is none's loss.
	Unbind(queue string, done func(error))
	// Bindings lists what is bound, sorted by queue.
	Bindings() []Binding
}
