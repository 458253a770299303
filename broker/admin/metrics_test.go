package admin_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/store"
)

// scrape gives the metrics of a broker as Prometheus reads them: values by name and labels.
func scrape(t *testing.T, o admin.Options) (values map[string]float64, text string) {
	t.Helper()
	res, text := get(t, admin.New(o), httptest.NewRequest("GET", "/metrics", nil))
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", res.StatusCode, res.Header, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	values = map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += "|" + l.GetName() + "=" + l.GetValue()
			}
			values[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			if h := m.Histogram; h != nil {
				values[key+"|count"], values[key+"|sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				for _, b := range h.Bucket {
					values[fmt.Sprintf("%s|le=%v", key, b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			}
		}
	}
	return values, text
}

func everything() admin.Options {
	return admin.Options{
		Snapshot: func() broker.Snapshot {
			return broker.Snapshot{Version: "1.2.3", Sessions: 1, Topics: 2, Queues: 3, Connects: 4, Received: 5, Delivered: 6, Dead: 7,
				LoginsRefused: 8, LoginsSlowed: 9, LoginsUnchecked: 10, Expired: 11, Outboxes: 12, LargestOutbox: 13, Memory: 14, MemoryMark: 15,
				MemoryShort: true, Shed: 16, Refused: []broker.Refusal{{Reason: "slow consumer", Count: 17}, {Reason: "not permitted"}}}
		},
		Gauges: func(n int) store.Gauges {
			return store.Gauges{Queues: 18, Messages: 19, Bytes: 20,
				Deepest: []store.Depth{{Queue: "/queue/a", Stat: store.Stat{Ready: 21, Held: 22, Delayed: 23, Bytes: 24}}},
				Disk: &store.Disk{File: 25, Used: 26, Free: 27, Records: 28, Commits: store.TimeHistogram{
					Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{1, 2, 4}, Sum: 1500 * time.Millisecond}}}
		},
		Probe: func() error { return store.ErrFull },
	}
}

func TestMetrics(t *testing.T) {
	got, text := scrape(t, everything())
	want := map[string]float64{
		"gudok_build_info|version=1.2.3": 1, "gudok_sessions": 1, "gudok_topics": 2, "gudok_queues_consumed": 3, "gudok_connections_total": 4,
		"gudok_messages_received_total": 5, "gudok_messages_delivered_total": 6, "gudok_dead_letters_total": 7,
		"gudok_logins_failed_total|outcome=refused": 8, "gudok_logins_failed_total|outcome=slowed": 9, "gudok_logins_failed_total|outcome=unchecked": 10,
		"gudok_sessions_expired_total": 11, "gudok_outboxes_bytes": 12, "gudok_outbox_largest_bytes": 13, "gudok_memory_bytes": 14,
		"gudok_memory_mark_bytes": 15, "gudok_memory_short": 1, "gudok_sessions_shed_total": 16,
		"gudok_refused_total|reason=slow consumer": 17, "gudok_refused_total|reason=not permitted": 0,
		"gudok_store_queues": 18, "gudok_store_messages": 19, "gudok_store_messages_bytes": 20,
		"gudok_queue_messages|queue=/queue/a|state=ready": 21, "gudok_queue_messages|queue=/queue/a|state=held": 22,
		"gudok_queue_messages|queue=/queue/a|state=delayed": 23, "gudok_queue_bytes|queue=/queue/a": 24, "gudok_store_refusing": 1,
		"gudok_store_file_bytes": 25, "gudok_store_file_used_bytes": 26, "gudok_disk_free_bytes": 27, "gudok_store_records_total": 28,
		"gudok_store_commit_seconds|count": 7, "gudok_store_commit_seconds|sum": 1.5, "gudok_store_commit_seconds|le=0.001": 1,
		"gudok_store_commit_seconds|le=1": 3, "gudok_store_commit_seconds|le=+Inf": 7, "gudok_store_commit_seconds": 0,
	}
	for key, v := range want {
		if now, ok := got[key]; !ok || now != v {
			t.Errorf("%s: %v, want %v", key, now, v)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok && strings.HasPrefix(key, "gudok_") {
			t.Errorf("%s is not tested", key)
		}
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_inuse_bytes", "process_open_fds", "process_resident_memory_bytes"} {
		if got[name] <= 0 {
			t.Errorf("%s: %v", name, got[name])
		}
	}
	// What is not there is left out.
	o := everything()
	o.Gauges = func(int) store.Gauges { return store.Gauges{Disk: &store.Disk{Free: -1}} }
	o.Probe = nil
	if got, _ := scrape(t, o); got["gudok_store_commit_seconds|count"] != 0 || slices.Contains(keys(got), "gudok_disk_free_bytes") || slices.Contains(keys(got), "gudok_store_refusing") {
		t.Errorf("%v", got)
	}
	o.Gauges = nil
	if got, _ := scrape(t, o); slices.Contains(keys(got), "gudok_store_queues") {
		t.Errorf("%v", got)
	}
	// The README names all of them.
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (gudok_\S+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(readme), "`"+m[1]) {
			t.Errorf("the README does not tell of %s", m[1])
		}
	}
}

func keys(m map[string]float64) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// Names are what clients have made of them: none breaks the format or the page's bound.
func TestNamesInMetrics(t *testing.T) {
	long := "/queue/" + strings.Repeat("ü", 200)
	names := []string{`/queue/"} 1`, `/queue/\`, "/queue/a b", `/queue/{x="y"}`, long + "1", long + "2", "/queue/<script>", `/queue/\n`, "/queue/한글", "/queue/a\nb 7"}
	o := everything()
	o.Gauges = func(n int) store.Gauges {
		if n != 1000 {
			t.Errorf("%d queues are asked for", n)
		}
		var g store.Gauges
		for i, name := range names {
			g.Deepest = append(g.Deepest, store.Depth{Queue: name, Stat: store.Stat{Ready: i + 1}})
		}
		g.Deepest = append(g.Deepest, g.Deepest[0]) // a name twice does not spoil the rest
		return g
	}
	got, text := scrape(t, o)
	seen := map[float64]bool{}
	for key, v := range got {
		name, ok := strings.CutPrefix(key, "gudok_queue_messages|queue=")
		name, ok2 := strings.CutSuffix(name, "|state=ready")
		if !ok || !ok2 {
			continue
		}
		seen[v] = true
		if whole := names[int(v)-1]; name != whole && (len(whole) <= 256 || len(name) > 256 || len(name) < 250) {
			t.Errorf("%q for %q", name, whole)
		}
	}
	if len(seen) != len(names) {
		t.Errorf("%d of %d names\n%s", len(seen), len(names), text)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && !regexp.MustCompile(`^[a-z_]+(\{.*\})? \S+\n$`).MatchString(line) {
			t.Errorf("%q", line)
		}
	}
}
