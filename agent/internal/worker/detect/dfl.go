package detect

import (
	"fmt"
	"math"
)

const sides = 4 // left, top, right, bottom

// dfl is a grid of class logits [1, classes, h, w], and beside it, for each side of a box, logits of its
// distance from the cell's centre in 0, 1, 2 … cells, [1, 4×bins, h, w]: the distance is their expectation
// (Li et al., Generalized Focal Loss, 2020).
type dfl struct{ floor float32 } // as a logit

func newDFL(floor float32) dfl {
	return dfl{float32(math.Log(float64(floor) / (1 - float64(floor))))}
}

func (f dfl) collect(d *Decoder, outputs [][]float32) error {
	scores, cells := outputs[0], d.grid.cells()
	if len(scores) != d.classes*cells || len(outputs[1]) != sides*d.grid.Bins*cells {
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
		if err := d.offer(c); err != nil {
			return err
		}
	}
	return nil
}

func (f dfl) box(d *Decoder, c *candidate, outputs [][]float32) [4]float32 {
	g := d.grid
	cell, cells := int(c.cell), g.cells()
	x, y := float32(cell%g.Columns)+0.5, float32(cell/g.Columns)+0.5
	var away [sides]float32
	for side := range away {
		away[side] = expectation(outputs[1][side*g.Bins*cells+cell:], g.Bins, cells)
	}
	return [4]float32{
		(x - away[0]) * g.Stride, (y - away[1]) * g.Stride,
		(x + away[2]) * g.Stride, (y + away[3]) * g.Stride,
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
