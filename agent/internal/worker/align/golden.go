package align

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

const (
	minSide, maxSide = 64, 16384
	// phases is how finely the template can be moved: to quarters of a pixel.
	phases    = 1 << phaseBits
	phaseBits = 2
)

// ErrSize is wrapped by errors about a template that has no usable size.
var ErrSize = errors.New("template cannot be aligned")

// Golden is a template, ready to be aligned. It is immutable: any number of Aligners may share it.
type Golden struct {
	width, height int
	// moved is the template thresholded after it was moved by (i%phases, i/phases) quarters of a pixel to
	// the left and up, so that a board's template is put together from whole words.
	moved         [phases * phases]*plane.Plane
	half, quarter *plane.Plane
}

// NewGolden reads a gray template [height*width]: above 127 is bare board. Sides of 64 to 16384 pixels, else
// the error wraps ErrSize. It keeps 2 bytes a pixel, nothing of gray.
func NewGolden(gray []byte, width, height int) (*Golden, error) {
	if min(width, height) < minSide || max(width, height) > maxSide {
		return nil, fmt.Errorf("%w: %d×%d pixels: take one with sides of %d to %d",
			ErrSize, width, height, minSide, maxSide)
	}
	if len(gray) != width*height {
		return nil, fmt.Errorf("%w: %d bytes for %d×%d pixels: give one byte for each pixel",
			ErrSize, len(gray), width, height)
	}
	g := &Golden{width: width, height: height}
	for i := range g.moved {
		g.moved[i] = move(gray, width, height, i%phases, i/phases)
	}
	g.half = plane.New((width+1)/2, (height+1)/2)
	g.quarter = plane.New((g.half.Width+1)/2, (g.half.Height+1)/2)
	g.moved[0].Halve(g.half)
	g.half.Halve(g.quarter)
	g.half.Extend()
	g.quarter.Extend()
	return g, nil
}

// move thresholds the template between its pixels, interpolated linearly; beyond its border it repeats its
// edge.
func move(gray []byte, width, height, right, down int) *plane.Plane {
	p := plane.New(width, height)
	for y := range height {
		row := p.Row(y)
		upper := gray[y*width : (y+1)*width]
		below := min(y+1, height-1)
		lower := gray[below*width : (below+1)*width]
		for x := range width {
			next := min(x+1, width-1)
			top := int(upper[x])*(phases-right) + int(upper[next])*right
			bottom := int(lower[x])*(phases-right) + int(lower[next])*right
			// Half way between copper and bare board is bare board, as 128 is.
			if 2*(top*(phases-down)+bottom*down) < 255*phases*phases {
				row[x/plane.Word] |= 1 << (x % plane.Word)
			}
		}
	}
	p.Extend()
	return p
}
