package broker_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gudokmq/gudok/broker"
)

// readers connects sessions that read nothing more, and sends each of them, on a topic of its own,
// its number times 256 KiB. No time passes meanwhile.
func readers(t *testing.T, b *broker.Broker, n int) []*client {
	t.Helper()
	var all []*client
	for i := range n {
		c := dial(t, b, 256)
		c.send("CONNECT\naccept-version:1.2\n\n")
		c.expect("CONNECTED")
		c.send(fmt.Sprintf("SUBSCRIBE\nid:t\ndestination:/topic/own.%d\n\n", i+1))
		all = append(all, c)
	}
	synctest.Wait()
	sender := connect(t, b)
	body := strings.Repeat("x", 32<<10)
	for i := range n {
		for range 8 * (i + 1) {
			sender.send(fmt.Sprintf("SEND\ndestination:/topic/own.%d\n\n%s", i+1, body))
		}
	}
	sender.sync()
	return all
}

// closed tells which of the clients have been cut off, by their numbers, and by which code.
func closed(t *testing.T, all []*client) (numbers []int) {
	t.Helper()
	for i, c := range all {
		select {
		case <-c.done:
			numbers = append(numbers, i+1)
			if code := c.ended(); code != 1013 {
				t.Errorf("%d was closed by %d", i+1, code)
			}
		default:
		}
	}
	return numbers
}

// stopAll ends what reads nothing: a drain would wait for it.
func stopAll(all []*client) {
	for _, c := range all {
		c.drop()
	}
}

// What waits for all sessions together is bounded: those for which most waits go first, no more than
// it takes, and the rest does not notice.
func TestOutboxesOfAllSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 16 << 20, Outboxes: 8 << 20, SendTime: time.Hour}})
		look := b.Sampler()
		all := readers(t, b, 12) // 19.5 MiB, of which the network has a little
		defer stopAll(all)
		if s := b.Snapshot(); s.Outboxes < 18<<20 || s.LargestOutbox < 2<<20 || s.LargestOutbox > 4<<20 {
			t.Errorf("%+v", s)
		}
		look()
		synctest.Wait()
		if got := fmt.Sprint(closed(t, all)); got != "[8 9 10 11 12]" {
			t.Errorf("closed: %s", got)
		}
		if s := b.Snapshot(); s.Shed != 5 || s.Outboxes > 8<<20 || s.MemoryShort {
			t.Errorf("%+v", s)
		}
		// Memory is not short: others come and go.
		connect(t, b).sync()
	})
}

// That bound holds however fast publishers are: no time passes here, in which somebody would look.
func TestOutboxesOfFastPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, readers, publishers, size = 8 << 20, 40, 4, 32 << 10
		b := newBroker(t, broker.Options{Limits: broker.Limits{Outbox: 64 << 20, Outboxes: bound, SendTime: time.Hour}})
		all := make([]*client, readers)
		defer stopAll(all)
		for i := range all {
			all[i] = dial(t, b, 256)
			all[i].send("CONNECT\naccept-version:1.2\n\n")
			all[i].expect("CONNECTED")
			all[i].send("SUBSCRIBE\nid:t\ndestination:/topic/x\n\n")
		}
		synctest.Wait()
		senders := make([]*client, publishers)
		for i := range senders {
			senders[i] = connect(t, b)
		}
		body, most := strings.Repeat("x", size), int64(0)
		for range 50 {
			for _, c := range senders {
				c.send("SEND\ndestination:/topic/x\n\n" + body)
			}
			synctest.Wait()
			most = max(most, b.Snapshot().Outboxes)
		}
		// Each may be about to tell of what it put in, and of one message more.
		if allowed := int64(bound + bound/8 + publishers*(256<<10+2*readers*size)); most > allowed {
			t.Errorf("%d MiB waited, %d are allowed", most>>20, allowed>>20)
		}
		if s := b.Snapshot(); s.Shed == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Above the mark the sessions for which most waits go first, by as much as it takes to be well below;
// connections are refused, and let in when it is.
func TestMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mark = 64 << 20
		var used atomic.Int64
		b := newBroker(t, broker.Options{
			Limits:      broker.Limits{Outbox: 16 << 20, Memory: mark, SendTime: time.Hour},
			MemoryInUse: func() int64 { return used.Swap(min(used.Load(), mark-1)) }, // closing sessions helps
		})
		all := readers(t, b, 12)
		defer stopAll(all)
		healthy, sender := connect(t, b), connect(t, b)
		healthy.send("SUBSCRIBE\nid:t\ndestination:/topic/x\n\n")
		healthy.sync()
		used.Store(mark)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := closed(t, all); got != nil || b.Snapshot().MemoryShort {
			t.Errorf("at the mark: closed: %v", got)
		}
		used.Store(mark + 1<<20) // 5 MiB above where it is to come down to
		time.Sleep(time.Second)
		synctest.Wait()
		if got := fmt.Sprint(closed(t, all)); got != "[11 12]" {
			t.Errorf("closed: %s", got)
		}
		if s := b.Snapshot(); s.Shed != 2 || !s.MemoryShort || s.MemoryMark != mark || s.Memory != mark-1 {
			t.Errorf("%+v", s)
		}
		late := dial(t, b, 1<<20)
		late.send("CONNECT\naccept-version:1.2\n\n")
		late.expect("ERROR", "message:memory is short")
		if code := late.ended(); code != 1013 {
			t.Errorf("refused by %d", code)
		}
		for i := range 40 {
			sender.send(fmt.Sprintf("SEND\ndestination:/topic/x\n\n%d", i))
		}
		for i := range 40 {
			if f := healthy.expect("MESSAGE"); f.body != fmt.Sprint(i) {
				t.Fatalf("%q after %d", f.body, i)
			}
		}
		used.Store(mark - mark/16 - 1)
		time.Sleep(time.Second)
		if b.Snapshot().MemoryShort {
			t.Error("still short")
		}
		connect(t, b).sync()
		if got := fmt.Sprint(closed(t, all)); got != "[11 12]" {
			t.Errorf("closed: %s", got)
		}
	})
}

// While memory is short a publisher is held up and not cut off, whatever its heart-beats; what it says
// behind its SENDs comes through though memory stays short; and when that is over it is not held up.
func TestPublishersAreHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		b := newBroker(t, broker.Options{Limits: broker.Limits{Memory: 1 << 20}, MemoryInUse: used.Load, HeartBeat: broker.HeartBeat{Grace: 1}})
		sender, idle := dial(t, b, 1<<20), connect(t, b)
		sender.send("CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n")
		sender.expect("CONNECTED")
		beating := dial(t, b, 1<<20)
		beating.send("CONNECT\naccept-version:1.2\nheart-beat:1000,0\n\n")
		beating.expect("CONNECTED")
		used.Store(2 << 20)
		time.Sleep(sampled)
		start := time.Now()
		const sends = 200
		for _, c := range []*client{sender, beating} {
			for i := range sends {
				c.send(fmt.Sprintf("SEND\ndestination:/topic/x\nreceipt:%d\n\n", i))
			}
			c.send("BEGIN\ntransaction:t\n\n", "ABORT\ntransaction:t\nreceipt:behind\n\n")
		}
		for _, c := range []*client{sender, beating} {
			for i := range sends {
				c.expect("RECEIPT", fmt.Sprintf("receipt-id:%d", i))
			}
			c.expect("RECEIPT", "receipt-id:behind")
		}
		if took := time.Since(start); took < 10*time.Second || took > 15*time.Second {
			t.Errorf("%d SENDs took %v", sends, took)
		}
		idle.sync() // and so is who does not publish: not at all
		start = time.Now()
		sender.send("SEND\ndestination:/topic/x\nreceipt:a\n\n", "SEND\ndestination:/topic/x\nreceipt:b\n\n")
		sender.expect("RECEIPT", "receipt-id:a")
		for i := range 2 * sends {
			sender.send(fmt.Sprintf("SEND\ndestination:/topic/x\nreceipt:%d\n\n", i))
		}
		time.Sleep(1500 * time.Millisecond)
		used.Store(0)
		sender.expect("RECEIPT", "receipt-id:b")
		for i := range 2 * sends {
			sender.expect("RECEIPT", fmt.Sprintf("receipt-id:%d", i))
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("held up for %v, and memory was short for 1.5s", took)
		}
	})
}

// sampled is after at least one look at memory.
const sampled = time.Second

// A session that is held up ends at once when it is to.
func TestHeldPublisherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		b := newBroker(t, broker.Options{Limits: broker.Limits{Memory: 1}, MemoryInUse: used.Load})
		c := connect(t, b)
		used.Store(2)
		time.Sleep(sampled)
		c.send("SEND\ndestination:/topic/x\n\n", "SEND\ndestination:/topic/x\n\n")
		synctest.Wait()
		start := time.Now()
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.done
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// Where closing sessions does not help, because memory is full of something else, one connection a second
// gets in, which may take it away.
func TestMemoryStaysShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, broker.Options{Limits: broker.Limits{Memory: 1}, MemoryInUse: func() int64 { return 2 }})
		in := func() bool {
			c := dial(t, b, 1<<20)
			c.send("CONNECT\naccept-version:1.2\n\n")
			f, ok := c.next()
			return ok && f.command == "CONNECTED"
		}
		time.Sleep(sampled)
		for range 29 {
			if in() {
				t.Error("somebody got in")
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		n := 0
		for range 100 {
			if in() {
				n++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n != 10 {
			t.Errorf("%d got in within 10s", n)
		}
	})
}

// Who takes from a queue is not closed because memory is short, however much is on its way: that would go back to
// the queue, which nobody would empty then. Who has taken nothing for a second is.
func TestMemoryIsShortOfQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mark = 64 << 20
		var used atomic.Int64
		b := newBroker(t, broker.Options{Limits: broker.Limits{Memory: mark, SendTime: time.Hour}, MemoryInUse: used.Load})
		defer backlog(t, b, "/queue/q", 12).drop()
		if s := b.Snapshot(); s.Outboxes < 256<<10 {
			t.Fatalf("%d bytes wait", s.Outboxes)
		}
		used.Store(2 * mark)
		for _, closed := range []uint64{0, 1} {
			time.Sleep(700 * time.Millisecond)
			synctest.Wait()
			if s := b.Snapshot(); !s.MemoryShort || s.Shed != closed || s.Sessions != 2-int(closed) {
				t.Errorf("short: %v, %d closed, %d sessions", s.MemoryShort, s.Shed, s.Sessions)
			}
		}
	})
}

// backlog is a client that reads nothing while so many messages of 32 KiB wait for it.
func backlog(t *testing.T, b *broker.Broker, destination string, n int) *client {
	sender, c := connect(t, b), dial(t, b, 256)
	c.send("CONNECT\naccept-version:1.2\n\n")
	c.expect("CONNECTED")
	c.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\n\n")
	synctest.Wait()
	for range n {
		sender.send("SEND\ndestination:" + destination + "\n\n" + strings.Repeat("x", 32<<10))
	}
	sender.sync()
	return c
}

// A bound that is lowered holds at once for what waits already, though nothing has moved for long.
func TestOutboxesLowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := broker.Limits{SendTime: time.Hour}
		b := newBroker(t, broker.Options{Limits: limits})
		defer backlog(t, b, "/topic/x", 8).drop()
		time.Sleep(time.Minute)
		if s := b.Snapshot(); s.Outboxes < 128<<10 || s.Shed != 0 {
			t.Fatalf("%d bytes wait, %d closed", s.Outboxes, s.Shed)
		}
		limits.Outboxes = 64 << 10
		if err := b.SetLimits(limits, broker.HeartBeat{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if s := b.Snapshot(); s.Outboxes > 64<<10 || s.Shed != 1 {
			t.Errorf("%d bytes wait, %d closed", s.Outboxes, s.Shed)
		}
	})
}

// Nothing but heart-beats is a rest; whatever else happens ends it at once.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		b := newBroker(t, broker.Options{OnRest: func() { told.Add(1) }})
		c := dial(t, b, 1<<20)
		defer c.drop()
		c.send("CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n")
		c.expect("CONNECTED")
		c.send("SUBSCRIBE\nid:s\ndestination:/topic/later\n\n", "SEND\ndestination:/topic/later\nx-delay:25500\n\n")
		synctest.Wait()
		quiet := func(want bool) {
			t.Helper()
			for range 8 {
				time.Sleep(time.Second)
				c.p.in.write([]byte("\n"))
			}
			synctest.Wait()
			if b.Resting() != want {
				t.Errorf("resting: %v, told %d times", b.Resting(), told.Load())
			}
		}
		quiet(true)
		c.send("SEND\ndestination:/topic/nobody\n\n")
		synctest.Wait()
		if b.Resting() {
			t.Error("a message has come, and it rests")
		}
		quiet(true)
		quiet(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if b.Resting() {
			t.Error("a message has been delivered, and it rests")
		}
		if n := told.Load(); n != 4 {
			t.Errorf("told %d times", n)
		}
	})
}

// Memory that becomes short ends a rest too: it is looked at often from then on.
func TestShortMemoryEndsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		b := newBroker(t, broker.Options{Limits: broker.Limits{Memory: 1}, MemoryInUse: used.Load})
		time.Sleep(8 * time.Second)
		if !b.Resting() {
			t.Fatal("it does not rest")
		}
		used.Store(2)
		time.Sleep(sampled)
		before := b.Pulse()
		time.Sleep(10 * time.Second)
		if looks := b.Pulse() - before; b.Resting() || !b.MemoryShort() || looks < 99 {
			t.Errorf("resting: %v, short: %v, %d looks in 10s", b.Resting(), b.MemoryShort(), looks)
		}
		used.Store(0)
		time.Sleep(8 * time.Second)
		if !b.Resting() || b.MemoryShort() {
			t.Errorf("resting: %v, short: %v", b.Resting(), b.MemoryShort())
		}
	})
}
