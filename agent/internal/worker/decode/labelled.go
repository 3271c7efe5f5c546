package decode

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// labelled are labels [1, Q], boxes [1, Q, 4], x1, y1, x2, y2 in input pixels, and scores [1, Q]: what
// RT-DETR, D-FINE and DEIM are deployed with. Torchvision's detectors leave the first dimension out, and have
// as many rows as were found.
type labelled struct {
	classes, cells int
	first          int  // label of the first class
	open           bool // the last row is empty, unless more were found than are read
}

// maxRows is how many rows of an open output are read.
const maxRows = 1000

// noLabel is the label of a row that holds nothing.
const noLabel = -1

// OpenRows says whether a model's file leaves open how many rows an output has, as a family may that gives
// what it found and no more: then along which axis, how many to read, and what rows hold that are not there.
func OpenRows(m *bundle.Manifest, role string, dims []int64) (axis int, count, fill int64, open bool) {
	if m.Decoder.Family != bundle.FamilyLabelled {
		return 0, 0, 0, false
	}
	axis = len(dims) - 1
	switch role {
	case "labels":
		fill = noLabel
	case "boxes":
		axis--
	}
	return axis, maxRows + 1, fill, axis >= 0 && axis <= 1 && dims[axis] == onnxfile.Dynamic
}

func newLabelled(m *bundle.Manifest, ports []Port) (family, error) {
	labels, boxes, scores := withImages(ports[0], 1), withImages(ports[1], 2), withImages(ports[2], 1)
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
	l := labelled{classes: len(m.Classes), cells: int(labels.Dims[1]), open: labels.Open}
	if m.Decoder.NoObject == bundle.NoObjectFirst {
		l.first = 1
	}
	return final{newSelection(m, l, 2*l.cells)}, nil
}

// withImages is an output with the dimension of its images, where it lacks that.
func withImages(p Port, without int) *Port {
	if len(p.Dims) == without {
		p.Dims = append([]int64{1}, p.Dims...)
	}
	return &p
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
	if l.open && labels[l.cells-1] != noLabel {
		return fmt.Errorf("%w: over %d detections: export the model with a limit, such as torchvision's "+
			"box_detections_per_img", ErrOutput, maxRows)
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
