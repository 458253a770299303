package main

import (
	"strings"
	"testing"
	"time"
)

func TestTableShowsMediansAndRatios(t *testing.T) {
	tb := newTable()
	for i, cpu := range []float64{0.2, 0.4, 0.3} {
		add := func(peer string, v float64, more report) {
			more["broker_cpu_us"] = v
			tb.add(kept{fanouts, "50 × 128 B", peer, i + 1, more})
		}
		add("Gudok", cpu, report{"server": "gudok/1", "lost": 1.0})
		add("NATS", 2*cpu, report{"server": "nats-server/2"})
		add("batch limit", 0.1, report{"server": "bare loop"})
	}
	var b strings.Builder
	if err := tb.print(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"#### Fan-out", "|gudok/1", "|nats-server/2", "|batch limit", "|0.3 (0.2–0.4)", "|0.6 (0.4–0.8)", "NATS 0.5, batch limit 3",
		"dropped in all 9 runs together: 3.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(text, "Durable") || strings.Contains(text, "RabbitMQ") {
		t.Errorf("a section or a peer without figures\n%s", b.String())
	}
}

func TestEveryLoadIsForSomebody(t *testing.T) {
	seen := map[string]bool{}
	for _, tr := range trials() {
		name := tr.section + ", " + tr.name
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		takers := 0
		for _, p := range everybody("dir") {
			if !tr.takes(p) {
				continue
			}
			takers++
			if line := strings.Join(tr.line(p, time.Second), " "); strings.Contains(line, "%") || !strings.HasPrefix(line, "bench ") {
				t.Errorf("%s on %s: %s", name, p.name, line)
			}
		}
		if takers == 0 {
			t.Errorf("nobody takes %s", name)
		}
	}
}
