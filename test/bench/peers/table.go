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
	peers []*peer
	loads []string
	got   map[[2]string][]report
}

func newTable(peers []*peer) *table { return &table{peers: peers, got: map[[2]string][]report{}} }

func (t *table) add(load, peer string, r report) {
	if !slices.Contains(t.loads, load) {
		t.loads = append(t.loads, load)
	}
	key := [2]string{load, peer}
	t.got[key] = append(t.got[key], r)
}

// print writes a Markdown table of medians, with the least and the most in brackets, and the
// ratio of the first peer to each of the others.
func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	head, rule := "\tload\tfigure", "\t---\t---"
	for _, p := range t.peers {
		title := p.name
		if !p.disk {
			title = t.title(p.name)
		}
		head, rule = head+"\t"+title, rule+"\t---:"
	}
	for _, p := range t.peers[1:] {
		head, rule = head+"\tto "+p.name, rule+"\t---:"
	}
	fmt.Fprintln(w, head+"\t")
	fmt.Fprintln(w, rule+"\t")
	bad := 0.0
	for _, load := range t.loads {
		for _, f := range figures {
			if !f.table {
				continue
			}
			row, medians := "\t"+load+"\t"+f.name, make([]float64, len(t.peers))
			for i, p := range t.peers {
				vs := t.values(load, p.name, f.path)
				if len(vs) == 0 {
					row += "\t-"
					continue
				}
				m := vs[len(vs)/2]
				if len(vs)%2 == 0 {
					m = (m + vs[len(vs)/2-1]) / 2
				}
				medians[i] = m
				row += fmt.Sprintf("\t%s (%s–%s)", short(m), short(vs[0]), short(vs[len(vs)-1]))
			}
			if medians[0] == 0 {
				continue
			}
			for _, m := range medians[1:] {
				ratio := "-"
				if m != 0 {
					ratio = short(medians[0] / m)
				}
				row += "\t" + ratio
			}
			fmt.Fprintln(w, row+"\t")
		}
		for _, p := range t.peers {
			for _, f := range faults {
				for _, v := range t.values(load, p.name, f) {
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

// values are one figure of all rounds, sorted.
func (t *table) values(load, peer, path string) (vs []float64) {
	for _, r := range t.got[[2]string{load, peer}] {
		if v, ok := r.number(path); ok {
			vs = append(vs, v)
		}
	}
	slices.Sort(vs)
	return vs
}

// title is what the broker calls itself.
func (t *table) title(peer string) string {
	for key, rs := range t.got {
		for _, r := range rs {
			if s, _ := r["server"].(string); key[1] == peer && s != "" {
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
