package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxQueues = 1000 // that are named, the deepest
	maxLabel  = 256  // bytes of a name
	scrapes   = 4    // at once, which share what is gathered; more are refused
)

// metrics serves Prometheus' text format.
func (o *Options) metrics() http.HandlerFunc {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{o}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapes,
		CoalesceGather:      true,
	})
	return h.ServeHTTP
}

// collector asks the broker and its store when it is asked.
type collector struct{ o *Options }

// metric makes the description of one.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gudok_"+name, help, labels, nil)
}

// What there is; the README has the same table.
var (
	descInfo      = metric("build_info", "The version that runs; always 1.", "version")
	descSessions  = metric("sessions", "Connections that are open.")
	descConnects  = metric("connections_total", "Connections taken since the start.")
	descReceived  = metric("messages_received_total", "SEND frames received.")
	descDelivered = metric("messages_delivered_total", "MESSAGE frames handed to the network.")
	descTopics    = metric("topics", "Topic names and patterns that somebody subscribes to.")
	descConsumed  = metric("queues_consumed", "Queues that have a consumer.")
	descDead      = metric("dead_letters_total", "Messages that became dead letters.")
	descLogins    = metric("logins_failed_total", "Logins that failed: wrong (refused), not looked at because too many had failed (slowed), not to be checked (unchecked).", "outcome")
	descExpired   = metric("sessions_expired_total", "Sessions ended because their token's or certificate's time was over.")
	descRefused   = metric("refused_total", "Frames refused and sessions ended for this reason of the catalogue of errors.", "reason")
	descOutboxes  = metric("outboxes_bytes", "Bytes that wait to be written to all sessions.")
	descLargest   = metric("outbox_largest_bytes", "Bytes that wait to be written to the session for which most wait.")
	descShed      = metric("sessions_shed_total", "Sessions closed because memory was short or limits.outboxes reached.")
	descMemory    = metric("memory_bytes", "Memory in use, as limits.memory counts it.")
	descMark      = metric("memory_mark_bytes", "limits.memory, or what it stands for; 0 for none.")
	descShort     = metric("memory_short", "1 while memory is short.")

	descQueues   = metric("store_queues", "Queues in the store.")
	descMessages = metric("store_messages", "Messages in the store, whatever their state.")
	descBytes    = metric("store_messages_bytes", "Their size, with their names and headers.")
	descDepth    = metric("queue_messages", "Messages of a queue: ready, held by consumers, delayed. The 1,000 deepest queues only.", "queue", "state")
	descQueued   = metric("queue_bytes", "Bytes of a queue. The 1,000 deepest queues only.", "queue")
	descRefuses  = metric("store_refusing", "1 while durable messages are refused: the disk is full, or has failed.")
	descFile     = metric("store_file_bytes", "Size of the store's file.")
	descUsed     = metric("store_file_used_bytes", "Bytes of it that are in use.")
	descFree     = metric("disk_free_bytes", "Bytes of the disk that the store may still fill.")
	descRecords  = metric("store_records_total", "Messages written to the file; by the count of commits, how many one takes.")
	descCommits  = metric("store_commit_seconds", "How long a commit to the file took, its fdatasync included.")

	descs = []*prometheus.Desc{descInfo, descSessions, descConnects, descReceived, descDelivered, descTopics, descConsumed, descDead, descLogins,
		descExpired, descRefused, descOutboxes, descLargest, descShed, descMemory, descMark, descShort, descQueues, descMessages, descBytes,
		descDepth, descQueued, descRefuses, descFile, descUsed, descFree, descRecords, descCommits}
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		send(prometheus.CounterValue, d, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(prometheus.GaugeValue, d, v, labels...) }

	s := c.o.Snapshot()
	gauge(descInfo, 1, s.Version)
	gauge(descSessions, float64(s.Sessions))
	count(descConnects, s.Connects)
	count(descReceived, s.Received)
	count(descDelivered, s.Delivered)
	gauge(descTopics, float64(s.Topics))
	gauge(descConsumed, float64(s.Queues))
	count(descDead, s.Dead)
	count(descLogins, s.LoginsRefused, "refused")
	count(descLogins, s.LoginsSlowed, "slowed")
	count(descLogins, s.LoginsUnchecked, "unchecked")
	count(descExpired, s.Expired)
	for _, r := range s.Refused {
		count(descRefused, r.Count, r.Reason)
	}
	gauge(descOutboxes, float64(s.Outboxes))
	gauge(descLargest, float64(s.LargestOutbox))
	count(descShed, s.Shed)
	gauge(descMemory, float64(s.Memory))
	gauge(descMark, float64(s.MemoryMark))
	gauge(descShort, truth(s.MemoryShort))
	if c.o.Probe != nil {
		gauge(descRefuses, truth(c.o.Probe() != nil))
	}
	if c.o.Gauges == nil {
		return
	}
	g := c.o.Gauges(maxQueues)
	gauge(descQueues, float64(g.Queues))
	gauge(descMessages, float64(g.Messages))
	gauge(descBytes, float64(g.Bytes))
	seen := make(map[string]bool, len(g.Deepest))
	for _, q := range g.Deepest {
		name := label(q.Queue)
		if seen[name] {
			continue // a name twice would spoil the whole
		}
		seen[name] = true
		gauge(descDepth, float64(q.Ready), name, "ready")
		gauge(descDepth, float64(q.Held), name, "held")
		gauge(descDepth, float64(q.Delayed), name, "delayed")
		gauge(descQueued, float64(q.Bytes), name)
	}
	d := g.Disk
	if d == nil {
		return
	}
	gauge(descFile, float64(d.File))
	gauge(descUsed, float64(d.Used))
	if d.Free >= 0 {
		gauge(descFree, float64(d.Free))
	}
	count(descRecords, d.Records)
	buckets, n := make(map[float64]uint64, len(d.Commits.Bounds)), uint64(0)
	for i, c := range d.Commits.Counts {
		n += c
		if i < len(d.Commits.Bounds) {
			buckets[d.Commits.Bounds[i].Seconds()] = n
		}
	}
	out <- prometheus.MustNewConstHistogram(descCommits, n, d.Commits.Sum.Seconds(), buckets)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// label is a client's name as a label's value: Prometheus' format quotes it, here it is cut. What is cut
// off is told apart by its hash.
func label(name string) string {
	if len(name) <= maxLabel {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := "…" + hex.EncodeToString(sum[:8])
	cut := maxLabel - len(end)
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + end
}
