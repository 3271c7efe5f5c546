package evidence

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

func white() color.RGBA { return color.RGBA{255, 255, 255, 255} }
func ink() color.RGBA   { return color.RGBA{17, 24, 39, 255} }

// colour of a class: hues apart, all dark enough for white text.
func colour(class int) color.RGBA {
	palette := [...]color.RGBA{
		{213, 94, 0, 255},
		{0, 114, 178, 255},
		{0, 158, 115, 255},
		{176, 66, 134, 255},
		{150, 102, 0, 255},
		{91, 74, 190, 255},
	}
	return palette[class%len(palette)]
}

func verdictColour(verdict string) color.RGBA {
	switch verdict {
	case "PASS":
		return color.RGBA{22, 128, 61, 255}
	case "FAIL":
		return color.RGBA{197, 32, 38, 255}
	case "REWORK":
		return color.RGBA{194, 103, 0, 255}
	default:
		return color.RGBA{90, 98, 110, 255}
	}
}

// mark frames a defect and labels it: above its box, or below where the picture ends.
func (p *Pen) mark(m Mark, f *frame.Frame, banner int) {
	limit := image.Rect(0, banner, f.Width, banner+f.Height)
	box := rect(m.Box).Add(image.Pt(0, banner)).Intersect(limit)
	if box.Empty() {
		return
	}
	c := colour(m.Class)
	if len(m.Outline) > 0 {
		p.outline(m.Outline, limit, c)
	} else {
		p.frame(box, c)
	}
	label := fmt.Sprintf("%s %.2f", m.Name, m.Score)
	gap := p.size / padding
	height := p.size + 2*gap
	width := font.MeasureString(p.face, label).Ceil() + 2*gap
	x := max(min(box.Min.X-p.stroke, f.Width-width), 0)
	y := box.Min.Y - p.stroke - height
	if y < banner {
		y = min(box.Max.Y+p.stroke, banner+f.Height-height)
	}
	p.fill(image.Rect(x, y, x+width, y+height), c)
	p.text(x+gap, y+height/2, white(), label)
}

// frame draws around the box, so that its pixels stay visible, with a white edge that shows on dark.
func (p *Pen) frame(box image.Rectangle, c color.RGBA) {
	p.ring(box.Inset(-p.stroke-1), 1, white())
	p.ring(box.Inset(-p.stroke), p.stroke, c)
}

func (p *Pen) ring(r image.Rectangle, width int, c color.RGBA) {
	p.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+width), c)
	p.fill(image.Rect(r.Min.X, r.Max.Y-width, r.Max.X, r.Max.Y), c)
	p.fill(image.Rect(r.Min.X, r.Min.Y, r.Min.X+width, r.Max.Y), c)
	p.fill(image.Rect(r.Max.X-width, r.Min.Y, r.Max.X, r.Max.Y), c)
}

// outline draws a closed polygon in the pictured frame, with a white edge that shows on dark.
func (p *Pen) outline(corners [][2]float32, limit image.Rectangle, c color.RGBA) {
	for _, line := range []struct {
		width int
		c     color.RGBA
	}{{p.stroke + 2, white()}, {p.stroke, c}} {
		from := corners[len(corners)-1]
		for _, to := range corners {
			p.line(from, to, limit, line.width, line.c)
			from = to
		}
	}
}

// line is a row of squares, one for each pixel of its longer side; limit's corner is the frame's.
func (p *Pen) line(from, to [2]float32, limit image.Rectangle, width int, c color.RGBA) {
	if rect([4]float32{from[0], from[1], to[0], to[1]}) == (image.Rectangle{}) {
		return // not finite
	}
	dx, dy := float64(to[0]-from[0]), float64(to[1]-from[1])
	steps := max(math.Ceil(max(math.Abs(dx), math.Abs(dy))), 1)
	for i := 0.0; i <= steps; i++ {
		x := limit.Min.X + int(math.Floor(float64(from[0])+dx*i/steps)) - width/2
		y := limit.Min.Y + int(math.Floor(float64(from[1])+dy*i/steps)) - width/2
		p.fill(image.Rect(x, y, x+width, y+width).Intersect(limit), c)
	}
}

// caption writes the verdict on its colour and the rest beside it.
func (p *Pen) caption(c Caption, defects, width, banner int) {
	gap := p.size / 2
	verdict := font.MeasureString(p.face, c.Verdict).Ceil() + 2*gap
	p.fill(image.Rect(0, 0, width, banner), ink())
	p.fill(image.Rect(0, 0, verdict, banner), verdictColour(c.Verdict))
	p.text(gap, banner/2, white(), c.Verdict)
	text := c.Text
	switch {
	case defects == 1:
		text = "1 defect   " + text
	case defects > 1:
		text = fmt.Sprintf("%d defects   %s", defects, text)
	}
	p.text(verdict+gap, banner/2, white(), text)
}

// rect rounds outwards. What is not finite becomes empty.
func rect(box [4]float32) image.Rectangle {
	for _, v := range box {
		if !(math.Abs(float64(v)) < 1<<20) {
			return image.Rectangle{}
		}
	}
	return image.Rect(floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3]))
}

func floor(v float32) int { return int(math.Floor(float64(v))) }
func ceil(v float32) int  { return int(math.Ceil(float64(v))) }
