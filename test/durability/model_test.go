package durability

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/test/harness"
	"pgregory.net/rapid"
)

// The queues of the model; the last is that of a durable subscription.
var modelQueues = []string{"/queue/model.a", "/queue/model.b", graveOf("/queue/model.a"), graveOf("/queue/model.b"), "durable"}

const topicModel = "/topic/model"

// promise is what one frame asked for: as a whole or not at all, for sure once its receipt has come.
type promise struct{ sure bool }

// modelled is a message as the model knows it.
type modelled struct {
	name    string
	body    []byte
	added   *promise
	removed *promise // nil: nobody has tried
	// How often it was delivered and given back: after a crash between what a commit had noted and all.
	min, max int
	held     string // the ack header of the delivery on loan
}

// model is a broker beside a plain model of it, and one client that does everything.
type model struct {
	t       *rapid.T
	w       *world
	c       *harness.Client
	queues  map[string][]*modelled
	subs    map[string]*modelSub
	waits   map[string]*promise // by receipt
	bound   bool
	number  int
	crashes int
	ops     int
}

type modelSub struct {
	queue      string
	id         string
	prefetch   int
	cumulative bool
}

// TestModel does random things, with kills and restarts among them, and compares the broker with a plain
// model in memory: what it delivers, in which order and how often counted, and what is left of it.
func TestModel(t *testing.T) {
	// The seed is printed like all others, and is rapid's, unless that was given one.
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" {
		if err := f.Value.Set(strconv.FormatUint(seeded(t).Uint64()>>1, 10)); err != nil {
			t.Fatal(err)
		}
	}
	runs, ops, crashes := 0, 0, 0
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		w := newWorld(t, rand.New(rand.NewPCG(1, 1)), filepath.Join(root, fmt.Sprint("data", runs)))
		w.dir = root // of the configuration
		w.config = func() string {
			return configFor(filepath.Join(root, fmt.Sprint("data", runs))) +
				"- {match: /queue/model.*, redelivery: {limit: 60000}}\n- {match: /topic/model, redelivery: {limit: 60000}}\n"
		}
		m := &model{t: rt, w: w, queues: map[string][]*modelled{}}
		w.start()
		m.connect()
		defer func() { w.broker.Kill() }()
		rt.Repeat(map[string]func(*rapid.T){
			"send": m.send, "send more": m.send, "publish": m.publish, "transaction": m.transaction,
			"subscribe": m.subscribe, "unsubscribe": m.unsubscribe, "acknowledge": m.acknowledge, "refuse": m.refuse, "bury": m.bury,
			"bind": m.bind, "unbind": m.unbind, "kill": m.kill, "stop": m.stop, "": func(*rapid.T) {},
		})
		m.kill(rt)
		ops, crashes = ops+m.ops, crashes+m.crashes
	})
	t.Logf("%d models, %d operations, %d kills", runs, ops, crashes)
}

// connect makes a connection; no other has been since the broker started.
func (m *model) connect() {
	m.c = m.w.broker.Dial(m.w.t, harness.TCP)
	m.c.Sendf("CONNECT\naccept-version:1.2\nhost:x\nclient-id:model\nheart-beat:0,0\n\n\x00")
	if f, err := m.c.ReadFrame(harness.Patience); err != nil || f.Command != "CONNECTED" {
		m.t.Fatalf("no CONNECTED: %v %v", f, err)
	}
	m.subs, m.waits = map[string]*modelSub{}, map[string]*promise{}
}

// ask sends a frame with a receipt.
func (m *model) ask(p *promise, head string, body []byte) {
	m.ops++
	m.number++
	id := fmt.Sprint("r", m.number)
	m.waits[id] = p
	m.c.Send(slices.Concat(fmt.Appendf(nil, "%sreceipt:%s\ncontent-length:%d\n\n", head, id, len(body)), body, []byte{0}))
}

// message makes the next one.
func (m *model) message(p *promise) *modelled {
	m.number++
	size := rapid.SampledFrom([]int{0, 10, 300, 5000, 70_000}).Draw(m.t, "size")
	return &modelled{name: fmt.Sprint("m", m.number), body: bytes.Repeat([]byte{byte(m.number)}, size), added: p}
}

func (x *modelled) head(destination, more string) string {
	return "SEND\ndestination:" + destination + "\nname:" + x.name + "\n" + more
}

// perhaps waits for all receipts, or does not.
func (m *model) perhaps() {
	m.pump()
	if rapid.Bool().Draw(m.t, "wait") {
		m.settle()
	}
}

func (m *model) send(*rapid.T) {
	q := rapid.SampledFrom(modelQueues[:2]).Draw(m.t, "queue")
	for range rapid.IntRange(1, 6).Draw(m.t, "n") {
		p := new(promise)
		x := m.message(p)
		m.queues[q] = append(m.queues[q], x)
		m.ask(p, x.head(q, ""), x.body)
	}
	m.perhaps()
}

func (m *model) publish(*rapid.T) {
	p := new(promise)
	x := m.message(p)
	if m.bound {
		m.queues["durable"] = append(m.queues["durable"], x)
	}
	m.ask(p, x.head(topicModel, ""), x.body)
	m.perhaps()
}

// transaction sends to any queue, acknowledges, and is committed or taken back.
func (m *model) transaction(*rapid.T) {
	m.pump()
	p := new(promise)
	commit := rapid.IntRange(0, 3).Draw(m.t, "commit") > 0
	m.number++
	tx := fmt.Sprintf("transaction:t%d\n", m.number)
	m.ask(new(promise), "BEGIN\n"+tx, nil)
	var acks []*modelled
	for _, s := range m.sorted() {
		if x := m.pick(s); x != nil && !s.cumulative && rapid.Bool().Draw(m.t, "ack") {
			m.ask(new(promise), "ACK\nid:"+x.held+"\n"+tx, nil)
			acks = append(acks, x)
		}
	}
	for range rapid.IntRange(0, 4).Draw(m.t, "n") {
		q := rapid.SampledFrom([]string{modelQueues[0], modelQueues[1], "durable"}).Draw(m.t, "queue")
		x := m.message(p)
		to := q
		if q == "durable" {
			to = topicModel
		}
		if commit && (q != "durable" || m.bound) {
			m.queues[q] = append(m.queues[q], x)
		}
		m.ask(new(promise), x.head(to, tx), x.body)
	}
	if !commit {
		m.ask(p, "ABORT\n"+tx, nil)
		m.settle() // what it acknowledged is on loan as before
		return
	}
	for _, x := range acks {
		x.removed, x.held = p, ""
	}
	m.ask(p, "COMMIT\n"+tx, nil)
	m.perhaps()
}

func (m *model) subscribe(*rapid.T) {
	q := rapid.SampledFrom(modelQueues).Draw(m.t, "queue")
	if m.subs[q] != nil || q == "durable" && !m.bound {
		return
	}
	m.open(q, rapid.IntRange(1, 6).Draw(m.t, "prefetch"), rapid.IntRange(0, 3).Draw(m.t, "mode") == 0)
	m.perhaps()
}

// open subscribes to a queue.
func (m *model) open(q string, prefetch int, cumulative bool) {
	m.number++
	s := &modelSub{queue: q, id: fmt.Sprint("s", m.number), prefetch: prefetch, cumulative: cumulative}
	ack, to := "client-individual", "destination:"+q+"\n"
	if cumulative {
		ack = "client"
	}
	if q == "durable" {
		s.id, to = "d", "destination:"+topicModel+"\ndurable:true\n"
	}
	m.subs[q] = s
	m.ask(new(promise), fmt.Sprintf("SUBSCRIBE\nid:%s\nack:%s\nprefetch-count:%d\n%s", s.id, ack, prefetch, to), nil)
}

// shut ends a subscription: what it had on loan counts as delivered.
func (m *model) shut(q, header string) *promise {
	s, p := m.subs[q], new(promise)
	m.ask(p, "UNSUBSCRIBE\nid:"+s.id+"\n"+header, nil)
	m.settle()
	for _, x := range m.queues[q] {
		if x.held != "" {
			x.held = ""
			x.min, x.max = x.min+1, x.max+1
		}
	}
	delete(m.subs, q)
	return p
}

func (m *model) unsubscribe(*rapid.T) {
	if s := m.any(); s != nil {
		m.shut(s.queue, "")
		m.pump()
	}
}

func (m *model) acknowledge(*rapid.T) {
	s := m.any()
	if s == nil {
		return
	}
	x := m.pick(s)
	if x == nil {
		return
	}
	p := new(promise)
	m.ask(p, "ACK\nid:"+x.held+"\n", nil)
	for _, y := range m.queues[s.queue] {
		if y.held != "" && (s.cumulative || y == x) {
			y.removed, y.held = p, ""
		}
		if y == x {
			break
		}
	}
	m.perhaps()
}

func (m *model) refuse(*rapid.T) {
	s := m.any()
	if s == nil || s.cumulative {
		return
	}
	if x := m.pick(s); x != nil {
		m.ask(new(promise), "NACK\nid:"+x.held+"\ndelay:0\n", nil)
		x.held = ""
		x.min, x.max = x.min+1, x.max+1
		m.perhaps()
	}
}

// bury makes a dead letter: it leaves one queue for the other as a whole.
func (m *model) bury(*rapid.T) {
	s := m.any()
	if s == nil || s.cumulative || !strings.HasPrefix(s.queue, "/queue/") {
		return
	}
	if x := m.pick(s); x != nil {
		p := new(promise)
		m.ask(p, "NACK\nid:"+x.held+"\nrequeue:false\n", nil)
		x.removed, x.held = p, ""
		grave := graveOf(s.queue)
		m.queues[grave] = append(m.queues[grave], &modelled{name: x.name, body: x.body, added: p})
		m.perhaps()
	}
}

func (m *model) bind(*rapid.T) {
	if !m.bound {
		m.open("durable", 1, false)
		m.settle()
		m.bound = true
		m.shut("durable", "")
	}
}

func (m *model) unbind(*rapid.T) {
	if !m.bound || rapid.IntRange(0, 2).Draw(m.t, "really") > 0 {
		return
	}
	if m.subs["durable"] == nil {
		m.open("durable", 1, false)
		m.pump()
	}
	m.shut("durable", "durable:true\n")
	m.bound = false
	delete(m.queues, "durable")
}

// sorted are the subscriptions in order of their queues.
func (m *model) sorted() []*modelSub {
	var all []*modelSub
	for _, q := range modelQueues {
		if s := m.subs[q]; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// any is one of the subscriptions; nil if there is none.
func (m *model) any() *modelSub {
	m.pump()
	all := m.sorted()
	if len(all) == 0 {
		return nil
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(m.t, "subscription")]
}

// pick is one of the messages that a subscription has on loan; nil if it has none.
func (m *model) pick(s *modelSub) *modelled {
	var held []*modelled
	for _, x := range m.queues[s.queue] {
		if x.held != "" {
			held = append(held, x)
		}
	}
	if len(held) == 0 {
		return nil
	}
	return held[rapid.IntRange(0, len(held)-1).Draw(m.t, "message")]
}
