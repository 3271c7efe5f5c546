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

// Golden is a template, ready to be aligned. Any number of Aligners may share one that does not change.
type Golden struct {
	width, height int
	base          *plane.Plane
	// moved is the template as it lies between pixels, (i%phases, i/phases) quarters of one to the right and
	// down, so that a board's template is put together from whole words.
	moved         [phases * phases]phase
	half, quarter *plane.Plane
	copper        float64 // share of the pixels
	leastChance   float64
}

// phase is a plane, read so many pixels to the right and down.
type phase struct {
	plane       *plane.Plane
	right, down int
}

// NewGolden reads a template in black and white [height*width]: above 127 is bare board. Sides of 64 to 16384
// pixels, else the error wraps ErrSize. It keeps one byte a pixel.
func NewGolden(pixels []byte, width, height int) (*Golden, error) {
	if err := checkSize(width, height); err != nil {
		return nil, err
	}
	if len(pixels) != width*height {
		return nil, fmt.Errorf("%w: %d bytes for %d×%d pixels: give one byte for each pixel",
			ErrSize, len(pixels), width, height)
	}
	g := newGolden(width, height, leastChance)
	g.base.Pack(pixels)
	g.derive()
	return g, nil
}

// NewCut makes a golden for windows of a larger template, of so many pixels. Cut fills it. Copper is the
// share of the larger one: on a sheet windows without any are common, and there a defect is no stranger.
func NewCut(width, height int, copper float64) (*Golden, error) {
	if err := checkSize(width, height); err != nil {
		return nil, err
	}
	return newGolden(width, height, max(copper*(1-copper), leastChance)), nil
}

// Cut makes the template of the window of whole whose corner lies at (x, y). The window must lie in whole.
// No Aligner may be at work with it.
func (g *Golden) Cut(whole *plane.Plane, x, y int) {
	whole.Cut(g.base, x, y)
	g.derive()
}

func checkSize(width, height int) error {
	if min(width, height) < minSide || max(width, height) > maxSide {
		return fmt.Errorf("%w: %d×%d pixels: take one with sides of %d to %d",
			ErrSize, width, height, minSide, maxSide)
	}
	return nil
}

func newGolden(width, height int, leastChance float64) *Golden {
	g := &Golden{width: width, height: height, base: plane.New(width, height), leastChance: leastChance}
	for i := range g.moved {
		right, down := i%phases, i/phases
		if right != phases/2 && down != phases/2 { // three quarters of a pixel decide alone
			g.moved[i] = phase{g.base, right / (phases / 2), down / (phases / 2)}
			continue
		}
		g.moved[i] = phase{plane: plane.New(width, height)}
	}
	g.half = plane.New((width+1)/2, (height+1)/2)
	g.quarter = plane.New((g.half.Width+1)/2, (g.half.Height+1)/2)
	return g
}

// derive makes everything else from base.
func (g *Golden) derive() {
	g.base.Halve(g.half)
	g.half.Halve(g.quarter)
	g.base.Extend()
	g.half.Extend()
	g.quarter.Extend()
	g.copper = float64(g.base.Count()) / float64(g.width*g.height)
	for i, p := range g.moved {
		if p.plane != g.base {
			g.interpolate(p.plane, i%phases, i/phases)
		}
	}
}

// interpolate thresholds the template between its pixels, interpolated linearly; beyond its border it repeats
// its edge. Half way between copper and bare board is bare board, as gray of 128 is.
func (g *Golden) interpolate(dst *plane.Plane, right, down int) {
	for y := range g.height {
		below := min(y+1, g.height-1)
		row := dst.Row(y)
		for i := range row {
			x := i * plane.Word
			row[i] = mix(right, down, g.base.Bits(x, y), g.base.Bits(x+1, y), g.base.Bits(x, below),
				g.base.Bits(x+1, below))
		}
	}
	dst.Extend()
}

// mix says, for a place half way between pixels in at least one direction, where the weighted copper of the
// four neighbours (a b above c d) is more than half.
func mix(right, down int, a, b, c, d uint64) uint64 {
	const half = phases / 2
	switch {
	case down == 0:
		return a & b
	case right == 0:
		return a & c
	case right == half && down == half:
		return a&b&(c|d) | c&d&(a|b)
	case right == half && down < half:
		return a&b | (a|b)&c&d
	case right == half:
		return c&d | (c|d)&a&b
	case right < half:
		return a&c | (a|c)&b&d
	default:
		return b&d | (b|d)&a&c
	}
}
