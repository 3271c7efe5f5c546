package decode

import (
	"fmt"

	"github.com/sightline-edge/sightline/models/bundle"
)

const boxRows = 4

// yolov8 is an output of [1, 4+classes, N]: centre, width and height in input pixels, scores after the
// sigmoid.
type yolov8 struct{ classes, cells int }

func newYOLOv8(m *bundle.Manifest, ports []Port) (family, error) {
	rows := boxRows + len(m.Classes)
	out := &ports[0]
	if err := out.shaped(3, fmt.Sprintf("the decoder yolov8 reads [1 %d N]", rows)); err != nil {
		return nil, err
	}
	if err := out.classes(out.Dims[1]-boxRows, m); err != nil {
		return nil, err
	}
	if out.Dims[2] > maxCells {
		return nil, fmt.Errorf("output %q has %d cells, over %d", out.Name, out.Dims[2], maxCells)
	}
	y := yolov8{len(m.Classes), int(out.Dims[2])}
	return newSelection(m, y, y.cells), nil
}

func (y yolov8) collect(s *selection, outputs [][]float32) error {
	output, cells := outputs[0], y.cells
	if want := (boxRows + y.classes) * cells; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	if !finite(output[:boxRows*cells]) {
		return fmt.Errorf("%w: a box is NaN or infinite", ErrOutput)
	}
	scores := output[boxRows*cells:]
	for i := quiet(scores, s.floor); i < len(scores); i += 1 + quiet(scores[i+1:], s.floor) {
		if err := s.score(i/cells, i%cells, scores[i]); err != nil {
			return err
		}
	}
	return nil
}

func (y yolov8) box(c *candidate, outputs [][]float32) [4]float32 {
	output, cell, cells := outputs[0], int(c.cell), y.cells
	return centred(output[cell], output[cells+cell], output[2*cells+cell], output[3*cells+cell])
}

// centred is the box around a centre.
func centred(x, y, w, h float32) [4]float32 {
	return [4]float32{x - w/2, y - h/2, x + w/2, y + h/2}
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
