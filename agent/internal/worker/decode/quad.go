package decode

import "math"

// quad is a turned box: its corners one after the other, in input pixels.
type quad [4]point

type point struct{ x, y float64 }

// mostCorners of what two quads have in common: each side of one cuts off at most one corner more.
const mostCorners = 8

// turned is a box around a centre, turned by radians from the x axis to the y axis: clockwise as pictures
// show it.
func turned(x, y, w, h, angle float64) quad {
	sin, cos := math.Sincos(angle)
	ax, ay, bx, by := w/2*cos, w/2*sin, -h/2*sin, h/2*cos
	return quad{
		{x - ax - bx, y - ay - by},
		{x + ax - bx, y + ay - by},
		{x + ax + bx, y + ay + by},
		{x - ax + bx, y - ay + by},
	}
}

// hull is the upright box around it.
func (q *quad) hull() (box [4]float32) {
	low, high := q[0], q[0]
	for _, p := range q[1:] {
		low.x, low.y = min(low.x, p.x), min(low.y, p.y)
		high.x, high.y = max(high.x, p.x), max(high.y, p.y)
	}
	return [4]float32{float32(low.x), float32(low.y), float32(high.x), float32(high.y)}
}

// area of a polygon by the shoelace formula, relative to its first corner; positive where its corners go
// clockwise as pictures show them.
func area(corners []point) float64 {
	sum := 0.0
	for i := 2; i < len(corners); i++ {
		a, b, c := corners[0], corners[i-1], corners[i]
		sum += (b.x-a.x)*(c.y-a.y) - (c.x-a.x)*(b.y-a.y)
	}
	return sum / 2
}

// common is the area that two quads share: one is cut along each side of the other (Sutherland and Hodgman,
// Reentrant Polygon Clipping, 1974).
func common(a, b *quad) float64 {
	var one, two [mostCorners]point
	from, to := &one, &two
	n := copy(from[:], a[:])
	for i := range b {
		if n = cut(to, from[:n], b[i], b[(i+1)%len(b)]); n == 0 {
			return 0
		}
		from, to = to, from
	}
	return max(area(from[:n]), 0)
}

// cut keeps what lies on the inner side of the line from a to b, and returns how many corners that has. A
// convex polygon gets at most one more. What rounding makes less than convex is not written beyond the end.
func cut(kept *[mostCorners]point, corners []point, a, b point) int {
	n := 0
	add := func(p point) {
		if n < mostCorners {
			kept[n] = p
			n++
		}
	}
	last := corners[len(corners)-1]
	before := side(last, a, b)
	for _, p := range corners {
		now := side(p, a, b)
		if (before < 0) != (now < 0) {
			t := before / (before - now)
			add(point{last.x + t*(p.x-last.x), last.y + t*(p.y-last.y)})
		}
		if now >= 0 {
			add(p)
		}
		last, before = p, now
	}
	return n
}

// side is positive on the inner side of the line from a to b.
func side(p, a, b point) float64 { return (b.x-a.x)*(p.y-a.y) - (b.y-a.y)*(p.x-a.x) }
