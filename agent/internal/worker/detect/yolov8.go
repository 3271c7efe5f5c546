package detect

import "fmt"

const boxRows = 4

// yolov8 is an output of [1, 4+classes, N]: centre, width and height in input pixels, scores after the
// sigmoid.
type yolov8 struct{}

func (yolov8) collect(d *Decoder, outputs [][]float32) error {
	output, cells := outputs[0], d.grid.cells()
	if want := (boxRows + d.classes) * cells; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	if !finite(output[:boxRows*cells]) {
		return fmt.Errorf("%w: a box is NaN or infinite", ErrOutput)
	}
	for i, score := range output[boxRows*cells:] {
		if score < d.floor && score >= -scoreSlack {
			continue
		}
		if !(score >= -scoreSlack && score <= 1+scoreSlack) { // NaN comes here, too
			return fmt.Errorf("%w: a score of %g", ErrOutput, score)
		}
		c := candidate{class: int32(i / cells), cell: int32(i % cells), score: min(score, 1)}
		if err := d.offer(c); err != nil {
			return err
		}
	}
	return nil
}

func (yolov8) box(d *Decoder, c *candidate, outputs [][]float32) [4]float32 {
	output, cells := outputs[0], d.grid.cells()
	cx, cy := output[c.cell], output[cells+int(c.cell)]
	w, h := output[2*cells+int(c.cell)], output[3*cells+int(c.cell)]
	return [4]float32{cx - w/2, cy - h/2, cx + w/2, cy + h/2}
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
