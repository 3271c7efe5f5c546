// Package detect turns a model's output into detections: decoding, non-maximum suppression, and back to frame
// pixels. The steady state allocates nothing.
package detect

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const maxCandidates = 1000

const (
	// absurdSide: a box larger than so many inputs, or a centre so far away, comes from a broken model.
	absurdSide = 4
	// scoreSlack is what rounding may add to a sigmoid.
	scoreSlack = 1e-3
)

// ErrOutput is wrapped by errors about an output that no working model gives.
var ErrOutput = errors.New("bad model output")

// Detection is one finding. Box is x1, y1, x2, y2, right and bottom exclusive.
type Detection struct {
	Class int
	Score float32
	Box   [4]float32
}

// Cut is what a limit has cost: how many detections, and the most that one of them can score.
type Cut struct {
	Count int
	Score float32
}

// Add counts more of them.
func (c *Cut) Add(more Cut) {
	c.Count += more.Count
	c.Score = max(c.Score, more.Score)
}

// Best keeps the first of detections that come by descending score.
func Best(found []Detection, most int) ([]Detection, Cut) {
	if len(found) <= most {
		return found, Cut{}
	}
	return found[:most], Cut{len(found) - most, found[most].Score}
}

// Grid is the shape of a model's outputs. Families without a grid have one row of cells, and no bins.
type Grid struct {
	Columns, Rows int
	Bins          int     // of the distance to a side
	Stride        float32 // input pixels from cell to cell
}

func (g Grid) cells() int { return g.Columns * g.Rows }

// family reads the outputs of one kind of model.
type family interface {
	// collect offers each class of each cell that scores as a candidate, or refuses the outputs.
	collect(d *Decoder, outputs [][]float32) error
	// box is a candidate's, x1, y1, x2, y2 in input pixels; a number may be absurd.
	box(d *Decoder, c *candidate, outputs [][]float32) [4]float32
}

// Decoder turns outputs into detections. Each class of a cell is a candidate of its own. Not safe for
// concurrent use.
type Decoder struct {
	family         family
	classes        int
	grid           Grid
	floor, overlap float32
	agnostic       bool
	limit          float32
	found          int // candidates so far
	candidates     []candidate
	kept           []Detection
	maxKept        int
	cut            Cut
}

// NewDecoder reads a manifest that bundle.Load has found valid, for outputs of such a grid.
func NewDecoder(m *bundle.Manifest, grid Grid) *Decoder {
	d := &Decoder{
		classes: len(m.Classes), grid: grid, floor: float32(m.Decoder.ScoreFloor),
		overlap: float32(m.Decoder.NMSIoU), agnostic: m.Decoder.ClassAgnostic,
		limit:      absurdSide * float32(max(m.Input.Width, m.Input.Height)),
		candidates: make([]candidate, 0, maxCandidates),
		kept:       make([]Detection, 0, m.Decoder.MaxDetections), maxKept: m.Decoder.MaxDetections,
	}
	d.family = yolov8{}
	if m.Decoder.Family == bundle.FamilyDFL {
		d.family = newDFL(d.floor)
	}
	return d
}

// Decode returns the detections in frame pixels, descending score, valid until the next call. Scores that are
// not finite or outside of 0 to 1, and of those that reach the floor boxes that are not finite or absurd, are
// errors; so are absurd numbers of them.
func (d *Decoder) Decode(outputs [][]float32, g tensor.Geometry) ([]Detection, error) {
	d.candidates, d.found = d.candidates[:0], 0
	if err := d.family.collect(d, outputs); err != nil {
		return nil, err
	}
	order(d.candidates)
	d.cut = Cut{}
	if over := d.found - len(d.candidates); over > 0 {
		d.cut = Cut{over, d.candidates[len(d.candidates)-1].score}
	}
	for i := range d.candidates {
		if err := d.locate(&d.candidates[i], outputs); err != nil {
			return nil, err
		}
	}
	d.suppress()
	d.toFrame(g)
	return d.kept, nil
}

// Cut is what limits cost the last Decode: detections beyond max_detections, and candidates beyond those that
// suppression looks at, though many of these are of the same defects.
func (d *Decoder) Cut() Cut { return d.cut }

func (d *Decoder) locate(c *candidate, outputs [][]float32) error {
	c.box = d.family.box(d, c, outputs)
	w, h := c.box[2]-c.box[0], c.box[3]-c.box[1]
	for _, v := range c.box {
		if !(max(v, -v) <= d.limit) { // NaN comes here, too
			return fmt.Errorf("%w: a box of %g×%g at %g, %g", ErrOutput, w, h, c.box[0], c.box[1])
		}
	}
	if w < 0 || h < 0 {
		return fmt.Errorf("%w: a box of %g×%g", ErrOutput, w, h)
	}
	return nil
}

// suppress keeps the best of the candidates that overlap, in place: candidates are in order.
func (d *Decoder) suppress() {
	n := 0
	for _, c := range d.candidates {
		if !d.covered(&c, d.candidates[:n]) {
			d.candidates[n] = c
			n++
		}
	}
	d.candidates = d.candidates[:n]
}

func (d *Decoder) covered(c *candidate, better []candidate) bool {
	for i := range better {
		if (d.agnostic || better[i].class == c.class) && IoU(better[i].box, c.box) > d.overlap {
			return true
		}
	}
	return false
}

// toFrame maps and clips, up to the limit. What lay on the border only is no detection.
func (d *Decoder) toFrame(g tensor.Geometry) {
	d.kept = d.kept[:0]
	for _, c := range d.candidates {
		x1, y1 := g.ToFrame(c.box[0], c.box[1])
		x2, y2 := g.ToFrame(c.box[2], c.box[3])
		switch {
		case x2 <= x1 || y2 <= y1: // beside the frame
		case len(d.kept) == d.maxKept:
			d.cut.Add(Cut{1, c.score})
		default:
			d.kept = append(d.kept, Detection{int(c.class), c.score, [4]float32{x1, y1, x2, y2}})
		}
	}
}

// IoU is the intersection of two boxes over their union, 0 when both are empty.
func IoU(a, b [4]float32) float32 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	both := w * h
	return both / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - both)
}
