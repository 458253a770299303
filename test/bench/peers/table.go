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

// figures are what is printed, in this order, where a report has it.
var figures = []struct {
	path, name string
	table      bool // in the table too, not only while the loads run
}{
	{"per_second", "messages/s", true},
	{"connects_per_second", "connects/s", true},
	{"broker_cpu_us", "broker CPU, µs each", true},
	{"broker_writes", "broker writes each", true},
	{"client_cpu_us", "client CPU, µs each", false},
	{"latency.p50_us", "p50, µs", true},
	{"latency.p99_us", "p99, µs", true},
	{"latency.p999_us", "p99.9, µs", false},
	{"rss_anon_kib_per_connection", "RssAnon, KiB each", true},
	{"idle_cpu_percent", "CPU, % of a core", true},
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

// table collects reports by load and peer.
type table struct {
	peers, loads []string
	got          map[[2]string][]report
}

func newTable() *table { return &table{got: map[[2]string][]report{}} }

func (t *table) add(load, peer string, r report) {
	if !slices.Contains(t.loads, load) {
		t.loads = append(t.loads, load)
	}
	if !slices.Contains(t.peers, peer) {
		t.peers = append(t.peers, peer)
	}
	key := [2]string{load, peer}
	t.got[key] = append(t.got[key], r)
}

// print writes a Markdown table of medians, with the least and the most in brackets, and how the
// first broker stands to each of the others.
func (t *table) print(out io.Writer) error {
	t.order()
	if len(t.peers) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	head, rule := "\tload\tfigure", "\t---\t---"
	for _, p := range t.peers {
		head, rule = head+"\t"+t.title(p), rule+"\t---:"
	}
	fmt.Fprintf(w, "%s\t%s to\t\n%s\t---\t\n", head, t.peers[0], rule)
	bad := 0.0
	for _, load := range t.loads {
		for _, f := range figures {
			if f.table {
				t.row(w, load, f.path, f.name)
			}
		}
		for _, p := range t.peers {
			for _, f := range faults {
				for _, v := range t.values(load, p, f) {
					bad += v
				}
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nlost, doubled, disordered, dropped in all runs together: %s\n", short(bad))
	return err
}

// row writes one figure of one load, if anybody has it.
func (t *table) row(w io.Writer, load, path, name string) {
	row, ratios, any := "\t"+load+"\t"+name, []string(nil), false
	for _, p := range t.peers {
		vs := t.values(load, p, path)
		if len(vs) == 0 {
			row += "\t"
			continue
		}
		any = true
		row += "\t" + short(median(vs)) + spread(vs)
		if r, ok := t.ratio(load, p, path); ok && p != t.peers[0] {
			ratios = append(ratios, p+" "+short(r))
		}
	}
	if any {
		fmt.Fprintln(w, row+"\t"+strings.Join(ratios, ", ")+"\t")
	}
}

// order puts peers and loads into the order of their lists, whatever came first.
func (t *table) order() {
	var peers, loads []string
	for _, p := range everybody("") {
		peers = append(peers, p.name)
	}
	for _, tr := range trials {
		loads = append(loads, tr.name)
	}
	by := func(list []string) func(a, b string) int {
		return func(a, b string) int { return slices.Index(list, a) - slices.Index(list, b) }
	}
	slices.SortStableFunc(t.peers, by(peers))
	slices.SortStableFunc(t.loads, by(loads))
}

// values are one figure of all rounds.
func (t *table) values(load, peer, path string) (vs []float64) {
	for _, r := range t.got[[2]string{load, peer}] {
		if v, ok := r.number(path); ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// ratio is the median over the rounds of what the first peer has to what that one has.
func (t *table) ratio(load, peer, path string) (float64, bool) {
	ours, theirs := t.values(load, t.peers[0], path), t.values(load, peer, path)
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
			if s, _ := r["server"].(string); key[1] == peer && strings.Contains(s, "/") {
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
