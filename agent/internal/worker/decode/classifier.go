package decode

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// classifier is one score for each class, [1, classes] or [1, classes, 1, 1]. Each class that scores is a
// finding around the whole frame.
type classifier struct {
	activation string
	floor      float32
	scores     []float64
	candidates []candidate
}

func newClassifier(m *bundle.Manifest, ports []Port) (family, error) {
	out, dims := &ports[0], 2
	if len(out.Dims) == 4 {
		dims = 4
	}
	wanted := fmt.Sprintf("the decoder classifier reads [1 %d] or [1 %d 1 1]", len(m.Classes), len(m.Classes))
	if err := out.shaped(dims, wanted); err != nil {
		return nil, err
	}
	if dims == 4 && (out.Dims[2] != 1 || out.Dims[3] != 1) {
		return nil, fmt.Errorf("output %q is %s, %s", out.Name, onnxfile.Shape(out.Dims), wanted)
	}
	if err := out.classes(out.Dims[1], m); err != nil {
		return nil, err
	}
	return &classifier{
		activation: m.Decoder.Activation, floor: float32(m.Decoder.ScoreFloor),
		scores: make([]float64, len(m.Classes)), candidates: make([]candidate, 0, len(m.Classes)),
	}, nil
}

func (c *classifier) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := c.score(outputs[0]); err != nil {
		return err
	}
	c.candidates = c.candidates[:0]
	for class, score := range c.scores {
		if kept := float32(score); kept >= c.floor {
			c.candidates = append(c.candidates, candidate{class: int32(class), score: min(kept, 1)})
		}
	}
	order(c.candidates)
	for _, found := range c.candidates {
		d.keep(detect.Detection{
			Class: int(found.class), Score: found.score,
			Box: [4]float32{2: float32(g.FrameWidth), 3: float32(g.FrameHeight)},
		})
	}
	return nil
}

// score makes probabilities of what the model gives.
func (c *classifier) score(output []float32) error {
	if len(output) != len(c.scores) {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), len(c.scores))
	}
	if !finite(output) {
		return fmt.Errorf("%w: a score is NaN or infinite", ErrOutput)
	}
	switch c.activation {
	case bundle.ActivationSoftmax:
		softmax(c.scores, output)
	case bundle.ActivationSigmoid:
		for i, logit := range output {
			c.scores[i] = 1 / (1 + math.Exp(-float64(logit)))
		}
	default:
		for i, score := range output {
			if score < -scoreSlack || score > 1+scoreSlack {
				return fmt.Errorf("%w: a score of %g: if the model gives logits, correct decoder.activation",
					ErrOutput, score)
			}
			c.scores[i] = float64(score)
		}
	}
	return nil
}

// softmax is exp of each logit over their sum; less the greatest one before, none is too large.
func softmax(scores []float64, logits []float32) {
	top, sum := logits[0], 0.0
	for _, logit := range logits {
		top = max(top, logit)
	}
	for i, logit := range logits {
		scores[i] = math.Exp(float64(logit) - float64(top))
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}
