package broker

import (
	"strconv"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// encode makes frames, in the transport's envelope, of what a flusher has taken. They are good until
// w takes more. Only the flusher calls it.
func (s *session) encode(w *batch) []byte {
	if len(w.taken) == 1 && w.taken[0].b != nil {
		if frames := w.taken[0].b.frames(w.taken[0].sub); frames != nil {
			return frames
		}
	}
	dst := w.bytes[:0]
	for i := range w.taken {
		dst = s.appendItem(dst, &w.taken[i])
	}
	if cap(dst) <= 4*batchBytes {
		w.bytes = dst[:0]
	}
	return dst
}

func (s *session) appendItem(dst []byte, it *outItem) []byte {
	switch {
	case it.receipt:
		s.head = appendReceipt(s.head[:0], s.version, it.raw)
		return s.conn.AppendFrame(dst, s.head, nil, true)
	case it.raw != nil:
		return s.conn.AppendFrame(dst, it.raw, nil, true)
	case it.d != nil:
		return s.appendMessage(dst, it.sub, it.d.Message(), it.seq, it.d.Count())
	}
	if frames := it.b.frames(it.sub); frames != nil {
		return append(dst, frames...)
	}
	for _, m := range it.b.ms {
		// Nothing is held for topic messages: they are numbered as they go.
		it.sub.sent++
		dst = s.appendMessage(dst, it.sub, m, it.sub.sent, 1)
	}
	return dst
}

// appendMessage appends a MESSAGE frame. seq is its ack number; count is how many times it has been
// delivered, this time included.
func (s *session) appendMessage(dst []byte, sub *subscription, m *store.Message, seq uint64, count int) []byte {
	head := append(s.head[:0], sub.prefix...)
	if sub.mode != ackAuto && s.version == stompframe.V12 { // STOMP 1.2, MESSAGE; older ones have none
		head = append(head, "ack:"...)
		head = sub.appendAckID(head, seq)
		head = append(head, '\n')
	}
	if count > 1 && !mutant.Is(mutant.FlagLost) {
		head = append(head, "redelivered:true\ndelivery-count:"...)
		head = strconv.AppendInt(head, int64(count), 10)
		head = append(head, '\n')
	}
	s.head = head
	end := tail(m, s.version)
	if count > 1 && m.Flags&flagDead != 0 {
		end = withoutCount(end)
	}
	return s.conn.AppendFrame(dst, head, end, m.Flags&flagText != 0)
}
