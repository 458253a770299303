package broker

import (
	"sync"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
)

// burst is topic messages of one sender, in order, that an audience gets together: one place in
// each outbox, and one encoding for all subscribers who are to read the same bytes.
type burst struct {
	ms     []*store.Message
	one    [1]*store.Message // ms, where it is no more
	size   int64             // what it counts in an outbox
	shared bool              // it pays to encode it once for several receivers

	mu   sync.Mutex // guards what follows
	made *encoded   // once somebody has asked
}

// encoded is what was made of a burst for all receivers.
type encoded struct {
	forms  []form
	first  [1]form   // forms, where it is no more
	packed []packing // of ms, if some is
}

// packing is what was made of the end of a message; no bytes if it would be no smaller.
type packing struct {
	done  bool
	bytes []byte
}

// pays tells whether to encode it once for that many receivers. Memory for it costs more than a few
// headers; large messages are then written from there, without a copy for each.
func (b *burst) pays(receivers int) bool {
	return receivers > 1 && (len(b.ms)*receivers >= 16 || b.size >= 4<<10)
}

// form is a burst as frames for some of its receivers.
type form struct {
	sub      *subscription // one of them
	version  stompframe.Version
	envelope Envelope
	bytes    []byte
}

// maxForms bounds what a burst holds in memory: receivers beyond have it encoded in their flusher's
// buffer.
const maxForms = 4

func newBurst(m *store.Message) *burst {
	b := &burst{one: [1]*store.Message{m}, size: weight(m)}
	b.ms = b.one[:]
	return b
}

// burstOf is newBurst for what a session has sent to one topic.
func burstOf(sends []topicSend) *burst {
	if len(sends) == 1 {
		return newBurst(sends[0].m)
	}
	b := &burst{ms: make([]*store.Message, len(sends))}
	for i := range sends {
		b.ms[i] = sends[i].m
		b.size += weight(sends[i].m)
	}
	return b
}

// weight is what a message counts in an outbox.
func weight(m *store.Message) int64 { return int64(len(m.Data)) + 64 }

// frames is the burst encoded for sub, which is of s, shared with others, or nil if it is not to be shared. Only the
// flusher of s calls it.
func (b *burst) frames(s *session, sub *subscription) []byte {
	if !b.shared || sub.mode != ackAuto {
		return nil
	}
	envelope := s.conn.Envelope()
	b.mu.Lock()
	defer b.mu.Unlock()
	made := b.encoded()
	for i := range made.forms {
		f := &made.forms[i]
		if f.envelope == envelope && f.version == s.version && f.sub.alike(sub) {
			return f.bytes
		}
	}
	if len(made.forms) == maxForms {
		return nil
	}
	s.head = sub.appendHead(s.head[:0])
	size := 0
	for i, m := range b.ms {
		size += len(s.head) + len(m.Data) + 32 // enough for any envelope
		if packed := b.pack(s, i); packed != nil {
			size -= len(m.Data) - len(packed)
		}
	}
	dst := make([]byte, 0, size)
	for i, m := range b.ms {
		dst = s.appendFrame(dst, s.head, tail(m, s.version), b.pack(s, i), m)
	}
	made.forms = append(made.forms, form{sub, s.version, envelope, dst})
	return dst
}

// encoded is what has been made so far. b.mu is held.
func (b *burst) encoded() *encoded {
	if b.made == nil {
		b.made = new(encoded)
		b.made.forms = b.made.first[:0]
	}
	return b.made
}

// packedFor is pack where b.mu is not held.
func (b *burst) packedFor(s *session, i int) []byte {
	if s.packer(b.ms[i], len(b.ms[i].Data)) == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pack(s, i)
}

// pack returns the end of message i compressed, for all receivers, or nil if it goes to s as it is. b.mu
// is held.
func (b *burst) pack(s *session, i int) []byte {
	p := s.packer(b.ms[i], len(b.ms[i].Data))
	if p == nil {
		return nil
	}
	made := b.encoded()
	if made.packed == nil {
		made.packed = make([]packing, len(b.ms))
	}
	z := &made.packed[i]
	if !z.done {
		z.done, z.bytes = true, p.Pack(b.ms[i].Data)
	}
	return z.bytes
}
