package broker

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// Why a message became a dead letter: the values of dlq-reason.
const (
	deadByLimit  = "delivery-limit"
	deadByClient = "rejected"
	deadByTime   = "expired"
)

// deadLetterQueue names the queue that holds the dead letters of a queue where no policy says
// another, or "" if there is none: dead letters do not die again.
func deadLetterQueue(queue string) string {
	if rest, ok := strings.CutPrefix(queue, queuePrefix); ok {
		return dlqPrefix + rest
	}
	if strings.HasPrefix(queue, durablePrefix) {
		return "/dlq" + queue
	}
	return ""
}

// bury moves a message to the dead letter queue; where there is none, it is dropped. done runs
// when that is as durable as the message.
func (q *queue) bury(d store.Delivery, reason string, done func(error)) {
	to := ""
	if !q.ephemeral {
		to = q.b.policies.deadLetterQueue(q.name, d.Message())
	}
	if to == "" {
		d.Ack(done)
		return
	}
	q.b.deadLetters.Add(1)
	if mutant.Is(mutant.BuryInTwo) {
		m := q.b.policies.deadLetter(d.Message(), to, reason, d.Count())
		d.Ack(func(error) { q.b.engine.Publish(m, nil) })
		if done != nil {
			done(nil)
		}
		return
	}
	d.Move(q.b.policies.deadLetter(d.Message(), to, reason, d.Count()), func(err error) {
		if err != nil { // its grave is full, say: it stays where it was
			d.Nack(buryAgain, nil)
		}
		if done != nil {
			done(err)
		}
	})
}

// buryAgain is when a message comes again that could not be buried.
const buryAgain = 10 * time.Second

// deadLetter builds the message that stands for m in its dead letter queue.
func (ps *Policies) deadLetter(m *store.Message, to, reason string, count int) *store.Message {
	// Data begins with destination and message-id, as newMessage wrote them.
	rest := m.Data
	for range 2 {
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
	d := make([]byte, 0, len(m.Data)+len(to)+len(m.Queue)+128)
	d = append(d, "destination:"...)
	d = stompframe.AppendEscaped(d, stompframe.V12, []byte(to))
	d = append(d, "\nmessage-id:"...)
	from := len(d)
	d = ps.ids.append(d)
	id := len(d)
	d = append(d, '\n')
	d = stompframe.AppendHeader(d, stompframe.V12, "dlq-reason", reason)
	d = stompframe.AppendHeader(d, stompframe.V12, "dlq-destination", m.Queue)
	d = stompframe.AppendHeader(d, stompframe.V12, hdrDeliveryCount, strconv.Itoa(count))
	d = append(d, rest...)
	return &store.Message{
		Data: d, ID: unsafe.String(&d[from], id-from), Queue: to, // #nosec G103 -- a message is never written again
		Flags: m.Flags | flagDead, Priority: m.Priority, Persistent: m.Persistent,
	}
}

// withoutCount cuts the delivery-count out of a dead letter's Data, for a delivery that has
// another.
func withoutCount(data []byte) []byte {
	line := []byte("\n" + hdrDeliveryCount + ":")
	i := bytes.Index(data, line)
	if i < 0 {
		return data
	}
	end := i + 1 + bytes.IndexByte(data[i+1:], '\n')
	return append(append(make([]byte, 0, len(data)), data[:i]...), data[end:]...)
}
