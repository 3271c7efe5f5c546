package decode

import (
	"errors"
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// logSlack is more than rounding may do to the logarithm of a score.
const logSlack = 1e-3

// ssd are boxes [1, N, 4] and scores [1, N, classes], of which one more may stand for no object (Liu et al.,
// SSD, 2016). Each class of a box is a candidate of its own.
type ssd struct {
	cells, classes, wide int // wide: columns of the scores
	from, spare          int // columns of the first class, and of no object, -1 without
	activation           string
	floor                float32 // as a logit
	least                float32 // below the highest of the logits of a box, with softmax
	corners              string
	scaleX, scaleY       float32 // input pixels of a coordinate
}

func newSSD(m *bundle.Manifest, ports []Port) (family, error) {
	boxes, scores := &ports[0], &ports[1]
	if err := errors.Join(boxes.shaped(3, "the decoder ssd reads boxes [1 N 4]"),
		scores.shaped(3, "the decoder ssd reads scores [1 N classes]")); err != nil {
		return nil, err
	}
	n, wide := boxes.Dims[1], scores.Dims[2]
	f := ssd{
		cells: int(n), classes: len(m.Classes), wide: int(wide), spare: -1,
		activation: m.Decoder.Activation, corners: m.Decoder.Corners, scaleX: 1, scaleY: 1,
		floor: logit(m.Decoder.ScoreFloor), least: float32(math.Log(m.Decoder.ScoreFloor)) - logSlack,
	}
	if m.Decoder.Coordinates == bundle.CoordinatesUnit {
		f.scaleX, f.scaleY = float32(m.Input.Width), float32(m.Input.Height)
	}
	switch m.Decoder.NoObject {
	case bundle.NoObjectFirst:
		f.from, f.spare, wide = 1, 0, wide-1
	case bundle.NoObjectLast:
		f.spare, wide = f.classes, wide-1
	}
	if err := scores.classes(wide, m); err != nil {
		return nil, fmt.Errorf("%w, with decoder.no_object %s", err, m.Decoder.NoObject)
	}
	if boxes.Dims[2] != boxRows || scores.Dims[1] != n || n > maxCells {
		return nil, fmt.Errorf("outputs %q %s and %q %s must be [1 N 4] and [1 N %d], with N up to %d",
			boxes.Name, onnxfile.Shape(boxes.Dims), scores.Name, onnxfile.Shape(scores.Dims), f.wide,
			maxCells)
	}
	return newSelection(m, f, f.cells), nil
}

func (f ssd) collect(s *selection, outputs [][]float32) error {
	boxes, scores := outputs[0], outputs[1]
	if len(boxes) != f.cells*boxRows || len(scores) != f.cells*f.wide {
		return fmt.Errorf("%w: %d values of boxes and %d scores of %d boxes", ErrOutput, len(boxes),
			len(scores), f.cells)
	}
	if !finite(boxes) {
		return fmt.Errorf("%w: a box is NaN or infinite", ErrOutput)
	}
	read := f.softmax
	switch f.activation {
	case bundle.ActivationNone:
		read = f.plain
	case bundle.ActivationSigmoid:
		read = f.sigmoid
	}
	if f.activation != bundle.ActivationNone && !finite(scores) {
		return fmt.Errorf("%w: a logit is NaN or infinite", ErrOutput)
	}
	for cell := range f.cells {
		if err := read(s, cell, scores[cell*f.wide:][:f.wide]); err != nil {
			return err
		}
	}
	return nil
}

func (f ssd) plain(s *selection, cell int, row []float32) error {
	if f.spare >= 0 && !probable(row[f.spare]) {
		return fmt.Errorf("%w: a score of %g", ErrOutput, row[f.spare])
	}
	classes := row[f.from:][:f.classes]
	for i := quiet(classes, s.floor); i < f.classes; i += 1 + quiet(classes[i+1:], s.floor) {
		if err := s.score(i, cell, classes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f ssd) sigmoid(s *selection, cell int, row []float32) error {
	for class, v := range row[f.from:][:f.classes] {
		if v < f.floor {
			continue
		}
		if err := s.score(class, cell, sigmoid(v)); err != nil {
			return err
		}
	}
	return nil
}

// softmax looks only at the logits that reach the floor against the highest alone: all others take from them.
func (f ssd) softmax(s *selection, cell int, row []float32) error {
	top, sum := row[0], 0.0
	for _, v := range row {
		if v > top {
			top = v
		}
	}
	for class, v := range row[f.from:][:f.classes] {
		if v < top+f.least {
			continue
		}
		if sum == 0 {
			for _, all := range row {
				sum += math.Exp(float64(all) - float64(top))
			}
		}
		if err := s.score(class, cell, float32(math.Exp(float64(v)-float64(top))/sum)); err != nil {
			return err
		}
	}
	return nil
}

func (f ssd) box(c *candidate, outputs [][]float32) [4]float32 {
	b := [4]float32(outputs[0][int(c.cell)*boxRows:])
	switch f.corners {
	case bundle.CornersYXYX:
		b[0], b[1], b[2], b[3] = b[1], b[0], b[3], b[2]
	case bundle.CornersCentre:
		b = centred(b[0], b[1], b[2], b[3])
	}
	return [4]float32{b[0] * f.scaleX, b[1] * f.scaleY, b[2] * f.scaleX, b[3] * f.scaleY}
}
