package main

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// theme is the colours of one kind of page.
type theme struct {
	name                   string
	back, ink, faint, grid color.Color
	gudok, violet, amber   color.Color
	green, grey, lightGrey color.Color
}

var themes = []theme{
	{"light", hex(0xffffff), hex(0x1f2328), hex(0x59636e), hex(0xe3e7eb),
		hex(0x1d63d8), hex(0x8b45c9), hex(0xc26a00), hex(0x12805c), hex(0x7a828c), hex(0xb4bac1)},
	{"dark", hex(0x0d1117), hex(0xe6edf3), hex(0x9da7b3), hex(0x262c36),
		hex(0x4c9aff), hex(0xc08bf0), hex(0xf0a23a), hex(0x3fc796), hex(0x8b949e), hex(0x545d68)},
}

func hex(rgb uint32) color.Color {
	return color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 255}
}

// of is the colour of a peer, the same in every plot.
func (t theme) of(peer string) color.Color {
	switch peer {
	case "Gudok":
		return t.gudok
	case "NATS":
		return t.amber
	case "Centrifugo":
		return t.green
	case "RabbitMQ":
		return t.violet
	case "long polling":
		return t.amber
	case "polling every 100 ms":
		return t.green
	case "polling every 1 s":
		return t.violet
	case "bare loop":
		return t.grey
	}
	return t.lightGrey
}

const (
	titleSize = 13
	labelSize = 11
	tickSize  = 10
)

// blank is a plot of that theme with nothing in it.
func (t theme) blank(title string) *plot.Plot {
	p := plot.New()
	sans := func(size vg.Length) font.Font {
		return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
	}
	p.BackgroundColor = t.back
	p.Title.Text, p.Title.Padding = title, 7
	p.Title.TextStyle.Color, p.Title.TextStyle.Font = t.ink, sans(titleSize)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Width = t.faint, 0.6
		a.Label.TextStyle.Color, a.Label.TextStyle.Font = t.faint, sans(labelSize)
		a.Tick.Color, a.Tick.Width, a.Tick.Length = t.faint, 0.6, 4
		a.Tick.Label.Color, a.Tick.Label.Font = t.ink, sans(tickSize)
		a.Padding = 4
	}
	p.Legend.TextStyle.Color, p.Legend.TextStyle.Font = t.ink, sans(labelSize)
	p.Legend.Padding, p.Legend.ThumbnailWidth, p.Legend.YPosition = 2, 16, draw.PosCenter
	return p
}

// tidy prints a figure with two digits, in full.
func tidy(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := max(0, 1-int(math.Floor(math.Log10(math.Abs(v)))))
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// thousands prints a number on an axis.
func thousands(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return fmt.Sprintf("%g", v)
}

// decades are ticks of an axis of decimal logarithms: labels at each power of ten, marks at two and
// five of them.
func decades(label func(float64) string) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		for e := math.Floor(low); e <= math.Ceil(high); e++ {
			for _, m := range []float64{1, 2, 5} {
				t := plot.Tick{Value: e + math.Log10(m)}
				if t.Value < low-1e-9 || t.Value > high+1e-9 {
					continue // the plot would make room for it
				}
				if m == 1 {
					t.Label = label(math.Round(math.Pow(10, e)*1e6) / 1e6)
				}
				ticks = append(ticks, t)
			}
		}
		return ticks
	})
}
