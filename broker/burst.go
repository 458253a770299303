package broker

import (
	"bytes"
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

	mu    sync.Mutex // guards forms
	forms []form
}

// pays tells whether to encode it once for that many receivers. Memory for it costs more than a few
// headers; large messages are then written from there, without a copy for each.
func (b *burst) pays(receivers int) bool {
	return receivers > 1 && (len(b.ms)*receivers >= 16 || b.size >= 4<<10)
}

// form is a burst as frames for some of its receivers.
type form struct {
	prefix   []byte
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

// frames is the burst encoded for sub, shared with others, or nil if it is not to be shared.
func (b *burst) frames(sub *subscription) []byte {
	if !b.shared || sub.mode != ackAuto {
		return nil
	}
	s := sub.s
	envelope := s.conn.Envelope()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.forms {
		f := &b.forms[i]
		if f.envelope == envelope && f.version == s.version && bytes.Equal(f.prefix, sub.prefix) {
			return f.bytes
		}
	}
	if len(b.forms) == maxForms {
		return nil
	}
	dst := make([]byte, 0, int(b.size)+len(b.ms)*(len(sub.prefix)-32))
	for _, m := range b.ms {
		dst = s.conn.AppendFrame(dst, sub.prefix, tail(m, s.version), m.Flags&flagText != 0)
	}
	b.forms = append(b.forms, form{sub.prefix, s.version, envelope, dst})
	return dst
}
