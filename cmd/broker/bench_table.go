package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

// printBench prints a table of message loads and one of idle loads, whichever there are.
func printBench(w io.Writer, reports []load.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := ""
	for i := range reports {
		r := &reports[i]
		if i == 0 {
			fmt.Fprintf(w, "%s  %s\n", r.URL, r.Server)
		}
		cols, row := messageRow(r)
		switch r.Bench {
		case "idle":
			cols, row = idleRow(r)
		case "connect", "pause":
			cols, row = besideRow(r)
		}
		if cols != head {
			if head != "" {
				fmt.Fprintln(t)
			}
			fmt.Fprintln(t, cols)
			head = cols
		}
		fmt.Fprintln(t, row)
	}
	return t.Flush()
}

func messageRow(r *load.Report) (cols, row string) {
	name := r.Bench
	if r.Ack != "" {
		name += " " + r.Ack
	}
	if r.Topics > 0 {
		name += fmt.Sprintf(" %d topics", r.Topics)
	}
	cols = "load\tpubs×subs\tbytes\tbatch\tmessages\tper s\tbroker µs\twrites\tallocs\t× limit\t× bare\tclient µs\tp50 µs\tp99 µs\tp999 µs\tlost\tdoubled\tdisordered\t"
	batch := fmt.Sprint(r.Batch)
	if r.Receipts > 0 {
		name += fmt.Sprintf(" %d outstanding", r.Receipts)
	}
	if r.Rate > 0 {
		batch = fmt.Sprintf("%g/s", r.Rate)
	}
	row = fmt.Sprintf("%s\t%d×%d\t%d\t%s\t%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s",
		name, r.Pubs, r.Subs, r.Size, batch, r.Delivered, r.PerSecond, figure(r.BrokerCPU), figure(r.BrokerWrites),
		figure(r.Allocs), figure(r.TimesLimit), figure(r.TimesBare), figure(r.ClientCPU), delays(r.Latency), r.Lost, r.Duplicates, r.Misordered, note(r))
	return cols, row
}

func idleRow(r *load.Report) (cols, row string) {
	cols = "load\tconnections\tconnects/s\tbroker µs each\tp50 µs\tp99 µs\tp999 µs\tKiB each\tfor s\tbroker % of a core\tbeats in\tbeats out\tdropped\t"
	row = fmt.Sprintf("%s\t%d\t%.0f\t%s\t%s\t%s\t%.0f\t%s\t%d\t%d\t%d\t%s", r.Bench, r.Conns, r.Connects,
		figure(r.BrokerCPU), delays(r.Latency), figure(r.RssAnon), r.Seconds, figure(r.IdleCPU), r.BeatsIn, r.BeatsOut,
		r.Dropped, note(r))
	return cols, row
}

// besideRow is a load at a fixed rate, alone and beside something else.
func besideRow(r *load.Report) (cols, row string) {
	cols = "load\tconnections\tconnects/s\tmessages/s\tp50 µs\tp99 µs\tp999 µs\tmax µs\talone p50\tp99\tp999\tmax\tbroker MiB\tlive MiB\tcollections\tpauses > 5 ms\tlost\tdoubled\tdisordered\t"
	row = fmt.Sprintf("%s\t%d\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t%.0f\t%.0f\t%d\t%s\t%d\t%d\t%d\t%s", r.Bench, r.Conns, r.Connects, r.PerSecond,
		delays(r.Latency), most(r.Latency), delays(r.Quiet), most(r.Quiet), r.BrokerPeak, r.HeapLive, r.Cycles, pauses(r.Pauses), r.Lost, r.Duplicates, r.Misordered, note(r))
	return cols, row
}

func most(l *load.Latency) string {
	if l == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", l.Max)
}

func pauses(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// figure prints what was measured, or a dash.
func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	if *v >= 100 {
		return fmt.Sprintf("%.0f", *v)
	}
	return fmt.Sprintf("%.3g", *v)
}

func delays(l *load.Latency) string {
	if l == nil {
		return "-\t-\t-"
	}
	return fmt.Sprintf("%.0f\t%.0f\t%.0f", l.P50, l.P99, l.P999)
}

func note(r *load.Report) string {
	if r.Interrupted {
		return "interrupted\t"
	}
	return "\t"
}
