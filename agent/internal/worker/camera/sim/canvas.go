package sim

import (
	"bytes"
	"math"
)

// Geometry is fixed point, in 1/64 pixel, so that no fused multiply-add of one architecture can move an edge.
const (
	unit = 64
	// border is how far the board is drawn beyond each side of the frame, in pixels: what the optics' blur
	// and the shift between two exposures can reach.
	border = 16
)

type point struct{ x, y int }

// shape is a convex polygon of n corners, grown by a disc of radius r: a disc (n = 1), a trace (n = 2), a pad
// with rounded corners, a chamfered pour. All lengths are in 1/64 pixel.
type shape struct {
	pts [8]point
	n   int
	r   int
}

func disc(x, y, radius int) shape {
	return shape{pts: [8]point{{x * unit, y * unit}}, n: 1, r: radius * unit}
}

func line(x0, y0, x1, y1, width int) shape {
	return shape{pts: [8]point{{x0 * unit, y0 * unit}, {x1 * unit, y1 * unit}}, n: 2, r: width * unit / 2}
}

// rect spans [x0, x1) × [y0, y1) with corners rounded by the given radius.
func rect(x0, y0, x1, y1, round int) shape {
	round = max(0, min(round, (x1-x0)/2, (y1-y0)/2))
	a, b, c, d := (x0+round)*unit, (y0+round)*unit, (x1-round)*unit, (y1-round)*unit
	return shape{pts: [8]point{{a, b}, {c, b}, {c, d}, {a, d}}, n: 4, r: round * unit}
}

// chamfered is a rectangle whose corners are cut at 45°, each by its own length.
func chamfered(x0, y0, x1, y1 int, cut [4]int) shape {
	limit := max(0, min(x1-x0, y1-y0)/2-1)
	for i := range cut {
		cut[i] = min(cut[i], limit)
	}
	return shape{n: 8, pts: [8]point{
		{(x0 + cut[0]) * unit, y0 * unit},
		{(x1 - cut[1]) * unit, y0 * unit},
		{x1 * unit, (y0 + cut[1]) * unit},
		{x1 * unit, (y1 - cut[2]) * unit},
		{(x1 - cut[2]) * unit, y1 * unit},
		{(x0 + cut[3]) * unit, y1 * unit},
		{x0 * unit, (y1 - cut[3]) * unit},
		{x0 * unit, (y0 + cut[0]) * unit},
	}}
}

func (s shape) grown(pixels int) shape {
	s.r += pixels * unit
	return s
}

// canvas is the ideal board: one byte a pixel, 1 where there is copper, with a border around the frame.
type canvas struct {
	w, h, stride int
	pix          []byte
	ones         []byte
	tilt         int  // slope of the board under the camera, in 1/4096
	transposed   bool // rows and columns exchanged
	edges        outline
}

func newCanvas(w, h int) *canvas {
	stride := (w + 2*border + 7) &^ 7
	c := &canvas{w: w, h: h, stride: stride, ones: make([]byte, stride)}
	c.pix = make([]byte, stride*(h+2*border))
	for i := range c.ones {
		c.ones[i] = 1
	}
	return c
}

// size is the frame as a layout sees it, before transposition.
func (c *canvas) size() (w, h int) {
	if c.transposed {
		return c.h, c.w
	}
	return c.w, c.h
}

func (c *canvas) fill(s shape) {
	c.rows(s, func(row []byte) bool { copy(row, c.ones); return true })
}

func (c *canvas) cut(s shape) {
	c.rows(s, func(row []byte) bool { clear(row); return true })
}

// free says whether no copper lies within gap pixels of the shape.
func (c *canvas) free(s shape, gap int) bool {
	return c.rows(s.grown(gap), func(row []byte) bool { return bytes.IndexByte(row, 1) < 0 })
}

// solid says whether the shape, grown by margin pixels, lies wholly in copper.
func (c *canvas) solid(s shape, margin int) bool {
	return c.rows(s.grown(margin), func(row []byte) bool { return bytes.IndexByte(row, 0) < 0 })
}

// rows visits the shape's pixels a row at a time until visit says stop, and says whether it never did.
func (c *canvas) rows(s shape, visit func(row []byte) bool) bool {
	for i := range s.n {
		s.pts[i] = c.place(s.pts[i])
	}
	top, bottom := c.edges.load(s)
	for y := max(0, ceilPixel(top)); y <= min(len(c.pix)/c.stride-1, floorPixel(bottom)); y++ {
		left, right := c.edges.span(y*unit + unit/2)
		x0, x1 := max(0, ceilPixel(left)), min(c.stride-1, floorPixel(right))
		if x0 <= x1 && !visit(c.pix[y*c.stride+x0:y*c.stride+x1+1]) {
			return false
		}
	}
	return true
}

// place moves a layout's point to the canvas, under the board's tilt.
func (c *canvas) place(p point) point {
	if c.transposed {
		p.x, p.y = p.y, p.x
	}
	return point{p.x + p.y*c.tilt>>12 + border*unit, p.y - p.x*c.tilt>>12 + border*unit}
}

// ceilPixel and floorPixel give the first and last pixel whose centre lies on the inner side of a coordinate.
func ceilPixel(v int) int  { return (v + unit/2 - 1) >> 6 }
func floorPixel(v int) int { return (v - unit/2) >> 6 }

// outline is a shape prepared for scanning: rows cross its segments, and its corner discs.
type outline struct {
	seg   [16]segment
	nseg  int
	shape shape
}

type segment struct{ y0, y1, x0, slope int } // slope: 1/65536

// load returns the first and last y of the shape.
func (o *outline) load(s shape) (top, bottom int) {
	o.nseg, o.shape = 0, s
	top, bottom = math.MaxInt, math.MinInt
	for i := range s.n {
		a, b := s.pts[i], s.pts[(i+1)%s.n]
		top, bottom = min(top, a.y-s.r), max(bottom, a.y+s.r)
		o.side(a, b, s.r)
	}
	return top, bottom
}

// side adds an edge of the polygon, moved out and in by r: both lie within the convex whole, so a row's
// extremes are those of all of them.
func (o *outline) side(a, b point, r int) {
	dx, dy := b.x-a.x, b.y-a.y
	length := int(math.Sqrt(float64(dx*dx + dy*dy)))
	if length == 0 {
		return
	}
	nx, ny := -dy*r/length, dx*r/length
	o.add(point{a.x + nx, a.y + ny}, point{b.x + nx, b.y + ny})
	if r > 0 && o.shape.n > 2 {
		o.add(point{a.x - nx, a.y - ny}, point{b.x - nx, b.y - ny})
	}
}

func (o *outline) add(a, b point) {
	if a.y > b.y {
		a, b = b, a
	}
	if a.y == b.y {
		return
	}
	o.seg[o.nseg] = segment{a.y, b.y, a.x, (b.x - a.x) << 16 / (b.y - a.y)}
	o.nseg++
}

// span returns the shape's extent on one row; right < left where there is none.
func (o *outline) span(y int) (left, right int) {
	left, right = math.MaxInt32, math.MinInt32
	for _, g := range o.seg[:o.nseg] {
		if y >= g.y0 && y <= g.y1 {
			x := g.x0 + (y-g.y0)*g.slope>>16
			left, right = min(left, x), max(right, x)
		}
	}
	if o.shape.r == 0 {
		return left, right
	}
	for _, p := range o.shape.pts[:o.shape.n] {
		if rest := o.shape.r*o.shape.r - (y-p.y)*(y-p.y); rest >= 0 {
			half := int(math.Sqrt(float64(rest)))
			left, right = min(left, p.x-half), max(right, p.x+half)
		}
	}
	return left, right
}
