package evidence

import (
	"encoding/binary"
	"image"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

const (
	panelText  = 16 // pixels
	panelGap   = 8
	leastPanel = 240 // pixels of the longer side, unless that takes more than maxZoom
	mostPanel  = 800
	maxZoom    = 8
	context    = 16 // pixels around a small defect, so that it is seen where it is
)

// view is a pixel of a panel, in the canvas's order of colours.
type view func(x, y int) uint32

// Misfit returns a JPEG of a frame that its template does not fit: frame, template and difference side by
// side below the caption.
func (p *Pen) Misfit(f *frame.Frame, g *Golden, caption Caption, quality int) ([]byte, error) {
	if err := check(f); err != nil {
		return nil, err
	}
	if err := p.write(panelText); err != nil {
		return nil, err
	}
	banner := 2 * p.size
	p.beside(f, g, image.Rect(0, 0, f.Width, f.Height), banner)
	p.caption(caption, 0, p.canvas.Rect.Dx(), banner)
	return p.encoder.jpeg(p.canvas, quality)
}

// beside draws a part of frame, template and difference side by side, from top down, each below its name.
func (p *Pen) beside(f *frame.Frame, g *Golden, part image.Rectangle, top int) {
	size := panel(part.Size())
	header := 2 * p.size
	p.blank(3*size.X+2*panelGap, top+header+size.Y)
	p.fill(p.canvas.Rect, ink())
	colours := tints()
	for n, v := range []struct {
		name  string
		pixel view
	}{
		{"board", func(x, y int) uint32 { return pixel(f, x, y) }},
		{"template", func(x, y int) uint32 { return grayWord(g.template[g.at(f, x, y)]) }},
		{"difference", func(x, y int) uint32 {
			at := g.at(f, x, y)
			if d := g.differ[at]; d != same {
				return colours[d]
			}
			return grayWord(191 + g.board[at]/4) // pale, for the eye to find its place
		}},
	} {
		left := n * (size.X + panelGap)
		p.fill(image.Rect(left-panelGap, top, left+size.X, top+header), ink()) // over a name that is too long
		p.text(max(left, p.size/2), top+header/2, white(), v.name)
		p.scaled(image.Rectangle{Max: size}.Add(image.Pt(left, top+header)), part, v.pixel)
	}
	if right := p.canvas.Rect.Dx(); size.X >= 16*p.size { // else it would hide the name
		g.legend(p, right, top, top+header, ink())
	}
}

// panel is the size in which a part is shown: enlarged by a whole number, or reduced.
func panel(part image.Point) image.Point {
	side := max(part.X, part.Y)
	if side > mostPanel {
		return image.Pt(max(part.X*mostPanel/side, 1), max(part.Y*mostPanel/side, 1))
	}
	return part.Mul(min(max((leastPanel+side-1)/side, 1), maxZoom))
}

// scaled draws a part of a view, the nearest pixel for each.
func (p *Pen) scaled(to, part image.Rectangle, v view) {
	for y := range to.Dy() {
		row := p.canvas.Pix[p.canvas.PixOffset(to.Min.X, to.Min.Y+y):]
		from := part.Min.Y + y*part.Dy()/to.Dy()
		for x := range to.Dx() {
			binary.LittleEndian.PutUint32(row[4*x:], v(part.Min.X+x*part.Dx()/to.Dx(), from))
		}
	}
}

func pixel(f *frame.Frame, x, y int) uint32 {
	s := f.Pix[y*f.Stride+x*f.Channels:]
	if f.Channels == 1 {
		return grayWord(s[0])
	}
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | opaque
}
