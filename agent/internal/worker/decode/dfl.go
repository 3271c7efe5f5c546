package decode

import (
	"errors"
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

const (
	sides   = 4  // left, top, right, bottom
	maxBins = 64 // of the distance to a side
)

// dfl is a grid of class logits [1, classes, h, w], and beside it, for each side of a box, logits of its
// distance from the cell's centre in 0, 1, 2 … cells, [1, 4×bins, h, w]: the distance is their expectation
// (Li et al., Generalized Focal Loss, 2020).
type dfl struct {
	floor               float32 // as a logit
	classes             int
	columns, rows, bins int
	stride              float32 // input pixels from cell to cell
}

func newDFL(m *bundle.Manifest, ports []Port) (family, error) {
	scores, distances := &ports[0], &ports[1]
	if err := errors.Join(scores.shaped(4, "the decoder dfl reads scores [1 classes h w]"),
		distances.shaped(4, "the decoder dfl reads distances [1 4×bins h w]")); err != nil {
		return nil, err
	}
	if err := scores.classes(scores.Dims[1], m); err != nil {
		return nil, err
	}
	h, w := scores.Dims[2], scores.Dims[3]
	bins := distances.Dims[1] / sides
	switch {
	case distances.Dims[1]%sides != 0 || bins < 2 || bins > maxBins:
		return nil, fmt.Errorf("output %q is %s: its second size must be four times 2 to %d bins",
			distances.Name, onnxfile.Shape(distances.Dims), maxBins)
	case distances.Dims[2] != h || distances.Dims[3] != w || h > maxCells || w > maxCells || h*w > maxCells:
		return nil, fmt.Errorf("outputs %q %s and %q %s must have one grid of at most %d cells",
			scores.Name, onnxfile.Shape(scores.Dims), distances.Name, onnxfile.Shape(distances.Dims),
			maxCells)
	case int64(m.Input.Width)%w != 0 || int64(m.Input.Height)%h != 0 ||
		int64(m.Input.Width)/w != int64(m.Input.Height)/h:
		return nil, fmt.Errorf("a grid of %d×%d cells does not divide an input of %d×%d into squares", w, h,
			m.Input.Width, m.Input.Height)
	}
	floor := m.Decoder.ScoreFloor
	f := dfl{
		floor: float32(math.Log(floor / (1 - floor))), classes: len(m.Classes),
		columns: int(w), rows: int(h), bins: int(bins), stride: float32(m.Input.Width) / float32(w),
	}
	return newSelection(m, f, f.columns*f.rows), nil
}

func (f dfl) collect(s *selection, outputs [][]float32) error {
	scores, cells := outputs[0], f.columns*f.rows
	if len(scores) != f.classes*cells || len(outputs[1]) != sides*f.bins*cells {
		return fmt.Errorf("%w: %d scores and %d distances for %d cells", ErrOutput, len(scores),
			len(outputs[1]), cells)
	}
	for i, logit := range scores {
		if logit < f.floor && logit >= -math.MaxFloat32 {
			continue
		}
		if !(logit <= math.MaxFloat32) || logit < f.floor { // NaN or infinite
			return fmt.Errorf("%w: a logit of %g", ErrOutput, logit)
		}
		score := float32(1 / (1 + math.Exp(-float64(logit))))
		c := candidate{class: int32(i / cells), cell: int32(i % cells), score: score}
		if err := s.offer(c); err != nil {
			return err
		}
	}
	return nil
}

func (f dfl) box(c *candidate, outputs [][]float32) [4]float32 {
	cell, cells := int(c.cell), f.columns*f.rows
	x, y := float32(cell%f.columns)+0.5, float32(cell/f.columns)+0.5
	var away [sides]float32
	for side := range away {
		away[side] = expectation(outputs[1][side*f.bins*cells+cell:], f.bins, cells)
	}
	return [4]float32{
		(x - away[0]) * f.stride, (y - away[1]) * f.stride,
		(x + away[2]) * f.stride, (y + away[3]) * f.stride,
	}
}

// expectation is the mean of 0, 1 … bins-1 weighted by the softmax of the logits, which lie step apart; NaN
// if one of them is not finite.
func expectation(logits []float32, bins, step int) float32 {
	top, low := logits[0], logits[0]
	for k := 1; k < bins; k++ {
		top, low = max(top, logits[k*step]), min(low, logits[k*step])
	}
	if low < -math.MaxFloat32 {
		return float32(math.NaN())
	}
	sum, mean := 0.0, 0.0
	for k := range bins {
		weight := math.Exp(float64(logits[k*step] - top))
		sum += weight
		mean += weight * float64(k)
	}
	return float32(mean / sum)
}
