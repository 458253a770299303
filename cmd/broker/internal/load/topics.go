package load

import (
	"context"
	"fmt"
)

// topicDigits is the number of a topic at the end of its name, in hexadecimal.
const topicDigits = 6

// fan is how many subscribers each of several topics has, if there are so many.
const fan = 5

// spread is which topics a subscriber has in a load of several: topic t is subscribed by the numbers
// t to t+fan-1, modulo the subscribers, and message number n of each publisher goes to topic n modulo
// the topics.
type spread struct{ topics, subs, fan int }

func (o Options) spread() spread { return spread{o.Topics, o.Subs, min(fan, o.Subs)} }

// has tells whether subscriber number i has topic t.
func (s spread) has(i, t int) bool { return ((i-t)%s.subs+s.subs)%s.subs < s.fan }

// names are the topics of subscriber number i.
func (s spread) names(destination string, i int) (names []string) {
	for t := range s.topics {
		if s.has(i, t) {
			names = append(names, fmt.Sprintf("%s.%0*x", destination, topicDigits, t))
		}
	}
	return names
}

// due is what subscriber number i should have of a publisher's n messages: how many, and the sum of
// their numbers.
func (s spread) due(i int, n int64) (count, sum int64) {
	step := int64(s.topics)
	for t := range s.topics {
		if first := int64(t); s.has(i, t) && first < n {
			k := (n - first + step - 1) / step
			count += k
			sum += k*first + step*k*(k-1)/2
		}
	}
	return count, sum
}

// subscribeWidth is how many subscriptions are made before their answers are awaited.
const subscribeWidth = 128

// subscribeAll subscribes to all of names and waits until that counts. It comes before run.
func (c *conn) subscribeAll(ctx context.Context, names []string) error {
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer stop()
	for at := 0; at < len(names); at += subscribeWidth {
		some := names[at:min(at+subscribeWidth, len(names))]
		c.mu.Lock()
		c.wbuf = c.wbuf[:0]
		for i, name := range some {
			c.wbuf = c.append(c.wbuf, c.speaks.subscribe(at+i, name, "auto", "", true))
		}
		err := c.flush()
		c.mu.Unlock()
		if err != nil {
			return fmt.Errorf("write subscriptions: %w", err)
		}
		if err := c.awaitAll('R', len(some)); err != nil {
			return fmt.Errorf("subscribe to %d topics: %w", len(names), err)
		}
	}
	return nil
}

// judge adds to rep what the receivers of several topics have missed or seen out of order.
func (s spread) judge(r *run, rep *Report) {
	for i, rcv := range r.subs {
		var count, sum int64
		for _, p := range r.pubs {
			c, n := s.due(i, p.sent.Load())
			count, sum = count+c, sum+n
		}
		rep.Misordered += rcv.back + rcv.foreign
		rep.Lost += max(0, count-rcv.n)
		rep.Duplicates += max(0, rcv.n-count)
		if count == rcv.n && sum != rcv.sum {
			rep.Lost, rep.Duplicates = rep.Lost+1, rep.Duplicates+1
		}
	}
}
