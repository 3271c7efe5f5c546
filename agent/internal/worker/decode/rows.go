package decode

import (
	"fmt"

	"github.com/sightline-edge/sightline/models/bundle"
)

// objectRow is where a row says how certain it is that there is anything.
const objectRow = boxRows

// rows are an output of [1, N, 5+classes]: for each cell a box, how certain it is that there is anything, and
// of each class how certain it is that it is this one. The score is the product. Each class of a cell is a
// candidate of its own. More numbers may stand behind these.
type rows struct{ classes, cells, more int }

// width is how many numbers a row has.
func (r rows) width() int { return objectRow + 1 + r.classes + r.more }

func newRows(m *bundle.Manifest, out *Port) (rows, error) {
	width := objectRow + 1 + len(m.Classes)
	err := out.shaped(3, fmt.Sprintf("the decoder %s reads [1 N %d]", m.Decoder.Family, width))
	if err != nil {
		return rows{}, err
	}
	if err = out.classes(out.Dims[2]-objectRow-1, m); err != nil {
		return rows{}, err
	}
	if out.Dims[1] > maxCells {
		return rows{}, fmt.Errorf("output %q has %d cells, over %d", out.Name, out.Dims[1], maxCells)
	}
	return rows{classes: len(m.Classes), cells: int(out.Dims[1])}, nil
}

func (r rows) collect(s *selection, outputs [][]float32) error {
	output, width := outputs[0], r.width()
	if want := width * r.cells; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	for cell := range r.cells {
		values := output[cell*width:][:width]
		if object := values[objectRow]; object >= s.floor || !(object >= -scoreSlack) {
			if err := s.row(cell, object, values[objectRow+1:][:r.classes]); err != nil {
				return err
			}
		}
	}
	return nil
}

// row offers each class of a cell.
func (s *selection) row(cell int, object float32, classes []float32) error {
	if !probable(object) {
		return fmt.Errorf("%w: an objectness of %g", ErrOutput, object)
	}
	for class, v := range classes {
		if !probable(v) {
			return fmt.Errorf("%w: a score of %g", ErrOutput, v)
		}
		if err := s.score(class, cell, min(object, 1)*min(max(v, 0), 1)); err != nil {
			return err
		}
	}
	return nil
}

// probable says whether a number may be a probability; NaN is none.
func probable(v float32) bool { return v >= -scoreSlack && v <= 1+scoreSlack }
