// Package compare finds what a board has otherwise than its aligned template, without a model. It works on
// bits, and the steady state allocates nothing.
package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

// maxFindings is how many detections a board gets at most: the most certain.
const maxFindings = 1000

// Comparer compares boards of one size. Not safe for concurrent use.
type Comparer struct {
	options         Options
	board, template image
	differ, core    *plane.Plane
	near            *plane.Plane // pieces within reach of each other, as one
	lines           spreader
	regions         regions
	found           []detect.Detection
	cut             detect.Cut
}

// image is a binary image: its copper, what lies within the tolerance of that and of its bare board, and the
// copper that must not vanish: of a board all, of a template what is wider than twice the tolerance. Both
// edges of a narrower line may wander so far that they meet. A slit must not close, however narrow: that is
// a short.
type image struct{ copper, nearCopper, nearBare, solid *plane.Plane }

// New makes a Comparer for boards with sides of 64 to 16384 pixels. Its errors wrap ErrOptions.
func New(width, height int, o Options) (*Comparer, error) {
	if min(width, height) < minSide || max(width, height) > maxSide {
		return nil, fmt.Errorf("%w: %d×%d pixels: take a board with sides of %d to %d",
			ErrOptions, width, height, minSide, maxSide)
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	empty := func() *plane.Plane { return plane.New(width, height) }
	c := &Comparer{
		options:  o,
		board:    image{copper: empty(), nearCopper: empty(), nearBare: empty()},
		template: image{empty(), empty(), empty(), empty()},
		differ:   empty(), core: empty(), near: empty(),
		lines:   newSpreader(width, height),
		regions: newRegions(width, height),
	}
	c.board.solid = c.board.copper
	c.found = make([]detect.Detection, 0, cap(c.regions.all))
	return c, nil
}

// Compare returns what differs, the most certain first, at most 1000, valid until the next call. Board and
// aligned template are [height*width] bytes of 0 or 255 and must have that length. Class is 0. Score is the
// chance that a difference is a defect, as on DeepPCB. Boxes are in pixels.
func (c *Comparer) Compare(board, template []byte) []detect.Detection {
	c.take(&c.board, board)
	c.take(&c.template, template)
	c.thin(&c.template)
	c.regions.reset()
	c.look(&c.board, &c.template) // extra copper
	c.look(&c.template, &c.board) // missing copper
	c.collect()
	return c.found
}

func (c *Comparer) take(i *image, pixels []byte) {
	i.copper.Pack(pixels)
	c.lines.spread(i.nearCopper, i.copper, c.options.Tolerance, false)
	c.lines.spread(i.nearBare, i.copper, c.options.Tolerance, true)
}

// thin leaves out of the solid copper what is at most twice the tolerance wide.
func (c *Comparer) thin(i *image) {
	c.lines.spread(c.near, i.copper, c.options.Tolerance, true)
	c.lines.spread(i.solid, c.near, c.options.Tolerance, true)
}

// look finds where a has copper and b has none. Of that the core is beyond tolerance: solid copper of a away
// from all copper of b, or bare board of b away from all that of a.
func (c *Comparer) look(a, b *image) {
	last := a.copper.LastMask()
	for y := range a.copper.Height {
		ours, theirs := a.copper.Row(y), b.copper.Row(y)
		solid, near := a.solid.Row(y), b.nearCopper.Row(y)
		bare := a.nearBare.Row(y)
		differ, core := c.differ.Row(y), c.core.Row(y)
		for i, w := range ours {
			differ[i] = w &^ theirs[i]
			core[i] = solid[i]&^near[i] | ^theirs[i]&^bare[i]
		}
		core[len(core)-1] &= last
	}
	c.lines.open(c.differ, c.core)
	c.lines.spread(c.near, c.differ, c.options.Join, false)
	c.regions.add(c.near, c.differ, c.core)
}

// collect turns regions into detections.
func (c *Comparer) collect() {
	c.found = c.found[:0]
	for i := range c.regions.all {
		r := &c.regions.all[i]
		if int(r.parent) != i || int(r.area) < c.options.MinArea || r.core == 0 {
			continue
		}
		score := r.score()
		if i == overflow(cap(c.regions.all)) {
			score = 1
		}
		if score >= c.options.MinScore {
			c.found = append(c.found, detect.Detection{Score: float32(score), Box: c.box(r)})
		}
	}
	slices.SortFunc(c.found, func(a, b detect.Detection) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Box[1], b.Box[1]),
			cmp.Compare(a.Box[0], b.Box[0]))
	})
	c.found, c.cut = detect.Best(c.found, maxFindings)
}

// Cut is what differs beyond what the last Compare returned.
func (c *Comparer) Cut() detect.Cut { return c.cut }

func (c *Comparer) box(r *region) [4]float32 {
	m := int32(c.options.Margin)
	return [4]float32{
		float32(max(r.x0-m, 0)), float32(max(r.y0-m, 0)),
		float32(min(r.x1+m, int32(c.differ.Width))), float32(min(r.y1+m, int32(c.differ.Height))),
	}
}

// score is a logistic regression on the differences of the training part of DeepPCB: their pixels over the
// box's longer side, which is their width. What alignment and etching leave along edges is long and thin.
func (r *region) score() float64 {
	width := float64(r.area) / float64(max(r.x1-r.x0, r.y1-r.y0))
	return 1 / (1 + math.Exp(9.1-9.0*math.Log(width)))
}
