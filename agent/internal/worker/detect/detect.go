// Package detect turns a model's output into detections: decoding, non-maximum suppression, and back to frame
// pixels. The steady state allocates nothing.
package detect

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	boxRows       = 4
	maxCandidates = 1000
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

// Decoder is the yolov8 family: an output of [1, 4+classes, N], centre, width and height in input pixels,
// scores after the sigmoid. Each class of a cell is a candidate of its own. Not safe for concurrent use.
type Decoder struct {
	classes, cells int
	floor, overlap float32
	agnostic       bool
	limit          float32
	candidates     []candidate
	kept           []Detection
	maxKept        int
}

// NewDecoder reads a manifest that bundle.Load has found valid, for an output of so many cells.
func NewDecoder(m *bundle.Manifest, cells int) *Decoder {
	return &Decoder{
		classes: len(m.Classes), cells: cells, floor: float32(m.Decoder.ScoreFloor),
		overlap: float32(m.Decoder.NMSIoU), agnostic: m.Decoder.ClassAgnostic,
		limit:      absurdSide * float32(max(m.Input.Width, m.Input.Height)),
		candidates: make([]candidate, 0, maxCandidates),
		kept:       make([]Detection, 0, m.Decoder.MaxDetections), maxKept: m.Decoder.MaxDetections,
	}
}

// Decode returns the detections in frame pixels, descending score, valid until the next call. Anything not
// finite, scores outside of 0 to 1, absurd boxes and absurd numbers of them are errors.
func (d *Decoder) Decode(output []float32, g tensor.Geometry) ([]Detection, error) {
	if want := (boxRows + d.classes) * d.cells; len(output) != want {
		return nil, fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	boxes, scores := output[:boxRows*d.cells], output[boxRows*d.cells:]
	if !finite(boxes) {
		return nil, fmt.Errorf("%w: a box is NaN or infinite", ErrOutput)
	}
	if err := d.collect(scores); err != nil {
		return nil, err
	}
	order(d.candidates)
	for i := range d.candidates {
		if err := d.locate(&d.candidates[i], boxes); err != nil {
			return nil, err
		}
	}
	d.suppress()
	d.toFrame(g)
	return d.kept, nil
}

// finite uses that v·0 is 0 for each finite v and NaN for all others. Four sums do not wait for each other.
func finite(values []float32) bool {
	var a, b, c, d float32
	for len(values) >= 4 {
		v := values[:4:4]
		a, b, c, d = a+v[0]*0, b+v[1]*0, c+v[2]*0, d+v[3]*0
		values = values[4:]
	}
	for _, v := range values {
		a += v * 0
	}
	return a+b+c+d == 0
}

// collect takes the best candidates, at most maxCandidates.
func (d *Decoder) collect(scores []float32) error {
	d.candidates = d.candidates[:0]
	found, most := 0, max(maxCandidates, d.cells/2)
	for class := range d.classes {
		for cell, score := range scores[class*d.cells : (class+1)*d.cells] {
			if score < d.floor && score >= -scoreSlack {
				continue
			}
			if !(score >= -scoreSlack && score <= 1+scoreSlack) { // NaN comes here, too
				return fmt.Errorf("%w: a score of %g", ErrOutput, score)
			}
			found++
			if found > most {
				return fmt.Errorf("%w: over %d candidates in %d cells", ErrOutput, most, d.cells)
			}
			d.offer(candidate{class: int32(class), cell: int32(cell), score: min(score, 1)})
		}
	}
	return nil
}

func (d *Decoder) locate(c *candidate, boxes []float32) error {
	cx, cy := boxes[c.cell], boxes[d.cells+int(c.cell)]
	w, h := boxes[2*d.cells+int(c.cell)], boxes[3*d.cells+int(c.cell)]
	if w < 0 || h < 0 || w > d.limit || h > d.limit || max(cx, -cx) > d.limit || max(cy, -cy) > d.limit {
		return fmt.Errorf("%w: a box of %g×%g at %g, %g", ErrOutput, w, h, cx, cy)
	}
	c.box = [4]float32{cx - w/2, cy - h/2, cx + w/2, cy + h/2}
	return nil
}

// suppress keeps the best of the candidates that overlap, in place: candidates are in order.
func (d *Decoder) suppress() {
	n := 0
	for _, c := range d.candidates {
		if n == d.maxKept {
			break
		}
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

// toFrame maps and clips. What lay on the border only is no detection.
func (d *Decoder) toFrame(g tensor.Geometry) {
	d.kept = d.kept[:0]
	for _, c := range d.candidates {
		x1, y1 := g.ToFrame(c.box[0], c.box[1])
		x2, y2 := g.ToFrame(c.box[2], c.box[3])
		if x2 > x1 && y2 > y1 {
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
