package durability

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// The queues of the load, and how each is consumed.
const (
	qIndividual = "/queue/one.individual"
	qCumulative = "/queue/two.cumulative"
	qAuto       = "/queue/three.auto"
	qBacklog    = "/queue/four.backlog" // consumed now and then
	qForward    = "/queue/five.in"      // each message goes on to
	qForwarded  = "/queue/six.out"
	qShort      = "/queue/seven.short"   // keeps the latest few
	qTired      = "/queue/eight.tired"   // buries what is refused twice
	qMixed      = "/queue/nine.mixed"    // half of its messages are not durable
	qLater      = "/queue/ten.later"     // all of its messages are delayed
	qStorm      = "/queue/eleven.storm"  // most of its messages are refused, again and again
	qShared     = "/queue/twelve.shared" // two consumers, of which one goes without a word
	topicNews   = "/topic/news"
	// The labels of the durable subscriptions to it: one consumed always, one now and then, and one
	// that is deleted and made again.
	subAlways = "durable web1"
	subSeldom = "durable web2"
	subFickle = "durable web3"
)

// The most that qShort keeps, and how often a message of qTired and of qStorm is delivered.
const (
	short      = 5
	limitTired = 2
	limitStorm = 3
)

// qWide are many queues, for transactions over all of them.
var qWide = func() []string {
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprint("/queue/wide.", i))
	}
	return all
}()

// world is a broker that dies again and again, and everything around it.
type world struct {
	t      *testing.T
	l      *ledger
	rnd    *rand.Rand
	dir    string        // of the configuration
	config func() string // of the next life
	data   string        // the directory of the store, where a test looks into it
	broker *harness.Broker
	pubs   map[string]*publisher
	links  []*link // of this life
	stats  struct{ void, inFlight, stumbles int }
	// mayStop: the disk fails under the broker, which may say so.
	mayStop bool
	// damaged: the broker may say so.
	damaged bool
}

func newWorld(t *testing.T, rnd *rand.Rand, data string) *world {
	w := &world{t: t, l: newLedger(), rnd: rnd, dir: t.TempDir(), pubs: map[string]*publisher{}}
	w.config = func() string { return configFor(data) }
	return w
}

// configFor is a configuration with durable queues in a directory.
func configFor(data string) string {
	return fmt.Sprintf(`
store: {engine: bolt, path: %s, min_free: 0}
limits: {unacked: 10000, prefetch_bytes: 1GiB}
policies:
- {match: %s, max_messages: %d, overflow: drop-oldest}
- {match: %s, redelivery: {limit: %d}}
- {match: %s, redelivery: {limit: %d}}
`, data, qShort, short, qTired, limitTired, qStorm, limitStorm)
}

// start begins a life of the broker.
func (w *world) start(under ...string) {
	w.t.Helper()
	w.begin(harness.Options{Under: under})
}

// begin is start with options.
func (w *world) begin(o harness.Options) {
	w.t.Helper()
	o.Dir, o.Quiet, o.Env = w.dir, true, append(o.Env, environment()...)
	b, err := harness.TryStart(w.t, w.config(), o)
	if err != nil {
		for _, f := range w.l.faults() {
			w.t.Error(f)
		}
		w.t.Fatalf("lost: all there is, for the broker does not start: %v", err)
	}
	w.broker, w.links = b, nil
}

// publisher gives the publisher of that name, the same in all lives.
func (w *world) publisher(name string) *publisher {
	if w.pubs[name] == nil {
		w.pubs[name] = newPublisher(w.l, name, w.rnd)
	}
	return w.pubs[name]
}

func (w *world) dial(clientID string) *link {
	w.t.Helper()
	header := ""
	if clientID != "" {
		header = "client-id:" + clientID + "\n"
	}
	return w.dialWith(header)
}

// dialWith is dial with a header line of CONNECT.
func (w *world) dialWith(header string) *link {
	w.t.Helper()
	k := dial(w.t, w.l, w.broker.TCP, header)
	if k == nil {
		w.t.Fatalf("no connection\n%s", w.broker.Output())
	}
	w.links = append(w.links, k)
	return k
}

// consume makes a consumer on a connection of its own.
func (w *world) consume(queue string, m mode) *consumer {
	w.t.Helper()
	c := &consumer{l: w.l, queue: queue, mode: m, rnd: rand.New(rand.NewPCG(w.rnd.Uint64(), 2))}
	client := ""
	switch queue {
	case subAlways, subSeldom, subFickle:
		client = strings.TrimPrefix(queue, "durable ")
		c.headers = "destination:" + topicNews + "\ndurable:true\n"
		c.prompt = true
	default:
		c.headers = "destination:" + queue + "\n"
	}
	c.k = w.dial(client)
	if m == forwarding {
		c.onward, c.to = w.publisher("forward"), qForwarded
	}
	return c
}

func (w *world) subscribe(queue string, m mode) *consumer {
	w.t.Helper()
	c := w.consume(queue, m)
	if err := c.subscribe(); err != nil {
		w.t.Fatalf("subscribe to %s: %v\n%s", queue, err, w.broker.Output())
	}
	return c
}

// closing tells all connections of this life that it ends.
func (w *world) closing() {
	for _, k := range w.links {
		k.closing.Store(true)
	}
}

// wait waits until every connection of this life has read all that came.
func (w *world) wait() {
	for _, k := range w.links {
		<-k.gone
	}
}

// inspect looks at what the broker said.
func (w *world) inspect() {
	if w.damaged {
		return
	}
	for line := range strings.Lines(w.broker.Output()) {
		if w.mayStop && stops(line) {
			continue
		}
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic:") || strings.Contains(line, "DATA RACE") {
			w.l.report("the broker said: %s", strings.TrimSpace(line))
		}
	}
}

// drain empties queues: it sends one more message to each and takes everything up to that.
func (w *world) drain(queues ...string) {
	w.t.Helper()
	w.l.begin(0)
	pub, k := w.publisher("sentinel"), w.dial("")
	defer k.close()
	news := []string{} // durable subscriptions; they may have got lost
	last := map[string]chan struct{}{}
	var cs []*consumer
	for _, q := range queues {
		c := w.consume(q, individual)
		defer c.k.close()
		c.prompt = true
		done := make(chan struct{})
		last[q] = done
		c.seen = func(e *entry) {
			w.l.mu.Lock()
			end := e.pub == "sentinel" && e.life == w.l.life
			w.l.mu.Unlock()
			if end {
				close(done)
			}
		}
		cs = append(cs, c)
		if strings.HasPrefix(q, "durable ") {
			news = append(news, q)
		} else {
			w.ask("the receipt of the last message to "+q, func(sent func()) error { return pub.one(k, q, sent) })
		}
	}
	for _, c := range cs {
		if err := c.subscribe(); err != nil {
			w.t.Fatalf("subscribe to %s: %v\n%s", c.queue, err, w.broker.Output())
		}
	}
	if len(news) > 0 {
		w.ask("the receipt of the last message to "+topicNews, func(sent func()) error { return pub.news(k, topicNews, news, sent) })
	}
	for _, c := range cs {
		w.await(last[c.queue], "the last message of "+c.queue, nil)
		w.stragglers(c.queue)
		// Its acknowledgement was the last; this comes after that.
		if err := c.k.call("UNSUBSCRIBE\nid:"+c.name()+"\n", nil); err != nil {
			w.l.report("stuck: no receipts for the acknowledgements of %s", c.queue)
		}
	}
	w.inspect()
}

// stragglers waits for what may come later than what was sent last: what is delayed, and dead letters.
// The ledger will tell what did not come.
func (w *world) stragglers(queue string) {
	patience := harness.Patience
	if planted() != "" {
		patience = 0 // they may well be lost
	}
	for end := time.Now().Add(patience); w.l.awaited(queue) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// ask has something sent and waits until it is done.
func (w *world) ask(what string, send func(done func()) error) {
	w.t.Helper()
	done := make(chan struct{})
	err := send(func() { close(done) })
	w.await(done, what, err)
}

func (w *world) await(done <-chan struct{}, what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, w.broker.Output())
	}
	if !w.l.while(done) {
		w.l.report("stuck: %s did not come", what)
	}
}

// everything is all queues of the load; dead letters come last, for they come from the others.
var everything = append([]string{
	qIndividual, qCumulative, qAuto, qBacklog, qForward, qForwarded, qShort, qMixed, qLater, qStorm, qShared,
	subAlways, subSeldom, subFickle, graveOf(qStorm),
}, qWide...)

// verdict tells what is wrong.
func (w *world) verdict() outcome {
	w.t.Helper()
	o := w.l.settle()
	for _, f := range w.l.faults() {
		w.t.Error(f)
	}
	return o
}

// print tells the counts.
func (w *world) print(what string, cycles int, o outcome) {
	c := w.l.counts
	missing := 0
	for _, n := range o.missing {
		missing += n
	}
	w.t.Logf("%s: %d (%d void); %d messages sent, %d receipted, %d delivered (%d again), %d acknowledged, %d of that receipted; "+
		"in flight at the end of a life: %d, of which missing: %d, in %d lives; lost on the way to auto consumers: %d",
		what, cycles, w.stats.void, c.intents, c.receipts, c.deliveries, c.again, c.acks, c.ackReceipts,
		w.stats.inFlight, missing, len(o.missing), o.autoGap)
	w.t.Logf("among them %d refused and %d dead letters of those, %d taken back by ABORT, %d durable subscriptions deleted, %d starts cut short",
		c.refusals, c.burials, c.aborted, c.deletions, w.stats.stumbles)
}

// stops tells that a line of the broker's is about the disk that is gone.
func stops(line string) bool {
	return strings.Contains(line, "the store stops") || strings.Contains(line, "disk failed") ||
		strings.Contains(line, "input/output error") || strings.Contains(line, "read messages back")
}
