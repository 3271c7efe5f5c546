package decode

import (
	"errors"
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// detr are logits [1, Q, classes] and boxes [1, Q, 4], centre and size as parts of the input. Each query is
// about one thing, so that nothing is suppressed. With the sigmoid each class of a query is a candidate (Zhu
// et al., Deformable DETR, 2021; Lv et al., RT-DETR, 2023); with softmax the last column stands for no
// object, and a query has its best class (Carion et al., DETR, 2020).
type detr struct {
	floor                  float32 // as a logit
	queries, classes, wide int     // wide: columns of the logits
	width, height          float32 // of the input
}

func newDETR(m *bundle.Manifest, ports []Port) (family, error) {
	logits, boxes := &ports[0], &ports[1]
	if err := errors.Join(logits.shaped(3, "the decoder detr reads logits [1 Q classes]"),
		boxes.shaped(3, "the decoder detr reads boxes [1 Q 4]")); err != nil {
		return nil, err
	}
	q, wide, spare := logits.Dims[1], logits.Dims[2], int64(0)
	if m.Decoder.Activation == bundle.ActivationSoftmax {
		spare = 1
	}
	if err := logits.classes(wide-spare, m); err != nil {
		return nil, err
	}
	if boxes.Dims[1] != q || boxes.Dims[2] != boxRows || q > maxCells {
		return nil, fmt.Errorf("outputs %q %s and %q %s must be [1 Q classes] and [1 Q 4], with at most %d "+
			"queries", logits.Name, onnxfile.Shape(logits.Dims), boxes.Name,
			onnxfile.Shape(boxes.Dims), maxCells)
	}
	f := detr{
		floor: logit(m.Decoder.ScoreFloor), queries: int(q), classes: len(m.Classes), wide: int(wide),
		width: float32(m.Input.Width), height: float32(m.Input.Height),
	}
	return final{newSelection(m, f, f.queries*f.classes)}, nil
}

func (f detr) collect(s *selection, outputs [][]float32) error {
	logits, boxes := outputs[0], outputs[1]
	if len(logits) != f.queries*f.wide || len(boxes) != f.queries*boxRows {
		return fmt.Errorf("%w: %d logits and %d values of boxes of %d queries", ErrOutput, len(logits),
			len(boxes), f.queries)
	}
	if !finite(logits) || !finite(boxes) {
		return fmt.Errorf("%w: a logit or box is NaN or infinite", ErrOutput)
	}
	if f.wide > f.classes {
		return f.exclusive(s, logits)
	}
	for i, v := range logits {
		if v < f.floor {
			continue
		}
		if err := s.score(i%f.classes, i/f.classes, sigmoid(v)); err != nil {
			return err
		}
	}
	return nil
}

// exclusive offers the best class of each query.
func (f detr) exclusive(s *selection, logits []float32) error {
	for query := range f.queries {
		row := logits[query*f.wide:][:f.wide]
		best := 0
		for class, v := range row[:f.classes] {
			if v > row[best] {
				best = class
			}
		}
		if row[best]-row[f.classes] < f.floor { // the others would only take from it
			continue
		}
		if err := s.score(best, query, share(row, best)); err != nil {
			return err
		}
	}
	return nil
}

func (f detr) box(c *candidate, outputs [][]float32) [4]float32 {
	v := outputs[1][int(c.cell)*boxRows:]
	return centred(v[0]*f.width, v[1]*f.height, v[2]*f.width, v[3]*f.height)
}

// logit is the inverse of the sigmoid.
func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

func sigmoid(v float32) float32 { return float32(1 / (1 + math.Exp(-float64(v)))) }

// share is what softmax makes of one of the logits.
func share(logits []float32, of int) float32 {
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - float64(logits[of]))
	}
	return float32(1 / sum)
}
