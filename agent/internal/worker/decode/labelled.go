package decode

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// labelled are labels [1, Q], boxes [1, Q, 4], x1, y1, x2, y2 in input pixels, and scores [1, Q]: what
// RT-DETR, D-FINE and DEIM are deployed with.
type labelled struct {
	classes, cells int
	first          int // label of the first class
}

func newLabelled(m *bundle.Manifest, ports []Port) (family, error) {
	labels, boxes, scores := &ports[0], &ports[1], &ports[2]
	if err := errors.Join(labels.shaped(2, "the decoder labelled reads labels [1 Q]"),
		boxes.shaped(3, "the decoder labelled reads boxes [1 Q 4]"),
		scores.shaped(2, "the decoder labelled reads scores [1 Q]")); err != nil {
		return nil, err
	}
	if q := labels.Dims[1]; boxes.Dims[1] != q || boxes.Dims[2] != boxRows || scores.Dims[1] != q ||
		q > maxCells {
		return nil, fmt.Errorf("outputs %q %s, %q %s and %q %s must be [1 Q], [1 Q 4] and [1 Q], with at "+
			"most %d detections", labels.Name, onnxfile.Shape(labels.Dims), boxes.Name,
			onnxfile.Shape(boxes.Dims), scores.Name,
			onnxfile.Shape(scores.Dims), maxCells)
	}
	l := labelled{classes: len(m.Classes), cells: int(labels.Dims[1])}
	if m.Decoder.NoObject == bundle.NoObjectFirst {
		l.first = 1
	}
	return final{newSelection(m, l, 2*l.cells)}, nil
}

func (l labelled) collect(s *selection, outputs [][]float32) error {
	labels, boxes, scores := outputs[0], outputs[1], outputs[2]
	if len(labels) != l.cells || len(boxes) != boxRows*l.cells || len(scores) != l.cells {
		return fmt.Errorf("%w: %d labels, %d values of boxes and %d scores of %d detections", ErrOutput,
			len(labels), len(boxes), len(scores), l.cells)
	}
	if !finite(boxes) || !finite(labels) {
		return fmt.Errorf("%w: a box or label is NaN or infinite", ErrOutput)
	}
	for i, score := range scores {
		if err := s.labelled(i, labels[i], score, l.classes, l.first); err != nil {
			return err
		}
	}
	return nil
}

func (labelled) box(c *candidate, outputs [][]float32) [4]float32 {
	return [4]float32(outputs[1][int(c.cell)*boxRows:])
}
