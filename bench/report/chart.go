package main

import (
	"image/color"
	"math"
	"os"
	"slices"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A look is how an implementation is drawn: by colours that people with any
// colour vision can tell apart (Okabe and Ito), and never by colour alone.
type look struct {
	color  color.RGBA
	width  vg.Length
	dashes []vg.Length
	shape  draw.GlyphDrawer
}

var (
	blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	sky    = color.RGBA{0x3f, 0xa0, 0xd8, 0xff}
	red    = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	green  = color.RGBA{0x00, 0x8a, 0x66, 0xff}
	pink   = color.RGBA{0xb8, 0x5c, 0x90, 0xff}
	orange = color.RGBA{0xb8, 0x7a, 0x00, 0xff}
	grey   = color.RGBA{0x80, 0x80, 0x80, 0xff}
	ink    = color.RGBA{0x22, 0x22, 0x22, 0xff}
	faint  = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}

	dashed = []vg.Length{vg.Points(5), vg.Points(3)}
	dotted = []vg.Length{vg.Points(1.5), vg.Points(2.5)}
)

var looks = map[string]look{
	"objseal":          {blue, vg.Points(3), nil, draw.CircleGlyph{}},
	"objseal-fused":    {blue, vg.Points(3), dashed, draw.CircleGlyph{}},
	"objseal-avx2":     {sky, vg.Points(1.8), dashed, draw.TriangleGlyph{}},
	"objseal-avx":      {sky, vg.Points(1.2), dashed, draw.SquareGlyph{}},
	"objseal-readerat": {sky, vg.Points(1.8), dashed, draw.TriangleGlyph{}},
	"objseal-generic":  {sky, vg.Points(1.8), nil, draw.SquareGlyph{}},
	"sio":              {red, vg.Points(1.8), nil, draw.PyramidGlyph{}},
	"sio-reader":       {red, vg.Points(1.8), dashed, draw.PyramidGlyph{}},
	"cipher":           {green, vg.Points(1.8), nil, draw.BoxGlyph{}},
	"tink":             {pink, vg.Points(1.8), nil, draw.TriangleGlyph{}},
	"age":              {orange, vg.Points(1.8), nil, draw.TriangleGlyph{}},
	"memcpy":           {grey, vg.Points(1.5), dotted, nil},
	"copy":             {grey, vg.Points(1.5), dotted, nil},
}

func lookOf(impl string) look {
	name, several, _ := strings.Cut(impl, " ")
	l, ok := looks[name]
	if !ok {
		l = look{ink, vg.Points(1.5), nil, draw.CrossGlyph{}}
	}
	if several != "" { // workers
		l.dashes = dashed
	}
	return l
}

// labelOf is what stands beside the line.
func (s *section) labelOf(impl string) string {
	switch {
	case impl == "memcpy":
		return "memcpy (the roof)"
	case impl == "cipher" && slices.Contains(s.labels, "ChaCha20-Poly1305"):
		return "x/crypto"
	case impl == "cipher":
		return "crypto/cipher"
	}
	if name, n, ok := strings.Cut(impl, " ×"); ok {
		return name + ", " + n + " workers"
	}
	return impl
}

// hasChart: bytes per second over at least three sizes and nothing else.
func (s *section) hasChart() bool {
	return s.unit() == "B/s" && len(s.rows) >= 3 && !slices.ContainsFunc(s.rows, func(r row) bool { return r.rest != "" || bytesOf(r.size) == 0 })
}

const (
	chartWidth  = 20 * vg.Centimeter
	chartHeight = 11.5 * vg.Centimeter
	chartDPI    = 160
	labelSpace  = 4.1 * vg.Centimeter
)

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

func textStyle(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(sans, size), Handler: plot.DefaultTextHandler}
}

// A line is what is drawn of an implementation.
type line struct {
	look   look
	label  string
	points plotter.XYs
}

func (s *section) lines() (all []line) {
	for _, impl := range s.impls {
		l := line{look: lookOf(impl), label: s.labelOf(impl)}
		for _, at := range s.rows {
			if v, ok := s.cells[cellKey{at, impl}].median("B/s"); ok && v > 0 {
				l.points = append(l.points, plotter.XY{X: bytesOf(at.size), Y: v / 1e9})
			}
		}
		if len(l.points) > 0 {
			all = append(all, l)
		}
	}
	return all
}

// chart writes name.svg and name.png.
func (s *section) chart(origin, name string) error {
	svg := vgsvg.New(chartWidth, chartHeight)
	png := vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(chartDPI))
	for _, c := range []vg.CanvasSizer{svg, png} {
		if err := s.draw(draw.New(c), origin); err != nil {
			return err
		}
	}
	var b strings.Builder
	if _, err := svg.WriteTo(&b); err != nil {
		return err
	}
	if err := os.WriteFile(name+".svg", []byte(withFallbackFonts(b.String())), 0o644); err != nil {
		return err
	}
	f, err := os.Create(name + ".png")
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: png}).WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// withFallbackFonts names fonts of the same measures for readers who have not
// the one that the chart was laid out with.
func withFallbackFonts(svg string) string {
	return strings.ReplaceAll(svg, "Liberation Sans", "Liberation Sans,Arimo,Arial,Helvetica,sans-serif")
}

func (s *section) draw(c draw.Canvas, origin string) error {
	lines := s.lines()
	p := plot.New()
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color = grey
		axis.Tick.LineStyle.Color = grey
		align := axis.Tick.Label
		axis.Tick.Label = textStyle(vg.Points(10), ink)
		axis.Tick.Label.XAlign, axis.Tick.Label.YAlign = align.XAlign, align.YAlign
		axis.Scale = plot.LogScale{}
		axis.Padding = 0
	}
	p.X.Tick.Marker = s.sizeTicks()
	low, high := span(lines)
	p.Y.Tick.Marker = speedTicks(low, high)

	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	for _, l := range slices.Backward(lines) { // ours on top
		path, err := plotter.NewLine(l.points)
		if err != nil {
			return err
		}
		path.LineStyle = draw.LineStyle{Color: l.look.color, Width: l.look.width, Dashes: l.look.dashes}
		p.Add(path)
		if l.look.shape == nil {
			continue
		}
		marks, err := plotter.NewScatter(l.points)
		if err != nil {
			return err
		}
		marks.GlyphStyle = draw.GlyphStyle{Color: l.look.color, Radius: vg.Points(1.5) + l.look.width/2, Shape: l.look.shape}
		p.Add(marks)
	}
	first, last := bytesOf(s.rows[0].size), bytesOf(s.rows[len(s.rows)-1].size)
	p.X.Min, p.X.Max = first*0.8, last*1.25
	p.Y.Min, p.Y.Max = low, high

	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	area := draw.Crop(c, vg.Points(8), -labelSpace, vg.Points(28), -vg.Points(52))
	p.Draw(area)
	drawLabels(p.DataCanvas(area), p, lines)

	left := c.Min.X + vg.Points(10)
	headline := textStyle(vg.Points(15), ink)
	headline.Font.Weight = xfont.WeightBold
	c.FillText(headline, vg.Point{X: left, Y: c.Max.Y - vg.Points(22)}, s.headline())
	c.FillText(textStyle(vg.Points(10.5), grey), vg.Point{X: left, Y: c.Max.Y - vg.Points(37)}, strings.Join(append(s.subtitle(), "GB/s of plaintext, both scales logarithmic"), " · "))
	small := textStyle(vg.Points(8.5), grey)
	c.FillText(small, vg.Point{X: left, Y: c.Min.Y + vg.Points(9)}, origin)
	return nil
}

// drawLabels puts the name of each line beside its last point, moved up or down
// as far as needed for none to cover another.
func drawLabels(data draw.Canvas, p *plot.Plot, lines []line) {
	const apart = 14 // points
	trX, trY := p.Transforms(&data)
	type label struct {
		line
		end vg.Point
		y   vg.Length
	}
	var labels []label
	for _, l := range lines {
		last := l.points[len(l.points)-1]
		end := vg.Point{X: trX(last.X), Y: trY(last.Y)}
		labels = append(labels, label{l, end, end.Y})
	}
	slices.SortFunc(labels, func(a, b label) int { return int(math.Copysign(1, float64(a.y-b.y))) })
	for range 200 { // push neighbours apart until all have room
		for i := 1; i < len(labels); i++ {
			if gap := apart - (labels[i].y - labels[i-1].y); gap > 0 {
				labels[i].y += gap / 2
				labels[i-1].y -= gap / 2
			}
		}
		labels[0].y = max(labels[0].y, data.Min.Y+vg.Points(2))
	}
	for _, l := range labels {
		x := data.Max.X + vg.Points(16)
		data.StrokeLine2(draw.LineStyle{Color: l.look.color, Width: vg.Points(0.6)}, l.end.X+vg.Points(5), l.end.Y, x-vg.Points(3), l.y)
		style := textStyle(vg.Points(10.5), l.look.color)
		style.YAlign = draw.YCenter
		data.FillText(style, vg.Point{X: x, Y: l.y + vg.Points(2)}, l.label) // the middle of small letters
	}
}

// sizeTicks has the sizes that were measured.
func (s *section) sizeTicks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, at := range s.rows {
		ticks = append(ticks, plot.Tick{Value: bytesOf(at.size), Label: prettySize(at.size)})
	}
	return ticks
}

// span returns round numbers around all speeds.
func span(lines []line) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, l := range lines {
		for _, p := range l.points {
			low, high = min(low, p.Y), max(high, p.Y)
		}
	}
	steps := roundNumbers(low/10, high*10)
	i, _ := slices.BinarySearch(steps, low*0.999)
	j, _ := slices.BinarySearch(steps, high*1.001)
	return steps[max(i-1, 0)], steps[min(j, len(steps)-1)]
}

// speedTicks has 1, 2, 5, 10, 20 … between low and high; over many powers of ten
// only those.
func speedTicks(low, high float64) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, v := range roundNumbers(low, high) {
		exp := math.Log10(v)
		if high/low < 1e4 || math.Abs(exp-math.Round(exp)) < 1e-6 {
			ticks = append(ticks, plot.Tick{Value: v, Label: plain(v)})
		}
	}
	return ticks
}

// roundNumbers returns the numbers 1, 2 and 5 times a power of ten from low to
// high.
func roundNumbers(low, high float64) (all []float64) {
	for exp := math.Floor(math.Log10(low)); exp <= math.Ceil(math.Log10(high)); exp++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, exp); v >= low*0.999 && v <= high*1.001 {
				all = append(all, v)
			}
		}
	}
	return all
}

// plain writes a round number.
func plain(v float64) string {
	s := digits(v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
