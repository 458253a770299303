// Package store is the seam between the router and whatever keeps queued messages.
//
// The words: an [Engine] holds queues; a queue holds messages in the order they were published;
// a [Consumer] takes them within the credit it granted; a [Delivery] is one message on loan,
// until it is acknowledged, given back, or moved to another queue. The store is the queue:
// publisher and subscriber meet only here.
//
// The comments below are the contract. An engine can be written from them alone, and
// store/storetest checks it.
package store

import (
	"errors"
	"time"
)

// Errors of every engine; compare with errors.Is.
var (
	// ErrClosed answers any call after [Engine.Close] began, and every done that Close cut short.
	ErrClosed = errors.New("store is closed")
	// ErrFull refuses a message because the queue or the whole store is at its limit.
	ErrFull = errors.New("store is full")
	// ErrQueues refuses what would make one queue too many; see [Names].
	ErrQueues = errors.New("too many queues")
	// ErrConsumed refuses a second [Engine.Consume] of one queue, and a Drop of a consumed one.
	ErrConsumed = errors.New("queue has a consumer")
)

// Message is one message as the store keeps it. It is immutable, Data included, from the moment
// it is given to an engine; engines and routers share it without copying.
type Message struct {
	// ID is the message-id: unique within the engine, of [A-Za-z0-9_.-] only. Made by the router.
	ID string
	// Queue names the queue it goes to; any non-empty string of valid UTF-8, up to 1 KiB.
	Queue string
	// Data is what the router wants back, byte for byte; the engine does not look into it.
	Data []byte
	// Flags are the router's own bits about Data, kept and returned unchanged.
	Flags uint8
	// Priority is 0 (lowest) to 9; engines that do not order by it keep it.
	Priority uint8
	// Persistent asks that the message survives a restart. An engine without a disk ignores it.
	Persistent bool
	// Expires is when the message stops being of use, Unix milliseconds; 0 means never.
	Expires int64
	// NotBefore is when it may first be delivered, Unix milliseconds; 0 means at once.
	NotBefore int64
}

// Size is what a message counts against limits of bytes: its data, its names, and 64 for the rest.
func (m *Message) Size() int { return len(m.Data) + len(m.ID) + len(m.Queue) + 64 }

// Engine stores queues. All methods may be called from any goroutine at once.
//
// A queue exists from the first message or consumer until it has neither; there is nothing to
// declare. Order: messages of one queue are first delivered in the order in which their Publish
// (or Commit) calls were made by one goroutine; a message that comes back (Nack without delay,
// Release, the end of its delay) takes its old place again, ahead of all that was published
// after it.
//
// A message whose Expires has passed is never delivered; the engine removes it soon after, or
// puts in its place the dead letter that the engine's options make of it. A message on loan does
// not expire before it comes back.
//
// A done callback is called exactly once, with nil or the reason of failure; it may run before
// the call returns or later on an engine goroutine; it must not block and must call neither
// Engine.Close nor Consumer.Close. A nil done is allowed. No engine lock is held while a callback
// runs.
type Engine interface {
	// Publish stores m at the end of its queue. It returns at once unless the engine's window is
	// full, which is the publisher's back-pressure. done runs when m is as durable as it asked to
	// be; dup tells that the engine recognised m as a repetition and stored nothing. An error
	// means that m is not stored: ErrFull, ErrClosed, or what the disk said.
	Publish(m *Message, done func(dup bool, err error))

	// Commit publishes all ms, in order, and acknowledges all acks, or does none of it. acks must
	// be deliveries of this engine that are still held; one that is not any more is ignored.
	// After an error the acks are held as before.
	Commit(ms []*Message, acks []Delivery, done func(error))

	// Consume makes the caller the consumer of a queue; each queue has at most one per engine
	// (ErrConsumed). deliver is called with one delivery at a time, never concurrently for one
	// consumer, from any goroutine (that of a Publish, Credit or Nack among them, but never from
	// within Consume); it must not block. It may call any method of the Delivery, Credit, and any
	// method of the engine but Close.
	Consume(queue string, deliver func(Delivery)) (Consumer, error)

	// Stat tells of one queue; the zero Stat if there is none of that name.
	Stat(queue string) Stat

	// Queues names the queues that exist, sorted, beginning after the name given, at most max.
	Queues(after string, max int) []string

	// Browse copies up to max messages of a queue in order, beginning with the one after the
	// message whose position is given (0 for the first), whether or not they are on loan, and
	// tells the position of the last. It takes and marks nothing.
	Browse(queue string, after uint64, max int) (ms []*Message, last uint64)

	// Purge removes the messages that are not on loan, and tells how many. Durable like an ack.
	Purge(queue string, done func(n int, err error))

	// Drop removes a queue with all its messages. A consumed queue is refused with ErrConsumed.
	Drop(queue string, done func(error))

	// Close stops deliveries, finishes what was promised, and frees everything. Deliveries still
	// held are as if their consumer had closed. It waits for the engine's goroutines, and for
	// deliver calls under way. Called again it only waits, and returns nil.
	Close() error
}

// Consumer is the right to a queue's messages.
type Consumer interface {
	// Credit allows n more deliveries. Nothing is delivered before credit; each delivery uses one
	// up, whatever becomes of it. After Close it does nothing.
	Credit(n int)
	// Close ends the consumer: after it has returned deliver is not called again. It waits for a
	// call under way, so it must not be called from within deliver or a done. Deliveries still
	// held stay held: the holder settles each of them, before or after. A new Consume of the
	// queue may succeed as soon as Close has begun. Called again it only waits.
	Close()
}

// Delivery is one message on loan to the router, for as long as it likes. The first of the five
// settling calls (Ack, Nack, Release, Move, or its place in a Commit) counts; later ones do
// nothing but run their done with nil. A call whose done was told an error has settled nothing:
// the message is still on loan, and the next call counts.
type Delivery interface {
	// Message is the message on loan.
	Message() *Message
	// Count tells how many times it has been delivered, this time included: 1 at first.
	Count() int
	// Ack removes it for good; done runs when that is durable.
	Ack(done func(error))
	// Nack gives it back to its old place, not to be delivered again before delay has passed.
	// The delivery counts.
	Nack(delay time.Duration, done func(error))
	// Release gives it back to its old place as if it had never been delivered: the delivery
	// does not count.
	Release()
	// Move removes it and publishes m (a dead letter, say) in one step, or does neither.
	Move(m *Message, done func(error))
}

// Stat is a queue at one moment.
type Stat struct {
	Ready    int   // messages that could be delivered now
	Held     int   // messages on loan
	Delayed  int   // messages that wait for their time
	Bytes    int64 // sum of Message.Size over all of them
	Consumed bool  // there is a consumer
}

// Messages is how many messages the queue holds, whatever their state.
func (s Stat) Messages() int { return s.Ready + s.Held + s.Delayed }
