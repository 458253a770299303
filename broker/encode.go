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
		if frames := w.taken[0].b.frames(s, w.taken[0].sub); frames != nil {
			return frames
		}
	}
	w.touch()
	dst := w.bytes[:0]
	for i := range w.taken {
		dst = s.appendItem(dst, &w.taken[i])
	}
	if cap(dst) <= 4*batchBytes {
		w.bytes = dst[:0]
	}
	return dst
}

// touch reads what of the subscriptions will be read again at once: where they are many, it is in no cache, and here one miss
// need not be over for the next to begin.
func (w *batch) touch() {
	for i := range w.taken {
		if sub := w.taken[i].sub; sub != nil {
			sub.gone.Load()
		}
	}
}

func (s *session) appendItem(dst []byte, it *outItem) []byte {
	switch {
	case it.receipt():
		s.head = appendReceipt(s.head[:0], s.version, it.raw())
		return s.conn.AppendFrame(dst, s.head, nil, true)
	case it.at != nil:
		return s.conn.AppendFrame(dst, it.raw(), nil, true)
	case it.d != nil:
		return s.appendMessage(dst, it.sub, it.d.Message(), it.n, it.d.Count())
	}
	if frames := it.b.frames(s, it.sub); frames != nil {
		return append(dst, frames...)
	}
	for i := range it.b.ms {
		m := &it.b.ms[i]
		if it.sub.mode != ackAuto { // nothing is held for topic messages: they are numbered as they go
			it.sub.special().sent++
		}
		s.makeHead(it.sub, it.sub.special().sent, 1)
		dst = s.appendFrame(dst, s.head, tail(m, s.version), it.b.packedFor(s, i), m)
	}
	return dst
}

// appendMessage appends the MESSAGE frame of a delivery. seq is its ack number; count is how many times
// it has been delivered, this time included.
func (s *session) appendMessage(dst []byte, sub *subscription, m *store.Message, seq uint64, count int) []byte {
	s.makeHead(sub, seq, count)
	end := tail(m, s.version)
	if count > 1 && m.Flags&flagDead != 0 {
		end = withoutCount(end)
	}
	var packed []byte
	if p := s.packer(m, len(end)); p != nil {
		packed = p.Pack(end)
	}
	return s.appendFrame(dst, s.head, end, packed, m)
}

// makeHead makes, in s.head, what of a MESSAGE frame is not its message's.
func (s *session) makeHead(sub *subscription, seq uint64, count int) {
	head := sub.appendHead(s.head[:0])
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
}

// appendFrame appends a MESSAGE frame; packed is its end compressed, or nil.
func (s *session) appendFrame(dst, head, end, packed []byte, m *store.Message) []byte {
	text := m.Flags&flagText != 0
	if packed != nil {
		return s.conn.(Packer).AppendPacked(dst, head, packed, text)
	}
	return s.conn.AppendFrame(dst, head, end, text)
}

// packer returns what may compress the end of m, n bytes, for this session, or nil. What was encoded
// again for an older version is not worth it.
func (s *session) packer(m *store.Message, n int) Packer {
	p, ok := s.conn.(Packer)
	if !ok || !p.Packs(n) || m.Flags&flagPlain == 0 && s.version != stompframe.V12 {
		return nil
	}
	return p
}
