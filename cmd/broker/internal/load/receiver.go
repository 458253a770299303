package load

import "sync/atomic"

// receiver is one subscription on a connection of its own.
type receiver struct {
	c     *conn
	r     *run
	h     *histogram
	count atomic.Int64  // messages received
	total *atomic.Int64 // the same of all receivers of a queue; nil in a fan-out
	mine  int64         // how many topics it has
	of    int64         // of so many

	// Owned by the connection's reader until it has ended.
	n       int64   // count, ahead of it within one read
	next    []int64 // by publisher: the sequence number expected
	sum     int64   // of all sequence numbers
	gaps    int64   // numbers skipped
	back    int64   // numbers below the expected one
	foreign int64   // bodies that are not ours
	ack     string  // ack mode; empty in a fan-out
	out     []byte  // acknowledgements to write after this read
	key     uint32  // mask of the latest of them
	id      []byte  // latest ack id in mode client
}

func newReceiver(r *run, o Options, i int) *receiver {
	return &receiver{r: r, h: &r.hists[i%shards], next: make([]int64, o.Pubs), ack: o.Ack, mine: 1, of: 1}
}

// reach is how many messages must have been published for n of them to come to this receiver, and
// somewhat more where messages go to several topics in turn: so that it never waits for one that is
// not its own.
func (s *receiver) reach(n int64) int64 {
	if s.of == 1 {
		return n
	}
	return (n + fan) * s.of / s.mine
}

func (s *receiver) on(f *frame) {
	if f.kind != 'M' {
		return
	}
	s.n++
	pub, seq, sent, ok := stamp(f.body)
	if !ok || pub >= len(s.next) || len(f.body) != s.r.o.Size {
		s.foreign++
		return
	}
	if s.r.recording.Load() {
		s.h.add(s.c.now - sent)
	}
	s.sum += seq
	switch next := s.next[pub]; {
	case seq >= next:
		s.gaps += seq - next
		s.next[pub] = seq + 1
	default:
		s.back++
	}
	if s.ack == "" || s.ack == "auto" {
		return
	}
	id := f.header("\nack:")
	if s.ack == "client" {
		s.id = append(s.id[:0], id...)
		return
	}
	s.acknowledge(id)
}

// acknowledge queues an ACK. The id goes back as it came, escapes and all.
func (s *receiver) acknowledge(id []byte) {
	var room [256]byte
	f := append(room[:0], "ACK\nid:"...)
	f = append(f, id...)
	f = append(f, "\n\n\x00"...)
	s.key, s.out = s.c.envelop(s.key, s.out, f)
}

// after publishes the count of what one read brought, once its acknowledgements are written.
func (s *receiver) after() error {
	if len(s.id) > 0 {
		s.acknowledge(s.id)
		s.id = s.id[:0]
	}
	if len(s.out) > 0 {
		s.c.wrote.Add(int64(len(s.out)))
		_, err := s.c.nc.Write(s.out)
		s.out = s.out[:0]
		if err != nil {
			return err
		}
	}
	before := s.count.Load()
	if s.n == before {
		return nil
	}
	s.count.Store(s.n)
	after := s.n
	if s.total != nil {
		after = s.total.Add(s.n - before)
		before = after - (s.n - before)
	}
	s.r.gate.passed(s.reach(before), s.reach(after))
	return nil
}
