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
	g.interpolate()
}

// interpolate thresholds the template between its pixels, interpolated linearly; beyond its border it repeats
// its edge. Half way between copper and bare board is bare board, as gray of 128 is: copper is where the
// weighted copper of the four neighbours (a b above c d) is more than half.
func (g *Golden) interpolate() {
	const half = phases / 2
	var rows [phases * phases][]uint64
	for y := range g.height {
		for i, p := range g.moved {
			rows[i] = p.plane.Row(y)
		}
		below := min(y+1, g.height-1)
		for i := range g.base.Words {
			x := i * plane.Word
			a, b := g.base.Bits(x, y), g.base.Bits(x+1, y)
			c, d := g.base.Bits(x, below), g.base.Bits(x+1, below)
			upper, lower, left, right := a&b, c&d, a&c, b&d
			rows[half][i] = upper
			rows[half*phases][i] = left
			rows[half*phases+half][i] = upper&(c|d) | lower&(a|b)
			rows[phases+half][i] = upper | (a|b)&lower
			rows[3*phases+half][i] = lower | (c|d)&upper
			rows[half*phases+1][i] = left | (a|c)&right
			rows[half*phases+3][i] = right | (b|d)&left
		}
	}
	for _, p := range g.moved {
		if p.plane != g.base {
			p.plane.Extend()
		}
	}
}
