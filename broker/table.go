package broker

import "strings"

// exempt tells which queues are not counted as such: the broker's own, and those of durable
// subscriptions, which have a limit of their own and must take what comes.
func exempt(queue string) bool {
	return queue == delayedQueue || strings.HasPrefix(queue, durablePrefix)
}

// queueTarget is where a permitted SEND to a queue goes. simp tells that the frame is Spring's, about a
// user's destination: such a queue lives in memory and vanishes with its consumer, unless it
// exists as an ordinary one.
func (b *Broker) queueTarget(p permit, simp bool) target {
	name := p.name
	b.mu.Lock()
	q := b.queues[name]
	b.mu.Unlock()
	switch {
	case q != nil && q.ephemeral:
		return target{engine: b.transient, queue: name}
	case q == nil && simp && b.engine.Stat(name).Messages() == 0:
		return target{engine: b.transient, queue: name, orphan: true}
	}
	return target{engine: b.engine, queue: name}
}

// join makes sub a consumer of the queue it is routed to, and the queue one of the engine's
// consumed ones if it is the first.
func (b *Broker) join(sub *subscription) error {
	for {
		q, made, err := b.enter(sub)
		if err != nil {
			return err
		}
		if made {
			c, err := q.engine.Consume(q.name, q.deliver)
			q.mu.Lock()
			q.consumer, q.failed = c, err
			q.closed = err != nil
			q.mu.Unlock()
			close(q.ready)
			if err != nil {
				b.forget(q)
				return err
			}
			return nil
		}
		if q == nil {
			continue // it ended while we waited
		}
		<-q.ready
		return q.failed
	}
}

// enter adds sub to its queue, which it makes if there is none; made tells that the caller must
// find it a consumer. A queue that is ending is waited for, and nil returned.
func (b *Broker) enter(sub *subscription) (q *queue, made bool, err error) {
	b.mu.Lock()
	q = b.queues[sub.special().routed]
	if q == nil {
		if b.closing {
			b.mu.Unlock()
			return nil, false, ErrShutdown
		}
		q = b.newQueue(sub)
		b.queues[q.name] = q
		made = true
	}
	q.mu.Lock()
	closed := q.closed
	if !closed {
		sub.special().queue = q
		q.subs = append(q.subs, sub)
	}
	q.mu.Unlock()
	b.mu.Unlock()
	if closed {
		<-q.ended
		return nil, false, nil
	}
	return q, made, nil
}

func (b *Broker) newQueue(sub *subscription) *queue {
	q := &queue{b: b, name: sub.special().routed, engine: b.engine, ready: make(chan struct{}), ended: make(chan struct{})}
	switch {
	case sub.special().topic != "":
		q.engine, q.ephemeral = b.private, true
	case sub.special().temp || sub.special().ephemeral:
		q.engine, q.ephemeral = b.transient, true
	}
	q.keep = sub.special().temp
	return q
}

// leave ends a queue's part in the broker if nobody subscribes to it any more.
func (b *Broker) leave(q *queue) {
	q.mu.Lock()
	last := len(q.subs) == 0 && !q.closed
	if last {
		q.closed = true
	}
	c := q.consumer
	q.mu.Unlock()
	if !last {
		return
	}
	c.Close()
	// What the engine delivered before Close and nobody took goes back.
	q.mu.Lock()
	parked := q.parked
	q.parked = nil
	q.mu.Unlock()
	for _, d := range parked {
		d.Release()
	}
	if q.ephemeral && !q.keep {
		q.engine.Drop(q.name, b.logStore("drop queue", q.name))
	}
	b.forget(q)
}

// forget takes a queue out of the table.
func (b *Broker) forget(q *queue) {
	b.mu.Lock()
	if b.queues[q.name] == q {
		delete(b.queues, q.name)
	}
	b.mu.Unlock()
	close(q.ended)
}
