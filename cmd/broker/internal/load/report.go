package load

import "time"

// Report is what one load has seen. Figures per message count deliveries, broker figures are of
// its whole process tree, and what could not be measured is absent from the JSON.
type Report struct {
	Bench  string `json:"bench"`
	URL    string `json:"url"`
	Server string `json:"server,omitempty"`

	Subs   int     `json:"subs,omitempty"`
	Topics int     `json:"topics,omitempty"`
	Pubs   int     `json:"pubs,omitempty"`
	Size   int     `json:"size,omitempty"`
	Rate   float64 `json:"rate,omitempty"`
	Batch  int     `json:"batch,omitempty"`
	Ack    string  `json:"ack,omitempty"`
	// Receipts is how many each publisher may wait for; in a report of Send alone.
	Receipts int `json:"receipts,omitempty"`

	// Seconds is the measured span; Delivered and PerSecond are of it.
	Seconds   float64 `json:"seconds"`
	Delivered int64   `json:"delivered,omitempty"`
	PerSecond float64 `json:"per_second,omitempty"`
	// BrokerCPU and ClientCPU are microseconds per delivery (idle: per connection made);
	// BrokerWrites is write system calls per delivery.
	BrokerCPU    *float64 `json:"broker_cpu_us,omitempty"`
	ClientCPU    *float64 `json:"client_cpu_us,omitempty"`
	BrokerWrites *float64 `json:"broker_writes,omitempty"`
	// BrokerShare is the broker's CPU time in percent of one core.
	BrokerShare *float64 `json:"broker_cpu_percent,omitempty"`
	// Took and Wrote are bytes at the subscribers' sockets per delivery.
	Took  float64 `json:"bytes_received,omitempty"`
	Wrote float64 `json:"bytes_sent"`
	// Every is how often clients polled, in seconds; 0 in a report of Poll is long polling.
	Every float64 `json:"every,omitempty"`
	// Allocs is allocations of the broker per delivery (idle: per connection, with its heart-beats), Cycles its garbage
	// collections in the span, Pauses those of their pauses that took 5 ms or more, HeapLive what the
	// latest found alive, in MiB.
	Allocs   *float64 `json:"broker_allocs,omitempty"`
	Cycles   int64    `json:"gc_cycles,omitempty"`
	Pauses   *int64   `json:"gc_pauses_5ms,omitempty"`
	HeapLive float64  `json:"broker_heap_live_mib,omitempty"`
	// TimesLimit and TimesBare are BrokerCPU as a multiple of what the bare loop of the same run spent
	// when it wrote batches, and when it wrote each message alone.
	TimesLimit *float64 `json:"times_batch_limit,omitempty"`
	TimesBare  *float64 `json:"times_bare_loop,omitempty"`
	// Latency is from before the SEND to after the read (idle: one connect with subscribe).
	Latency *Latency `json:"latency,omitempty"`

	// Quiet is Latency before the connecting of Connect, or without the sessions of Pause.
	Quiet *Latency `json:"quiet_latency,omitempty"`

	// Published is everything sent, warm-up included; the rest judges all of it.
	Published  int64 `json:"published,omitempty"`
	Lost       int64 `json:"lost"`
	Duplicates int64 `json:"duplicates"`
	Misordered int64 `json:"misordered"`

	// Idle connections.
	Conns    int      `json:"connections,omitempty"`
	Connects float64  `json:"connects_per_second,omitempty"`
	RssAnon  *float64 `json:"rss_anon_kib_per_connection,omitempty"`
	// Goroutines and GoBytes are what the broker's runtime tells, per connection; GoBytes is stacks and
	// what the latest collection found alive of the heap.
	Goroutines *float64 `json:"goroutines_per_connection,omitempty"`
	GoBytes    *float64 `json:"go_bytes_per_connection,omitempty"`
	// Growth is the broker's memory in MiB at numbers of connections while they were made.
	Growth     []Point  `json:"growth,omitempty"`
	IdleCPU    *float64 `json:"idle_cpu_percent,omitempty"`
	BeatsIn    int64    `json:"beats_received,omitempty"`
	BeatsOut   int64    `json:"beats_sent,omitempty"`
	Dropped    int64    `json:"dropped_connections"`
	BrokerPeak float64  `json:"broker_rss_anon_mib,omitempty"`

	// Interrupted tells that the load was stopped before its time.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Point is one point of a curve.
type Point struct{ X, Y float64 }

// Sound tells that nothing was lost, doubled, disordered or dropped.
func (r *Report) Sound() bool {
	return r.Lost == 0 && r.Duplicates == 0 && r.Misordered == 0 && r.Dropped == 0
}

// sample is all counters at one moment.
type sample struct {
	at          int64
	count       int64
	broker      usage
	known       bool // broker was measured
	client      usage
	self        bool       // client was measured
	took, wrote int64      // bytes at the subscribers' sockets
	gc          *goRuntime // what the broker told, if it was asked
}

// perMessage fills the figures between two samples.
func (r *Report) perMessage(a, b sample) {
	r.Seconds = time.Duration(b.at - a.at).Seconds()
	r.Delivered = b.count - a.count
	if r.Delivered <= 0 || r.Seconds <= 0 {
		return
	}
	n := float64(r.Delivered)
	r.PerSecond = n / r.Seconds
	r.Took, r.Wrote = float64(b.took-a.took)/n, float64(b.wrote-a.wrote)/n
	if a.known && b.known {
		share := 100 * (b.broker.cpu - a.broker.cpu).Seconds() / r.Seconds
		r.BrokerShare = &share
		r.BrokerCPU = micros(b.broker.cpu-a.broker.cpu, n)
		if a.broker.writes >= 0 && b.broker.writes >= 0 {
			w := float64(b.broker.writes-a.broker.writes) / n
			r.BrokerWrites = &w
		}
		r.BrokerPeak = float64(b.broker.rssAnon) / (1 << 20)
	}
	if a.gc != nil && b.gc != nil {
		allocs := float64(b.gc.mallocs-a.gc.mallocs) / n
		r.Allocs = &allocs
		pauses := b.gc.over5ms - a.gc.over5ms
		r.Cycles, r.Pauses, r.HeapLive = b.gc.cycles-a.gc.cycles, &pauses, float64(b.gc.heapLive)/(1<<20)
	}
	if a.self && b.self {
		r.ClientCPU = micros(b.client.cpu-a.client.cpu, n)
	}
}

func micros(d time.Duration, n float64) *float64 {
	v := float64(d) / float64(time.Microsecond) / n
	return &v
}

// Compare sets how r stands to the bare loops among others that had as many subscribers and messages
// of the same size.
func (r *Report) Compare(others []Report) {
	if r.Bench != "fanout" || r.BrokerCPU == nil {
		return
	}
	for _, o := range others {
		if o.Bench != "bare" || o.Subs != r.Subs || o.Size != r.Size || o.BrokerCPU == nil || *o.BrokerCPU == 0 {
			continue
		}
		if times := *r.BrokerCPU / *o.BrokerCPU; o.Batch == 1 {
			r.TimesBare = &times
		} else {
			r.TimesLimit = &times
		}
	}
}
