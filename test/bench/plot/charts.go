package main

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sections as test/bench/peers names them.
const (
	idleLoads = "Idle connections"
	fanouts   = "Fan-out"
	growths   = "Growth"
	feeds     = "WebSocket against polling"
)

// series is a row of figures with a name.
type series struct {
	name   string
	points plotter.XYs
}

// lines plots series; scale is applied to both figures of
// each point.
func (t theme) lines(title, x, y string, all []series, scale func(float64) float64) *plot.Plot {
	p := t.blank(title)
	p.X.Label.Text, p.Y.Label.Text = x, y
	t.lattice(p)
	for _, s := range all {
		scaled := make(plotter.XYs, len(s.points))
		for i, pt := range s.points {
			scaled[i] = plotter.XY{X: scale(pt.X), Y: scale(pt.Y)}
		}
		l, dots, err := plotter.NewLinePoints(scaled)
		if err != nil {
			continue // a figure is missing or no number
		}
		l.Color, l.Width = t.of(s.name), 1.6
		dots.Color, dots.Shape, dots.Radius = t.of(s.name), draw.CircleGlyph{}, 2.4
		if s.name == "Gudok" {
			l.Width = 2.4
		}
		p.Add(l, dots)
		p.Legend.Add(s.name, l)
	}
	p.Legend.Top, p.Legend.Left = true, true
	return p
}

// logarithmic is lines over logarithmic axes. Figures are scaled here: the axis label of a
// plot.LogScale would take the room of a tick at the middle of the figures.
func (t theme) logarithmic(title, x, y string, all []series) *plot.Plot {
	p := t.lines(title, x, y, all, math.Log10)
	// At least two decades, so that what is flat looks flat.
	p.Y.Min, p.Y.Max = math.Floor(p.Y.Min), math.Ceil(p.Y.Max)
	p.Y.Max = max(p.Y.Max, p.Y.Min+2)
	p.X.Tick.Marker, p.Y.Tick.Marker = decades(thousands), decades(tidyTick)
	return p
}

func tidyTick(v float64) string {
	if v >= 1000 {
		return thousands(v)
	}
	return tidyExact(v)
}

func tidyExact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func (t theme) lattice(p *plot.Plot) {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = t.grid, t.grid
	g.Vertical.Width, g.Horizontal.Width = 0.6, 0.6
	p.Add(g)
}

// bars plots horizontal bars, one for each series in each group, over a logarithmic axis that begins at
// floor and leaves room on the right, with its figure behind each bar. Groups and series come from top to bottom.
func (t theme) bars(title, unit string, groups []string, names []string, floor, room float64, value func(group, name string) (float64, bool)) *plot.Plot {
	p := t.blank(title)
	p.X.Label.Text = unit
	width := vg.Length(150) / vg.Length(len(groups)*len(names)+len(groups))
	width = min(width, 13)
	gap := 1 / (float64(len(names)) + 0.8) // of the axis, for one bar
	most := floor
	style := p.X.Tick.Label
	style.XAlign, style.YAlign = text.XLeft, text.YCenter
	for i, name := range names {
		var labels plotter.XYLabels
		for g, group := range groups {
			v, ok := value(group, name)
			if !ok {
				continue
			}
			at := float64(len(groups)-1-g) + gap*(float64(len(names)-1)/2-float64(i))
			long := math.Log10(max(v, floor*1.02) / floor)
			b, err := plotter.NewBarChart(plotter.Values{long}, width)
			if err != nil {
				continue
			}
			b.Horizontal, b.XMin, b.Color, b.LineStyle.Width = true, at, t.of(name), 0
			p.Add(b)
			if labels.Labels == nil {
				p.Legend.Add(name, b)
			}
			labels.XYs = append(labels.XYs, plotter.XY{X: long, Y: at})
			labels.Labels = append(labels.Labels, tidy(v))
			most = max(most, v)
		}
		if l, err := plotter.NewLabels(labels); err == nil && len(labels.Labels) > 0 {
			for i := range l.TextStyle {
				l.TextStyle[i] = style
			}
			l.Offset = vg.Point{X: 3}
			p.Add(l)
		}
	}
	var ticks plot.ConstantTicks
	for e := math.Ceil(math.Log10(floor)); e <= math.Log10(most)+0.2; e++ {
		ticks = append(ticks, plot.Tick{Value: e - math.Log10(floor), Label: tidyTick(math.Round(math.Pow(10, e)*1e6) / 1e6)})
	}
	p.X.Tick.Marker = ticks
	p.X.Min, p.X.Max = 0, math.Log10(most/floor)*room
	p.Y.Min, p.Y.Max = -0.55, float64(len(groups))-0.45
	var rows plot.ConstantTicks
	for g, group := range groups {
		rows = append(rows, plot.Tick{Value: float64(len(groups) - 1 - g), Label: group})
	}
	p.Y.Tick.Marker, p.Y.Tick.Length, p.Y.Padding, p.X.Padding = rows, 0, 0, 2
	return p
}

// fanout shows what a delivery costs.
func fanout(d data, t theme) [][]*plot.Plot {
	groups := []string{"50 × 128 B", "1,000 × 256 B", "50 × 16 KiB"}
	if _, ok := d.median(fanouts, groups[0], "Gudok", "broker_cpu_us"); !ok {
		return nil
	}
	var names []string
	for _, name := range []string{"batch limit", "Gudok", "NATS", "Centrifugo", "bare loop", "RabbitMQ"} {
		if _, ok := d.median(fanouts, groups[0], name, "broker_cpu_us"); ok {
			names = append(names, name)
		}
	}
	p := t.bars("Broker CPU for each delivered message", "µs, logarithmic: shorter is better", groups, names, 0.01, 1.3,
		func(group, name string) (float64, bool) { return d.median(fanouts, group, name, "broker_cpu_us") })
	p.Legend.Top = true
	return [][]*plot.Plot{{p}}
}

// growth shows whether a delivery's cost stays, and how memory grows.
func growth(d data, t theme) [][]*plot.Plot {
	curve := func(what string) (all []series) {
		for _, peer := range []string{"batch limit", "Gudok", "NATS", "Centrifugo"} {
			s := series{name: peer}
			for _, load := range d.loads(growths, what+": ") {
				x, err := strconv.ParseFloat(strings.TrimPrefix(load, what+": "), 64)
				if y, ok := d.median(growths, load, peer, "broker_cpu_us"); ok && err == nil {
					s.points = append(s.points, plotter.XY{X: x, Y: y})
				}
			}
			if len(s.points) > 1 {
				all = append(all, s)
			}
		}
		return all
	}
	const unit = "broker CPU, µs for each delivery"
	subscribers, topics, publishers, memory := curve("subscribers"), curve("topics"), curve("publishers"), d.memory()
	if subscribers == nil || topics == nil || publishers == nil || memory == nil {
		return nil
	}
	return [][]*plot.Plot{{
		t.logarithmic("More subscribers", "subscribers of one topic", unit, subscribers),
		t.logarithmic("More topics", "topics, 5 subscribers each", unit, topics),
	}, {
		t.logarithmic("More publishers", "publishers, 50 subscribers", unit, publishers),
		t.straight("Memory", "idle connections", "MiB of the broker's process", memory),
	}}
}

// memory is the broker's memory over the number of connections, as the last round saw it.
func (d data) memory() (all []series) {
	for _, peer := range []string{"Gudok", "NATS", "Centrifugo"} {
		s := series{name: peer}
		for _, r := range d {
			if r.Section != idleLoads || r.Load != "8,000 connections" || r.Peer != peer {
				continue
			}
			s.points = nil
			curve, _ := r.Report["growth"].([]any)
			for _, c := range curve {
				pt, _ := c.(map[string]any)
				x, _ := pt["X"].(float64)
				y, _ := pt["Y"].(float64)
				s.points = append(s.points, plotter.XY{X: x, Y: y})
			}
		}
		if len(s.points) > 1 {
			all = append(all, s)
		}
	}
	return all
}

// straight is lines over linear axes that begin at zero.
func (t theme) straight(title, x, y string, all []series) *plot.Plot {
	p := t.lines(title, x, y, all, func(v float64) float64 { return v })
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, p.Y.Max*1.05
	p.X.Tick.Marker, p.Y.Tick.Marker = round(thousands), round(thousands)
	return p
}

// round is a ticker of about five round numbers.
func round(label func(float64) string) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		step := math.Pow(10, math.Floor(math.Log10(high-low)))
		for (high-low)/step > 6 {
			step *= 2
		}
		for (high-low)/step < 3 {
			step /= 2
		}
		for v := math.Ceil(low/step) * step; v <= high; v += step {
			ticks = append(ticks, plot.Tick{Value: v, Label: label(v)})
		}
		return ticks
	})
}

// polling sets WebSocket beside polling.
func polling(d data, t theme) [][]*plot.Plot {
	groups := d.loads(feeds, "")
	names := []string{"Gudok", "long polling", "polling every 100 ms", "polling every 1 s"}
	if len(groups) == 0 {
		return nil
	}
	chart := func(title, unit, path string, floor, room, scale float64) *plot.Plot {
		return t.bars(title, unit, groups, names, floor, room, func(group, name string) (float64, bool) {
			v, ok := d.median(feeds, group, name, path)
			if path == "bytes" {
				in, known := d.median(feeds, group, name, "bytes_received")
				out, _ := d.median(feeds, group, name, "bytes_sent")
				v, ok = in+out, known
			}
			return v * scale, ok
		})
	}
	p50 := chart("Delay, median", "ms, logarithmic", "latency.p50_us", 0.1, 1.9, 0.001)
	p50.Legend.Top = true
	rest := []*plot.Plot{
		chart("Delay, p99", "ms, logarithmic", "latency.p99_us", 0.1, 1.2, 0.001),
		chart("Server CPU", "% of a core, logarithmic", "broker_cpu_percent", 0.1, 1.2, 1),
		chart("Bytes for each message", "at a client's socket, both ways, logarithmic", "bytes", 50, 1.2, 1),
	}
	for _, p := range rest {
		p.Legend = plot.NewLegend()
	}
	return [][]*plot.Plot{{p50, rest[0]}, {rest[1], rest[2]}}
}
