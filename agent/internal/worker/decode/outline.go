package decode

import (
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// outlines is the memory of the outlines of one decoding: those of a detection are valid as long as it is.
type outlines struct {
	corners [][2]float32
	each    int // corners of one, at most
	used    int
}

func newOutlines(m *bundle.Manifest, each int) outlines {
	return outlines{make([][2]float32, each*m.Decoder.MaxDetections), each, 0}
}

func (o *outlines) reset() { o.used = 0 }

// next is empty room for one more.
func (o *outlines) next() [][2]float32 {
	return o.corners[o.used : o.used : o.used+o.each]
}

// take keeps what next gave.
func (o *outlines) take(corners [][2]float32) [][2]float32 {
	o.used += o.each
	return corners
}

const (
	// maxTrace bounds the corners of a border that are looked at: of a longer one every second, or
	// every fourth, and so on.
	maxTrace = 1 << 15
	// leastCorners of an outline, however straight it is.
	leastCorners = 4
)

// border is the closed line around a mask. Its memory is made once.
type border struct {
	points []point
	stride int // of the points that it was given, only every so many are kept
	given  int
	// rough is how far an outline may be off its border, in pixels of the mask, as long as it has fewer than
	// the most corners that an event has room for.
	rough float64
	spans [wire.MaxCorners]span
}

// span is the part of a border between two corners of its outline.
type span struct {
	from, to int     // indices of points; to may be the first of all once more
	split    int     // the point that is farthest off the straight line
	off      float64 // by how much, squared
}

func newBorder(rough float64) border {
	return border{points: make([]point, 0, maxTrace), rough: rough}
}

func (b *border) reset() { b.points, b.stride, b.given = b.points[:0], 1, 0 }

// add takes the next point. When there is no more room every second point goes.
func (b *border) add(p point) {
	if b.given%b.stride == 0 {
		if len(b.points) == maxTrace {
			for i := range maxTrace / 2 {
				b.points[i] = b.points[2*i]
			}
			b.points, b.stride = b.points[:maxTrace/2], 2*b.stride
		}
		if b.given%b.stride == 0 {
			b.points = append(b.points, p)
		}
	}
	b.given++
}

// simplify calls add with the corners of a polygon of at most wire.MaxCorners, each a point of the border:
// the span that is farthest off is split until none is more than rough off, or no room is left (Douglas
// and Peucker, 1973, the worst first). Each split looks at its span once.
func (b *border) simplify(add func(point)) {
	if len(b.points) < leastCorners {
		return
	}
	half := b.farthest(0)
	spans := append(b.spans[:0], b.measure(0, half), b.measure(half, len(b.points)))
	for len(spans) < wire.MaxCorners {
		worst := 0
		for i := range spans {
			if spans[i].off > spans[worst].off {
				worst = i
			}
		}
		s := spans[worst]
		if s.off == 0 || s.off <= b.rough*b.rough && len(spans) >= leastCorners {
			break
		}
		spans[worst] = b.measure(s.from, s.split)
		spans = append(spans, b.measure(s.split, s.to))
	}
	b.walk(spans, add)
}

// walk calls add with the first point of each span, in the order of the border.
func (b *border) walk(spans []span, add func(point)) {
	for at := 0; at < len(b.points); {
		for i := range spans {
			if spans[i].from == at {
				add(b.points[at])
				at = spans[i].to
				break
			}
		}
	}
}

func (b *border) point(i int) point { return b.points[i%len(b.points)] }

// farthest is the point that is farthest from point i.
func (b *border) farthest(i int) int {
	best, most := (i+1)%len(b.points), -1.0
	for k, p := range b.points {
		dx, dy := p.x-b.points[i].x, p.y-b.points[i].y
		if off := dx*dx + dy*dy; k != i && off > most {
			best, most = k, off
		}
	}
	return best
}

// measure finds the point of a span that is farthest from the straight line between its ends.
func (b *border) measure(from, to int) span {
	s, a, z := span{from: from, to: to}, b.point(from), b.point(to)
	for i := from + 1; i < to; i++ {
		if off := distance(b.points[i], a, z); off > s.off {
			s.split, s.off = i, off
		}
	}
	return s
}

// distance of a point from the line between two others, squared.
func distance(p, a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	t := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		t = min(max(((p.x-a.x)*dx+(p.y-a.y)*dy)/length, 0), 1)
	}
	x, y := a.x+t*dx-p.x, a.y+t*dy-p.y
	return x*x + y*y
}
