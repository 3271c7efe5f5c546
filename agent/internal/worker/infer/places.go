package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// proveCrops has the second model see each crop of a golden sample in all places of a full batch, as the
// sample alone may have too few of them to fill one.
func (s *Session) proveCrops(canvas *tensor.Canvas, name string) error {
	if s.crops == nil || s.crops.session.images == 1 {
		return nil
	}
	r := &s.Find([]*tensor.Canvas{canvas}, 0)[0]
	if r.Err == nil {
		r.Err = s.crops.prove(canvas.Frame(), r, *s.Bundle.Manifest.Golden.ScoreTolerance)
	}
	switch {
	case errors.Is(r.Err, decode.ErrOutput):
		return fmt.Errorf("%w: %s on %s: %w", ErrGolden, name, s.Provider, r.Err)
	case r.Err != nil:
		return fmt.Errorf("golden sample %s on %s: %w", name, s.Provider, r.Err)
	default:
		return nil
	}
}

// prove has the second model see each crop of a frame in a batch that is full of it.
func (c *crops) prove(f *frame.Frame, r *Result, slack float64) error {
	room := c.most
	for n := range r.Detections {
		if room == 0 || !c.wanted(&r.Detections[n]) {
			continue
		}
		room--
		c.cut(f, r, crop{0, n})
		c.waiting = c.waiting[:0]
		if r.Err != nil {
			return r.Err
		}
		if err := c.fill(slack); err != nil {
			return fmt.Errorf("second model, %w", err)
		}
	}
	return nil
}

// fill compares what the second model says of the crop on the first canvas alone with what it says in each
// place of a batch.
func (c *crops) fill(slack float64) error {
	full := slices.Repeat(c.canvases[:1], c.session.images)
	alone := c.session.Infer(full[:1], 0)[0]
	if alone.Err != nil {
		return fmt.Errorf("one crop: %w", alone.Err)
	}
	want := cloned(alone.Detections)
	for i, got := range c.session.Infer(full, 0) {
		if got.Err != nil {
			return fmt.Errorf("crop %d of %d: %w", i+1, len(full), got.Err)
		}
		if difference := c.differs(got.Detections, want, slack); difference != "" {
			return fmt.Errorf("crop %d of %d: %w: %s: set then.batch to 1, or export the model anew", i+1,
				len(full), ErrGolden, difference)
		}
	}
	return nil
}

// cloned is a copy that the next run leaves alone.
func cloned(found []detect.Detection) []detect.Detection {
	found = slices.Clone(found)
	for i := range found {
		found[i].Measures = slices.Clone(found[i].Measures)
	}
	return found
}

// differs tells the first difference between two answers about one crop, or nothing.
func (c *crops) differs(got, want []detect.Detection, slack float64) string {
	for i := range c.measures {
		if m := &c.measures[i]; !m.Agrees(got[0].Measures[i], want[0].Measures[i]) {
			return fmt.Sprintf("has a %s of %.4g, alone of %.4g", m.Name, got[0].Measures[i],
				want[0].Measures[i])
		}
	}
	if c.measures != nil {
		return ""
	}
	for class := range c.classes {
		together, alone := c.score(got, class), c.score(want, class)
		if math.Abs(together-alone) > slack {
			return fmt.Sprintf("%s scores %.3f, alone %.3f", c.classes[class].Name, together, alone)
		}
	}
	return ""
}

// score is that of a class, or the floor if it scores less.
func (c *crops) score(found []detect.Detection, class int) float64 {
	for i := range found {
		if found[i].Class == class {
			return float64(found[i].Score)
		}
	}
	return c.session.Bundle.Manifest.Decoder.ScoreFloor
}
