package durability

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
)

// timed sends a message with a header about its time.
func (w *world) timed(k *link, queue, header string, expires int64) *entry {
	w.t.Helper()
	p := w.publisher("timed")
	e, headers, body := p.next()
	e.expires = expires
	es := w.l.intend(e, []string{queue}, nil)
	if err := k.send("SEND\ndestination:"+queue+"\n"+header+headers, body, func() { w.l.receipted(es) }); err != nil {
		w.t.Fatal(err)
	}
	return es[0]
}

// until waits for a moment of the wall clock.
func until(moment int64) {
	for time.Now().UnixMilli() <= moment {
		time.Sleep(time.Millisecond)
	}
}

// What expires while the broker is down is not delivered afterwards.
func TestExpiredStaysAway(t *testing.T) {
	w := story(t)
	k := w.dial("")
	// One of these is the first to expire after the kill, however long it takes to come to that.
	began := time.Now().UnixMilli()
	var moments []int64
	for after := int64(200); after < 10_000; after *= 2 {
		moments = append(moments, began+after)
		for range 5 {
			w.timed(k, qBacklog, fmt.Sprintf("expires:%d\n", began+after), began+after)
		}
	}
	for range 10 {
		w.timed(k, qBacklog, "", 0)
	}
	w.sync(k)
	w.broker.Kill()
	killed := time.Now().UnixMilli()
	i := slices.IndexFunc(moments, func(m int64) bool { return m > killed })
	if i < 0 {
		t.Fatalf("stuck: everything had expired before the kill, %d ms after the beginning", killed-began)
	}
	until(moments[i])
	w.start()
	w.l.begin(0)
	c := w.hold(qBacklog, individual)
	lasting := 0
	for _, d := range c.takeAll(w) {
		switch e := d.e.expires; {
		case e == 0:
			lasting++
		case e <= moments[i]:
			t.Errorf("expired: %v came", d.e.key)
		}
	}
	if lasting != 10 {
		t.Errorf("lost: %d messages came that do not expire, of 10", lasting)
	}
	c.leave(w)
	w.end(qBacklog)
}

// What is delayed waits for its time, whatever happens meanwhile, and then comes.
func TestDelayedWaits(t *testing.T) {
	w := story(t)
	k := w.dial("")
	moment := time.Now().UnixMilli() + 700
	soon := w.timed(k, qBacklog, fmt.Sprintf("AMQ_SCHEDULED_TIME:%d\n", moment), 0)
	late := w.timed(k, qIndividual, "x-delay:3600000\n", 0)
	w.sync(k)
	w.restart()
	far := w.hold(qIndividual, individual)
	c := w.hold(qBacklog, individual)
	d := c.take(w, 1)[0]
	if d.e != soon || time.Now().UnixMilli() < moment {
		t.Errorf("delay: %v came %d ms before its time", d.e.key, moment-time.Now().UnixMilli())
	}
	c.acknowledge([]*entry{d.e}, d.ack)
	w.sync(c.k)
	w.send(w.publisher("p"), qIndividual, 1, true)
	if d := far.take(w, 1)[0]; d.e == late {
		t.Errorf("delay: %v came an hour early", late.key)
	}
	w.l.acking([]*entry{late}, nil) // nobody waits for it
	w.broker.Kill()
	w.inspect()
	w.start()
	w.end(qBacklog, qIndividual)
}

// A durable subscription is there after a kill, and gets what was sent while nobody listened.
func TestDurableSubscriptionSurvives(t *testing.T) {
	w := story(t)
	for _, s := range []string{subAlways, subSeldom} {
		w.subscribe(s, individual).leave(w)
	}
	w.restart()
	w.spread(10, subAlways, subSeldom)
	w.restart()
	w.end(subAlways, subSeldom)
}

// A durable subscription that was deleted is gone with all it held.
func TestUnsubscribedStaysGone(t *testing.T) {
	w := story(t)
	c := w.hold(subAlways, individual)
	k := w.dial("")
	p := w.publisher("news")
	var all []*entry
	for range 10 {
		e, headers, body := p.next()
		es := w.l.intend(e, []string{subAlways}, nil)
		all = append(all, es...)
		if err := k.send("SEND\ndestination:"+topicNews+"\n"+headers, body, func() { w.l.receipted(es) }); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(k)
	c.take(w, 10)
	if err := c.k.call("UNSUBSCRIBE\nid:news\ndurable:true\n", nil); err != nil {
		t.Fatal(err)
	}
	w.l.acking(all, nil)
	w.l.acked(all)
	w.restart()
	// What is sent to nobody is not kept, either.
	k = w.dial("")
	for range 3 {
		_, headers, body := p.next()
		if err := k.send("SEND\ndestination:"+topicNews+"\n"+headers, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(k)
	back := w.hold(subAlways, individual)
	back.leave(w)
	w.end(subAlways)
}

// A SEND whose body does not come to its end is no message, however its sender goes.
func TestTruncatedIsNoMessage(t *testing.T) {
	w := story(t)
	for _, cut := range []int{0, 1, 500, 999} {
		conn, err := net.DialTimeout("tcp", w.broker.TCP, harness.Patience)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT\naccept-version:1.2\nhost:x\n\n\x00SEND\ndestination:%s\nx-pub:cut\nx-seq:%d\ncontent-length:1000\n\n%s",
			qBacklog, cut, make([]byte, cut))
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		// The broker has seen it all once it has closed its side.
		conn.SetReadDeadline(time.Now().Add(harness.Patience))
		buf := make([]byte, 4096)
		for err == nil {
			_, err = conn.Read(buf)
		}
		conn.Close()
	}
	w.send(w.publisher("p"), qBacklog, 1, true) // whatever was taken before is durable now
	w.restart()
	w.end(qBacklog)
}
