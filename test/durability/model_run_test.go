package durability

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/gudokmq/gudok/test/harness"
	"pgregory.net/rapid"
)

// due is the message that a subscription gets next; nil if it has no room or there is none.
func (m *model) due(s *modelSub) *modelled {
	held := 0
	var first *modelled
	for _, x := range m.queues[s.queue] {
		switch {
		case x.held != "":
			held++
		case x.removed == nil && first == nil:
			first = x
		}
	}
	if held >= s.prefetch {
		return nil
	}
	return first
}

// pump reads until everybody has got what the model says.
func (m *model) pump() {
	for {
		waiting := slices.ContainsFunc(m.sorted(), func(s *modelSub) bool { return m.due(s) != nil })
		if !waiting {
			return
		}
		m.read()
	}
}

// settle reads until all receipts have come, and everything is delivered.
func (m *model) settle() {
	for len(m.waits) > 0 {
		m.read()
	}
	m.pump()
	for q, all := range m.queues {
		m.queues[q] = slices.DeleteFunc(all, func(x *modelled) bool { return x.removed != nil && x.removed.sure })
	}
}

// read takes one frame.
func (m *model) read() {
	f, err := m.c.ReadFrame(harness.Patience)
	if err != nil {
		m.t.Fatalf("%v; %s", err, m.expected())
	}
	switch f.Command {
	case "RECEIPT":
		id := f.Value("receipt-id")
		if m.waits[id] == nil {
			m.t.Fatalf("nobody asked for %s", f)
		}
		m.waits[id].sure = true
		delete(m.waits, id)
	case "MESSAGE":
		i := slices.IndexFunc(m.sorted(), func(s *modelSub) bool { return s.id == f.Value("subscription") })
		if i < 0 {
			m.t.Fatalf("nobody subscribed for %.300s", f)
		}
		s := m.sorted()[i]
		x := m.due(s)
		if x == nil {
			m.t.Fatalf("%s gets %s beyond what it should; %s", s.queue, f.Value("name"), m.expected())
		}
		m.same(s.queue, f, x)
		x.held = f.Value("ack")
	default:
		m.t.Fatalf("%s", f)
	}
}

// same compares a delivery, and learns how often the message counts as delivered.
func (m *model) same(queue string, f *harness.Frame, x *modelled) {
	if f.Value("name") != x.name || !bytes.Equal(f.Body, x.body) {
		m.t.Fatalf("%s: got %s of %d bytes, want %s of %d; %s", queue, f.Value("name"), len(f.Body), x.name, len(x.body), m.expected())
	}
	count := 1
	if f.Value("redelivered") == "true" {
		n, err := strconv.Atoi(f.Value("delivery-count"))
		if count = n; err != nil || n < 2 {
			m.t.Fatalf("%s: %s is delivered again with delivery-count:%s", queue, x.name, f.Value("delivery-count"))
		}
	}
	if count < x.min+1 || count > x.max+1 {
		m.t.Fatalf("%s: %s is delivered for the %d. time, want %d to %d", queue, x.name, count, x.min+1, x.max+1)
	}
	x.min, x.max = count-1, count-1
}

// expected tells what the queues should hold.
func (m *model) expected() string {
	var b strings.Builder
	for _, q := range modelQueues {
		b.WriteString(q + ":")
		for _, x := range m.queues[q] {
			b.WriteString(" " + x.name)
			if x.held != "" {
				b.WriteString("(held)")
			}
			if x.removed != nil {
				b.WriteString("(removed)")
			}
		}
		b.WriteString("; ")
	}
	return b.String()
}

// stop ends the broker in order: loans end with it, and do not count.
func (m *model) stop(*rapid.T) {
	if rapid.IntRange(0, 3).Draw(m.t, "really") > 0 {
		return
	}
	m.settle()
	m.c.Abort()
	m.w.broker.Stop()
	m.restarted(true)
}

// kill kills the broker: what was receipted is there, or gone, for sure; the rest as a whole or not.
func (m *model) kill(*rapid.T) {
	m.crashes++
	m.w.broker.Kill()
	m.c.Abort()
	m.restarted(false)
}

// restarted looks at all that the next life of the broker has. A connection that ended without a word
// just before a regular end may have counted.
func (m *model) restarted(inOrder bool) {
	m.w.start()
	m.w.inspect()
	for _, q := range modelQueues {
		for _, x := range m.queues[q] {
			if x.held != "" {
				x.held = ""
				x.max++
			}
			if !inOrder {
				x.min, x.max = 0, max(x.max, 1) // what lies before what was delivered counts, too
			}
		}
	}
	m.connect()
	happened := map[*promise]bool{}
	decide := func(p *promise, x *modelled, yes bool) {
		if was, ok := happened[p]; ok && was != yes {
			m.t.Fatalf("%s: half of what was asked for happened; %s", x.name, m.expected())
		}
		happened[p] = yes
	}
	for _, q := range modelQueues {
		if q == "durable" && !m.bound {
			continue
		}
		got := m.list(q)
		var kept []*modelled
		for _, x := range m.queues[q] {
			there := len(got) > 0 && got[0].Value("name") == x.name
			if there {
				m.same(q, got[0], x)
				x.min, x.max = x.min+1, x.max+1 // list has given it back
				got = got[1:]
			}
			switch {
			case there && x.removed != nil && x.removed.sure:
				m.t.Fatalf("resurrected: %s of %s", x.name, q)
			case !there && x.removed == nil && x.added.sure:
				m.t.Fatalf("lost: %s of %s; %s", x.name, q, m.expected())
			}
			if !x.added.sure && (there || x.removed == nil) {
				decide(x.added, x, there)
			}
			if x.removed != nil && !x.removed.sure && x.added.sure {
				decide(x.removed, x, !there)
			}
			if there {
				x.added, x.removed = &promise{sure: true}, nil
				kept = append(kept, x)
			}
		}
		if len(got) > 0 {
			m.t.Fatalf("%s: %s is there, out of order or from nowhere; %s", q, got[0].Value("name"), m.expected())
		}
		m.queues[q] = kept
	}
}

// list takes everything of a queue and gives it back.
func (m *model) list(q string) []*harness.Frame {
	end := &modelled{name: "end" + strconv.Itoa(m.number)}
	if strings.HasPrefix(q, "durable") {
		m.ask(new(promise), end.head(topicModel, ""), nil)
	} else {
		m.ask(new(promise), end.head(q, ""), nil)
	}
	m.open(q, 10_000, false)
	var all []*harness.Frame
	for {
		f, err := m.c.ReadFrame(harness.Patience)
		if err != nil || f.Command == "ERROR" {
			m.t.Fatalf("%v %v; %s", f, err, m.expected())
		}
		switch {
		case f.Command == "RECEIPT":
			delete(m.waits, f.Value("receipt-id"))
		case f.Value("name") == end.name:
			m.ask(new(promise), "ACK\nid:"+f.Value("ack")+"\n", nil)
			m.ask(new(promise), "UNSUBSCRIBE\nid:"+m.subs[q].id+"\n", nil)
			for len(m.waits) > 0 {
				m.read()
			}
			delete(m.subs, q)
			return all
		default:
			all = append(all, f)
		}
	}
}
