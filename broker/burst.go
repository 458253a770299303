package broker

import (
	"sync"
	"sync/atomic"

	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
)

// burst is topic messages of one sender, in order, that an audience gets together: one place in
// each outbox, and one encoding for all subscribers who are to read the same bytes.
//
// One that burstOf made is memory of pools. Who publishes it and each outbox that it is in have a share in
// it; it goes back with the last share that is given up. A share that never is, because a session ended, say, leaves it
// to the collector.
type burst struct {
	ms     []store.Message
	one    [1]store.Message // ms, where it is no more
	size   int64            // what it counts in an outbox
	shared bool             // it pays to encode it once for several receivers

	pooled bool                  // it can go back
	kept   bool                  // its messages are somewhere else too, so that it can't; written before the publisher's share is given up
	shares atomic.Int32          // of the publisher and of outboxes
	list   *piece[store.Message] // holds ms, where one does not
	data   *piece[byte]          // holds the data of ms, but for
	apart  []*piece[byte]        // that of large messages

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
	bytes    *piece[byte]
}

// maxForms bounds what a burst holds in memory: receivers beyond have it encoded in their flusher's
// buffer.
const maxForms = 4

func newBurst(m *store.Message) *burst {
	b := &burst{one: [1]store.Message{*m}, size: weight(m)}
	b.ms = b.one[:]
	return b
}

// Pools of what bursts are made of.
var (
	bursts       = sync.Pool{New: func() any { return new(burst) }}
	messageLists = pieces[store.Message]{least: 1, most: 10}
	data         = pieces[byte]{least: 8, most: 16} // what is larger is not kept: memory that is short is to get it back
)

// burstOf is newBurst for what a session has sent to one topic. The caller has a share in it. Large messages become the
// burst's.
func burstOf(sends []topicSend) *burst {
	b := bursts.Get().(*burst)
	b.pooled = true
	b.shares.Store(1)
	b.ms = b.one[:]
	if len(sends) > 1 {
		b.list = messageLists.get(len(sends))
		b.ms = b.list.s[:len(sends)]
	}
	small := 0
	for i := range sends {
		b.size += weight(&sends[i].m)
		if sends[i].apart == nil {
			small += len(sends[i].m.Data)
		}
	}
	if small > 0 {
		b.data = data.get(small)
	}
	for i := range sends {
		x := &sends[i]
		b.ms[i] = x.m
		if x.apart != nil {
			b.apart, x.apart = append(b.apart, x.apart), nil
			continue
		}
		from := len(b.data.s)
		b.data.s = append(b.data.s, x.m.Data...)
		move(&b.ms[i], b.data.s[from:len(b.data.s):len(b.data.s)])
	}
	return b
}

// giveUp gives up shares in a burst, which its holder must not touch any more.
func (b *burst) giveUp(shares int32) {
	if !b.pooled || b.shares.Add(-shares) != 0 || b.kept {
		return
	}
	if b.made != nil {
		for i := range b.made.forms {
			free(b.made.forms[i].bytes)
		}
		*b.made = encoded{}
		b.made.forms = b.made.first[:0]
	}
	clear(b.ms)
	if b.list != nil {
		messageLists.put(b.list)
	}
	free(b.data)
	for _, p := range b.apart {
		free(p)
	}
	clear(b.apart)
	b.ms, b.list, b.data, b.apart = nil, nil, nil, b.apart[:0]
	b.size, b.pooled = 0, false
	bursts.Put(b)
}

// free gives a piece of data, or none, back.
func free(p *piece[byte]) {
	if p == nil {
		return
	}
	if spoil != nil {
		spoil(p.s[:cap(p.s)])
	}
	data.put(p)
}

// spoil is what tests do to memory that nobody is to read any more.
var spoil func([]byte)

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
			return f.bytes.s
		}
	}
	if len(made.forms) == maxForms {
		return nil
	}
	s.head = sub.appendHead(s.head[:0])
	size := 0
	for i := range b.ms {
		m := &b.ms[i]
		size += len(s.head) + len(m.Data) + 32 // enough for any envelope
		if packed := b.pack(s, i); packed != nil {
			size -= len(m.Data) - len(packed)
		}
	}
	dst := data.get(size)
	for i := range b.ms {
		m := &b.ms[i]
		dst.s = s.appendFrame(dst.s, s.head, tail(m, s.version), b.pack(s, i), m)
	}
	made.forms = append(made.forms, form{sub, s.version, envelope, dst})
	return dst.s
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
	if s.packer(&b.ms[i], len(b.ms[i].Data)) == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pack(s, i)
}

// pack returns the end of message i compressed, for all receivers, or nil if it goes to s as it is. b.mu
// is held.
func (b *burst) pack(s *session, i int) []byte {
	p := s.packer(&b.ms[i], len(b.ms[i].Data))
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
