package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what broker bench -json prints.
type report map[string]any

// number is a figure of a report by its path, such as latency.p99_us.
func (r report) number(path string) (float64, bool) {
	var v any = map[string]any(r)
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return 0, false
		}
		v = m[key]
	}
	f, ok := v.(float64)
	return f, ok
}

// figures are what is printed, in this order, where a report has it; in the table only in some
// sections, if any are named.
var figures = []struct {
	path, name string
	in         []string
}{
	{"per_second", "messages/s", []string{fanouts, queues, durable}},
	{"connects_per_second", "connects/s", nil},
	{"broker_cpu_us", "broker CPU, µs each", []string{idleLoads, fanouts, paced, queues, growth, durable}},
	{"broker_cpu_percent", "server CPU, % of a core", []string{feeds}},
	{"broker_writes", "broker writes each", []string{fanouts, paced, queues, growth}},
	{"broker_allocs", "broker allocations each", []string{fanouts, queues}},
	{"bytes_received", "bytes to a client for each message", []string{feeds}},
	{"bytes_sent", "bytes from a client for each message", []string{feeds}},
	{"client_cpu_us", "client CPU, µs each", []string{}},
	{"latency.p50_us", "p50, µs", []string{idleLoads, paced, queues, collecting, feeds, durable}},
	{"latency.p99_us", "p99, µs", []string{idleLoads, paced, queues, collecting, feeds, durable}},
	{"latency.p999_us", "p99.9, µs", []string{collecting}},
	{"latency.max_us", "longest, µs", []string{collecting}},
	{"quiet_latency.p50_us", "alone: p50, µs", []string{}},
	{"quiet_latency.p99_us", "alone: p99, µs", []string{paced, collecting}},
	{"quiet_latency.p999_us", "alone: p99.9, µs", []string{collecting}},
	{"quiet_latency.max_us", "alone: longest, µs", []string{collecting}},
	{"rss_anon_kib_per_connection", "RssAnon, KiB each", nil},
	{"goroutines_per_connection", "goroutines each", []string{}},
	{"idle_cpu_percent", "CPU, % of a core", nil},
	{"broker_heap_live_mib", "heap alive, MiB", []string{collecting}},
	{"gc_cycles", "collections", []string{collecting}},
	{"gc_pauses_5ms", "pauses above 5 ms", []string{collecting}},
}

// faults must be zero.
var faults = []string{"lost", "duplicates", "misordered", "dropped_connections"}

// line is a report in one line, for who watches.
func (r report) line() string {
	var b strings.Builder
	for _, f := range figures {
		if v, ok := r.number(f.path); ok {
			fmt.Fprintf(&b, "%s %s; ", f.name, short(v))
		}
	}
	for _, f := range faults {
		if v, _ := r.number(f); v != 0 {
			fmt.Fprintf(&b, "%s %s!; ", f, short(v))
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// table collects reports by section, load and peer.
type table struct {
	got map[[3]string][]report
}

func newTable() *table { return &table{got: map[[3]string][]report{}} }

func (t *table) add(k kept) {
	key := [3]string{k.Section, k.Load, k.Peer}
	t.got[key] = append(t.got[key], k.Report)
}

// print writes a Markdown table for each section: medians, with the least and the most in brackets,
// and how the first peer stands to each of the others.
func (t *table) print(out io.Writer) error {
	var sections []string
	for _, tr := range trials() {
		if !slices.Contains(sections, tr.section) {
			sections = append(sections, tr.section)
		}
	}
	bad, runs := 0.0, 0
	for key, rs := range t.got {
		for _, f := range faults {
			for _, v := range t.values(key, f) {
				bad += v
			}
		}
		runs += len(rs)
	}
	for _, s := range sections {
		if err := t.section(out, s); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "Lost, doubled, out of order, dropped in all %d runs together: %s.\n", runs, short(bad))
	return err
}

// section writes one table, of the peers that have something in it.
func (t *table) section(out io.Writer, section string) error {
	var peers []string
	for _, p := range everybody("") {
		for key := range t.got {
			if key[0] == section && key[2] == p.name && !slices.Contains(peers, p.name) {
				peers = append(peers, p.name)
			}
		}
	}
	if len(peers) == 0 {
		return nil
	}
	fmt.Fprintf(out, "#### %s\n\n", section)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	head, rule := "\tload\tfigure", "\t---\t---"
	for _, p := range peers {
		head, rule = head+"\t"+t.title(p), rule+"\t---:"
	}
	if len(peers) > 1 {
		head, rule = head+"\t"+peers[0]+" to", rule+"\t---"
	}
	fmt.Fprintf(w, "%s\t\n%s\t\n", head, rule)
	for _, tr := range trials() {
		for _, f := range figures {
			if tr.section == section && (f.in == nil || slices.Contains(f.in, section)) {
				t.row(w, tr, peers, f.path, f.name)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// row writes one figure of one load, if anybody has it.
func (t *table) row(w io.Writer, tr trial, peers []string, path, name string) {
	row, ratios, any := "\t"+tr.name+"\t"+name, []string(nil), false
	key := func(p string) [3]string { return [3]string{tr.section, tr.name, p} }
	for _, p := range peers {
		vs := t.values(key(p), path)
		if len(vs) == 0 {
			row += "\t"
			continue
		}
		any = true
		row += "\t" + short(median(vs)) + spread(vs)
		if p != peers[0] {
			if r, ok := ratio(t.values(key(peers[0]), path), vs); ok {
				ratios = append(ratios, p+" "+short(r))
			}
		}
	}
	if !any {
		return
	}
	if len(peers) > 1 {
		row += "\t" + strings.Join(ratios, ", ")
	}
	fmt.Fprintln(w, row+"\t")
}

// values are one figure of all rounds.
func (t *table) values(key [3]string, path string) (vs []float64) {
	for _, r := range t.got[key] {
		if v, ok := r.number(path); ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// ratio is the median over the rounds of ours to theirs.
func ratio(ours, theirs []float64) (float64, bool) {
	if len(ours) == 0 || len(theirs) == 0 || median(theirs) == 0 {
		return 0, false
	}
	if len(ours) != len(theirs) || slices.Contains(theirs, 0) {
		return median(ours) / median(theirs), true
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return median(ratios), true
}

func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}

// spread is the least and the most of several values.
func spread(vs []float64) string {
	if len(vs) < 2 {
		return ""
	}
	return fmt.Sprintf(" (%s–%s)", short(slices.Min(vs)), short(slices.Max(vs)))
}

// title is what the broker calls itself.
func (t *table) title(peer string) string {
	for key, rs := range t.got {
		for _, r := range rs {
			if s, _ := r["server"].(string); key[2] == peer && strings.Contains(s, "/") {
				return s
			}
		}
	}
	return peer
}

// short prints a figure with three digits.
func short(v float64) string {
	if v >= 100 || v <= -100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
