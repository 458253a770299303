// Command plot draws what test/bench/peers has measured, once for light pages and once for dark ones.
//
//	go run . -in ../out/reports.jsonl -out ../out
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

func main() {
	in := flag.String("in", "../out/reports.jsonl", "reports of test/bench/peers")
	out := flag.String("out", "../out", "directory for the SVG files")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintf(os.Stderr, "plot: %v\n", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	d, err := read(in)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name          string
		width, height vg.Length
		draw          func(data, theme) [][]*plot.Plot
	}{
		{"fanout", 640, 330, fanout},
		{"growth", 760, 560, growth},
		{"polling", 760, 400, polling},
	} {
		for _, t := range themes {
			plots := f.draw(d, t)
			if plots == nil {
				fmt.Fprintf(os.Stderr, "plot: %s is left out: nothing of it was measured\n", f.name)
				break
			}
			name := filepath.Join(out, f.name+"-"+t.name+".svg")
			if err := save(name, plots, f.width, f.height, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// save tiles plots onto one picture.
func save(name string, plots [][]*plot.Plot, width, height vg.Length, t theme) error {
	canvas := vgsvg.New(width, height)
	dc := draw.New(canvas)
	dc.SetColor(t.back)
	dc.Fill(dc.Rectangle.Path())
	tiles := draw.Tiles{Rows: len(plots), Cols: len(plots[0]), PadX: 18, PadY: 22, PadTop: 10, PadBottom: 8, PadLeft: 10, PadRight: 14}
	for r, row := range plots {
		for c, p := range row {
			p.Draw(tiles.At(dc, c, r))
		}
	}
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return err
	}
	// Few machines have the font that the metrics are of; the next ones have the same, the last hardly wider ones.
	svg := strings.ReplaceAll(buf.String(), "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,Arimo,DejaVu Sans Condensed,sans-serif;")
	return os.WriteFile(name, []byte(svg), 0o644)
}

// report is a line of the reports' file.
type report struct {
	Section string         `json:"section"`
	Load    string         `json:"load"`
	Peer    string         `json:"peer"`
	Report  map[string]any `json:"report"`
}

// data is all reports in the order in which they were made.
type data []report

func read(name string) (d data, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var r report
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return d, nil
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		d = append(d, r)
	}
}

// median is that of one figure, by its path, over all rounds.
func (d data) median(section, load, peer, path string) (float64, bool) {
	var vs []float64
	for _, r := range d {
		if r.Section != section || r.Load != load || r.Peer != peer {
			continue
		}
		var v any = r.Report
		for key := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[key]
		}
		if f, ok := v.(float64); ok {
			vs = append(vs, f)
		}
	}
	if len(vs) == 0 {
		return 0, false
	}
	slices.Sort(vs)
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2, true
}

// loads are the names of a section's loads that begin like that, in order.
func (d data) loads(section, prefix string) (names []string) {
	for _, r := range d {
		if r.Section == section && strings.HasPrefix(r.Load, prefix) && !slices.Contains(names, r.Load) {
			names = append(names, r.Load)
		}
	}
	return names
}
