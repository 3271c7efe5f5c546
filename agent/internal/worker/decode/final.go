package decode

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// final is a family of cells of which no two show the same thing: nothing is suppressed.
type final struct{ *selection }

func (f final) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := f.rank(d, outputs); err != nil {
		return err
	}
	f.hand(d, g)
	return nil
}

// finalRow is x1, y1, x2, y2, score, class.
const finalRow = 6

// end2end is an output of [1, N, 6], x1, y1, x2, y2 in input pixels, score, class: what is left after
// suppression in the model, or of a model that needs none. Rows without a score fill it up.
type end2end struct{ classes, cells int }

func newEnd2End(m *bundle.Manifest, ports []Port) (family, error) {
	out := &ports[0]
	if err := out.shaped(3, "the decoder end2end reads [1 N 6]"); err != nil {
		return nil, err
	}
	if out.Dims[2] != finalRow || out.Dims[1] > maxCells {
		return nil, fmt.Errorf("output %q is %s: the decoder end2end reads [1 N 6], at most %d rows of "+
			"x1 y1 x2 y2 score class", out.Name, onnxfile.Shape(out.Dims), maxCells)
	}
	e := end2end{len(m.Classes), int(out.Dims[1])}
	return final{newSelection(m, e, 2*e.cells)}, nil
}

func (e end2end) collect(s *selection, outputs [][]float32) error {
	output := outputs[0]
	if want := finalRow * e.cells; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	if !finite(output) {
		return fmt.Errorf("%w: a detection is NaN or infinite", ErrOutput)
	}
	for row := range e.cells {
		v := output[row*finalRow:][:finalRow]
		if err := s.labelled(row, v[5], v[4], e.classes, 0); err != nil {
			return err
		}
	}
	return nil
}

func (end2end) box(c *candidate, outputs [][]float32) [4]float32 {
	return [4]float32(outputs[0][int(c.cell)*finalRow:])
}

// labelled offers a detection whose class the model names, counted from first. A label that no class has is
// an error, except where the score is below the floor: such rows may be padding.
func (s *selection) labelled(cell int, label, score float32, classes, first int) error {
	if score < s.floor && score >= -scoreSlack {
		return nil
	}
	class := int(min(max(label, -1), float32(classes+first)))
	if float32(class) != label || class < first || class >= classes+first {
		return fmt.Errorf("%w: a class of %g, the classes are %d to %d", ErrOutput, label, first,
			classes+first-1)
	}
	return s.score(class-first, cell, score)
}
